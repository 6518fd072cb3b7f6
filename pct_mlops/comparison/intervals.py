"""Computes one-sided confidence bounds for shares, paired changes and weighted sums, and McNemar's test.

Several bounds at once: the statement that *all* classes stay inside their limits needs no correction, because it is
wrong only when the worst class passes by chance (intersection-union test, Berger 1982). The statement that *some* class
is outside needs one, because of many classes some look bad by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def clopper_pearson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Return the exact lower and upper bound of a binomial share, each one-sided at `confidence`.

    Counts may be fractional, for extrapolation: the incomplete beta function interpolates between whole ones.
    Source: Clopper and Pearson, Biometrika 26 (1934) 404-413.

    Args:
        successes: number of examples in the share.
        trials: number of all examples.
        confidence: of either bound by itself, between 0 and 1.
    """
    # Imported here, because it takes longer than all the rest, and those who only read tables never need it.
    from scipy.special import betainccinv, betaincinv

    lower = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, 1 - confidence))
    upper = 1.0 if successes >= trials else float(betainccinv(successes + 1, trials - successes, 1 - confidence))
    return lower, upper


def tango(gained: float, lost: float, pairs: float, confidence: float) -> tuple[float, float]:
    """Return the lower and upper bound of (gained - lost) / pairs, each one-sided at `confidence`.

    The bounds are approximate. At 0.95 they cover 0.95 on average, and less where few pairs are expected to change,
    whatever the number of pairs. Coverage is 0.947 at 100 changes, 0.927 at 10, and at worst 0.90, at four or five
    changes that nearly all go one way. These numbers are enumerated exactly, and the tests do so at 60 pairs.
    Source: score interval for the difference of paired proportions, T. Tango, Statistics in Medicine 17 (1998) 891-908,
    eq. 4 and its constrained maximum-likelihood estimate, solved by bisection.

    Args:
        gained: number of examples that only the new model gets right.
        lost: number of examples that only the old model gets right.
        pairs: number of all examples.
        confidence: of either bound by itself, between 0 and 1.
    """
    from scipy.special import ndtri

    z = float(ndtri(confidence))
    observed = (gained - lost) / pairs

    def score(change: float) -> float:
        return _tango_score(gained, lost, pairs, change)

    return _bisect(score, -1.0, observed, z), _bisect(score, observed, 1.0, -z)


def _tango_score(gained: float, lost: float, pairs: float, change: float) -> float:
    """Return the standardised distance of the observed change from `change`. It falls as `change` rises."""
    linear = (2 * pairs - gained + lost) * change - gained - lost
    product = lost * change * (1 - change)
    # The larger root of the quadratic, in that of its two forms that avoids cancellation.
    root = math.sqrt(max(linear * linear + 8 * pairs * product, 0.0))
    share_lost = (root - linear) / (4 * pairs) if linear <= 0 else 2 * product / (root + linear)
    variance = pairs * (2 * share_lost + change * (1 - change))
    excess = gained - lost - pairs * change
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _bisect(score: Callable[[float], float], low: float, high: float, target: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        if score(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def fay_feuer(
    cost: float, squared_cost: float, whole: float, *, greatest: float, confidence: float
) -> tuple[float, float]:
    """Return the lower and upper bound of a weighted sum of flips, cost / whole, each one-sided at `confidence`.

    With equal weights they are the exact Poisson interval. Binomial counts vary less than Poisson counts of the same
    mean, so the bounds are wide rather than narrow. That is no proof, and the tests show their coverage by simulation.
    Source: gamma interval for weighted sums of Poisson counts, M. Fay and E. Feuer, Statistics in Medicine 16 (1997)
    791-801, eq. 6 and 7.

    Args:
        cost: sum of the costs of all flips.
        squared_cost: sum of their squares.
        whole: sum of the costs that all examples would have as flips.
        greatest: the largest cost of one flip.
        confidence: of either bound by itself, between 0 and 1.
    """
    from scipy.special import gammaincinv

    share, variance, step = cost / whole, squared_cost / whole**2, greatest / whole
    lower = 0.0
    if share > 0:
        lower = variance / share * float(gammaincinv(share**2 / variance, 1 - confidence))
    if step <= 0:
        return lower, share
    mean, spread = share + step, variance + step**2
    upper = spread / mean * float(gammaincinv(mean**2 / spread, confidence))
    return min(lower, share), min(upper, 1.0)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p-value of McNemar's test, whose null hypothesis is that gains and losses are alike.

    It is 1 where nothing changed. The test is about net accuracy: a model that loses as many examples as it gains has
    p = 1, however many these are.
    """
    from scipy.special import bdtr

    num = gained + lost
    return min(1.0, 2 * float(bdtr(min(gained, lost), num, 0.5))) if num else 1.0
