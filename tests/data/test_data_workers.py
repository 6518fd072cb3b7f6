"""Worker processes: the shared memory that they need, and what is said when one of them fails or ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pct_mlops.config import AugmentConfig, DataConfig
from pct_mlops.data import Split, check_loading, eval_loader, train_loader, workers
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.data.workers import Load, check_shared_memory
from pct_mlops.errors import ConfigError, DataError

STREAM = DataConfig(num_workers=1, memory_cap_gb=0, augment=AugmentConfig(crop="none", flip=False))
CONTAINER = 64 * 2**20  # the shared memory of a container that nobody gave more
BATCH = Load(256, (3, 224, 224), 1000)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=CONTAINER // 4096, f_frsize=4096))


class Failing(ArrayPixels):
    """Pixels of which `fail` is called ahead of every reading, in the worker."""

    fail: Callable[[], Any]

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        self.fail()
        return super().read(rows)


def failing(split: Split, fail: Callable[[], Any]) -> Split:
    pixels = Failing(split.all_images())
    pixels.fail = fail
    return Split(split.name, split.sample_ids, split.labels, pixels)


def one_epoch(split: Split, config: DataConfig = STREAM) -> None:
    for _ in train_loader(split, config, global_batch_size=8, seed_sampler=1, seed_data=2).epoch(0):
        pass


def test_shared_memory_that_is_too_small_is_a_sentence_with_the_figures(small: None) -> None:
    with pytest.raises(ConfigError) as caught:
        check_shared_memory(BATCH, 2)
    assert str(caught.value) == (
        "Batches of 256 images (39 MB) need 193 MB of shared memory, because 2 worker processes keep 5 of them there, "
        "and /dev/shm has 67 MB free: start the container with --shm-size=241m, or set data.num_workers=0."
    )
    with pytest.raises(ConfigError, match=r"need 135 MB .* 3 worker .* keep 7 .*, or set data\.num_workers=1\.$"):
        check_shared_memory(BATCH._replace(batch_size=128), 3)
    with pytest.raises(ConfigError, match=r"need 116 MB .* keep 3 of them there in each of 2 processes"):
        check_shared_memory(BATCH._replace(batch_size=128), 1, processes=2)


def test_shared_memory_that_is_enough_or_not_used_passes(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_shared_memory(BATCH, 0)
    check_shared_memory(BATCH._replace(num_batches=1), 2)  # a small split never fills what could wait
    check_shared_memory(BATCH._replace(batch_size=64), 2)
    monkeypatch.setattr(workers.sys, "platform", "darwin")
    check_shared_memory(BATCH, 2)
    monkeypatch.undo()
    monkeypatch.setattr(workers, "SHARED_MEMORY", "/no such folder")
    check_shared_memory(Load(10**9, (3, 224, 224), 9), 2)


def test_a_training_looks_ahead_at_all_that_it_will_load(
    make_split: Callable[..., Split], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(40, shape=(3, 224, 224))
    splits: Any = SimpleNamespace(train=split, val=split, test=split)
    check_loading(splits, STREAM, train_batch=20, eval_batch=20, num_processes=1)
    for batches in ({"train_batch": 400, "eval_batch": 4}, {"train_batch": 4, "eval_batch": 400}):
        check_loading(splits, STREAM, **batches, num_processes=1)  # 40 images at most
    monkeypatch.setattr(workers, "_free_bytes", lambda: 5 * 40 * 3 * 224 * 224)
    check_loading(splits, STREAM, train_batch=4, eval_batch=400, num_processes=1)
    eval_loader(split, STREAM, batch_size=400)  # what passed before the training passes in it
    large = STREAM.model_copy(update={"num_workers": 9})
    monkeypatch.setattr(workers, "_free_bytes", lambda: 20 * 3 * 224 * 224)
    for batches in ({"train_batch": 40, "eval_batch": 1}, {"train_batch": 1, "eval_batch": 40}):
        with pytest.raises(ConfigError, match=r"Batches of 40 images"):
            check_loading(splits, large, **batches, num_processes=1)
    check_loading(splits, large, train_batch=1, eval_batch=40, num_processes=40)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    with pytest.raises(ConfigError, match="in each of 40 processes"):
        check_loading(splits, large, train_batch=40, eval_batch=40, num_processes=40)
    random = STREAM.model_copy(update={"memory_cap_gb": 1.0, "augment": AugmentConfig(crop="random_resized")})
    monkeypatch.setattr(workers, "_free_bytes", lambda: 0)
    with pytest.raises(ConfigError, match="Batches of 2 images"):  # in memory, but its views are streamed
        check_loading(splits, random, train_batch=2, eval_batch=40, num_processes=1)


def test_loaders_look_ahead_before_their_first_batch(small: None) -> None:
    images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8).expand(3000, 3, 224, 224)
    split = Split("train", ["x"] * 3000, torch.zeros(3000).long(), ArrayPixels(images))
    with pytest.raises(ConfigError, match=r"Batches of 256 images .* 67 MB free"):
        train_loader(split, STREAM, global_batch_size=256, seed_sampler=1, seed_data=2)
    with pytest.raises(ConfigError, match=r"Batches of 1000 images .* 67 MB free"):
        eval_loader(split, STREAM, batch_size=1000)
    eval_loader(split, STREAM.model_copy(update={"num_workers": 0}), batch_size=1000)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("inside", [True, False], ids=["worker", "this process"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("unable to allocate shared memory(shm) for file </torch_1>", r"^Shared memory \(/dev/shm, .*MB free\) has no"),
        ("Too many open files", r"^Too many files are open, .*ulimit -n"),
        ("another", r"failed \(RuntimeError: another\): run again with data\.num_workers=0 and --debug"),
    ],
)
def test_a_batch_that_cannot_be_handed_over_is_said(
    make_split: Callable[..., Split], monkeypatch: pytest.MonkeyPatch, error: str, said: str, inside: bool
) -> None:
    here, share = os.getpid(), torch.UntypedStorage._share_fd_cpu_

    def fail(storage: Any) -> Any:
        if (os.getpid() != here) == inside:
            raise RuntimeError(error)
        return share(storage)

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", fail)  # which the workers take over
    with pytest.raises(DataError, match=said):
        one_epoch(make_split(50))


@pytest.mark.timeout(60)
def test_an_exception_in_a_worker_is_a_sentence_and_here_it_is_itself(make_split: Callable[..., Split]) -> None:
    class Unsendable(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(f"{one} and {two}")

    def fail() -> None:
        raise Unsendable("this", "that")

    with pytest.raises(Exception, match=r"cannot|Can't|argument"):
        pickle.loads(pickle.dumps(Unsendable("this", "that")))
    with pytest.raises(DataError, match=r"^A worker process that reads examples failed \(Unsendable: this and that\)"):
        one_epoch(failing(make_split(50), fail))
    with pytest.raises(Unsendable, match="this and that"):
        one_epoch(failing(make_split(50), fail), STREAM.model_copy(update={"num_workers": 0}))


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_workers_that_are_killed_are_a_sentence_and_disturb_nothing_else(make_split: Callable[..., Split]) -> None:
    # Both workers die. torch's own handler would raise for the second one in the middle of what follows.
    before, here = signal.getsignal(signal.SIGCHLD), os.getpid()
    split = failing(make_split(50), lambda: os.getpid() != here and os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match=r"was ended by SIGKILL: check that there is enough memory, or lower data\."):
        one_epoch(split, STREAM.model_copy(update={"num_workers": 2}))
    assert signal.getsignal(signal.SIGCHLD) is before


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, r"ended with exit code 3: run again with data\.num_workers=0"),
        (-signal.SIGBUS, "--shm-size"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-1000, "was ended by 1000"),
    ],
)
def test_each_end_of_a_worker_has_its_sentence(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    monkeypatch.setattr(workers, "wait", lambda sentinels, timeout: sentinels)
    processes = [SimpleNamespace(exitcode=exitcode, sentinel=0) for exitcode in (None, code)]
    batches = SimpleNamespace(_workers=processes)
    with pytest.raises(DataError, match=said), workers.plain_worker_errors(batches):
        raise RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
    with pytest.raises(DataError, match="ulimit -n"), workers.plain_worker_errors(batches):
        raise OSError("received 0 items of ancdata")
    for other in (SimpleNamespace(_workers=processes[:1]), SimpleNamespace()):
        with pytest.raises(RuntimeError, match="a bug"), workers.plain_worker_errors(other):
            raise RuntimeError("a bug")


def test_workers_that_cannot_be_started_are_a_sentence() -> None:
    said = r"^Worker processes cannot be started \(.*Cannot allocate memory\): free some"
    with pytest.raises(DataError, match=said), workers.workers_started():
        raise OSError(12, "Cannot allocate memory")


FULL = """
import torch
from pct_mlops.config import AugmentConfig, DataConfig
from pct_mlops.data import Split, sources, train_loader
from pct_mlops.data.pixels import ArrayPixels

if {blind}:
    sources.check_shared_memory = lambda *load: None  # others may take the memory after the check
images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8).expand(1100, 3, 224, 224)
split = Split("train", ["x"] * 1100, torch.zeros(1100).long(), ArrayPixels(images))
data = DataConfig(num_workers=2, memory_cap_gb=0, augment=AugmentConfig(crop="none", flip=False))
try:
    for batch in train_loader(split, data, global_batch_size=256, seed_sampler=1, seed_data=2).epoch(0):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("blind", "said"),
    [
        (False, "ConfigError Batches of 256 images (39 MB) need 154 MB"),
        (True, "DataError Shared memory (/dev/shm, "),
    ],
)
def test_the_shared_memory_of_a_container(tmp_path: Path, blind: bool, said: str) -> None:
    mount = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*mount, sys.executable, "-c", FULL.format(blind=blind)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith(said)
