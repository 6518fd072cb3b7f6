from __future__ import annotations

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from pct_mlops.config import Catalog, PctError


@pytest.fixture
def catalog():
    made: Catalog[object] = Catalog("distance")

    @made.register("ldi")
    @dataclass(frozen=True)
    class Ldi:
        """Differences beyond a margin.

        More.
        """

        margin: float = Field(0.5, ge=0)

    @made.register("kl")
    def kl(temperature: float = 100.0) -> str:
        """Divergence."""
        return f"kl at {temperature}"

    return made


def test_building_by_name(catalog):
    assert catalog.build({"name": "ldi", "margin": 2}).margin == 2.0
    assert catalog.build({"name": "kl"}) == "kl at 100.0"
    assert list(catalog) == ["kl", "ldi"]
    assert "ldi" in catalog
    assert "l3" not in catalog
    assert catalog.summary("ldi") == "Differences beyond a margin."


def test_building_leaves_the_specification_alone(catalog):
    spec = {"name": "ldi", "margin": 1}
    catalog.build(spec)
    assert spec == {"name": "ldi", "margin": 1}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "ldl"}, "Unknown distance 'ldl': choose one of ldi, kl"),
        ({"name": "ldi", "margn": 1}, "Unknown parameter of distance ldi 'margn': choose one of margin"),
        ({"name": "ldi", "margin": -1}, "Invalid distance ldi: margin"),
        ({"name": "ldi", "margin": "wide"}, "Invalid distance ldi: margin"),
        ({}, "needs a 'name'"),
        ({"name": 3}, "needs a 'name'"),
    ],
)
def test_mistakes_say_what_exists(catalog, spec, message):
    with pytest.raises(PctError, match=message):
        catalog.build(spec)


def test_one_name_one_factory(catalog):
    with pytest.raises(ValueError, match="registered twice"):
        catalog.register("kl")(lambda: None)
