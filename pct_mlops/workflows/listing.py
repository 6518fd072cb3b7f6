"""Lists the names of a kind with one line each, from the catalogs that build them."""

from __future__ import annotations

KINDS = ("losses", "models", "datasets", "metrics", "distances", "focuses")


def list_names(kind: str) -> list[tuple[str, str]]:
    """Return (name, summary) of everything of one of KINDS. Plugins come after what is built in.

    A plugin that cannot be used is listed too, and its summary says why.
    """
    if kind == "losses":
        from pct_mlops.losses import DISTANCES, PRESETS

        built_in = [(name, preset["summary"]) for name, preset in PRESETS.items()]
        return built_in + [line for line in DISTANCES.plugin_lines() if line[0] not in PRESETS]
    if kind == "models":
        from pct_mlops.models import ARCHITECTURES, model_names, summary

        return [(name, summary(name)) for name in model_names()] + ARCHITECTURES.plugin_lines()
    if kind == "datasets":
        from pct_mlops.data import DATASETS

        return DATASETS.lines()
    if kind in ("distances", "focuses"):
        from pct_mlops.losses import DISTANCES, FOCUSES

        return DISTANCES.lines() if kind == "distances" else FOCUSES.lines()
    from pct_mlops.comparison import METRICS

    return [(name, metric.summary) for name, metric in METRICS.items()]
