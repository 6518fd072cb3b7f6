"""The public API, frozen: others import these names; and each says how it is used, in an example that runs."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import pct_mlops
from pct_mlops import metrics

ROOT = Path(__file__).resolve().parents[2]
KINDS = """
AllExamples class
BCT class
Binding class
CE class
CNA class
Check class
Comparison class
DISTANCES value
Decision class
Distance class
Estimate class
FA class
FOCUSES value
FlipCounts class
FlipRow class
Focus class
KL class
L2 class
LDI class
LossTerms class
ModelOutput class
NegativeFlip class
NewIncorrect class
Objective class
OldCorrect class
PRESETS value
PctError class
Policy class
Predictions class
RCE class
RP class
Recipe class
Registry class
Renyi class
Rule class
TableInfo class
UpdateEvidence class
Verdict class
Version class
__version__ value
attach function
build_distance function
build_focus function
build_objective function
churn function
compare function
decide function
evaluate_candidate function
log_predictions function
negative_flip_rate function
positive_flip_rate function
read_evidence function
recommend_update function
register_ensemble function
try_policy function
"""
STREAMING = ("Churn", "NegativeFlipRate", "PositiveFlipRate")
# Made by other functions, or of no parameters that a caller gives by name.
NOT_CONSTRUCTED = {"Comparison", "PctError", "Predictions", "Verdict", *STREAMING}


def kind(item):
    return "class" if inspect.isclass(item) else "function" if inspect.isfunction(item) else "value"


EXPORTED = {name: getattr(pct_mlops, name) for name in pct_mlops.__all__}
DOCUMENTED = {name: item for name, item in EXPORTED.items() if kind(item) != "value"}
DOCUMENTED |= {f"metrics.{name}": getattr(metrics, name) for name in STREAMING}
each_documented = pytest.mark.parametrize("name", sorted(DOCUMENTED))


def test_the_public_names_are_frozen():
    assert [f"{name} {kind(item)}" for name, item in sorted(EXPORTED.items())] == KINDS.split("\n")[1:-1]
    assert sorted(metrics.__all__) == sorted([*STREAMING, "churn", "negative_flip_rate", "positive_flip_rate"])


def test_each_name_is_the_same_to_type_checkers_and_at_run_time():
    tree = ast.parse(Path(pct_mlops.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (alias.asname or alias.name): (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted([*typed, "__version__"]) == sorted(pct_mlops.__all__)
    for name, (module, there) in typed.items():
        assert EXPORTED[name] is getattr(sys.modules[module], there), name


def test_an_unknown_name_is_an_attribute_error_and_the_known_ones_are_listed():
    with pytest.raises(AttributeError, match="no attribute 'LDY'"):
        pct_mlops.LDY  # noqa: B018
    assert set(pct_mlops.__all__) <= set(dir(pct_mlops))


PROBE = """
import sys
before = set(sys.modules)
import pct_mlops
dir(pct_mlops)
new = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(new), sorted(name for name in sys.modules if name.startswith("pct_mlops")))
pct_mlops.compare, pct_mlops.decide, pct_mlops.Policy, pct_mlops.negative_flip_rate, pct_mlops.__version__
print(sorted({"torch", "torchvision", "mlflow", "pandas", "streamlit"} & set(sys.modules)))
pct_mlops.LDI, pct_mlops.ModelOutput
print(sorted({"mlflow", "streamlit", "accelerate"} & set(sys.modules)))
"""


def test_importing_the_package_imports_nothing_else():
    """Structure, not time: what is not imported costs nothing."""
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['pct_mlops'] ['pct_mlops']", "[]", "[]"]


def test_the_version_stands_in_one_place():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^version = "([^"]+)"', text, re.MULTILINE)
    assert stated == [pct_mlops.__version__] == [metadata.version("pct-mlops")], "install the package again"


def test_the_version_is_known_in_a_checkout_without_metadata():
    code = (
        "from importlib import metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "import pct_mlops\n"
        "print(pct_mlops.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (pct_mlops.__version__, "")


@each_documented
def test_docstrings_say_what_goes_in_what_comes_out_and_show_it(name):
    item = DOCUMENTED[name]
    text = inspect.getdoc(item) or ""
    summary = text.split("\n\n", 1)[0]
    assert "\n" not in summary, "the first paragraph is one line"
    assert summary.endswith(".")
    sections = re.findall(r"^(Args|Attributes|Returns|Raises|Example):$", text, re.MULTILINE)
    assert sections[-1] == "Example"
    assert "    >>> " in text
    if name.removeprefix("metrics.") not in NOT_CONSTRUCTED:
        assert _described(text) == set(inspect.signature(item).parameters), "each parameter, and nothing else"
    if inspect.isfunction(item):
        assert "Returns" in sections


def _described(text):
    """Names in the section on parameters or fields."""
    found = re.search(r"^(?:Args|Attributes):\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return set(re.findall(r"^    \**(\w+): ", found[1], re.MULTILINE)) if found else set()


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Some examples write files, and one names a registry, which mlflow remembers."""
    monkeypatch.chdir(tmp_path)
    for key in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(key, raising=False)
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@each_documented
@pytest.mark.usefixtures("in_a_folder_of_its_own")
def test_examples_run_and_give_what_they_show(name):
    item = DOCUMENTED[name]
    found = doctest.DocTestParser().get_doctest(inspect.getdoc(item), {"__name__": "example"}, name, None, 0)
    assert found.examples
    said = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=said.append)
    assert result.failed == 0, "".join(said)
