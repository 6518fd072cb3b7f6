"""Looks at what an installation has in force: versions, the registry, devices, memory, folders, proxies."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config.cpus import num_cpus
from pct_mlops.config.findings import OK, PROBLEM, WARNING, Finding
from pct_mlops.errors import PctError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

PACKAGES = ("torch", "torchvision", "mlflow", "accelerate", "streamlit", "plotly")
IMPORTED = ("torch", "torchvision")  # they may not fit each other, or the system
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
GIB = 2**30


def examine(tracking_uri: str | None = None, *, write: bool = True) -> Iterator[Finding]:
    """Yield what is in force on this machine, a finding at a time.

    Args:
        tracking_uri: Used instead of MLFLOW_TRACKING_URI.
        write: Try to write to the registry and the artifact store, too. What is written is deleted at once.

    Yields:
        Findings. Nothing is raised for what does not work.
    """
    yield from _versions()
    yield from _registry(tracking_uri, write)
    yield from _devices()
    yield from _folders()
    yield _proxies()


def is_fit(findings: list[Finding]) -> bool:
    """Tell whether all works that pct needs."""
    return all(finding.level != PROBLEM for finding in findings)


def _versions() -> Iterator[Finding]:
    from pct_mlops.version import version

    yield Finding("pct_mlops", OK, version)
    yield Finding("python", OK, f"{platform.python_version()} on {platform.platform(terse=True)} ({sys.executable})")
    wanted = _requirements()
    for name in PACKAGES:
        yield _package(name, wanted.get(name))


def _requirements() -> dict[str, SpecifierSet]:
    """Return package -> versions that pct takes, empty in a checkout that is not installed."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("pct-mlops") or []
    except metadata.PackageNotFoundError:
        return {}
    needed = (item for item in map(Requirement, lines) if item.marker is None or item.marker.evaluate({"extra": ""}))
    return {item.name.lower(): item.specifier for item in needed}


def _package(name: str, wanted: SpecifierSet | None) -> Finding:
    repair = "install pct-mlops again in a fresh environment"
    try:
        version = metadata.version(name)
        if name in IMPORTED:
            importlib.import_module(name)
    except metadata.PackageNotFoundError:
        return Finding(name, PROBLEM, f"{name} is not installed: {repair}.")
    except Exception as error:  # a broken library fails in any way
        why = (str(error).splitlines() or [type(error).__name__])[0]
        return Finding(name, PROBLEM, f"{name} {version} cannot be imported ({why}): {repair}.")
    if wanted is not None and not wanted.contains(version, prereleases=True):
        return Finding(name, WARNING, f"{version}, and pct is tested with {name}{wanted}: {repair}.")
    return Finding(name, OK, version)


def _registry(tracking_uri: str | None, write: bool) -> Iterator[Finding]:
    try:
        from pct_mlops.registry.probe import probe_registry
    except PctError as error:
        yield Finding("registry", PROBLEM, str(error))
        return
    yield from probe_registry(tracking_uri, write=write)


def _devices() -> Iterator[Finding]:
    usable, there = num_cpus(), os.cpu_count() or 1
    limit = "" if usable == there else ", because of an affinity, a container's quota or LOKY_MAX_CPU_COUNT"
    yield Finding("processors", OK, f"{usable} of {there} may be used{limit}")
    with suppress(Exception):  # a torch that cannot be imported is a problem beside its version
        import torch

        yield _cuda(torch)
        mps = torch.backends.mps.is_available()
        yield Finding("mps", OK, "available" if mps else "none")
    if sys.platform == "linux":
        yield _shared_memory()


def _cuda(torch: Any) -> Finding:
    cuda, built = torch.cuda, torch.version.cuda
    if cuda.is_available():
        names = ", ".join(cuda.get_device_name(number) for number in range(cuda.device_count()))
        return Finding("cuda", OK, f"{names} (CUDA {built})")
    if not Path("/proc/driver/nvidia/version").exists():
        return Finding("cuda", OK, "none: trainings run on the processors")
    why = (
        f"torch is built for CUDA {built}, which the driver does not serve" if built else "torch is built without CUDA"
    )
    return Finding(
        "cuda", WARNING, f"A driver is there, and torch cannot use it ({why}): install another build of torch."
    )


def _shared_memory() -> Finding:
    name, folder = "/dev/shm", Path("/dev/shm")
    if not folder.is_dir():
        return Finding(name, WARNING, "There is none: set data.num_workers=0, or mount it.")
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free"
    if usage.free < GIB:
        remedy = "start the container with --shm-size=2g, or set data.num_workers=0"
        return Finding(name, WARNING, f"{text}, which is little for workers that load images: {remedy}.")
    return Finding(name, OK, text)


def _folders() -> Iterator[Finding]:
    try:
        folder = Path(tempfile.gettempdir())
        free = shutil.disk_usage(folder).free / GIB
        text = f"{folder} ({free:.1f} GiB free)"
        little = f"{text} is little for copies of tables and weights: set TMPDIR to another folder."
        yield Finding("temporary folder", WARNING if free < 1 else OK, little if free < 1 else text)
    except OSError:
        yield Finding("temporary folder", PROBLEM, "No temporary folder can be written: set TMPDIR to one that can.")
    here = Path.cwd()
    if os.access(here, os.W_OK | os.X_OK):
        yield Finding("current folder", OK, str(here))
    else:
        text = f"{here} cannot be written, and trainings keep their checkpoints there: change to another folder."
        yield Finding("current folder", WARNING, text)
    yield _home()


def _home() -> Finding:
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        home = Path("")
    if home == Path(""):
        return Finding("home folder", PROBLEM, "This user has none, and MLflow does not start without: set HOME.")
    if not os.access(home, os.W_OK | os.X_OK):
        return Finding("home folder", WARNING, f"{home} cannot be written: set HOME to a folder that can.")
    return Finding("home folder", OK, str(home))


def _proxies() -> Finding:
    given = {name: os.environ.get(name) or os.environ.get(name.lower()) for name in PROXIES}
    texts = [f"{name}={_without_login(text)}" for name, text in given.items() if text]
    return Finding("proxies", OK, ", ".join(texts) or "none")


def _without_login(proxy: str) -> str:
    """Return a proxy's address without user and password. It may lack http://, and a password may hold an @."""
    scheme, mark, rest = proxy.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
