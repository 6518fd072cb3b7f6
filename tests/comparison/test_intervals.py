"""Bounds against scipy's binomial test and by exact enumeration of what can be observed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from pct_mlops.comparison import clopper_pearson, fay_feuer, tango


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 300), (300, 300), (1, 40), (7, 9), (62, 10_000)])
def test_clopper_pearson_is_the_inverse_of_the_exact_test(successes, trials, confidence):
    lower, upper = clopper_pearson(successes, trials, confidence)
    expected_lower = binomtest(successes, trials, alternative="greater").proportion_ci(confidence).low
    expected_upper = binomtest(successes, trials, alternative="less").proportion_ci(confidence).high
    assert (lower, upper) == pytest.approx((expected_lower, expected_upper), rel=1e-9, abs=1e-12)


def test_clopper_pearson_known_value():
    # The "rule of three": without a flip among 300 examples the bound is 1 - 0.05 ** (1 / 300).
    assert clopper_pearson(0, 300, 0.95) == (0.0, pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-12))


def test_tango_without_any_change_has_a_closed_form():
    z_squared = 1.6448536269514722**2
    lower, upper = tango(0, 0, 50, 0.95)
    assert (lower, upper) == pytest.approx((-z_squared / (50 + z_squared), z_squared / (50 + z_squared)), abs=1e-9)


def test_tango_bounds_solve_the_score_equation():
    gained, lost, num, z = 12, 5, 80, 1.6448536269514722
    for bound, sign in zip(tango(gained, lost, num, 0.95), (1, -1), strict=True):
        # Constrained maximum of the likelihood, by brute force instead of the closed form.
        grid = np.linspace(max(0, -bound) + 1e-9, (1 - bound) / 2 - 1e-9, 400_001)
        likelihood = (
            lost * np.log(grid) + gained * np.log(grid + bound) + (num - gained - lost) * np.log1p(-2 * grid - bound)
        )
        share = grid[np.argmax(likelihood)]
        score = (gained - lost - num * bound) / math.sqrt(num * (2 * share + bound * (1 - bound)))
        assert score == pytest.approx(sign * z, abs=1e-4)


@pytest.mark.parametrize(
    ("gained", "lost", "num"), [(0, 3, 3), (3, 0, 3), (0, 1, 500), (40, 0, 100), (2, 2, 4), (1, 0, 1)]
)
def test_tango_mirrors_and_contains_the_observed_change(gained, lost, num):
    lower, upper = tango(gained, lost, num, 0.95)
    assert -1 <= lower <= (gained - lost) / num <= upper <= 1
    mirrored = tango(lost, gained, num, 0.95)
    assert (lower, upper) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-9)


def test_tango_coverage_by_exact_enumeration():
    """Every (lost, gained) that 60 pairs can show, with its probability: no sampling error."""
    num = 60
    seen = np.array([(lost, gained) for lost in range(num + 1) for gained in range(num + 1 - lost)])
    bounds = np.array([tango(gained, lost, num, 0.95) for lost, gained in seen])
    same = num - seen.sum(axis=1)
    log_ways = np.array(
        [math.lgamma(num + 1) - sum(math.lgamma(k + 1) for k in (*row, num - sum(row))) for row in seen]
    )

    def coverage(share_lost, share_gained):
        shares = np.log([share_lost, share_gained, 1 - share_lost - share_gained])
        chance = np.exp(log_ways + seen @ shares[:2] + same * shares[2])
        assert chance.sum() == pytest.approx(1)
        change = share_gained - share_lost
        return chance[bounds[:, 0] <= change].sum(), chance[bounds[:, 1] >= change].sum()

    shares = (0.01, 0.03, 0.1, 0.2)
    covered = [part for lost in shares for gained in shares for part in coverage(lost, gained)]
    # A score interval holds its level on average and misses it a little where both shares are tiny and unequal.
    assert min(covered) > 0.92
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    # Where it is worst, as a fine grid of shares has it: about four changes in all, nearly all of them gains.
    assert coverage(0.42 / num, 3.56 / num)[0] == pytest.approx(0.901, abs=0.001)


def test_tango_coverage_at_the_size_of_a_test_set():
    num, shares = 10_000, (0.012, 0.018, 0.97)
    drawn = np.random.default_rng(4).multinomial(num, shares, size=2_000)
    change = shares[1] - shares[0]
    bounds = np.array([tango(gained, lost, num, 0.95) for lost, gained, _ in drawn])
    # Three standard errors of 2,000 draws at 0.95 are 0.0146.
    assert np.mean(bounds[:, 0] <= change) == pytest.approx(0.95, abs=0.0146)
    assert np.mean(bounds[:, 1] >= change) == pytest.approx(0.95, abs=0.0146)


def test_fay_feuer_with_equal_weights_is_the_exact_poisson_interval():
    for flips in (0, 1, 7, 120):
        for cost in (1.0, 5.0):
            bounds = fay_feuer(cost * flips, cost**2 * flips, cost * 2000, greatest=cost, confidence=0.95)
            lower = chi2.ppf(0.05, 2 * flips) / 2 if flips else 0.0
            assert bounds == pytest.approx((lower / 2000, chi2.ppf(0.95, 2 * flips + 2) / 2 / 2000), rel=1e-9)
            # The exact binomial interval lies within: a share varies less than a Poisson count. (One single flip makes
            # an exception for the lower bound: 1 - 0.95 ** (1 / n) against -log(0.95) / n.)
            exact = clopper_pearson(flips, 2000, 0.95)
            assert bounds[0] <= exact[0] * (1 + 1e-4)
            assert exact[1] <= bounds[1] + 1e-12


# Examples, true flip rate and cost of each class.
SETTINGS = {
    "a rare class costs twenty times": ([900, 100], [0.01, 0.02], [1.0, 20.0]),
    "the dear class flips most": ([500, 500], [0.01, 0.1], [1.0, 10.0]),
    "ten classes, costs 1 to 10": ([100] * 10, [0.02] * 10, list(range(1, 11))),
    "one class costs nothing": ([300, 300], [0.2, 0.03], [0.0, 1.0]),
    "small": ([30, 20], [0.05, 0.1], [1.0, 4.0]),
    "hardly any flip": ([5000, 50], [0.0005, 0.001], [1.0, 100.0]),
    "half of them flip": ([200, 100], [0.5, 0.6], [1.0, 3.0]),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_fay_feuer_covers_at_least_as_stated(name, confidence):
    """10,000 draws of binomial counts each; a coverage below by more than three standard errors would fail."""
    nums, rates, costs = (np.array(part, float) for part in SETTINGS[name])
    whole = (costs * nums).sum()
    truth = (costs * nums * rates).sum() / whole
    draws = np.random.default_rng(7).binomial(nums.astype(int), rates, size=(10_000, len(nums)))
    sums, repeats = np.unique(np.stack([draws @ costs, draws @ costs**2], axis=1), axis=0, return_counts=True)
    bounds = np.array([fay_feuer(*row, whole, greatest=costs.max(), confidence=confidence) for row in sums])
    tolerance = 3 * math.sqrt(confidence * (1 - confidence) / 10_000)
    for covered in (bounds[:, 0] <= truth, bounds[:, 1] >= truth):
        assert (covered * repeats).sum() / 10_000 >= confidence - tolerance


def test_fay_feuer_at_the_ends():
    assert fay_feuer(0, 0, 100, greatest=1.0, confidence=0.95)[0] == 0
    assert fay_feuer(10, 10, 10, greatest=1.0, confidence=0.95)[1] == 1.0
