"""The generated reference names everything that a user can type or import, and its formulas are the code's."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import re

import pytest
import yaml
from doc_pages import DOCS, ROOT, generated, written

import pct_mlops
from pct_mlops.cli.main import pct
from pct_mlops.comparison import METRICS
from pct_mlops.comparison.totals import Totals
from pct_mlops.config import Policy, Recipe
from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.data import DATASETS
from pct_mlops.gate import EXIT_CODES
from pct_mlops.losses import DISTANCES, FOCUSES, PRESETS
from pct_mlops.models import model_names
from pct_mlops.predictions import Predictions


def page(name):
    return generated()[f"reference/{name}.md"]


def test_every_verb_and_every_option():
    text = page("cli")
    for name, command in pct.commands.items():
        for verb, item in getattr(command, "commands", {"": command}).items():
            _, found, rest = text.partition(f"\n## pct {name} {verb}".rstrip() + "\n")
            assert found, name
            section = rest.split("\n## ")[0]
            for option in (opt for param in item.params for opt in param.opts if opt.startswith("--")):
                assert re.search(rf"{option}\b", section), f"{name} {option}"


def leaves(schema, part, prefix=""):
    """Dotted keys of a JSON schema."""
    part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
    for choice in (*part.get("anyOf", ()), *part.get("allOf", ())):
        yield from leaves(schema, choice, prefix)
    if part.get("type") == "array":
        yield from leaves(schema, part["items"], f"{prefix.removesuffix('.')}[].")
    for name, inner in part.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from leaves(schema, inner, f"{prefix}{name}.")


@pytest.mark.parametrize(("kind", "name"), [(Recipe, "recipe"), (Policy, "policy")])
def test_every_key(kind, name):
    schema = kind.model_json_schema()
    keys = set(leaves(schema, schema))
    assert len(keys) > 20
    assert {key for key in keys if f"| `{key}` |" not in page(name)} == set()


def test_every_loss_with_its_parameters():
    text = page("losses")
    for name in PRESETS:
        assert f"\n### `{name}`\n" in text
    for kind, catalog in (("Distance", DISTANCES), ("Focus", FOCUSES)):
        for name in catalog:
            section = text.partition(f"\n### {kind} `{name}`\n")[2].split("\n### ")[0]
            assert section, name
            for field in dataclasses.fields(catalog[name]):
                assert f"| `{field.name}` |" in section, f"{name}.{field.name}"
    assert "`T^2 * KL(softmax(z_old / T) || softmax(z_new / T))`" in text
    assert "arXiv 2205.06265" in text


def test_every_metric_data_set_and_model():
    for name in METRIC_INFO:
        assert f"\n| `{name}` |" in page("metrics")
    for name in DATASETS:
        assert f"### `{name}`" in page("data-and-models")
    for name in model_names():
        assert f"`{name}`" in page("data-and-models")


def test_the_formulas_of_the_metrics_are_those_of_the_code():
    from _metrics import FORMULAS

    assert set(METRICS) - set(FORMULAS) == {"ece_old", "ece_new", "nll_old", "nll_new"}
    numbers = random.Random(0)
    for _ in range(50):
        a, b, c, d = (numbers.randint(1, 99) for _ in range(4))
        e, b_1, b_2, x = numbers.randint(0, d), numbers.randint(0, b), numbers.randint(0, b), numbers.random()
        known = {"a": a, "b": b, "c": c, "d": d, "e": e, "x": x, "b_1": b_1, "b_2": b_2, "N": a + b + c + d}
        known |= {"cost_b": 2.0 * b, "cost_N": 2.0 * (a + b + c + d)}
        totals = Totals(
            a, b, c, d, e, x, b_1, b_2, cost_of_flips=2.0 * b, squared_cost_of_flips=4.0 * b,
            cost_of_all=known["cost_N"], max_cost=2.0,
        )  # fmt: skip
        for name, formula in FORMULAS.items():
            expected = eval(formula, {}, known)
            assert math.isclose(METRICS[name].evaluate(totals, 0.95).value, expected, abs_tol=1e-12), name


def test_bounds_are_told_as_they_are():
    for name, info in METRIC_INFO.items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", page("metrics"), re.MULTILINE)
        assert ("none: " in line) == bool(info.no_bounds)


def test_every_exit_code_verdict_and_column():
    for verdict, code in EXIT_CODES.items():
        assert re.search(rf"^\| `{code}` \| .*{verdict}", page("exit-codes"), re.MULTILINE)
    table = Predictions.from_arrays(
        ["a"], [0], [[1.0, 0.0]], class_names=["x", "y"], features=[[1.0]], slices={"camera": ["front"]}
    )
    for column in table.info.columns:
        assert f"| `{column}` |" in page("table")


def test_every_public_name():
    import _api

    names = [name.rpartition(".")[2] for name in _api.public_names()]
    assert {"Predictions", "compare", "decide", "Policy", "build_objective"} <= set(names)
    exported = [name for name in getattr(pct_mlops, "__all__", ()) if not name.startswith("_")]
    assert set(exported) <= set(names)
    for name in _api.public_names():
        module, _, last = name.rpartition(".")
        assert f"\n## `{name.removeprefix('pct_mlops.')}`\n" in page("api")
        assert f"\nfrom {module} import {last}\n" in page("api")


def test_every_variable_of_ours_is_explained():
    sources = [path for folder in ("pct_mlops", "app") for path in (ROOT / folder).rglob("*.py")]
    used = {name for path in sources for name in re.findall(r'"(PCT_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    text = written()["reference/environment.md"]
    assert len(used) >= 6
    assert {name for name in used if f"`{name}`" not in text} == set()


def test_docstrings_become_what_they_say():
    import _markdown

    text = _markdown.prose(
        """Sum of squares of a_b and *c*.

        sum_c max(|z_new - z_old|, 0)^p: from a paper. Also `code_here`.
        margin: what is free.

        Args:
            new: logits [N, C].
            *others: more,
                on two lines.
        Returns:
            A number.
        Example:
            >>> f(1)
            2
        """
    )
    assert text.splitlines() == [
        r"Sum of squares of a\_b and \*c\*.", "",
        "`sum_c max(|z_new - z_old|, 0)^p`: from a paper. Also `code_here`.", "",
        "`margin`: what is free.", "",
        "**Args**", "",
        r"- `new`: logits \[N, C\].",
        "- `*others`: more, on two lines.", "",
        "**Returns**", "",
        "- A number.", "",
        "**Example**", "",
        "```python", ">>> f(1)", "2", "```",
    ]  # fmt: skip


def test_the_page_on_updates_has_the_packaged_table():
    import _generate
    import _updates

    page = written()["how-to/choose-update.md"]
    shown = _generate.on_page_markdown(page, page=None, config=None, files=None)
    assert page.count(_updates.MARKER) == 1
    assert shown == page.replace(_updates.MARKER, _updates.updates_section(pct_mlops.read_evidence()))
    assert _generate.on_page_markdown("# Other", page=None) == "# Other"
    rows = pct_mlops.read_evidence(ROOT / "tests" / "workflows" / "made_up_evidence.csv")
    text = _updates.updates_section(rows)
    assert text.count("\n| ") == len(rows) + 3, "a line for each row, and the heads of three tables"
    assert "### Data growth\n\n| data growth | data set |" in text
    assert (
        "Recommended: `pct train FILE --set objective.loss=update --set objective.mix=0.3` On Made-up-B the interval "
        "does not show that it flips less. Besides: two models deployed: NFR 0.25 x."
    ) in text
    assert "None is recommended." in text
    assert _updates.updates_section([]) == "No evidence is packaged with this version."


def test_generated_pages_are_not_in_the_folder():
    assert [name for name in generated() if os.path.exists(DOCS / name)] == []


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == pct_mlops.__version__
    papers = {item["identifiers"][0]["value"].removeprefix("arXiv:") for item in citation["references"]}
    assert len(papers) == 3
    assert all(paper in written()["../README.md"] for paper in papers)
