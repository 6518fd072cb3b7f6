"""Checks in one call that the distance keeps its whole contract."""

from own_loss import Huber

from pct_mlops.testing import check_distance


def test_huber_keeps_the_contract():
    check_distance(Huber())
    check_distance(Huber(delta=0.1))
