"""May the candidate replace the baseline? A policy, a comparison, one decision."""

from pct_mlops.gate.decide import decide, is_same_model
from pct_mlops.gate.decision import EXIT_CODES, Check, Decision, NotJudged, Verdict
from pct_mlops.gate.reviews import Mark, Review, ReviewKind, ReviewState, standing

__all__ = [
    "EXIT_CODES",
    "Check",
    "Decision",
    "Mark",
    "NotJudged",
    "Review",
    "ReviewKind",
    "ReviewState",
    "Verdict",
    "decide",
    "is_same_model",
    "standing",
]
