"""Keeps what a gate decided with the version that it judged."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pct_mlops.errors import PctError
from pct_mlops.registry.connection import Metric, MlflowException, missing, said_plainly
from pct_mlops.registry.model_version import MAX_TAG
from pct_mlops.registry.registry import Registry, Version

REPORT_TAG = "gate.report"


def record_decision(
    registry: Registry,
    version: Version,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    report: Mapping[str, Any],
    *,
    for_good: bool = False,
) -> str:
    """Keep a gate's decision with a version: tags, the report as an artifact, and metrics on the training run.

    Where there is no run, or it was deleted, the report goes to the version's own files and the metrics stay in it.

    Args:
        registry: Where the version is.
        version: The candidate that was judged.
        tags: Set on the version, last of all.
        metrics: Logged on the run.
        report: The report as JSON.
        for_good: A record of a move will point at the report, so no later decision on the same pair writes over it.

    Returns:
        The address of the report.
    """
    baseline = tags.get("gate.baseline_version") or "none"
    own = f"-{uuid.uuid4().hex[:8]}" if for_good else ""
    path = f"gate/version-{version.version}-against-{baseline}{own}.json"
    with said_plainly(f"recording the decision on {version.uri}"):
        has_run = _has_run(registry, version)
        if has_run:
            registry.client.log_dict(version.run_id, dict(report), path)
            now = int(time.time() * 1000)
            points = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
            registry.client.log_batch(version.run_id, metrics=points)
    address = f"runs:/{version.run_id}/{path}" if has_run else _keep_with_files(registry, version, report, path)
    with said_plainly(f"recording the decision on {version.uri}"):
        for key, text in tags.items():
            registry.client.set_model_version_tag(version.name, str(version.version), key, text)
    return address


def _has_run(registry: Registry, version: Version) -> bool:
    """Tell whether the run that made the version is there and takes records."""
    if not version.run_id:
        return False
    try:
        return bool(registry.client.get_run(version.run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if not missing(error):
            raise
        return False


def _keep_with_files(registry: Registry, version: Version, report: Mapping[str, Any], path: str) -> str:
    """Store the report among the version's own files, and return its address, which any client can read.

    Where the files cannot be written, for example in a bucket that others own, a tag of the version keeps the report,
    and the address is "".
    """
    folder, _, name = path.rpartition("/")
    text = json.dumps(dict(report), indent=2)
    try:
        with tempfile.TemporaryDirectory(prefix="pct-") as aside:
            file = Path(aside) / name
            file.write_text(text, encoding="utf-8")
            registry.files(version).add(file, folder)
    except PctError:
        if len(text.encode()) > MAX_TAG:
            raise
        with said_plainly(f"recording the decision on {version.uri}"):
            registry.client.set_model_version_tag(version.name, str(version.version), REPORT_TAG, text)
        return ""
    return f"{version.uri}/{path}"
