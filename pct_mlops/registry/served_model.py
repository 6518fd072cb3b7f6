"""Loads models through mlflow.pyfunc for predictions, and refuses those that would run code unless that is allowed."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from pct_mlops.errors import ConfigError, DataError, PctError, RegistryError
from pct_mlops.registry.code_in_models import what_runs_code
from pct_mlops.registry.connection import mlflow, said_plainly
from pct_mlops.registry.downloads import downloads

UNPICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_setting = threading.Lock()


@dataclass(frozen=True)
class InputColumn:
    """A column that a model takes. `kind` is its numpy type, None for text and for what numpy has no type of."""

    name: str
    kind: Any
    is_required: bool = True
    is_text: bool = False


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model by its signature: named columns, or arrays.

    Attributes:
        columns: In the signature's order; empty for arrays.
        shape: Of one example of an array; None for columns.
        kind: The numpy type of an array.
    """

    columns: tuple[InputColumn, ...] = ()
    shape: tuple[int, ...] | None = None
    kind: Any = None


def load_folder(folder: Path, title: str, *, allow_code: bool, how_to_allow: str, instead: str) -> Any:
    """Return the model in a local folder as an mlflow.pyfunc model.

    Args:
        folder: The model's files. They are checked and loaded in this one place, so that nothing can change in between.
        title: What sentences call the model.
        allow_code: Load the model also where that runs code that came with it.
        how_to_allow: What a person adds to allow it, for example "add --allow-code".
        instead: What to do without running code.

    Returns:
        The model, with `predict` and `metadata`.

    Raises:
        PctError: The model would run code and may not, or cannot be loaded here.
    """
    found = what_runs_code(folder)
    if found and not allow_code:
        raise ConfigError(
            f"{title} is {found}: loading it runs whatever code its author put there, with your rights. "
            f"If you trust everyone who can write to it, {how_to_allow}; otherwise {instead}."
        )
    try:
        with _unpickling(allow_code), said_plainly(f"loading {title}"):
            return mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    except PctError:
        raise
    except Exception as error:
        # Code of others can fail in any way.
        raise DataError(
            f"{title} cannot be loaded here ({type(error).__name__}: {_line(error)}): install what its "
            f"requirements.txt names, or {instead}."
        ) from error


def fetch_model(uri: str) -> Path:
    """Copy any model that MLflow can address into a local folder, which is removed when the process ends."""
    target = tempfile.mkdtemp(dir=downloads())
    with said_plainly(f"reading {uri}"):
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=target))
    if not (found / "MLmodel").is_file():
        raise RegistryError(f"There is no MLflow model at {uri}: give models:/NAME@ALIAS, or a predictions file.")
    return found


def inputs_of(model: Any) -> ModelInputs | None:
    """Return what a loaded model takes, None without a signature of its inputs."""
    schema = model.metadata.get_input_schema() if getattr(model, "metadata", None) is not None else None
    if schema is None:
        return None
    if schema.is_tensor_spec():
        if len(schema.inputs) != 1:
            return None
        spec = schema.inputs[0]
        return ModelInputs(shape=tuple(spec.shape[1:]), kind=spec.type)
    return ModelInputs(tuple(_column(item) for item in schema.inputs))


def predicted(ask: Callable[[Any], Any], given: Any, title: str) -> Any:
    """Return what a loaded model says of some examples. Raise PctError when it refuses them or breaks."""
    try:
        return ask(given)
    except PctError:
        raise
    except Exception as error:
        raise DataError(
            f"{title} could not predict these examples ({type(error).__name__}: {_line(error)}): compare the data with "
            "the model's signature."
        ) from error


def _column(spec: Any) -> InputColumn:
    kind = getattr(spec.type, "to_numpy", lambda: None)()
    known = None if kind is None or numpy.dtype(kind).kind in "OUS" else numpy.dtype(kind)
    return InputColumn(spec.name or "", known, bool(spec.required), getattr(spec.type, "name", "") == "string")


@contextmanager
def _unpickling(allowed: bool) -> Iterator[None]:
    """Allow or forbid MLflow to unpickle while one model is loaded, then restore the program's own setting."""
    with _setting:
        before = os.environ.get(UNPICKLE)
        os.environ[UNPICKLE] = str(allowed).lower()
        try:
            yield
        finally:
            os.environ.pop(UNPICKLE)
            if before is not None:
                os.environ[UNPICKLE] = before


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:300].rstrip(".")
