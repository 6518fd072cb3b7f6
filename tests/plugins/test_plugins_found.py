"""Parts that others bring: found by name, imported when used, and broken ones said in a sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pct_mlops.cli import main
from pct_mlops.config import DataConfig, ObjectiveConfig, PctError
from pct_mlops.data import DATASETS, load_data
from pct_mlops.losses import DISTANCES, FOCUSES, build_objective
from pct_mlops.models import ARCHITECTURES, Architecture, build_model

GROUPS = ("pct_mlops.distances", "pct_mlops.focuses", "pct_mlops.datasets", "pct_mlops.architectures")

PARTS = '''
import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from pct_mlops.data import ArrayData
from pct_mlops.losses import Distance
from pct_mlops.losses.focuses import MaskFocus


@dataclass(frozen=True)
class Gap(Distance):
    """How far apart the logits are."""

    scale: float = Field(1.0, gt=0)

    def per_sample(self, new, old, target):
        return self.scale * (new.logits - old.logits).abs().mean(dim=1)


@dataclass(frozen=True)
class Sure(MaskFocus):
    """Samples of which the old model is sure."""

    def mask(self, new, old, target):
        return old.logits.softmax(dim=1).amax(dim=1) > 0.9


def load(config, seed):
    """Three classes of noise."""
    images = np.random.RandomState(0).randint(0, 256, (90, 6, 6), dtype=np.uint8)
    return ArrayData((images, np.arange(90) % 3), (images[:30], np.arange(30) % 3), ["a", "b", "c"])


class Net(nn.Module):
    def __init__(self, channels, num_features):
        super().__init__()
        self.num_features = num_features
        self.conv = nn.Conv2d(channels, num_features, 3)

    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))


def build(architecture):
    """One convolution."""
    return Net(architecture.image_shape[0], architecture.kwargs.get("num_features", 4))
'''
OFFERED = {
    "pct_mlops.distances": {"gap": "parts_gap:Gap"},
    "pct_mlops.focuses": {"sure": "parts_gap:Sure"},
    "pct_mlops.datasets": {"noise": "parts_gap:load"},
    "pct_mlops.architectures": {"one_conv": "parts_gap:build"},
}


def record(name, **kwargs):
    return Architecture(
        name=name, kwargs=kwargs, class_names=("a", "b", "c"), image_shape=(1, 6, 6), mean=(0.5,), std=(0.2,)
    )


def listed(kind, capsys):
    assert main(["list", kind]) == 0
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_nothing_is_imported_or_looked_for_before_it_is_needed():
    program = (
        "import sys, importlib.metadata as m\n"
        "find = m.entry_points\n"
        "def refuse(**what):\n"
        "    if 'pct_mlops' in what.get('group', ''): raise SystemExit('entry points were looked for')\n"
        "    return find(**what)\n"
        "m.entry_points = refuse\n"
        "from pct_mlops.losses import DISTANCES, FOCUSES, build_objective\n"
        "from pct_mlops.config import ObjectiveConfig, DataConfig\n"
        "from pct_mlops.data import load_data\n"
        "import pct_mlops.testing\n"
        "build_objective(ObjectiveConfig(loss='ldi')); load_data(DataConfig(name='digits'), 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_parts_are_built_by_the_names_of_their_entry_points(install):
    install("my-parts", OFFERED, parts_gap=PARTS)
    assert "gap" in DISTANCES
    assert "gap" in list(DISTANCES)
    assert "parts_gap" not in sys.modules, "imported before it was used"
    gap = DISTANCES.build({"name": "gap", "scale": 2})
    assert gap.scale == 2.0
    assert DISTANCES.name_of(gap) == "gap"
    assert FOCUSES.build({"name": "shuffled", "of": {"name": "sure"}}).needs_teacher
    assert len(load_data(DataConfig(name="noise"), 0).test) == 30
    assert build_model(record("one_conv", num_features=7)).num_features == 7
    assert DISTANCES.build({"name": "sum", "terms": [{"distance": {"name": "gap"}}]}).needs_teacher
    objective = build_objective(ObjectiveConfig(loss="gap", weight=0.5))
    assert (type(objective.distance).__name__, objective.weight) == ("Gap", 0.5)
    with pytest.raises(PctError, match=r"Invalid distance gap: scale"):
        DISTANCES.build({"name": "gap", "scale": 0})
    with pytest.raises(PctError, match=r"Unknown parameter of distance gap 'scal': choose one of scale"):
        DISTANCES.build({"name": "gap", "scal": 1})


def test_parts_are_built_by_module_and_callable(install):
    install("my-parts", parts_gap=PARTS)
    assert DISTANCES.build({"name": "parts_gap:Gap", "scale": 3}).scale == 3.0
    assert FOCUSES.build({"name": "parts_gap:Sure", "base": 0}).base == 0.0
    assert load_data(DataConfig(name="parts_gap:load"), 0).name == "parts_gap:load"
    assert build_model(record("parts_gap:build")).num_features == 4
    objective = build_objective(ObjectiveConfig(distance={"name": "parts_gap:Gap"}, focus={"name": "parts_gap:Sure"}))
    assert type(objective.focus).__name__ == "Sure"
    assert DISTANCES.plugin("parts_gap:Gap").origin == "parts_gap:Gap (my-parts 1.2)"


def test_the_list_shows_who_brings_a_part(install, capsys):
    install("my-parts", OFFERED, parts_gap=PARTS)
    assert listed("distances", capsys)["gap"] == "How far apart the logits are. (my-parts 1.2)"
    assert listed("losses", capsys)["gap"] == "How far apart the logits are. (my-parts 1.2)"
    assert listed("focuses", capsys)["sure"] == "Samples of which the old model is sure. (my-parts 1.2)"
    assert listed("datasets", capsys)["noise"] == "Three classes of noise. (my-parts 1.2)"
    assert listed("models", capsys)["one_conv"] == "One convolution. (my-parts 1.2)"


BROKEN = {
    "raises": ("raise RuntimeError('no licence\\nhere')", "Part", r"cannot be imported \(RuntimeError: no licence\)"),
    "leaves": ("raise SystemExit(3)", "Part", r"cannot be imported \(SystemExit: 3\)"),
    "syntax": ("def", "Part", r"cannot be imported \(SyntaxError: "),
    "needs": ("import not_there_at_all", "Part", r"cannot be imported \(ModuleNotFoundError: No module named"),
    "attribute": ("", "Part", r"does not exist, because parts_broken has no Part"),
    "number": ("Part = 3", "Part", r"is not callable \(its type is int\)"),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("group", GROUPS)
def test_a_broken_part_is_one_sentence_and_leaves_the_others_alone(install, capsys, group, what):
    text, name, reason = BROKEN[what]
    kind = {"architectures": "models"}.get(group.partition(".")[2], group.partition(".")[2])
    install("sad-parts", {group: {"sad": f"parts_broken:{name}"}}, parts_broken=text)
    install("my-parts", OFFERED, parts_gap=PARTS)
    shown = listed(kind, capsys)
    assert shown["sad"].startswith("broken: The ")
    assert "'sad' of sad-parts 1.2 (parts_broken:Part)" in shown["sad"]
    assert "update or uninstall sad-parts 1.2." in shown["sad"]
    assert next(iter(OFFERED[group])) in shown
    use = {
        "distances": lambda: DISTANCES.build({"name": "sad"}),
        "focuses": lambda: FOCUSES.build({"name": "sad"}),
        "datasets": lambda: load_data(DataConfig(name="sad"), 0),
        "models": lambda: build_model(record("sad")),
    }[kind]
    with pytest.raises(PctError, match=reason) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_a_built_in_name_cannot_be_taken(install, capsys):
    offered = {
        group: {name: "parts_evil:Part"}
        for group, name in zip(GROUPS, ("ldi", "all", "digits", "resnet18"), strict=True)
    }
    install("evil-parts", offered, parts_evil="raise SystemExit('imported')")
    assert type(DISTANCES.build({"name": "ldi"})).__name__ == "LDI"
    assert load_data(DataConfig(name="digits"), 0).class_names[0] == "0"
    for catalog, name, kind in ((DISTANCES, "ldi", "distances"), (ARCHITECTURES, "resnet18", "models")):
        assert catalog.plugin(name) is None
        assert main(["list", kind]) == 0
        lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if line.split()[0] == name]
        assert len(lines) == 2
        assert f"'{name}' is a built-in {catalog.kind}, which evil-parts 1.2 cannot override" in lines[1]
    assert "parts_evil" not in sys.modules


def test_a_name_that_two_distributions_offer_is_refused(install, capsys):
    for number in "ab":
        install(f"parts-{number}", {"pct_mlops.distances": {"gap": f"parts_{number}:Gap"}})
    with pytest.raises(PctError, match=r"'gap' is offered by parts-a 1\.2 and parts-b 1\.2: uninstall all but one"):
        DISTANCES.build({"name": "gap"})
    assert "gap" not in DISTANCES
    assert "broken: The distance 'gap' is offered by" in listed("distances", capsys)["gap"]


def test_a_missing_module_says_how_to_make_it_importable():
    for catalog in (DISTANCES, FOCUSES):
        with pytest.raises(
            PctError, match=r"no module nowhere_pkg\): install its package .*pip install -e.*PYTHONPATH"
        ):
            catalog.build({"name": "nowhere_pkg.losses:Mine"})
    with pytest.raises(PctError, match=r"no module nowhere_pkg\).*nothing of the current folder"):
        load_data(DataConfig(name="nowhere_pkg:load"), 0)
    with pytest.raises(PctError, match=r"no module nowhere_pkg\)"):
        build_model(record("nowhere_pkg.models:build"))


@pytest.mark.parametrize("name", ["os system:x", "os:", ":system", "..os:system", "os:system()", "a:b:c", "os.path"])
def test_what_is_no_module_and_callable_is_said(name):
    with pytest.raises(PctError, match=r"is not written module:callable|Unknown distance"):
        DISTANCES.build({"name": name})


WRONG = {
    "distance": (
        lambda: DISTANCES.build({"name": "builtins:dict"}),
        r"of type dict and should give pct_mlops\.",
    ),
    "data": (lambda: load_data(DataConfig(name="parts_wrong:nothing"), 0), r"NoneType and should give pct_mlops\.data"),
    "error": (lambda: load_data(DataConfig(name="parts_wrong:error"), 0), r"failed \(KeyError: 'no key'\)"),
    "signature": (lambda: load_data(DataConfig(name="parts_wrong:one"), 0), r"failed \(TypeError: one\(\) takes 1"),
    "shape": (lambda: load_data(DataConfig(name="parts_wrong:floats"), 0), r"float64 \[3, 6, 6\]: give uint8"),
    "labels": (lambda: load_data(DataConfig(name="parts_wrong:labels"), 0), r"has the label 7, outside 0 to 1"),
    "network": (lambda: build_model(record("parts_wrong:network")), r"without an integer num_features"),
    "whole": (lambda: build_model(record("parts_wrong:whole")), r"gives \(2, 3\) and 0 map\(s\) .* promises \(2, 36\)"),
    "images": (lambda: build_model(record("parts_wrong:colour")), r"does not take images of \(1, 6, 6\)"),
    "process": (lambda: build_model(record("os:getcwd")), r"failed \(TypeError"),
}
WRONG_PARTS = """
import numpy as np
from torch import nn
from pct_mlops.data import ArrayData
from pct_mlops.models import Body

