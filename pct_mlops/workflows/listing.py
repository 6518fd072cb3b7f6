"""Names of a kind with one line each, from the catalogs that build them."""

from __future__ import annotations


def list_names(kind: str) -> dict[str, str]:
    """Name -> summary of all `losses`, `models`, `datasets` or `metrics`."""
    if kind == "losses":
        from pct_mlops.losses import PRESETS

        return {name: preset["summary"] for name, preset in PRESETS.items()}
    if kind == "models":
        from pct_mlops.models import model_names, summary

        return {name: summary(name) for name in model_names()}
    if kind == "datasets":
        from pct_mlops.data import DATASETS

        return {name: DATASETS.summary(name) for name in DATASETS}
    from pct_mlops.comparison import METRICS

    return {name: metric.summary for name, metric in METRICS.items()}
