"""The study of updates: its page and the packaged table are made from the committed results, and the file is sound."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
import yaml

from pct_mlops import read_evidence
from pct_mlops.workflows.advice.evidence_table import CHANGES
from pct_mlops.workflows.studies.methods_file import read_methods

STUDY = Path(__file__).parents[2] / "projects" / "updates"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.setattr("sys.argv", ["tables.py", "--check"])
    return runpy.run_path(str(STUDY / "tables.py"))


def test_page_and_packaged_table_are_up_to_date(tables):
    with pytest.raises(SystemExit) as ended:
        tables["main"]()
    assert ended.value.code == 0


def test_a_changed_result_is_noticed(tables, tmp_path, monkeypatch):
    shutil.copytree(STUDY, tmp_path / "updates")
    monkeypatch.setitem(tables["main"].__globals__, "HERE", tmp_path / "updates")
    file = next((tmp_path / "updates" / "results").glob("*/changes.csv"))
    first, second, *rest = file.read_text().splitlines()
    method, seeds, *numbers = second.split(",")
    file.write_text("\n".join([first, ",".join([method, f"{seeds}0", *numbers]), *rest]))
    with pytest.raises(SystemExit, match=r"Run tables\.py: evidence\.csv, RESULTS\.md"):
        tables["main"]()
    file.write_text("\n".join([first, *rest]))
    with pytest.raises(SystemExit, match="does not begin with the untreated update"):
        tables["main"]()


def test_a_single_training_is_a_row(tables):
    row = {"method": "update", "seeds": "1", "accuracy": "0.9", "accuracy_std": "", "nfr": "0.01", "nfr_std": ""}
    between = {
        "accuracy_change": "0.0",
        "accuracy_change_low": "",
        "nfr_ratio": "",
        "nfr_ratio_low": "",
        "cost": "1.44",
    }
    assert tables["line"]({**row, **between}) == "| update | 1 | 90.00 | 1.00 | +0.00 | - | 1.4 x |"


def test_every_change_of_the_study_is_one_of_the_table_and_its_methods_fit_the_recipe(tmp_path):
    study = yaml.safe_load((STUDY / "study.yaml").read_text())
    assert {change["change"] for change in study.values()} == set(CHANGES)
    for name, change in study.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(change["methods"], sort_keys=False))
        assert read_methods(file, STUDY / change["recipe"], change["new"])[0].name == "untreated"
    assert {row.data_set for row in read_evidence()} <= {change["data_set"] for change in study.values()}
