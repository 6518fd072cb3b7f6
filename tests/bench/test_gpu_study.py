"""The study of updates for a GPU: its plan, its clock and its table, and all of it once on the CPU, small."""

from __future__ import annotations

import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

import gpu_study
import numpy as np
import pytest
from gpu_training import Study
from scipy import stats
from study_plan import (
    DATA,
    METHODS,
    NETWORK,
    OLD,
    UNTREATED,
    Row,
    Settings,
    Training,
    expected_seconds,
    plan,
    read_rows,
    write_rows,
)
from study_table import results_table, t_quantile, welch

SETTINGS = Settings("small_resnet8", 8, 16, 2, 10, 16, 0.1, 64, "no")
SMALL = ["--images", "64", "--epochs", "1", "--seeds", "1", "--arch", "small_resnet8", "--width", "4"]
SMALL += ["--batch", "16", "--device", "cpu"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write a Fashion-MNIST of 100 and 40 images, whose class is seen from their brightness. Return its folder."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    for name, count in (("train", 100), ("t10k", 40)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        pixels = np.broadcast_to(labels[:, None, None] * 25, (count, 28, 28)).astype(np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(content)
    return folder


@pytest.mark.usefixtures("afresh")
def test_the_whole_study_and_its_resume(tmp_path, images, capsys):
    words = [*SMALL, "--data", str(images), "--output", str(tmp_path / "out")]
    gpu_study.main(words)
    path = tmp_path / "out" / "trainings.csv"
    rows = read_rows(path)
    assert [row.training for row in rows] == plan([DATA, NETWORK], 1)
    assert [row.epochs for row in rows] == [2 if "1.5" in row.method else 1 for row in rows]
    assert [row.method for row in rows if row.nfr is None] == [OLD, OLD]
    old = {row.change: row.accuracy for row in rows if row.method == OLD}
    for row in rows:
        if row.nfr is not None:
            assert row.accuracy - old[row.change] == pytest.approx(row.pfr - row.nfr)
    assert (tmp_path / "out" / "table.md").read_text() == results_table(rows)

    write_rows(path, [row for row in rows if row.training != Training(DATA, "update", 1)])
    capsys.readouterr()
    gpu_study.main(words)
    said = capsys.readouterr().out
    assert said.startswith("data growth, update, seed 1: accuracy ")
    assert "\n1 trainings in " in said
    again = {row.training: replace(row, seconds=0.0) for row in read_rows(path)}
    assert again == {row.training: replace(row, seconds=0.0) for row in rows}

    with pytest.raises(SystemExit, match=r"holds trainings with batch 16: choose another folder"):
        gpu_study.main([*words, "--batch", "8"])
    (tmp_path / "out" / "old-data-growth" / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match="holds trainings of data growth without their old model"):
        gpu_study.main(words)


def test_methods_of_a_seed_come_before_the_next_seed():
    trainings = plan([DATA, NETWORK], 2)
    assert trainings[:2] == [Training(DATA, OLD, 101), Training(NETWORK, OLD, 101)]
    number = len(METHODS[DATA]) + len(METHODS[NETWORK])
    assert [training.seed for training in trainings[2:]] == [1] * number + [2] * number
    assert trainings[2:4] == [Training(DATA, UNTREATED, 1), Training(DATA, "update", 1)]


def row_of(training: Training, seconds: float, accuracy: float = 0.9, nfr: float = 0.02) -> Row:
    return Row(*training, 10, accuracy, nfr, 0.03, seconds)


def test_time_is_expected_from_like_trainings():
    plain, update, wide = Training(DATA, UNTREATED, 1), Training(DATA, "update", 1), Training(NETWORK, UNTREATED, 1)
    assert expected_seconds(plain, [], SETTINGS) == 0
    done = [row_of(plain, 30.0), row_of(plain, 10.0)]
    assert expected_seconds(Training(DATA, "untreated, 1.5 x epochs", 1), done, SETTINGS) == pytest.approx(15)
    assert expected_seconds(update, done, SETTINGS) == pytest.approx(14)
    assert expected_seconds(wide, done, SETTINGS) == pytest.approx(40)
    assert expected_seconds(wide, [row_of(wide, 25.0), *done], SETTINGS) == pytest.approx(25)


@pytest.mark.parametrize(("seconds", "number"), [(1.0, 11), (40.0, 5)])
def test_what_would_end_too_late_does_not_begin(monkeypatch, seconds, number):
    """Trainings take no time here. They say how long they took, and the clock goes on by that."""
    clock = [0.0]
    monkeypatch.setattr(gpu_study.time, "time", lambda: clock[0])

    def train(training: Training, study: Study) -> Row:
        clock[0] += seconds
        return row_of(training, seconds * training.work(study.settings) / 10)

    monkeypatch.setattr("gpu_training.train", train)
    waiting, rows = plan([DATA, NETWORK], 1), []
    study = Study(SETTINGS, Path("nowhere"), None, True, False, deadline=239.0)
    left = gpu_study.run_all(waiting, study, 1, rows.append)
    assert len(rows) == number
    assert [row.training for row in rows] + left == waiting


def test_no_training_begins_beside_an_old_model():
    old, new = Training(DATA, OLD, 101), Training(DATA, UNTREATED, 1)
    assert not gpu_study.may_begin(new, [old])
    assert gpu_study.may_begin(Training(NETWORK, OLD, 101), [old])
    assert gpu_study.may_begin(new, [new])


@pytest.mark.usefixtures("afresh")
def test_a_training_stops_when_the_time_is_up(tmp_path, images):
    from gpu_training import train

    study = Study(SETTINGS, tmp_path, images, True, False, deadline=time.time() - 1)
    assert train(Training(DATA, OLD, 101), study) is None
    assert not (tmp_path / "old-data-growth").exists()


@pytest.mark.parametrize("degrees", [1.0, 1.7, 4.0, 7.3, 60.0])
def test_quantiles_are_those_of_scipy(degrees):
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-4)


