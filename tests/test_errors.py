"""The tree of errors: frozen names and codes, travel between processes, and the class of real mistakes."""

from __future__ import annotations

import ast
import errno
import json
import pickle
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from pct_mlops import errors
from pct_mlops.cli import main
from pct_mlops.comparison import compare
from pct_mlops.config import PctError, Policy, Recipe
from pct_mlops.errors import error_of, is_disk_full, reason_of
from pct_mlops.explorer.state.selection import NothingToShow
from pct_mlops.gate.scopes import _NoneLarge
from pct_mlops.predictions import Predictions
from pct_mlops.reports import report_schema
from pct_mlops.workflows.runtime.distributed import on_all, on_main

ROOT = Path(__file__).resolve().parents[1]
# Class -> its parent and its code. Programs catch the one and read the other: change neither.
TREE = {
    "PctError": ("Exception", "error"),
    "ConfigError": ("PctError", "config"),
    "DataError": ("PctError", "data"),
    "TableError": ("PctError", "table"),
    "NotComparableError": ("TableError", "table.not_comparable"),
    "RegistryError": ("PctError", "registry"),
    "RegistryUnavailableError": ("RegistryError", "registry.unavailable"),
    "RegistryForbiddenError": ("RegistryError", "registry.forbidden"),
    "RegistryNotFoundError": ("RegistryError", "registry.not_found"),
    "PromotionError": ("PctError", "promotion"),
    "TrainingError": ("PctError", "training"),
    "OutputError": ("PctError", "output"),
}
KINDS = [getattr(errors, name) for name in TREE]


