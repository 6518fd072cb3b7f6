"""Overrides, reviews, pinned examples, and candidates that are registered under another name."""

from __future__ import annotations

import json

import pytest
from tiny_store import NAME

from pct_mlops.comparison import compare
from pct_mlops.config import PctError
from pct_mlops.gate import Mark, Review, ReviewKind
from pct_mlops.predictions import Predictions
from pct_mlops.registry import add_review, history


def gate(store, policy="lenient", *words, candidate=f"{NAME}@candidate"):
    return store.pct("gate", candidate, "--policy", store.policy(policy), *words)


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def review(store, kind, reference="digits/2", **more):
    registry = store.registry
    version = registry.resolve(reference)
    given = {"by": "anna", "reason": "looked at it", "when": "", "baseline": 1, **more}
    return add_review(registry, version, Review(kind=kind, **given))


def flipped(store, kind):
    """Ids of the flips from digits/1 to digits/2."""
    tables = [Predictions.load(store.registry.predictions(store.registry.resolve(f"digits/{i}"))) for i in (1, 2)]
    return [row.sample_id for row in compare(*tables).flips(kind, sort="sample_id", limit=1000)]


def test_an_override_promotes_and_the_verdict_stays(store, capsys, tmp_path):
    words = ("--override", "--reason", "hotfix", "--json", tmp_path / "r.json")
    assert gate(store, "strict", *words) == 0
    text = said(capsys)
    assert text.startswith("✗ FAIL")
    assert "Promoted by override, the verdict is FAIL: models:/digits/2 is production now. Reason: hotfix" in text
    assert store.registry.aliases(NAME)["production"] == 2
    last = history(store.registry, NAME)[-1]
    assert (last.verdict, last.override, last.reason) == ("FAIL", True, "hotfix")
    tags = store.registry.resolve("digits/2").tags
    assert (tags["gate.verdict"], tags["gate.override"]) == ("FAIL", "hotfix")
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["verdict"], report["exit_code"], report["promotion"]["override"]) == ("FAIL", 0, True)


@pytest.mark.parametrize(
    ("policy", "candidate", "words", "code", "says"),
    [
        ("strict", "digits/2", ("--override",), 2, "--override requires --reason"),
        ("strict", "digits/2", ("--override", "--reason", " "), 2, "--override requires --reason"),
        ("lenient", "digits/1", ("--override", "--reason", "x"), 2, "is the baseline itself"),
        ("strict", "digits/2", ("--promote", "--reason", "x"), 1, "Not promoted: production stays as it is."),
    ],
)
def test_what_no_override_moves(store, capsys, policy, candidate, words, code, says):
    assert gate(store, policy, *words, candidate=candidate) == code
    assert says in said(capsys)
    assert store.registry.aliases(NAME)["production"] == 1
    assert len(history(store.registry, NAME)) == 1


def test_an_override_that_was_not_needed_is_none(store, capsys):
    assert gate(store, "lenient", "--override", "--reason", "weekly") == 0
    assert "Promoted: models:/digits/2 is production now." in said(capsys)
    assert history(store.registry, NAME)[-1].override is False
    assert store.registry.resolve("digits/2").tags["gate.override"] == ""


def fails(*_, **__):
    raise PctError("It moved.")


def test_a_failed_override_is_an_error_and_leaves_no_trace_of_itself(store, capsys, monkeypatch):
    monkeypatch.setattr("pct_mlops.registry.promote", fails)
    assert gate(store, "strict", "--override", "--reason", "hotfix") == 2
    assert said(capsys).startswith("! ERROR")
    assert store.registry.resolve("digits/2").tags["gate.override"] == ""


def test_rejections_blockers_and_required_acceptance_decide(store, capsys):
    rejected = review(store, ReviewKind.REJECT)
    assert gate(store) == 1
    assert "anna" in said(capsys)
    review(store, ReviewKind.UNDO, undoes=rejected.id)
    assert gate(store) == 0
    capsys.readouterr()
    (store.folder / "people.yaml").write_text("rules: [{metric: nfr, max: 0.9}]\nreviews: {require_acceptance: true}")
    assert gate(store, "people") == 3
    assert "--accept" in said(capsys)
    review(store, ReviewKind.ACCEPT)
    assert gate(store, "people") == 0
    mark = review(store, ReviewKind.MARK, mark=Mark.BLOCKER, samples=tuple(flipped(store, "negative")[:1]))
    assert gate(store, "people") == 1
    review(store, ReviewKind.UNDO, undoes=mark.id)
    assert gate(store, "people") == 0


def test_flips_that_count_apart_are_shown(store, capsys, tmp_path):
    ids = flipped(store, "negative")
    review(store, ReviewKind.MARK, mark=Mark.LABEL_ERROR, samples=tuple(ids[:2]))
    text = "rules: [{metric: nfr, max: 0.9}]\nreviews: {count_apart: [label_error]}"
    (store.folder / "apart.yaml").write_text(text)
    assert gate(store, "apart", "--json", tmp_path / "r.json") == 0
    assert "Counted apart, as reviewers marked them: 2 label_error." in said(capsys)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["apart"] == {"label_error": 2}
    assert report["counts"]["negative_flips"] == len(ids), "as observed"
    assert report["metrics"]["nfr"]["numerator"] == len(ids) - 2
    assert gate(store, "lenient", "--json", tmp_path / "r.json") == 0
    assert json.loads((tmp_path / "r.json").read_text())["apart"] == {}, "only where the policy says so"