def test_the_interval_is_that_of_scipy():
    values, others = [1.0, 1.3, 0.9, 1.1, 1.2], [2.0, 2.9, 2.2]
    expected = stats.ttest_ind(values, others, equal_var=False).confidence_interval()
    assert welch(values, others) == pytest.approx((expected.low, expected.high), rel=1e-4)
    assert welch(values, [2.0]) is None
    assert welch([1.0, 1.0], [2.0, 2.0]) is None, "no spread says nothing of the spread"


def test_the_table_compares_with_the_untreated_update():
    rows = [replace(row_of(Training(DATA, OLD, 101), 1.0, 0.8), nfr=None, pfr=None)]
    for seed in (1, 2):
        rows.append(row_of(Training(DATA, UNTREATED, seed), 1.0, 0.90 + seed / 1000, 0.02))
        rows.append(row_of(Training(DATA, "update", seed), 1.0, 0.91 + seed / 1000, 0.01))
    lines = results_table(rows).splitlines()[2:]
    assert lines[0] == "| data growth | old model | 1 | 80.00 |  |  |  |  |  |"
    assert lines[1] == "| data growth | untreated | 2 | 90.15 ± 0.07 | 2.00 ± 0.00 | 3.00 ± 0.00 |  |  |  |"
    assert lines[2].startswith(
        "| data growth | update | 2 | 91.15 ± 0.07 | 1.00 ± 0.00 | 3.00 ± 0.00 | +1.00 (+0.70 to "
    )
    assert lines[2].endswith("| -1.00 | 0.50 |")
    assert len(lines) == 3


def test_a_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SystemExit) as stopped:
        gpu_study.main(["--output", str(tmp_path)])
    assert stopped.value.code == "This study needs pydantic, pyyaml: run `pip install pydantic pyyaml`."


def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no GPU here: choose --device cpu"):
        gpu_study.main(["--output", str(tmp_path), "--device", "cuda"])
