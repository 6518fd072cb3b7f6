"""What is kept of a decision, and how a promotion that failed left production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.config import PctError

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.registry import Registry, Version


def gate_metrics(comparison: Comparison | None, confidence: float) -> dict[str, float]:
    """The metrics that a version's run shows of the gate; none without a comparison."""
    if comparison is None:
        return {}
    values = {key: comparison.estimate(key, confidence).value for key in ("nfr", "pfr", "accuracy_change")}
    return {f"gate/{key}": value for key, value in values.items() if value is not None}


def decision_tags(
    report: Mapping[str, Any], metrics: Mapping[str, float], old: Version | None, version: Version
) -> dict[str, str]:
    """The tags of `version` for a decision against `old`, given its report."""
    tags = {
        "gate.verdict": report["verdict"],
        "gate.nfr": f"{metrics['gate/nfr']:.6f}" if "gate/nfr" in metrics else "",
        "gate.baseline_version": str(old.version) if old else "",
        "gate.policy_digest": report["policy"]["digest"],
    }
    promotion = report["promotion"]
    # An override that an earlier decision had is no longer true of this one.
    if promotion is not None or "gate.override" in version.tags:
        tags["gate.override"] = promotion["reason"] if promotion and promotion["override"] else ""
    return tags


class Ending(NamedTuple):
    """How a promotion that failed left production. `moved`: by it, None when that is not certain."""

    sentence: str
    moved: bool | None
    in_production: bool = False


def ending_of(registry: Registry, target: str, released: Version, why: str, *, has_begun: bool) -> Ending:
    """How production of `target` stands after a promotion to `released` failed; `has_begun`: it was about to move."""
    if not has_begun:
        return Ending(f"nothing was promoted: {why}", False)
    from pct_mlops.registry import PRODUCTION, ProductionState, verify

    verb = f"'pct verify {target}'"
    try:
        now = registry.find(target, PRODUCTION)
        state = verify(registry, target).state
    except PctError:
        return Ending(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    if now is not None and now.uri == released.uri:
        if state is ProductionState.RECORDED:
            return Ending(f"{released.uri} is production already, and this run moved nothing more: {why}", False, True)
        repair = f"run 'pct verify {target} --repair'"
        return Ending(f"the promotion broke off after production had moved, {repair}: {why}", None, True)
    if state in (ProductionState.BEGUN, ProductionState.UNCLEAR):
        return Ending(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    return Ending(f"nothing was promoted: {why}", False)
