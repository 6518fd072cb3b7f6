"""Writes how often a policy passes simulated candidates: for the terminal, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.config.numbers import percent, points
from pct_mlops.gate import Verdict
from pct_mlops.gate.policy_trial import VERDICTS
from pct_mlops.reports.markdown import markdown_text
from pct_mlops.reports.methods import markdown_cell
from pct_mlops.reports.terminal import clean

if TYPE_CHECKING:
    from pct_mlops.gate import PolicyTrial, TrialRow

TRIAL_VERSION = 1  # increased when a key is removed or changes its meaning


def render_trial(trial: PolicyTrial) -> RenderableType:
    """Render the sentence, a table with one row for each kind of candidate, and what cannot be told."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    header = _header(trial)
    for place, column in enumerate(header):
        is_text = place in (0, len(header) - 1)
        table.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in trial.rows:
        table.add_row(*(Text(clean(cell)) for cell in _cells(trial, row)))
    return Group(
        Text(clean(trial.sentence), style="bold"),
        Padding(table, (1, 0)),
        *(Text(clean(line)) for line in (_reading(trial), *trial.limits, *trial.notes)),
    )


def trial_markdown(trial: PolicyTrial) -> str:
    """Return the same as a Markdown document."""
    header = _header(trial)
    lines = [
        "# How often does this policy pass?",
        "",
        f"**{markdown_text(trial.sentence)}**",
        "",
        f"| {' | '.join(header)} |",
        f"|{'|'.join('---' if place in (0, len(header) - 1) else '--:' for place in range(len(header)))}|",
    ]
    for row in trial.rows:
        lines.append(f"| {' | '.join(markdown_cell(markdown_text(cell)) for cell in _cells(trial, row))} |")
    lines += ["", *(f"- {markdown_text(line)}" for line in (_reading(trial), *trial.limits, *trial.notes))]
    return "\n".join(lines) + "\n"


def _shown(trial: PolicyTrial) -> tuple[Verdict, ...]:
    """Return the verdicts that get a column: ERROR only where there is one."""
    return tuple(
        verdict
        for verdict in VERDICTS
        if verdict is not Verdict.ERROR or any(row.counts[verdict] for row in trial.rows)
    )


def _header(trial: PolicyTrial) -> list[str]:
    return ["candidate", "NFR", "change", *(str(verdict) for verdict in _shown(trial)), "stopped by"]


def _cells(trial: PolicyTrial, row: TrialRow) -> list[str]:
    stopped = (
        f"{row.stopped_by[0][0].short}, {100 * row.stopped_by[0][1] / row.num:.0f}%" if row.stopped_by else "nothing"
    )
    shares = [_share(row, verdict) for verdict in _shown(trial)]
    return [row.kind.title, percent(row.kind.nfr), points(row.kind.accuracy_change).split()[0], *shares, stopped]


def _share(row: TrialRow, verdict: Verdict) -> str:
    value, low, high = (100 * number for number in row.share(verdict))
    shown = f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"
    return f"{shown} ({low:.0f}-{high:.0f})"


def _reading(trial: PolicyTrial) -> str:
    return (
        "NFR and change (points of accuracy) are the true ones. Verdicts are percent of "
        f"{trial.candidates:,} tries with their 95% interval, beside the check that stops most of them. The old model, "
        f"{trial.old.title}, is right on {percent(trial.accuracy)}. A candidate as good as it has "
        f"{percent(trial.churn)} negative and as many positive flips ({trial.churn_source})."
    )


def trial_to_json(trial: PolicyTrial) -> dict[str, Any]:
    """Return the result for a report."""
    return {
        "report_version": TRIAL_VERSION,
        "kind": "policy_trial",
        "sentence": trial.sentence,
        "policy_digest": trial.rules.given.digest,
        "confidence": trial.rules.policy.confidence,
        "rules_tried": list(trial.rules.numbers),
        "old_model": trial.old.title,
        "dataset_digest": trial.old.digest,
        "num_examples": trial.old.num_examples,
        "accuracy_old": trial.accuracy,
        "churn": trial.churn,
        "churn_source": trial.churn_source,
        "candidates": trial.candidates,
        "seed": trial.seed,
        "limits": list(trial.limits),
        "notes": list(trial.notes),
        "rows": [_row_json(row) for row in trial.rows],
    }


def _row_json(row: TrialRow) -> dict[str, Any]:
    shares = {
        str(verdict): dict(zip(("share", "lower", "upper"), row.share(verdict), strict=True)) for verdict in VERDICTS
    }
    return {
        "kind": row.kind.title,
        "nfr": row.kind.nfr,
        "accuracy_change": row.kind.accuracy_change,
        "on_limits_of_rules": list(row.kind.on_limits),
        "verdicts": {name: {"count": row.counts[Verdict(name)], **share} for name, share in shares.items()},
        "stopped_by": [
            {"rule": name.rule, "metric": name.metric, "about": name.about, "count": number}
            for name, number in row.stopped_by
        ],
    }
