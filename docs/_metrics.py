"""Makes the page on metrics: names, units and bounds from the code, and formulas that the tests check against it."""

from __future__ import annotations

import _markdown as md

# In the counts of two joined tables; a test computes each of them and compares it with the code's.
FORMULAS = {
    "accuracy_old": "(a + b) / N",
    "accuracy_new": "(a + c) / N",
    "accuracy_change": "(c - b) / N",
    "nfr": "b / N",
    "pfr": "c / N",
    "class_nfr": "b / N",
    "weighted_nfr": "cost_b / cost_N",
    "relative_nfr": "(b / N) / ((a + b) / N * (b + d) / N)",
    "nfi": "b / (b + d)",
    "pfi": "c / (a + c)",
    "btc": "a / (a + b)",
    "bec_new": "d / (b + d)",
    "bec_old": "d / (c + d)",
    "churn": "(b + c + e) / N",
    "nfr_mc": "(b + e) / N",
    "fractional_nfr": "x / N",
    "type_1_flips": "b_1 / N",
    "type_2_flips": "b_2 / N",
}
BOUNDS = {"accuracy_change": "paired (Tango)", "weighted_nfr": "Fay-Feuer"}
INTRO = """# Metrics

Two tables are joined by `sample_id` and counted: `a` both right, `b` negative flips (old right, new wrong), `c`
positive flips (old wrong, new right), `d` both wrong, and `N = a + b + c + d`. Further: `e` are the examples on which
both are wrong and the prediction changed; `x` is the sum over negative flips of the new model's confidence in its
prediction minus that in the target; `b_1` and `b_2` are the negative flips whose target lost at most 0.1 and at least
0.5 of its confidence; `cost_b` and `cost_N` are the summed costs of the classes of negative flips and of all
examples.

Rates are fractions in [0, 1]; percent exists on screens only. Undefined is null, never 0. `PFR - NFR` is the change
of accuracy. Flips that a policy counts apart are left out of the numerators of negative flip rates, and of nothing
else. Every metric can be asked for in one class or slice, and on one part of the examples: `shared` (labels that the
old model knows) or `new` (labels that only the new model knows). `ece_*` and `nll_*` are read from confidences and
logits.

A table of predictions alone has no confidences. `ece_*`, `nll_*`, `fractional_nfr` and `type_*_flips` are not available
then: their values are null, and `not_available` in the JSON report gives the reason for each. A rule on one is an
ERROR."""


def metrics_page() -> str:
    """Return the page on every metric that a policy can limit."""
    from pct_mlops.comparison import METRICS
    from pct_mlops.config.metric_names import METRIC_INFO

    rows = []
    for name in METRICS:
        info = METRIC_INFO[name]
        bounds = f"none: {info.no_bounds}" if info.no_bounds else BOUNDS.get(name, "exact (Clopper-Pearson)")
        formula = md.code(FORMULAS[name]) if name in FORMULAS else ""
        rows.append((md.code(name), md.escaped(info.summary), formula, info.unit, bounds))
    return f"{INTRO}\n\n{md.table(('metric', 'meaning', 'formula', 'unit', 'bounds'), rows)}"
