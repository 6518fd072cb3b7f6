"""Writes what the study found: the tables of ../RESULTS.md, and the evidence that `pct advise` prints.

Run it in this folder after study.py and cost.py: `python tables.py`. It reads changes.csv of every
change and cost.csv, training times by that of the untreated update, in results/. picture.py draws the same.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "RESULTS.md"
EVIDENCE = HERE.parents[1] / "pct_mlops" / "workflows" / "advice" / "evidence.csv"
HEADER = f"| method | seeds | accuracy % | NFR % | accuracy, points | flips | time |\n|---|{6 * '---:|'}"
Row = dict[str, str]


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file would change")
    given = parser.parse_args()
    study = yaml.safe_load((HERE / "study.yaml").read_text())
    found = {name: rows for name, change in study.items() if (rows := read(name, change))}
    files = {EVIDENCE: evidence_csv(study, found), RESULTS: with_tables(RESULTS.read_text(), found)}
    changed = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if given.check:
        raise SystemExit(f"Run tables.py: {', '.join(path.name for path in changed)}" if changed else 0)
    for path in changed:
        path.write_text(files[path])


def read(name: str, change: dict[str, Any]) -> list[Row]:
    """Return the rows of a change, the untreated update first, each with its cost."""
    measured = {(row["change"], row["method"]): row["cost"] for row in rows_of(HERE / "results" / "cost.csv")}
    rows = rows_of(HERE / "results" / name / "changes.csv")
    return [{**row, "cost": cost(row["method"], change, measured)} for row in rows]


def cost(method: str, change: dict[str, Any], measured: dict[tuple[str, str], str]) -> str:
    """Return the training time of a method by that of the untreated update, "" where it is not measured."""
    words = change["methods"][method]
    if not isinstance(words, list):  # several deployed models: the training is that of the new one
        return "1"
    epochs = [word.removeprefix("optim.epochs=") for word in words if word.startswith("optim.epochs=")]
    if epochs:
        usual = yaml.safe_load((HERE / change["recipe"]).read_text())["optim"]["epochs"]
        given = [word.removeprefix("optim.epochs=") for word in change["new"] if word.startswith("optim.epochs=")]
        return f"{float(epochs[-1]) / float([usual, *given][-1]):g}"
    # A change that keeps the network trains as long as data growth does.
    return measured.get((change["change"], method), measured.get(("data growth", method), ""))


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a CSV file, none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def evidence_csv(study: dict[str, Any], found: dict[str, list[Row]]) -> str:
    """Return all changes as one table, each row with the --set words of its method."""
    lines = []
    for name, rows in found.items():
        change = study[name]
        for row in rows:
            words = change["methods"][row["method"]]
            about = {"change": change["change"], "data_set": change["data_set"], "method": row["method"]}
            lines.append({**about, "words": " ".join(words) if isinstance(words, list) else "", **row})
    if not lines:
        raise SystemExit("There are no results yet: run study.py first.")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def with_tables(text: str, found: dict[str, list[Row]]) -> str:
    """Return the page with each table between its two marks."""
    for name, rows in found.items():
        if rows[0]["method"] != "untreated":
            raise SystemExit(f"results/{name} does not begin with the untreated update, with which all is compared.")
        table = "\n".join([HEADER, *map(line, rows)])
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not mark.search(text):
            raise SystemExit(f"{RESULTS.name} has no place for {name}: write <!-- {name} --> and <!-- end -->.")
        text = mark.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    return text


def line(row: Row) -> str:
    """Return a method as a row of a Markdown table."""
    change, flips = "reference", "reference"
    if row["method"] != "untreated":
        change = between(row, "accuracy_change", lambda value: f"{100 * value:+.2f}")
        flips = between(row, "nfr_ratio", lambda value: f"{100 * (value - 1):+.0f}%")
    cost = f"{float(row['cost']):.1f} x" if row["cost"] else "-"
    rates = [rate(row[key], row[f"{key}_std"]) for key in ("accuracy", "nfr")]
    return f"| {' | '.join([row['method'], row['seeds'], *rates, change, flips, cost])} |"


def rate(mean: str, std: str) -> str:
    """Return a rate in percent, with its standard deviation where there is one."""
    return f"{100 * float(mean):.2f}" + (f" ± {100 * float(std):.2f}" if std else "")


def between(row: Row, key: str, shown: Any) -> str:
    """Return a value with its interval, where it has one."""
    if not row[key]:
        return "-"
    if not row[f"{key}_low"]:
        return str(shown(float(row[key])))
    low, high = (shown(float(row[f"{key}_{end}"])) for end in ("low", "high"))
    return f"{shown(float(row[key]))} ({low} to {high})"


if __name__ == "__main__":
    main()
