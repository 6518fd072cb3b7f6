"""Several processes give what one gives: the same table, the same losses, one set of statistics."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import several_worker
import torch
from fit_cases import CLASSES, cpu, make_split

from pct_mlops.config import EngineConfig, PctError
from pct_mlops.engine import NUM_PROCESSES, make_accelerator
from pct_mlops.predictions import Predictions


def launch(world_size: int, folder: Path) -> tuple[list[dict], list[str]]:
    """What each process saw, and what each wrote to its stderr."""
    logs = folder / "logs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(world_size)]
    command += ["--log-dir", str(logs), "--redirects", "3", several_worker.__file__, str(folder)]
    path = os.pathsep.join([str(Path(several_worker.__file__).parent), *sys.path])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "FORCE_COLOR": "1",  # a terminal, as far as progress bars can tell
        NUM_PROCESSES: str(world_size),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    said = [path.read_text() for path in sorted(logs.glob("*/attempt_0/*/stderr.log"))]
    assert done.returncode == 0, "\n".join([done.stderr[-2000:], *said])
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)], said


# For the whole run: other modules' tests may stand between those of this one, which would end a module's fixtures.
@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict:
    torch.set_num_threads(1)
    return several_worker.everything(cpu(), tmp_path_factory.mktemp("alone"))


Launched = tuple[list[dict], list[str]]


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Launched]:
    """`launch` by number of processes, each once."""
    return cache(lambda world_size: launch(world_size, tmp_path_factory.mktemp(f"processes{world_size}")))


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.thorough)])
def together(request: pytest.FixtureRequest, launched: Callable[[int], Launched]) -> Launched:
    return launched(request.param)


@pytest.fixture(scope="module")
def two(launched: Callable[[int], Launched]) -> list[dict]:
    return launched(2)[0]


def table(logits: np.ndarray, folder: Path) -> Predictions:
    split = make_split(len(logits), "test")
    predictions = Predictions.from_arrays(
        split.sample_ids,
        split.labels.numpy(),
        logits,
        class_names=CLASSES,
        model_name="small",
        model_version="1",
        model_uri="models:/small/1",
        dataset="thirds",
        split="test",
        preprocessing="none",
    )
    return predictions.save(folder)


@pytest.mark.slow
def test_one_table_whatever_the_number_of_processes(alone, together, tmp_path: Path) -> None:
    one = table(alone["tables"][several_worker.NUM_TEST], tmp_path / "one.parquet")
    for rank, result in enumerate(together[0]):
        logits = result["tables"][several_worker.NUM_TEST]
        assert logits.shape == (several_worker.NUM_TEST, len(CLASSES))
        np.testing.assert_allclose(logits, alone["tables"][several_worker.NUM_TEST], atol=1e-5)
        several = table(logits, tmp_path / f"{rank}.parquet")
        assert several.info.digest == one.info.digest
        rows = several.pairs(one).fetchall()
        assert len({row[0] for row in rows}) == len(rows) == several_worker.NUM_TEST
        assert [row for row in rows if row[2] != row[3]] == []
        assert several.nfr(one) == several.pfr(one) == 0


@pytest.mark.slow
def test_fewer_examples_than_processes(alone, together) -> None:
    for result in together[0]:
        assert result["tables"][1].shape == (1, len(CLASSES))
        np.testing.assert_allclose(result["tables"][1], alone["tables"][1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", several_worker.CURVES)
def test_the_same_losses_step_by_step(alone, together, name: str) -> None:
    expected = alone["curves"][name]
    assert len(expected) == 5
    assert max(expected) - min(expected) > 1e-3  # something is learnt, or every curve would do
    for result in together[0]:
        assert result["curves"][name] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def assert_same_curve(results: list[tuple[float, ...]], expected: tuple[float, ...], steps: int) -> None:
    assert len(expected) == steps
    assert len(set(expected)) == steps
    for result in results:
        assert result == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_a_bank_of_own_logits_is_the_same_everywhere(alone, two) -> None:
    losses, bank = alone["self_ema"]
    assert int((bank != 0).any(dim=1).sum()) > 120  # 120 of 130 examples in each of two epochs
    assert_same_curve([result["self_ema"][0] for result in two], losses, 10)
    for result in two:
        assert torch.equal(result["self_ema"][1], two[0]["self_ema"][1])
        torch.testing.assert_close(result["self_ema"][1], bank, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("known", [None, 2])
def test_the_objectives_own_module_learns_from_all_processes(alone, two, known: int | None) -> None:
    # known: some parts of a batch have no example that the module looks at.
    losses, weights = alone["modules"][known]
    assert_same_curve([result["modules"][known][0] for result in two], losses, 10)
    for result in two:
        assert torch.equal(result["modules"][known][1], two[0]["modules"][known][1])
        torch.testing.assert_close(result["modules"][known][1], weights, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_mixtures_and_frozen_parts_are_the_same(alone, two) -> None:
    assert_same_curve([result["mixed"] for result in two], alone["mixed"], 5)
    assert_same_curve([result["frozen"][0] for result in two], alone["frozen"][0], 5)
    assert [result["frozen"][1] for result in two] == [True] * len(two)


@pytest.mark.slow
def test_a_resume_of_two_processes_ends_bit_for_bit_where_the_whole_training_ends(alone, two) -> None:
    for result in (alone, *two):
        assert torch.equal(result["resumed"]["resumed"], result["resumed"]["whole"])
    assert not torch.equal(two[0]["resumed"]["whole"], alone["resumed"]["whole"])  # noise of their own


@pytest.mark.slow
def test_a_checkpoint_that_one_process_cannot_write_ends_all_with_one_sentence(alone, two) -> None:
    for result in (alone, *two):
        code, text = result["resumed"]["full"]
        assert code == "output"
        assert "epoch-0000-step-000002 cannot be written (No space left on device): make room there" in text
        assert result["resumed"]["names"] == []
    assert two[0]["resumed"]["full"] == two[1]["resumed"]["full"]


@pytest.mark.slow
def test_ten_crops_and_stored_outputs_are_the_same(alone, two) -> None:
    for result in two:
        assert result["ten_crop"].shape == (31, len(CLASSES))
        np.testing.assert_allclose(result["ten_crop"], alone["ten_crop"], atol=1e-5)
        table, names = result["stored"]
        assert table.shape[:2] == (2, several_worker.NUM_STORED)
        torch.testing.assert_close(table, alone["stored"][0], rtol=2e-3, atol=1e-4)
        assert names == [".lock", "key"]


@pytest.mark.slow
def test_all_processes_evaluate_the_main_ones_batch_norm(alone, together) -> None:
    first, *others = (result["statistics"] for result in together[0])
    assert not torch.equal(first, alone["statistics"])  # each process has its own examples, so they do differ
    for other in others:
        assert torch.equal(first, other)


@pytest.mark.slow
def test_one_progress_bar_for_all_processes(together) -> None:
    results, (first, *others) = together
    assert len(others) == len(results) - 1
    assert "epoch 1/1" in first
    assert [text for text in others if "epoch" in text] == []


@pytest.mark.slow
def test_nothing_here_needs_mlflow(together) -> None:
    # The workers cannot import it (see several_worker.py), and yet they trained and predicted.
    assert [result["mlflow"] for result in together[0]] == [None] * len(together[0])
    assert [result["num_processes"] for result in together[0]] == [len(together[0])] * len(together[0])


def test_fewer_processes_than_asked_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUM_PROCESSES, "2")
    with pytest.raises(PctError, match=r"^2 processes were asked for and 1 run: start with torchrun"):
        make_accelerator(EngineConfig(cpu=True))
    monkeypatch.setenv(NUM_PROCESSES, "1")
    assert make_accelerator(EngineConfig(cpu=True)).num_processes == 1


def test_half_precision_without_a_gpu_says_what_to_use() -> None:
    with pytest.raises(PctError, match="fp16 needs a GPU: use bf16 or no"):
        make_accelerator(EngineConfig(cpu=True, mixed_precision="fp16"))
