"""Methods over seeds: spreads against numpy, and the same numbers in terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from pct_mlops.config import PctError
from pct_mlops.reports import (
    SeedResult,
    methods_csv,
    methods_markdown,
    read_methods_csv,
    render_methods,
    seeds_csv,
    summarise,
)

VALUES = np.array([[0.91, 0.02, 0.25, 0.03], [0.92, 0.04, 0.5, 0.05], [0.9, 0.03, 0.3, 0.01]])
KEYS = ("accuracy", "nfr", "relative_nfr", "pfr")
RESULTS = [SeedResult("kl", 1001 + i, dict(zip(KEYS, row.tolist(), strict=True))) for i, row in enumerate(VALUES)]
RESULTS += [
    SeedResult("one|two", 1001, {"accuracy": 1.0, "nfr": 0.0, "relative_nfr": None, "pfr": 0.1}),
    SeedResult("one|two", 1002, None, "Training diverged: lower optim.lr."),
]


def shown(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_spreads_are_numpys():
    kl, other = summarise(RESULTS)
    for column, key in enumerate(KEYS):
        assert kl.spreads[key].mean == pytest.approx(VALUES[:, column].mean())
        assert kl.spreads[key].std == pytest.approx(VALUES[:, column].std(ddof=1))
    assert (kl.num_seeds, kl.num_failed, other.num_seeds, other.num_failed) == (3, 0, 1, 1)
    assert (other.spreads["accuracy"].mean, other.spreads["accuracy"].std) == (1.0, None), "one seed has no spread"
    assert other.spreads["relative_nfr"].mean is None


def test_an_undefined_value_is_not_left_out_of_a_mean():
    undefined = SeedResult("kl", 1004, {**RESULTS[0].metrics, "relative_nfr": None})
    (row,) = summarise([*RESULTS[:3], undefined])
    assert row.spreads["relative_nfr"].mean is None
    assert row.spreads["nfr"].mean is not None


def test_nothing_succeeded():
    (row,) = summarise(RESULTS[-1:])
    assert (row.num_seeds, row.num_failed, row.spreads["nfr"].mean) == (0, 1, None)
    assert "(1 failed)" in shown(render_methods([row], "title"))


def test_terminal_and_markdown_show_the_same_numbers():
    rows = summarise(RESULTS)
    terminal = shown(render_methods(rows, "digits", ["a note", "[red]no markup[/red]"]))
    assert max(len(line) for line in terminal.splitlines()) <= 80
    assert "[red]no markup[/red]" in terminal
    markdown = methods_markdown(rows, "digits", ["a note"])
    for text in ("91.00 ± 1.00", "3.00 ± 1.00", "0.350 ± 0.132", "100.00 ± –"):
        assert text in terminal
        assert text in markdown
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1, "a name does not break the table"
    assert markdown.endswith("a note\n")


def test_csv_holds_fractions_in_full_and_undefined_is_empty():
    kl, other = csv.DictReader(io.StringIO(methods_csv(summarise(RESULTS))))
    assert float(kl["nfr_mean"]) == summarise(RESULTS)[0].spreads["nfr"].mean
    assert (other["relative_nfr_mean"], other["nfr_std"], other["num_failed"]) == ("", "", "1")
    lines = list(csv.DictReader(io.StringIO(seeds_csv(RESULTS))))
    assert [(line["method"], line["seed"]) for line in lines] == [(item.method, str(item.seed)) for item in RESULTS]
    assert lines[-1]["error"] == "Training diverged: lower optim.lr."
    assert [float(line["nfr"]) for line in lines[:3]] == VALUES[:, 1].tolist()


def test_the_table_is_read_back_as_it_was_written():
    rows = summarise(RESULTS)

    assert read_methods_csv(methods_csv(rows)) == rows
    for text in ("a,b\n1,2\n", methods_csv(rows).replace("3,0", "x,0")):
        with pytest.raises(PctError, match="altered"):
            read_methods_csv(text)
