"""Renders advice for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.config.numbers import percent
from pct_mlops.reports.terminal import clean
from pct_mlops.workflows.advice.advise import Advice
from pct_mlops.workflows.advice.change_facts import Change
from pct_mlops.workflows.advice.evidence_table import CHANGES, TWO_MODELS, UpdateEvidence
from pct_mlops.workflows.advice.recommendation import MethodSummary, methods_of, recommend_update

if TYPE_CHECKING:
    from pct_mlops.workflows.advice.update_history import PastUpdate, PastUpdates

NONE = "–"
LOSES = "!"  # behind an update that loses accuracy
_ROOM = 70  # columns beside the title of a line
MAX_METHODS = 7  # of one change, so that all four fit on a screen
LEGEND = (
    "Untreated: accuracy and NFR in %. The others against it: change of accuracy in points, and multiples of NFR and "
    f"training time. * is recommended, {LOSES} loses accuracy."
)


def render_advice(advice: Advice, *, every: bool = False) -> RenderableType:
    """Render the decision table, or what is advised for a model, each within one screen of 80 columns.

    With `every`, nothing is left out.
    """
    notes = [Text(clean(note), style="dim") for note in advice.notes]
    if not advice.name:
        return Group(*([render_evidence(advice.evidence, every=every)] if advice.evidence else []), *notes)
    parts: list[RenderableType] = [*_advised(advice), *notes]
    main = advice.changes[0].kind if advice.changes else ""
    if any(row.change == main for row in advice.evidence):
        parts += [Text(""), _rows_of(main, advice.evidence)]
    if advice.updates is not None:
        parts += [Text(""), *_history(advice.name, advice.updates)]
    return Group(*parts)


# The decision table ------------------------------------------------------------------------------------------------


def render_evidence(evidence: Sequence[UpdateEvidence], *, every: bool = False) -> RenderableType:
    """Render the whole decision table, with the data sets side by side."""
    data_sets = list(dict.fromkeys(row.data_set for row in evidence))
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("\nchange and update", overflow="fold", max_width=30)
    for data_set in data_sets:
        table.add_column(Text(f"{clean(data_set)}\naccuracy"), justify="right", no_wrap=True)
        table.add_column("\nNFR", justify="right", no_wrap=True)
    table.add_column("\ntime", justify="right", no_wrap=True)
    left = 0
    for change in CHANGES:
        summaries = methods_of(change, evidence)
        if not summaries:
            continue
        chosen = recommend_update(change, evidence)
        table.add_row(Text(change, style="bold"))
        shown = summaries if every else summaries[:MAX_METHODS]
        left += len(summaries) - len(shown)
        for summary in shown:
            mark = _mark(summary, chosen.method if chosen else "")
            cells = [cell for data_set in data_sets for cell in short_cells(summary.rows.get(data_set))]
            table.add_row(Text(clean(f"  {summary.method}{mark}")), *cells, cost_text(summary.cost))
    more = f" {left} more with --all." if left else ""
    return Group(table, *_lines_to_type(evidence), Text(f"{LEGEND}{more}", style="dim"))


def _lines_to_type(evidence: Sequence[UpdateEvidence]) -> list[Text]:
    found: dict[str, list[str]] = {}
    for change in CHANGES:
        chosen = recommend_update(change, evidence)
        if chosen is not None:
            words = " ".join(f"--set {word}" for word in chosen.words)
            found.setdefault(f"pct train FILE {words}", []).append(change)
    return [Text(clean(f"{', '.join(changes)}: {line}")) for line, changes in found.items()]


def _mark(summary: MethodSummary, chosen: str) -> str:
    return " *" if summary.method == chosen else "" if summary.keeps_accuracy else f" {LOSES}"


def short_cells(row: UpdateEvidence | None) -> tuple[str, str]:
    """Return accuracy and NFR of an update: in % for the untreated one, against it for the others."""
    if row is None:
        return NONE, NONE
    if row.is_untreated:
        return _plain(row.accuracy, "{:.2%}"), _plain(row.nfr, "{:.2%}")
    change = None if row.accuracy_change is None else 100 * row.accuracy_change
    return _plain(change, "{:+.2f}"), _plain(row.nfr_ratio, "x {:.2f}")


def long_cells(row: UpdateEvidence) -> tuple[str, str]:
    """Return the same with intervals, or with standard deviations for the untreated update."""
    accuracy, nfr = short_cells(row)
    if row.is_untreated:
        return accuracy + _deviation(row.accuracy_std), nfr + _deviation(row.nfr_std)
    ends = (row.accuracy_change_low, row.accuracy_change_high)
    scaled = [None if end is None else 100 * end for end in ends]
    return (
        accuracy + _interval(scaled, "{:+.2f}"),
        nfr + _interval((row.nfr_ratio_low, row.nfr_ratio_high), "{:.2f}"),
    )


def cost_text(cost: float | None) -> str:
    """Return training time as a multiple of that of the untreated update."""
    return _plain(cost, "x {:.1f}")


def _plain(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def _interval(ends: Iterable[float | None], form: str) -> str:
    known = [form.format(end) for end in ends if end is not None]
    return f" ({' to '.join(known)})" if len(known) == 2 else ""


def _deviation(value: float | None) -> str:
    return "" if value is None else f" ± {100 * value:.2f}"


# Advice for a model ------------------------------------------------------------------------------------------------


def _advised(advice: Advice) -> list[Text]:
    """Return the lines on the change, what to train for it, its price, and the model's own history."""
    if not advice.changes:
        return []
    subject = f"{advice.subject} against {advice.name}/{advice.production}"
    lines = [("Change", f"{change_text(advice.changes)}, by {subject}")]
    chosen = advice.recommendation
    if chosen is not None:
        lines += [("Train", _broken(advice.command)), ("Price", f"{chosen.price} {chosen.doubt}".strip())]
        if chosen.reference is not None:
            lines.append(("Besides", f"{chosen.besides}{_how(chosen.reference, advice.name)}"))
    lines.append(("History", advice.from_history))
    return [_entry(title, text) for title, text in lines]


