"""The checks that are shipped for a user's own architecture, on a network of each of our families."""

from __future__ import annotations

import pytest

from pct_mlops.testing import ARCHITECTURE_CHECKS
from pct_mlops.testing.architectures import as_build

CASES = {
    "small_resnet8": ((1, 8, 8), {"width": 4}),
    "aux_small_resnet8": ((1, 8, 8), {"width": 4}),
    "mb_small_resnet8": ((3, 8, 8), {"width": 4, "norm": "group"}),
    "small_resnet8_stodepth": ((1, 8, 8), {"width": 4}),
}


@pytest.mark.parametrize("check", ARCHITECTURE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_every_family_keeps_the_contract(name, check):
    image_shape, kwargs = CASES[name]
    check(as_build(name, image_shape, 5, kwargs))
