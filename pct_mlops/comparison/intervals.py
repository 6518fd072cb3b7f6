"""One-sided confidence bounds for shares and for paired changes.

Reading many bounds at once: a statement that *all* classes stay inside their limits needs no correction, because it is
wrong only when the worst class passes by luck (intersection-union test, Berger 1982). A statement that accuses *some*
class needs one, because the more classes are looked at, the more of them look bad by luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def clopper_pearson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Exact lower and upper bound of a binomial share, each one-sided at `confidence` (Clopper and Pearson 1934).

    Counts may be fractional, for extrapolation; they are what the incomplete beta function interpolates.
    """
    # Imported here: it takes longer than all the rest, and readers of tables alone never need it.
    from scipy.special import betainccinv, betaincinv

    lower = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, 1 - confidence))
    upper = 1.0 if successes >= trials else float(betainccinv(successes + 1, trials - successes, 1 - confidence))
    return lower, upper


def tango(gained: float, lost: float, pairs: float, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of (gained - lost) / pairs, each one-sided at `confidence`.

    Score interval for the difference of paired proportions: T. Tango, Statistics in Medicine 17 (1998) 891-908,
    eq. 4 and its constrained maximum-likelihood estimate, solved by bisection. `gained` and `lost` are the counts of
    pairs that changed in either direction. Approximate: a bound at 0.95 covers 0.95 on average and the less, the fewer
    pairs are expected to change, whatever their number: 0.947 at 100 changes, 0.927 at 10, at the very worst 0.90 at
    four or five that nearly all go one way (enumerated exactly; the tests do at 60 pairs).
    """
    from scipy.special import ndtri

    z = float(ndtri(confidence))
    observed = (gained - lost) / pairs

    def score(change: float) -> float:
        return _tango_score(gained, lost, pairs, change)

    return _bisect(score, -1.0, observed, z), _bisect(score, observed, 1.0, -z)


def _tango_score(gained: float, lost: float, pairs: float, change: float) -> float:
    """Standardised distance of the observed change from `change`; decreasing in `change`."""
    linear = (2 * pairs - gained + lost) * change - gained - lost
    product = lost * change * (1 - change)
    # Of the two forms of the quadratic's larger root, the one without cancellation.
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
    """Lower and upper bound of a weighted sum of flips, cost / whole, each one-sided at `confidence`.

    Gamma interval for weighted sums of Poisson counts: M. Fay and E. Feuer, Statistics in Medicine 16 (1997) 791-801,
    eq. 6 and 7; with equal weights it is the exact Poisson interval. Binomial counts vary less than Poisson ones of the
    same mean, so it is wide rather than narrow; that is no proof, and the tests show its coverage by simulation. `cost`
    sums the cost of every flip, `squared_cost` its square, `whole` that of every example; `greatest` is the largest.
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
    """Two-sided exact p-value of McNemar's test: are gains and losses equally likely? 1 where nothing changed.

    It speaks of net accuracy: a model that loses as many as it gains, however many, has p = 1.
    """
    from scipy.special import bdtr

    num = gained + lost
    return min(1.0, 2 * float(bdtr(min(gained, lost), num, 0.5))) if num else 1.0
