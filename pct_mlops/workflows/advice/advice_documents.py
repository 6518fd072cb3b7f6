"""Writes advice as Markdown and JSON. Rates are fractions in JSON, and what is unknown is null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pct_mlops.reports.markdown import code, markdown_text
from pct_mlops.workflows.advice.advice_text import change_text, cost_text, history_cells, long_cells
from pct_mlops.workflows.advice.advise import Advice
from pct_mlops.workflows.advice.evidence_table import CHANGES, UpdateEvidence
from pct_mlops.workflows.advice.recommendation import methods_of, recommend_update

if TYPE_CHECKING:
    from pct_mlops.workflows.advice.update_history import PastUpdates

ADVICE_VERSION = 1  # increased when a key is removed or changes its meaning


def advice_to_json(advice: Advice) -> dict[str, Any]:
    """Return the advice as plain data."""
    chosen, updates = advice.recommendation, advice.updates
    return {
        "report_version": ADVICE_VERSION,
        "kind": "advice",
        "model": advice.name or None,
        "production": advice.production,
        "subject": advice.subject or None,
        "changes": [asdict(change) for change in advice.changes],
        "recommendation": None
        if chosen is None
        else {
            "method": chosen.method,
            "words": list(chosen.words),
            "command": advice.command,
            "nfr_ratio": chosen.nfr_ratio,
            "cost": chosen.cost,
            "price": chosen.price,
            "doubt": chosen.doubt or None,
            "reference": None if chosen.reference is None else chosen.reference.method,
        },
        "from_history": advice.from_history or None,
        "updates": [] if updates is None else [asdict(row) for row in updates.rows],
        "num_updates": 0 if updates is None else updates.total,
        "evidence": [asdict(row) for row in advice.evidence],
        "notes": list(advice.notes),
    }


def advice_markdown(advice: Advice) -> str:
    """Return the advice as a Markdown document."""
    parts = [f"# Which update for {markdown_text(advice.name)}" if advice.name else "# Which update for which change"]
    if advice.changes:
        about = f"by {advice.subject} against {advice.name}/{advice.production}"
        parts.append(f"Change: {markdown_text(change_text(advice.changes))}, {markdown_text(about)}.")
    if advice.recommendation is not None:
        parts += [f"Train: {code(advice.command)}", f"Price: {markdown_text(advice.recommendation.price)}"]
        parts.append(markdown_text(advice.recommendation.doubt))
        parts += [f"Besides: {markdown_text(text)}" for text in [advice.recommendation.besides] if text]
    if advice.from_history:
        parts.append(f"History: {markdown_text(advice.from_history)}")
    parts += [markdown_text(note) for note in advice.notes]
    main = [advice.changes[0].kind] if advice.changes else CHANGES
    parts += [evidence_markdown(advice.evidence, change) for change in main]
    if advice.updates is not None and advice.updates.rows:
        parts.append(_updates_markdown(advice.updates))
    return "\n\n".join(part for part in parts if part) + "\n"


def evidence_markdown(evidence: Sequence[UpdateEvidence], change: str) -> str:
    """Return the measured updates of one change as a Markdown table, "" where there are none."""
    summaries = methods_of(change, evidence)
    if not summaries:
        return ""
    chosen = recommend_update(change, evidence)
    lines = [
        f"| {change} | data set | seeds | accuracy % | NFR % | time | words |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for data_set in dict.fromkeys(name for summary in summaries for name in summary.rows):
        for summary in summaries:
            row = summary.rows.get(data_set)
            if row is not None:
                is_chosen = chosen is not None and chosen.method == row.method
                title = f"**{markdown_text(row.method)}**" if is_chosen else markdown_text(row.method)
                words = code(" ".join(row.words)) if row.words else ""
                cells = (title, markdown_text(data_set), str(row.seeds), *long_cells(row), cost_text(row.cost), words)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _updates_markdown(updates: PastUpdates) -> str:
    lines = ["| versions | what changed | loss | start | accuracy | NFR | gate |", "|---|---|---|---|---:|---:|---|"]
    lines += [f"| {' | '.join(markdown_text(cell) for cell in history_cells(row))} |" for row in updates.rows]
    return "\n".join(lines)
