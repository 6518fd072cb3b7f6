"""The surface of the losses: every distance with its parameters and defaults, every preset with its parts."""

from __future__ import annotations

import inspect

import pytest

from pct_mlops.cli import main
from pct_mlops.config import Catalog, ModelConfig, TeacherConfig
from pct_mlops.losses import DISTANCES, FOCUSES, PRESETS
from pct_mlops.losses.build import _merged

REQUIRED = inspect.Parameter.empty

# Written out, not computed: what recipes say, and what results depend on.
PARAMETERS = {
    "kl": {"temperature": 100.0},
    "l2": {},
    "ldi": {
        "margin": 0.5,
        "p": 2.0,
        "exclude_target": False,
        "top_k": None,
        "one_sided": False,
        "relative_margin": False,
        "norm": False,
    },
    "cna": {"temperature": 0.01, "top_k": 1, "supervised": False, "summation": "out"},
    "renyi": {"alpha": 2.0, "reorder": False},
    "rce": {"two_heads": False},
    "fa": {"margin": 3.0, "contrastive": False},
    "rp": {"dim_out": 128, "share": False, "freeze_new": False, "normalize": False, "bias": False},
    "ce": {},
    "sum": {"terms": REQUIRED},
    "bct": {"alpha": 0.0, "single_head": False},
}
FOCUS_PARAMETERS = {
    "all": {"base": 1.0, "scale": 5.0},
    "old_correct": {"base": 1.0, "scale": 5.0},
    "neg_flip": {"base": 1.0, "scale": 5.0},
    "new_incorrect": {"base": 1.0, "scale": 5.0},
}
PRESET_NAMES = {
    "none",
    "update",
    "update+mixture",
    "naive",
    "kl",
    "l2",
    "ldi",
    "elodi",
    "mixture",
    "cna",
    "ldi+cna",
    "bct",
    "renyi",
    "rce",
    "fa",
    "rp",
}


def parameters(catalog: Catalog, name: str) -> dict:
    return {key: parameter.default for key, parameter in inspect.signature(catalog[name]).parameters.items()}


def test_every_distance_has_its_parameters_and_defaults():
    assert {name: parameters(DISTANCES, name) for name in DISTANCES} == PARAMETERS


def test_every_mask_focus_has_its_parameters_and_defaults():
    assert {name: parameters(FOCUSES, name) for name in FOCUS_PARAMETERS} == FOCUS_PARAMETERS
    assert set(FOCUSES) - set(FOCUS_PARAMETERS) == {"shuffled", "likelihood"}


def test_presets_are_data_that_build():
    assert set(PRESETS) == PRESET_NAMES
    for name, preset in PRESETS.items():
        assert set(preset) <= {"summary", "distance", "focus", "weight", "mix", "teacher", "model"}, name
        assert len({"weight", "mix"} & set(preset)) == (0 if name == "none" else 1), name
        TeacherConfig(**preset.get("teacher", {}))
        ModelConfig(**preset.get("model", {}))
        if name != "none":
            DISTANCES.build(preset["distance"])
            FOCUSES.build(preset["focus"])


def test_a_preset_is_named_after_its_distance_or_after_its_method():
    methods = {"none", "update", "update+mixture", "naive", "elodi", "mixture", "ldi+cna"}
    assert {name for name in PRESETS if PRESETS[name].get("distance", {}).get("name") != name} == methods


def test_elodi_and_mixture_differ_from_each_other_in_the_teacher_only():
    elodi, mixture = PRESETS["elodi"], PRESETS["mixture"]
    assert elodi["teacher"] == {"num_members": 8}
    assert mixture["teacher"] == {"refs": [{"ref": "production"}], "num_members": 1}
    assert (elodi["distance"], elodi["mix"]) == ({"name": "ldi", "margin": 0.0, "p": 2.0}, 0.8)
    assert {key for key in elodi if elodi[key] != mixture[key]} == {"summary", "teacher"}
    assert [name for name in PRESETS if "teacher" in PRESETS[name]] == ["update+mixture", "elodi", "mixture"]


def test_list_shows_every_preset_with_its_summary(capsys):
    assert main(["list", "losses"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert shown == {name: preset["summary"] for name, preset in PRESETS.items()}
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize("name", sorted(PRESET_NAMES - {"none", "ldi+cna"}))
def test_every_number_of_a_preset_can_be_overridden(name):
    for key in DISTANCES.build(PRESETS[name]["distance"]).__dataclass_fields__:
        merged = _merged(PRESETS[name]["distance"], {key: "given"}, "distance")
        assert merged == {**PRESETS[name]["distance"], key: "given"}