def classes(path):
    """Name -> class definition of a module."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}


def test_names_parents_and_codes_are_frozen():
    assert {kind.__name__: (kind.__mro__[1].__name__, kind.code) for kind in KINDS} == TREE
    assert set(classes(Path(errors.__file__))) == set(TREE)
    assert PctError is errors.PctError


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_code_is_unique_and_dotted_by_ancestry(kind):
    assert [other for other in KINDS if other.code == kind.code] == [kind]
    parent, _, own = kind.code.rpartition(".")
    assert parent == ("" if kind.__base__ is PctError else kind.__base__.code)
    assert own.replace("_", "").isalpha()
    assert own.islower()


@pytest.mark.parametrize("kind", [*KINDS, NothingToShow, _NoneLarge])
def test_errors_travel_between_processes(kind):
    error = kind("One sentence: do this.")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.code) == (kind, str(error), kind.code)
    # By code as well, where only that is sent; a private class arrives as the public one that has its code.
    public = next(other for other in KINDS if other.code == kind.code)
    for made in (error_of(error.code, str(error)), error.reworded(str(error))):
        assert (type(made), str(made)) == (public, str(error))


def test_what_a_private_class_carries_travels_too():
    assert pickle.loads(pickle.dumps(_NoneLarge("None.", ["small"]))).small == ["small"]


def test_a_code_of_another_version_gives_the_nearest_ancestor():
    assert type(error_of("registry.quota", "x")) is errors.RegistryError
    assert type(error_of("weather", "x")) is PctError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("disk full", "disk full"),
        ("\n disk full.\nat line 3", "disk full"),
        ("failed:\nsee below", "failed"),
        (" ", "OSError"),
    ],
)
def test_the_reason_of_an_error_fits_into_a_sentence(text, reason):
    assert reason_of(OSError(text)) == reason


def test_the_root_itself_is_never_raised():
    found = {}
    for path in sorted([*(ROOT / "pct_mlops").rglob("*.py"), *(ROOT / "app").rglob("*.py")]):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        number = sum(isinstance(func, ast.Name) and func.id == "PctError" for func in calls)
        if number:
            found[path.relative_to(ROOT).as_posix()] = number
    assert found == {}


def table(path, ids):
    info = {"class_names": ("a", "b"), "split": "test", "model_name": path.stem}
    Predictions.from_arrays(ids, np.zeros(len(ids), int), np.tile([1.0, 0.0], (len(ids), 1)), **info).save(path)
    return Predictions.load(path)


def unlike_tables(folder):
    compare(table(folder / "old.parquet", ["1", "2"]), table(folder / "new.parquet", ["1", "3"]))


def no_classifier(folder):
    from pct_mlops.models import load_classifier

    load_classifier(folder)


def no_images(folder):
    from pct_mlops.config import DataConfig
    from pct_mlops.data import load_data

    load_data(DataConfig(name="image_folder", root=folder), seed=0)


def no_legacy_table(folder):
    from pct_mlops.workflows.runtime.legacy_results import read_result

    (folder / "a.result").write_text("no result")
    read_result(folder / "a.result")


def no_server(folder):
    from pct_mlops.registry import Registry

    Registry("http://127.0.0.1:1").models()


def no_place(folder):
    table(folder / "absent" / ("x" * 300), ["1"])


# The others are met where their tests are: production, trainings, and registries that refuse.
MISTAKES = {
    "no recipe": (lambda folder: Recipe.read(folder / "recipe.yaml"), errors.ConfigError),
    "no policy": (lambda folder: Policy.read(folder / "policy.yaml"), errors.ConfigError),
    "no weights": (no_classifier, errors.DataError),
    "no images": (no_images, errors.DataError),
    "a folder as table": (Predictions.load, errors.TableError),
    "a text as .result": (no_legacy_table, errors.TableError),
    "other examples": (unlike_tables, errors.NotComparableError),
    "no server": (no_server, errors.RegistryUnavailableError),
    "too long a name": (no_place, errors.OutputError),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_the_class_of_its_family(tmp_path, monkeypatch, mistake):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    make, kind = MISTAKES[mistake]
    with pytest.raises(PctError) as caught:
        make(tmp_path)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("mlflow_code", "kind"),
    [
        ("PERMISSION_DENIED", errors.RegistryForbiddenError),
        ("UNAUTHENTICATED", errors.RegistryForbiddenError),
        ("RESOURCE_DOES_NOT_EXIST", errors.RegistryNotFoundError),
        ("TEMPORARILY_UNAVAILABLE", errors.RegistryUnavailableError),
        ("INTERNAL_ERROR", errors.RegistryError),
    ],
)
def test_what_mlflow_refuses_has_the_class_of_its_cause(mlflow_code, kind):
    from mlflow.exceptions import RestException

    from pct_mlops.registry.connection import said_plainly

    with pytest.raises(PctError, match="asking") as caught, said_plainly("asking"):
        raise RestException({"error_code": mlflow_code, "message": "no"})
    assert type(caught.value) is kind


class Process:
    """One of two processes; what the main one sends reaches the other as bytes."""

    num_processes = 2

    def __init__(self, monkeypatch, sent=None):
        self.is_main_process, self.sent = sent is None, sent
        monkeypatch.setattr("accelerate.utils.broadcast_object_list", self.exchange)
        monkeypatch.setattr("accelerate.utils.gather_object", self.exchange)

    def exchange(self, items):
        if self.sent is not None:
            return pickle.loads(self.sent)
        self.sent = pickle.dumps(items)
        return items


@pytest.mark.parametrize("share", [on_main, on_all])
def test_the_class_reaches_processes_that_did_not_meet_the_error(monkeypatch, share):
    def fail():
        raise errors.NotComparableError("They differ.")

    first = Process(monkeypatch)
    with pytest.raises(errors.NotComparableError, match=r"^They differ\.$"):
        share(first, fail)
    with pytest.raises(errors.NotComparableError, match=r"^They differ\.$"):
        share(Process(monkeypatch, first.sent), lambda: None)


def test_debug_ends_with_the_code_and_the_report_carries_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["gate", "new.parquet", "--baseline", "old.parquet", "--debug"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "Error code: config"
    policy = "rules: [{metric: nfr, max: 0.9}, {metric: class_nfr, classes: [z], max: 0.9}]"
    (tmp_path / "policy.yaml").write_text(policy)
    table(tmp_path / "old.parquet", ["1", "2"])
    table(tmp_path / "other.parquet", ["1", "3"])
    flipped = np.eye(2)[[1, 0]]
    info = {"class_names": ("a", "b"), "split": "test", "model_name": "new"}
    Predictions.from_arrays(["1", "2"], np.zeros(2, int), flipped, **info).save(tmp_path / "new.parquet")
    # No table; other examples; a rule about a class that there is not; the baseline itself.
    assert code_of_gate("absent.parquet") == ("table", [])
    assert code_of_gate("other.parquet") == ("table.not_comparable", [])
    assert code_of_gate("new.parquet") == ("config", [None, "config"])
    assert code_of_gate("old.parquet") == ("table.not_comparable", [])


def code_of_gate(candidate):
    """The codes in the report on `candidate`: of the whole, which JUnit has as well, and of each check."""
    files = ["--json", "report.json", "--junit", "report.xml"]
    assert main(["gate", candidate, "--baseline", "old.parquet", *files]) == 2
    report = json.loads(Path("report.json").read_text())
    jsonschema.validate(report, report_schema(), jsonschema.Draft202012Validator)
    assert report["verdict"] == "ERROR"
    properties = {item.get("name"): item.get("value") for item in ElementTree.parse("report.xml").iter("property")}
    assert properties.get("error_code") == report["error_code"]
    return report["error_code"], [check["error_code"] for check in report["checks"]]


def test_an_error_that_is_its_own_cause_is_looked_at_once():
    error = ValueError("shapes do not fit")
    error.__cause__ = error
    assert not is_disk_full(error)
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(error)
