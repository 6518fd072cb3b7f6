"""Gates the predictions of two models that were made elsewhere, without a registry and without our training.

    python examples/gate_two_tables.py

Writes old.parquet, new.parquet and report.json into the current folder. The exit code is the gate's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from pct_mlops import Policy, Predictions, compare, decide


def main() -> int:
    """Train two classifiers of scikit-learn, write their tables, compare them, and decide."""
    digits = load_digits()
    rows = range(len(digits.target))
    train, test = train_test_split(rows, test_size=0.5, random_state=0, stratify=digits.target)
    models = {
        "old": LogisticRegression(max_iter=200).fit(digits.data[train[:300]], digits.target[train[:300]]),
        "new": SVC(random_state=0).fit(digits.data[train], digits.target[train]),
    }
    tables = {}
    for name, model in models.items():
        scores = model.decision_function(digits.data[test])  # [N, 10]: any scores whose largest is the prediction
        tables[name] = Predictions.from_arrays(
            [f"test/{row:04d}" for row in test],  # by which the examples of both tables are matched
            digits.target[test],
            scores,
            class_names=[str(name) for name in digits.target_names],
            model_name=name,
            split="test",  # a policy decides on one split, by default this one
        ).save(Path(f"{name}.parquet"))

    comparison = compare(tables["old"], tables["new"])
    nfr = comparison.estimate("nfr", confidence=0.95)
    print(f"{comparison.counts.negative_flips} negative flips: NFR {nfr.value:.2%}, at most {nfr.upper:.2%}")
    for flip in comparison.flips(limit=3):
        print(f"  {flip.sample_id}: {flip.label} became {flip.new_prediction}")

    policy = Policy.model_validate({"rules": [{"metric": "nfr", "max": 0.03, "bound": "upper"}]})
    decision = decide(policy, comparison)
    print(decision.verdict, decision.sentence)
    report = {"verdict": str(decision.verdict), "checks": [check.sentence for check in decision.checks]}
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return decision.exit_code


if __name__ == "__main__":
    sys.exit(main())
