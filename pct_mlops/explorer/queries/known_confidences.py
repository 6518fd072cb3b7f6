"""Says which controls of the explorer are off because a table on screen holds no confidences, and why."""

from __future__ import annotations

from pct_mlops.comparison.availability import unavailable_metrics, unavailable_sentence
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair

# Parameter of the address, or order of the gallery -> its words, and a metric that needs the same columns.
CONTROLS = {
    "confidence_lost": ("sort by target confidence lost", "type_1_flips"),
    "type": ("type of negative flip", "type_1_flips"),
    "new_confidence": ("sort by new confidence", "ece_new"),
    "conf": ("range of new confidence", "ece_new"),
    "old_confidence": ("sort by old confidence", "ece_old"),
    "flip_risk": ("sort by flip risk", "ece_old"),
}


def unavailable(pair: Pair) -> dict[str, str]:
    """Return metric -> the reason why these two tables do not give it."""
    return unavailable_metrics(pairs.comparison(pair))


def unavailable_words(pair: Pair) -> str:
    """Return one sentence that names these metrics with the reasons, or ""."""
    return unavailable_sentence(pairs.comparison(pair))


def switched_off(pair: Pair) -> dict[str, str]:
    """Return control -> the reason why it is off for these two tables."""
    lacking = unavailable(pair)
    return {name: lacking[metric] for name, (_, metric) in CONTROLS.items() if metric in lacking}


def switched_off_sentence(off: dict[str, str]) -> str:
    """Return one sentence that names the controls that are off, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in off.items():
        by_reason.setdefault(reason, []).append(CONTROLS[name][0])
    parts = [f"{', '.join(words)} ({reason})" for reason, words in by_reason.items()]
    return f"Off: {'; '.join(parts)}."