def nothing(config, seed): pass
def error(config, seed): raise KeyError("no key")
def one(config): pass
def floats(config, seed): return ArrayData(*[(np.zeros((3, 6, 6)), np.arange(3))] * 2, "ab")
def labels(config, seed):
    part = np.zeros((3, 6, 6), np.uint8), np.array([0, 1, 7])
    return ArrayData(part, part, "ab")
def network(architecture): return nn.Linear(3, 3)
def whole(architecture): return Body(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), 36)
def colour(architecture): return Body(nn.Conv2d(3, 3, 3), 3)
"""


@pytest.mark.parametrize("what", WRONG)
def test_what_keeps_no_contract_is_one_sentence(install, what):
    install("wrong-parts", parts_wrong=WRONG_PARTS)
    use, reason = WRONG[what]
    with pytest.raises(PctError, match=reason) as caught:
        use()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(("shows where.", "."))


def test_unknown_names_offer_what_is_installed(install):
    install("my-parts", OFFERED, parts_gap=PARTS)
    with pytest.raises(PctError, match="Unknown architecture 'one_conf': choose one of one_conv"):
        build_model(record("one_conf"))
    with pytest.raises(PctError, match="Unknown data set 'nois': choose one of noise"):
        load_data(DataConfig(name="nois"), 0)
    with pytest.raises(PctError, match="Unknown loss 'gapp': choose one of gap"):
        build_objective(ObjectiveConfig(loss="gapp"))
    assert list(DATASETS)[-1] == "noise"
