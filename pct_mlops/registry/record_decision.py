"""What a gate decided, kept with the version that it judged."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from pct_mlops.registry.connection import Metric, said_plainly
from pct_mlops.registry.registry import Registry, Version


def record_decision(
    registry: Registry,
    version: Version,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    report: Mapping[str, Any],
    *,
    for_good: bool = False,
) -> str:
    """Keep a gate's decision with the version: tags, metrics on its run, the report as artifact; returns its URI.

    `for_good`: a record of a move will point at the report, so no later decision on the same pair writes over it.
    """
    baseline = tags.get("gate.baseline_version") or "none"
    own = f"-{uuid.uuid4().hex[:8]}" if for_good else ""
    path = f"gate/version-{version.version}-against-{baseline}{own}.json"
    with said_plainly(f"recording the decision on {version.uri}"):
        registry.client.log_dict(version.run_id, dict(report), path)
        now = int(time.time() * 1000)
        points = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
        registry.client.log_batch(version.run_id, metrics=points)
        for key, text in tags.items():
            registry.client.set_model_version_tag(version.name, str(version.version), key, text)
    return f"runs:/{version.run_id}/{path}"
