"""What a gate decided, kept with the version that it judged."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
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
    address = _keep_with_files(registry, version, report, path) if not version.run_id else ""
    with said_plainly(f"recording the decision on {version.uri}"):
        if version.run_id:
            registry.client.log_dict(version.run_id, dict(report), path)
            now = int(time.time() * 1000)
            points = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
            registry.client.log_batch(version.run_id, metrics=points)
        for key, text in tags.items():
            registry.client.set_model_version_tag(version.name, str(version.version), key, text)
    return address or f"runs:/{version.run_id}/{path}"


def _keep_with_files(registry: Registry, version: Version, report: Mapping[str, Any], path: str) -> str:
    """Store the report of a version that no run made among the version's own files, and return its address."""
    folder, _, name = path.rpartition("/")
    files = registry.files(version)
    with tempfile.TemporaryDirectory(prefix="pct-") as aside:
        file = Path(aside) / name
        file.write_text(json.dumps(dict(report), indent=2), encoding="utf-8")
        files.add(file, folder)
    return files.address(path)
