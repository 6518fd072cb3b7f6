"""Which update is advised: the decision table, what changed between two models, and the line to type. All is pure."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pct_mlops.config import Recipe
from pct_mlops.config.base import apply_overrides
from pct_mlops.errors import ConfigError
from pct_mlops.workflows.advice import advise as advising
from pct_mlops.workflows.advice.advice_documents import advice_markdown, advice_to_json, evidence_markdown
from pct_mlops.workflows.advice.advice_text import render_advice
from pct_mlops.workflows.advice.advise import NO_EVIDENCE, Advice, advise
from pct_mlops.workflows.advice.change_facts import Change, ModelFacts, changes_between
from pct_mlops.workflows.advice.evidence_table import CHANGES, HEADER, UpdateEvidence, read_evidence
from pct_mlops.workflows.advice.recommendation import command_line, methods_of, recommend_update
from pct_mlops.workflows.training.preset_sections import with_preset

FILE = Path(__file__).parent / "made_up_evidence.csv"
MADE_UP = read_evidence(FILE)


def screen(advice, *, width=80, **options):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - nothing is written
    console.print(render_advice(advice, **options))
    return console.export_text()


def row(method, change=0.0, ratio=0.5, data_set="shoes", words=("objective.loss=update",), **more):
    return UpdateEvidence("data growth", data_set, method, words, 5, accuracy_change=change, nfr_ratio=ratio, **more)


UNTREATED = row("untreated", ratio=1.0, words=("objective.loss=none",))


# The decision table ------------------------------------------------------------------------------------------------


def test_the_packaged_table_can_be_read_and_compares_with_untreated_updates():
    rows = read_evidence()
    untreated = {(found.change, found.data_set) for found in rows if found.is_untreated}
    assert {(found.change, found.data_set) for found in rows} == untreated
    assert all(0 <= (found.nfr or 0) <= 1 for found in rows), "rates are fractions"


def test_a_table_is_read_with_its_words_and_what_is_unknown():
    longer = next(found for found in MADE_UP if found.method == "untreated, 1.5 x epochs")
    assert longer.words == ("objective.loss=none", "optim.epochs=90")
    assert (longer.change, longer.data_set, longer.seeds, longer.cost) == ("data growth", "Made-up-A", 5, 1.5)
    assert next(found for found in MADE_UP if found.method == "two models deployed").words == ()
    assert [found.cost for found in MADE_UP if found.change == "class growth"] == [1.0, None]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("growth,A,untreated,,5" + "," * 11, "line 2 names the change 'growth': write one of data growth,"),
        ("data growth,A,untreated,,five" + "," * 11, "line 2 holds what is no number"),
        ("data growth,A,untreated,,5,nan" + "," * 10, "nan is not finite"),
        ("data growth,A,untreated,loss,5" + "," * 11, "words as key=value"),
        ("data growth,A,untreated,'a=1,5" + "," * 11, "no list of words"),
        ("data growth,,untreated,,5" + "," * 11, "names no data set"),
        ("data growth,A,untreated", "should have 16 cells"),
        ("data growth,A,untreated,,5" + "," * 12, "should have 16 cells"),
    ],
)
def test_a_damaged_table_is_one_sentence_that_names_the_line(tmp_path, line, says):
    path = tmp_path / "evidence.csv"
    path.write_text(f"{','.join(HEADER)}\n{line}\n")
    with pytest.raises(ConfigError, match=says):
        read_evidence(path)


def test_another_file_is_no_decision_table(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="is no decision table: its first line should be change,"):
        read_evidence(tmp_path / "other.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_evidence(tmp_path / "none.csv")


def test_the_table_needs_neither_torch_nor_mlflow(tmp_path):
    code = (
        "import sys; from pct_mlops.cli import main; assert main(['advise']) == 0\n"
        "assert not {'torch', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The recommendation ------------------------------------------------------------------------------------------------


def test_the_fewest_flips_among_those_that_keep_accuracy():
    found = recommend_update("data growth", MADE_UP)
    # cna loses accuracy, a longer training has another number of epochs on each recipe, two models are no training.
    assert (found.method, found.words) == ("update, mix 0.3", ("objective.loss=update", "objective.mix=0.3"))
    assert found.nfr_ratio == pytest.approx((0.35 * 0.3) ** 0.5)
    assert found.cost == 1.3, "the highest of both data sets"
    assert found.reference.method == "two models deployed"
    assert found.doubt == "On Made-up-B the interval does not show that it flips less."
    assert [found.method for found in methods_of("data growth", MADE_UP)] == [
        "untreated",
        "untreated, 1.5 x epochs",
        "two models deployed",
        "update, mix 0.3",
        "update",
        "cna",
    ]


@pytest.mark.parametrize(
    ("change", "high", "kept"),
    [(-0.002, -0.001, True), (-0.0021, None, False), (-0.01, 0.01, False), (0.01, None, True)],
)
def test_accuracy_is_kept_to_a_fifth_of_a_point_however_wide_the_interval(change, high, kept):
    found = row("update", change, accuracy_change_high=high)
    assert found.keeps_accuracy is kept
    assert (recommend_update("data growth", [UNTREATED, found]) is not None) is kept


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [UNTREATED],
        [row("update")],  # nothing to compare with
        [UNTREATED, row("update", ratio=1.0)],
        [UNTREATED, row("update", ratio=None)],
        [UNTREATED, row("longer", words=("objective.loss=none", "optim.epochs=90"))],
        [UNTREATED, row("two models deployed", words=())],
        [UNTREATED, row("untreated", ratio=1.0, data_set="boots"), row("update")],  # measured on one of two
    ],
)
def test_nothing_is_recommended_where_nothing_is_shown(rows):
    assert recommend_update("data growth", rows) is None


def test_equal_flips_are_decided_by_training_time_and_none_is_the_best():
    rows = [UNTREATED, row("slow", cost=2.0), row("fast", cost=1.0)]
    assert recommend_update("data growth", rows).method == "fast"
    assert recommend_update("data growth", [*rows, row("still", ratio=0.0)]).nfr_ratio == 0.0


def test_there_are_four_kinds_of_change():
    with pytest.raises(
        ConfigError, match="'growth' is no kind of change: give one of data growth, architecture growth"
    ):
        recommend_update("growth", MADE_UP)


def test_the_line_clears_the_numbers_of_another_loss_and_keeps_what_the_user_sets():
    words = ("objective.loss=update", "objective.mix=0.3")
    own = ["objective.loss=kl", "objective.weight=2", "data.classes=[a, b]"]
    cleared = ["objective.distance", "objective.mix"]
    line = command_line("my recipe.yaml", words, own=own, cleared=cleared, model_name="shoes")
    assert line == (
        "pct train 'my recipe.yaml' --set 'data.classes=[a, b]' --set objective.loss=update --set objective.mix=0.3 "
        "--set objective.distance=null --model-name shoes"
    )


def test_the_line_leaves_no_number_of_another_loss_below_a_cleared_key():
    own = ["objective.distance.temperature=4", "objective.mixup=1"]
    line = command_line("a.yaml", ("objective.loss=update",), own=own, cleared=["objective.distance"])
    assert line == (
        "pct train a.yaml --set objective.mixup=1 --set objective.loss=update --set objective.distance=null"
    )


START = ("objective.loss=none", "model.init=production")


@pytest.mark.parametrize(
    ("words", "own", "model", "objective"),
    [
        (START, ["model.weights=DEFAULT"], {"init": "production"}, {"loss": "none"}),
        (("objective.loss=update",), ["model={weights: DEFAULT}"], {"init": "production"}, {"loss": "update"}),
        (("objective.loss=kl",), ["model.weights=DEFAULT"], {"weights": "DEFAULT"}, {"loss": "kl"}),
        (
            ("objective.loss=update",),
            ["model.weights=DEFAULT", "model.init=random"],
            {"weights": "DEFAULT", "init": "random"},
            {"loss": "update"},
        ),
        (
            ("objective.loss=update",),
            ["objective={loss: ldi, weight: 2, label_smoothing: 0.1}"],
            {"init": "production"},
            {"loss": "update", "label_smoothing": 0.1},
        ),
    ],
)
def test_the_line_trains_the_update_whatever_start_and_loss_the_user_sets(words, own, model, objective):
    recipe = Recipe.model_validate({"model_name": "shoes", **apply_overrides({}, own)})
    cleared = advising._cleared(recipe.model_dump(mode="json"), words)
    line = shlex.split(command_line("a.yaml", words, own=own, cleared=cleared))
    typed = apply_overrides({}, [after for word, after in itertools.pairwise(line) if word == "--set"])
    trained = with_preset(Recipe.model_validate({"model_name": "shoes", **typed}))
    assert trained.model.model_dump(include={"init", "weights"}, exclude_none=True) == model
    shown = trained.objective.model_dump(exclude_defaults=True)
    assert {"loss": "none", **shown} == objective


def test_a_start_that_the_line_replaces_is_no_doubt():
    subject = advising._Subject("", "", (), recipe={"model": {"init": "v3", "weights": "DEFAULT"}})
    assert advising._other_start(subject, ["model.init", "model.weights"]) == []
    (note,) = advising._other_start(subject, ["model.weights"])
    assert note == "The recipe sets model.init=v3, and no such start was measured."


# What changed ------------------------------------------------------------------------------------------------------

DATA = {
    "name": "folder",
    "root": "/a",
    "train_fraction": 0.5,
    "val_fraction": 0.1,
    "classes": None,
    "label_noise": None,
}
OLD = ModelFacts(frozenset("ab"), "net width=8", 100, DATA, 60)


def new(**changed):
    data = {**DATA, **changed.pop("data", {})}
    facts = {"classes": OLD.classes, "architecture": OLD.architecture, "num_weights": 100, "num_val": 60, **changed}
    return ModelFacts(**facts, data=data)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (new(), [("retraining", "")]),
        (new(classes=frozenset("abcdef")), [("class growth", "2 to 6 classes: c, d, e and 1 more")]),
        (new(classes=frozenset("a")), [("retraining", "without b")]),
        (
            new(architecture="net width=16", num_weights=1200),
            [("architecture growth", "net width=8 to net width=16 (100 to 1,200)")],
        ),
        (
            new(architecture="mobilenet", num_weights=None),
            [("retraining", "net width=8 to mobilenet, whose sizes are not both known")],
        ),
        (
            new(architecture="slim", num_weights=90),
            [("retraining", "net width=8 to slim, which is no larger")],
        ),
        (new(data={"train_fraction": 1.0}), [("data growth", "data.train_fraction 0.5 to 1.0")]),
        (new(data={"train_fraction": 0.2}), [("retraining", "data.train_fraction 0.5 to 0.2")]),
        (new(num_val=1200), [("data growth", "60 to 1,200 examples on val")]),
        (new(num_val=1200, data={"root": "/b"}), [("retraining", "data of folder in /a to folder in /b")]),
        (new(num_val=1200, data={"val_fraction": 0.2}), [("retraining", "")]),
        (new(data={"root": "/b"}), [("retraining", "data of folder in /a to folder in /b")]),
        (new(data={"name": "other"}, num_val=1200), [("retraining", "data of folder in /a to other in /a")]),
        (new(operation="ensemble"), [("no training", "ensemble")]),
        (ModelFacts(OLD.classes), [("not recorded", "no recipe or architecture")]),
        (ModelFacts(), [("not recorded", "no recipe or architecture")]),
        (ModelFacts(frozenset("abc")), [("class growth", "2 to 3 classes: c")]),
    ],
)
def test_what_changed_is_told_from_what_is_recorded(facts, expected):
    assert [(change.kind, change.detail) for change in changes_between(OLD, facts)] == expected


def test_labels_are_cleaned_where_noise_falls_or_stored_labels_differ():
    noisy = new(data={"label_noise": 0.2})
    assert changes_between(noisy, new())[0].detail == "data.label_noise 0.2 to 0"
    assert changes_between(new(), noisy)[0].kind == "retraining"
    (change,) = changes_between(OLD, new(), relabelled=1234)
    assert (change.kind, change.detail) == ("label cleaning", "1,234 examples have another label")


def test_damaged_data_sections_are_as_if_they_said_nothing():
    damaged = new(data={"train_fraction": "half", "label_noise": [1], "classes": 3})
    assert [change.kind for change in changes_between(damaged, new())] == ["retraining"]
    assert [change.kind for change in changes_between(OLD, damaged)] == ["data growth"]


def test_a_recipe_that_keeps_all_classes_again_grows():
    old = new(data={"classes": ["a", "b"]})
    assert changes_between(old, new(classes=None))[0].detail == "all classes in place of 2"


def test_several_changes_are_all_told_the_most_important_first():
    facts = new(classes=frozenset("abc"), architecture="wide", num_weights=900, data={"train_fraction": 1.0})
    found = [change.kind for change in changes_between(OLD, facts, relabelled=2)]
    assert found == ["class growth", "architecture growth", "label cleaning", "data growth"]
    assert all(change.is_measured for change in changes_between(OLD, facts))


# What is shown -----------------------------------------------------------------------------------------------------


def test_without_evidence_one_sentence_says_so():
    found = advise(evidence=[])
    assert found == Advice((), notes=(NO_EVIDENCE,))
    assert " ".join(screen(found).split()) == NO_EVIDENCE
    assert advice_to_json(found)["evidence"] == []


def test_the_table_of_four_changes_fits_on_a_screen():
    names = ["untreated", "untreated, 1.5 x epochs", "update", "update, mix 0.3", "update from random weights"]
    names += ["two models deployed", "warm start alone", "update+mixture", "one more"]
    rows = [
        UpdateEvidence(
            change, data_set, name, ("objective.loss=update",), 5, 0.9, 0.1, 0.02, 0.1, -0.001, -0.1, 0.1, 0.5
        )
        for change in CHANGES
        for data_set in ("Fashion-MNIST", "glyphs")
        for name in names
    ]
    text = screen(advise(evidence=rows))
    lines = text.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80
    assert all(f"\n{change} " in text for change in CHANGES)
    assert "8 more with --all." in " ".join(text.split())
    assert "one more" in screen(advise(evidence=rows), every=True)


def test_the_table_marks_what_is_recommended_and_what_loses_accuracy():
    text = screen(advise(evidence=MADE_UP))
    assert "  update, mix 0.3 * " in text
    assert "  cna ! " in text
    assert "data growth: pct train FILE --set objective.loss=update --set objective.mix=0.3" in text
    assert "architecture growth: pct train" not in text, "nothing keeps accuracy"


def advised(kind, evidence=MADE_UP):
    """Advice for one change, as a recipe gets it."""
    subject = advising._Subject("a.yaml", "a.yaml", (Change(kind),))
    return advising._recommended(Advice(tuple(evidence), "shoes", 1), subject, (), "")


def test_a_doubt_and_what_flips_less_still_are_in_every_format():
    found = advised("data growth")
    doubt, besides = "On Made-up-B the interval does not show that it flips less.", "two models deployed: NFR 0.25 x."
    content = advice_to_json(found)["recommendation"]
    assert (content["doubt"], content["reference"]) == (doubt, "two models deployed")
    text = " ".join(screen(found).split())
    assert doubt in text
    assert f"Besides {besides}" in text
    document = advice_markdown(found).replace("\\", "")
    assert f"\n\n{doubt}\n\nBesides: {besides}\n\n" in document
    certain = advised("data growth", [UNTREATED, row("update", nfr_ratio_high=0.9)])
    content = advice_to_json(certain)["recommendation"]
    assert (content["doubt"], content["reference"]) == (None, None)
    assert "Besides" not in advice_markdown(certain) + screen(certain)


def test_what_was_not_measured_is_not_said_to_lose_accuracy():
    assert advised("architecture growth").notes == (
        "Nothing that was measured for architecture growth keeps accuracy and flips less on each data set.",
    )
    assert advised("label cleaning").notes == (
        "The decision table has no rows on this (label cleaning): --loss update is the update to try first.",
    )


def test_documents_hold_what_is_shown():
    found = advise(evidence=MADE_UP)
    assert [part["method"] for part in advice_to_json(found)["evidence"]] == [part.method for part in MADE_UP]
    text = advice_markdown(found)
    assert all(evidence_markdown(MADE_UP, change) in text for change in ("data growth", "class growth"))
    assert "| **update, mix 0.3** | Made\\-up\\-A | 5 | -0.05 (-0.20 to +0.10) | x 0.35 (0.30 to 0.40) |" in text
    assert evidence_markdown(MADE_UP, "label cleaning") == ""
