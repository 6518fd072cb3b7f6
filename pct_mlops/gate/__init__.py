"""Decides from a policy and a comparison whether a candidate may replace the baseline."""

from pct_mlops.gate.beyond import apart_ids
from pct_mlops.gate.decide import decide, is_same_model
from pct_mlops.gate.decision import EXIT_CODES, Check, Decision, NotJudged, Verdict
from pct_mlops.gate.limit_distance import distance, is_at_most
from pct_mlops.gate.policy_trial import PolicyTrial, TrialRow, try_policy
from pct_mlops.gate.reviews import Mark, Review, ReviewKind, ReviewState, in_force, review_state
from pct_mlops.gate.rule_groups import RuleGroup, by_rule, part_sentence, rules_sentence
from pct_mlops.gate.ruler import Ruler, ruler
from pct_mlops.gate.rules import check_rule
from pct_mlops.gate.ties import Tie, Ties, tie_of
from pct_mlops.gate.whatif import limit_name, tightest, to_yaml, with_limits

__all__ = [
    "EXIT_CODES",
    "Check",
    "Decision",
    "Mark",
    "NotJudged",
    "PolicyTrial",
    "Review",
    "ReviewKind",
    "ReviewState",
    "RuleGroup",
    "Ruler",
    "Tie",
    "Ties",
    "TrialRow",
    "Verdict",
    "apart_ids",
    "by_rule",
    "check_rule",
    "decide",
    "distance",
    "in_force",
    "is_at_most",
    "is_same_model",
    "limit_name",
    "part_sentence",
    "review_state",
    "ruler",
    "rules_sentence",
    "tie_of",
    "tightest",
    "to_yaml",
    "try_policy",
    "with_limits",
]