def pinning(store, *ids):
    (store.folder / "pinned.csv").write_text("sample_id,why\n" + "".join(f"{sample},x\n" for sample in ids))
    (store.folder / "pinning.yaml").write_text("rules: [{metric: nfr, max: 0.9}]\npinned: {file: pinned.csv}")


def test_fixed_blockers_are_pinned_once(store, capsys):
    gained, lost = flipped(store, "positive"), flipped(store, "negative")
    pinning(store, gained[0])
    review(store, ReviewKind.MARK, "digits/1", mark=Mark.BLOCKER, samples=(gained[0], gained[1]))
    review(store, ReviewKind.MARK, "digits/1", mark=Mark.LABEL_ERROR, samples=(gained[2], lost[0]))
    assert gate(store, "pinning", "--promote", "--pin-fixed") == 0
    assert "Added to the pinned examples, which must stay right: 1." in said(capsys)
    assert (store.folder / "pinned.csv").read_text() == f"sample_id,why\n{gained[0]},x\n{gained[1]},\n"


def test_nothing_is_pinned_without_a_pass_or_without_a_list(store, capsys, monkeypatch):
    gained, lost = flipped(store, "positive"), flipped(store, "negative")
    review(store, ReviewKind.MARK, "digits/1", mark=Mark.BLOCKER, samples=(gained[0],))
    pinning(store, gained[1])
    with monkeypatch.context() as broken:
        broken.setattr("pct_mlops.registry.promote", fails)
        assert gate(store, "pinning", "--promote", "--pin-fixed") == 2
    assert "Added to the pinned examples" not in said(capsys), "what broke off has added nothing"
    assert (store.folder / "pinned.csv").read_text() == f"sample_id,why\n{gained[1]},x\n"
    pinning(store, lost[0])
    assert gate(store, "pinning", "--pin-fixed") == 1, "a pinned example flipped"
    assert (store.folder / "pinned.csv").read_text() == f"sample_id,why\n{lost[0]},x\n"
    assert gate(store, "lenient", "--pin-fixed") == 2
    assert "write 'pinned: {file: pinned.csv}'" in said(capsys)


@pytest.fixture
def split(store):
    """People register into digits-candidates; production is that of digits."""
    store.registry.client.copy_model_version("models:/digits/2", "digits-candidates")
    return store


def test_a_candidate_of_another_model_is_copied_and_promoted(split, capsys, tmp_path):
    words = ("--into", NAME, "--explorer-url", "http://x/", "--json", tmp_path / "r.json")
    assert gate(split, "lenient", *words, candidate="digits-candidates/1") == 0
    text = said(capsys)
    assert "http://x/?model=digits&old=1&new=1&new_model=digits-candidates" in text
    assert split.registry.aliases(NAME)["production"] == 1, "judging alone copies nothing"
    assert len(split.registry.versions(NAME)) == 2
    assert gate(split, "lenient", *words, "--promote", candidate="digits-candidates/1") == 0
    assert "Promoted: models:/digits/3 is production now." in said(capsys)
    assert split.registry.aliases(NAME)["production"] == 3
    last = history(split.registry, NAME)[-1]
    assert (last.from_version, last.to_version, last.verdict) == (1, 3, "PASS")
    for reference in ("digits-candidates/1", "digits/3"):
        assert split.registry.resolve(reference).tags["gate.verdict"] == "PASS"
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["promotion"]["target"] == NAME
    assert report["context"]["candidate_uri"] == "models:/digits-candidates/1"
    # What is in production now is the very candidate.
    assert gate(split, "lenient", *words, candidate="digits-candidates/1") == 2
    assert "is the baseline itself" in said(capsys)


def test_what_is_said_of_a_copy_counts_when_its_source_is_judged_again(split, capsys):
    """CI promotes the candidate anew with every change on main, also one that was rejected and taken back since."""
    words = ("--into", NAME, "--promote")
    assert gate(split, "lenient", *words, candidate="digits-candidates/1") == 0
    assert split.pct("rollback", NAME, "--reason", "night images") == 0
    rejected = review(split, ReviewKind.REJECT, "digits/3")
    capsys.readouterr()
    assert gate(split, "lenient", *words, candidate="digits-candidates/1") == 1
    assert "Rejected by anna" in said(capsys)
    assert split.registry.aliases(NAME)["production"] == 1
    review(split, ReviewKind.UNDO, "digits/3", undoes=rejected.id)
    review(split, ReviewKind.REJECT, "digits-candidates/1")
    assert gate(split, "lenient", "--promote", candidate="digits/3") == 1, (
        "nor is what is said of the source passed over"
    )
    assert split.registry.aliases(NAME)["production"] == 1


def test_a_candidate_of_another_model_that_fails_is_not_copied(split, capsys):
    assert gate(split, "strict", "--into", NAME, "--promote", candidate="digits-candidates/1") == 1
    assert len(split.registry.versions(NAME)) == 2
    assert split.registry.aliases(NAME)["production"] == 1


def test_the_first_version_of_a_model_that_is_not_there_yet(split, capsys):
    words = ("--into", "shop", "--promote")
    assert gate(split, "lenient", *words, candidate="digits-candidates/1") == 0
    text = said(capsys)
    assert "BOOTSTRAP" in text
    assert "Promoted: models:/shop/1 is production now." in text
