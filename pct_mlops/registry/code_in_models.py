"""Tells models that are plain data from models whose loading runs code, before anything of them is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pct_mlops.config.yaml_files import load_mapping
from pct_mlops.errors import PctError, RegistryError

MAX_BYTES = 16 * 1024**2  # of a model's MLmodel file, which may hold an example and a long signature
_XGBOOST = ("xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRFClassifier")
# What MLflow's own loaders do; any other module is a program that somebody named.
_LOADERS = {
    "mlflow.sklearn": "a scikit-learn model stored with",
    "mlflow.pyfunc.model": "a Python program stored with",
    "mlflow.pytorch": "a PyTorch model stored with",
    "mlflow.transformers": "a Transformers model, whose folder may hold programs",
    "mlflow.tensorflow": "a TensorFlow model, which may hold programs",
    "mlflow.keras": "a Keras model, which may hold programs",
}


def what_runs_code(folder: Path) -> str:
    """Return what would run code when a model is loaded, or nothing when the model is plain data.

    Plain data are the graphs of ONNX and the trees of XGBoost and LightGBM in their own formats, without any Python
    code beside them. Everything else may run code, also what this function does not know.

    Args:
        folder: The model's files, with its MLmodel.

    Returns:
        A phrase such as "a scikit-learn model stored with cloudpickle".

    Raises:
        PctError: There is no MLmodel that can be read, or it describes no model that `mlflow.pyfunc` loads.
    """
    flavors = _flavors(folder)
    loading = flavors.get("python_function")
    if not isinstance(loading, Mapping) or not isinstance(loading.get("loader_module"), str):
        raise RegistryError(
            "The model has no flavour python_function, so it cannot be asked for predictions: score it where it was "
            "trained, and attach the table."
        )
    if loading.get("code"):
        return "a model that brings Python code along"
    loader = loading["loader_module"]
    check = _PLAIN.get(loader)
    if check is not None and check(flavors, folder) and _loads_its_own(flavors, loader, loading):
        return ""
    known = _LOADERS.get(loader)
    if known is None:
        return f"a model that is loaded by the program {loader}"
    return known if not known.endswith(" with") else f"{known} {_format(flavors, loading)}"


def _flavors(folder: Path) -> Mapping[str, Any]:
    try:
        flavors = load_mapping(folder / "MLmodel", "model description", MAX_BYTES).get("flavors")
    except PctError as error:
        raise RegistryError(
            f"The model's file MLmodel cannot be read ({str(error).rstrip('.')}): log the model again with MLflow."
        ) from error
    return flavors if isinstance(flavors, Mapping) else {}


def _format(flavors: Mapping[str, Any], loading: Mapping[str, Any]) -> str:
    """Return how the model was turned into bytes."""
    if loading.get("model_code_path"):
        return "its source code"
    for name in ("sklearn", "pytorch"):
        found = flavors.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("serialization_format"), str):
            return str(found["serialization_format"])[:20]
    return "pickle"


def _loads_its_own(flavors: Mapping[str, Any], loader: str, loading: Mapping[str, Any]) -> bool:
    """Tell whether the loader is given the data file that was checked, or nothing.

    A loader that is given a folder follows the MLmodel that lies in there.
    """
    return loading.get("data") in (None, flavors[loader.rpartition(".")[2]]["data"])


def _is_onnx(flavors: Mapping[str, Any], folder: Path) -> bool:
    given = flavors.get("onnx")
    if not isinstance(given, Mapping) or not _holds(folder, given, (".onnx",)):
        return False
    # Options of a provider, and settings of the session, can name libraries that are loaded.
    providers, session = given.get("providers"), given.get("onnx_session_options")
    names = providers if isinstance(providers, list) else [providers or ""]
    return all(isinstance(item, str) for item in names) and not (
        isinstance(session, Mapping) and session.get("extra_session_config")
    )


def _is_xgboost(flavors: Mapping[str, Any], folder: Path) -> bool:
    given = flavors.get("xgboost")
    known = isinstance(given, Mapping) and given.get("model_class", _XGBOOST[0]) in _XGBOOST
    return known and _holds(folder, given, (".json", ".ubj", ".xgb"))


def _is_lightgbm(flavors: Mapping[str, Any], folder: Path) -> bool:
    given = flavors.get("lightgbm")
    plain = "lightgbm.basic.Booster"  # any other class is stored as a pickle
    known = isinstance(given, Mapping) and given.get("model_class", plain) == plain
    return known and _holds(folder, given, (".lgb", ".txt"))


def _holds(folder: Path, flavor: Any, endings: tuple[str, ...]) -> bool:
    """Tell whether a flavour's data is a file with one of the endings, right in the model's own folder.

    In another folder, also one with such an ending, there may be another MLmodel, which the loader would follow.
    """
    name = flavor.get("data") if isinstance(flavor, Mapping) else None
    if not isinstance(name, str) or not name.endswith(endings) or flavor.get("code"):
        return False
    return not (folder / name).is_dir() and (folder / name).resolve().parent == folder.resolve()


_PLAIN: dict[str, Callable[[Mapping[str, Any], Path], bool]] = {
    "mlflow.onnx": _is_onnx,
    "mlflow.xgboost": _is_xgboost,
    "mlflow.lightgbm": _is_lightgbm,
}