def _how(reference: MethodSummary, name: str) -> str:
    """Say how two models are deployed. Return "" for anything else."""
    if reference.method != TWO_MODELS:
        return ""
    how = f"pct ensemble --register {name}@production {name}@candidate"
    return f" The candidate is an untreated update.\n  {how}"


def _broken(command: str) -> str:
    """Break a command that is longer than a line before its options, so that it can still be copied."""
    if len(command) <= _ROOM:
        return command
    return command.replace(" --", " \\\n  --")


def _entry(title: str, text: str) -> Text:
    return Text("\n".join(clean(line) for line in f"{title:8} {text}".split("\n")))


def change_text(changes: Iterable[Change]) -> str:
    """Return changes as one text, each with what it was told from."""
    return "; ".join(f"{change.kind} ({change.detail})" if change.detail else change.kind for change in changes)


def _rows_of(change: str, evidence: Sequence[UpdateEvidence]) -> RenderableType:
    """Render what was measured for one change, data set by data set, with intervals."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(change, overflow="fold", max_width=28)
    for head in ("accuracy", "NFR", "time"):
        table.add_column(head, justify="right", no_wrap=True)
    summaries, chosen = methods_of(change, evidence), recommend_update(change, evidence)
    for data_set in dict.fromkeys(name for summary in summaries for name in summary.rows):
        seeds = max(summary.rows[data_set].seeds for summary in summaries if data_set in summary.rows)
        table.add_row(Text(clean(f"{data_set}, {seeds} seeds"), style="bold"))
        for summary in summaries:
            if data_set in summary.rows:
                row = summary.rows[data_set]
                title = Text(clean(f"  {row.method}{_mark(summary, chosen.method if chosen else '')}"))
                table.add_row(title, *long_cells(row), cost_text(row.cost))
    return Group(table, Text(LEGEND, style="dim"))


def _history(name: str, updates: PastUpdates) -> list[RenderableType]:
    if not updates.rows:
        return [Text(clean(f"{name} has no version that replaced production or was meant to."))]
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("version", no_wrap=True)
    for title in ("what changed", "loss", "start"):
        table.add_column(title, overflow="ellipsis", no_wrap=True)
    for title in ("accuracy", "NFR"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    for row in updates.rows:
        table.add_row(*(Text(clean(cell)) for cell in history_cells(row)))
    hidden = updates.total - len(updates.rows)
    more = [Text(f"{hidden} older with --all.", style="dim")] if hidden > 0 else []
    notes = [Text(clean(f"Version {row.version}: {row.note}"), style="dim") for row in updates.rows if row.note]
    heading = Text(clean(f"Updates of {name}, against the version that was in production"), style="bold")
    return [heading, Padding(table, (0, 0)), *more, *notes]


def history_cells(row: PastUpdate) -> tuple[str, ...]:
    """Return one update as texts: versions, change, loss, start, accuracy with its change, NFR, and verdict."""
    points = "" if row.accuracy_change is None else f" {100 * row.accuracy_change:+.2f}"
    accuracy = NONE if row.accuracy is None else f"{percent(row.accuracy)}{points}"
    others = f" +{len(row.changes) - 1}" if len(row.changes) > 1 else ""
    return (
        f"{row.against} to {row.version}",
        f"{row.changes[0].kind}{others}",
        row.loss or NONE,
        row.start or NONE,
        accuracy,
        NONE if row.nfr is None else percent(row.nfr),
        row.verdict,
    )
