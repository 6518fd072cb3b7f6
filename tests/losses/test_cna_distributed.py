"""What looks across samples, over several processes, equals one with the same global batch: values and gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cna_worker
import pytest
import torch

from pct_mlops.losses import gather_rows


def launch(world_size, folder):
    rendezvous = (folder / "rendezvous").as_uri()
    command = [sys.executable, str(Path(cna_worker.__file__))]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(world_size), rendezvous, str(folder / f"{rank}.pt")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for rank in range(world_size)
    ]
    try:
        printed = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world_size, "\n".join(printed)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3])
def test_several_processes_equal_one(world_size, tmp_path):
    alone = cna_worker.step(0, 1)
    together = launch(world_size, tmp_path)
    for number, (variant, expected) in enumerate(zip(cna_worker.VARIANTS, alone, strict=True)):
        ranks = [results[number] for results in together]
        said = f"{variant} over {world_size} processes".format

        distances = torch.cat([result["distance"] for result in ranks])
        torch.testing.assert_close(distances, expected["distance"], msg=lambda m, said=said: f"{said()}: {m}")
        total = torch.stack([result["total"] for result in ranks]).mean()
        torch.testing.assert_close(total, expected["total"], msg=lambda m, said=said: f"{said()}: {m}")
        for name in set(expected) - {"distance", "total"}:
            for result in ranks:
                torch.testing.assert_close(
                    result[name], expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, said=said: f"{said()}: {m}"
                )


def test_the_comparison_has_something_to_tell():
    # Local positives and negatives alone would give other values and gradients: the batch is small, but not too small.
    *whole, nobody = cna_worker.step(0, 1)
    assert nobody["distance"].count_nonzero() == 0
    assert bool(torch.isfinite(nobody["trunk.weight"]).all())
    for result in whole:
        assert float(result["trunk.weight"].abs().max()) > 1e-3
        assert float(result["distance"].max()) > 0.1


def test_one_process_gathers_its_own_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows
