"""A decision of every verdict, with names that try to be something else."""

from __future__ import annotations

from dataclasses import replace

from prediction_tables import pair_of_counts, table

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.gate import Verdict, decide

HOSTILE = "]]><!--\x00\x1b[31m</testcase>&amp;\ud800|`x` <img src=x onerror=alert(1)> [a](http://evil) @org/team #1 _b_"
RULES = {
    "PASS": [{"metric": "nfr", "max": 0.5}, {"metric": "class_nfr", "max": 0.5, "min_support": 100}],
    "FAIL": [{"metric": "nfr", "max": 0.001}, {"metric": "class_nfr", "max": 0.5}],
    "INCONCLUSIVE": [{"metric": "nfr", "max": 0.021}],
    "ERROR": [{"metric": "fractional_nfr", "max": 0.5}, {"metric": "nfr", "max": 0.5}],
}


def hostile(text=HOSTILE):
    """The same without what Arrow cannot hold."""
    return text.replace("\ud800", "")


def judged(verdict, *, class_names=None):
    """(decision, comparison or None) of that verdict over a thousand examples of three classes."""
    names = class_names or ("cat", "dog", "owl")
    info = {"class_names": names, "model_name": "pets"}
    if verdict == "BOOTSTRAP":
        policy = Policy.model_validate({"rules": RULES["PASS"]})
        return decide(policy, None, baseline_exists=False, candidate=table([0], [0], **info).info), None
    comparison = compare(*pair_of_counts(900, 20, 50, 30, **info))
    return decide(Policy.model_validate({"rules": RULES[verdict]}), comparison), comparison


def refused():
    """An ERROR for which no rule was looked at."""
    policy = Policy.model_validate({"rules": RULES["PASS"]})
    return decide(policy, None, problem="The tables differ.", candidate=table([0], [0]).info), None


def unkept():
    """A PASS that could not be recorded: its checks hold, and yet the whole is an ERROR."""
    decision, comparison = judged("PASS")
    return replace(decision, verdict=Verdict.ERROR, sentence="The server is gone."), comparison
