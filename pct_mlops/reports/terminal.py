"""Renders decisions and comparisons for a terminal of 80 columns.

Names from outside are shown as text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.comparison import shared_loss, unknown_labels_sentence
from pct_mlops.config.numbers import number_of, percent, points
from pct_mlops.gate import rules_sentence
from pct_mlops.reports.class_change import class_change_lines
from pct_mlops.reports.rule_lines import rule_lines, too_small_parts, worst_rule_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.comparison import Comparison, FlipCounts
    from pct_mlops.gate import Decision, RuleGroup

STYLES = {
    "PASS": ("✓", "green"),
    "BOOTSTRAP": ("✓", "green"),
    "FAIL": ("✗", "red"),
    "INCONCLUSIVE": ("?", "yellow"),
    "ERROR": ("!", "red"),
}
_MAX_RULES = 20
_MAX_NOT_JUDGED = 5


def render_decision(decision: Decision, comparison: Comparison | None = None, *, brief: bool = False) -> RenderableType:
    """Render the verdict, what was compared, and a line for each rule (at most 20, the worst first).

    Below a rule on classes or slices stand its worst ones. With `brief`, the rules that hold are only counted.
    """
    mark, style = STYLES[str(decision.verdict)]
    parts: list[RenderableType] = [
        Text.assemble((f"{mark} {decision.verdict}", f"bold {style}"), "  ", clean(rules_sentence(decision)))
    ]
    if decision.shared_loss:
        parts.append(Text(decision.shared_loss, style="bold red"))
    if decision.candidate is not None:
        against = f" against {decision.baseline.title}" if decision.baseline else ""
        parts.append(Text(clean(f"{decision.candidate.title}{against}"), style="dim"))
    if comparison is not None:
        parts.append(Text(flips_line(comparison.counts), style="dim"))
    if comparison is not None and comparison.class_change is not None:
        parts += [Text(clean(line), style="dim") for line in class_change_lines(comparison, decision.confidence)]
    groups = worst_rule_first(decision)
    shown = [group for group in groups if not (brief and group.worst.verdict == "PASS")]
    if shown:
        parts += [Text(""), _rules_table(shown[:_MAX_RULES])]
    if held := len(groups) - len(shown):
        parts.append(Text(f"{number_of(held, 'rule')} {'holds' if held == 1 else 'hold'}.", style="dim"))
    hidden = len(shown) - _MAX_RULES
    if hidden > 0:
        more = number_of(hidden, "more rule")
        parts.append(Text(f"{more}, none worse than the last one shown: see the JSON report."))
    return Group(*parts, *_remarks(decision), *_policy(decision))


def _policy(decision: Decision) -> list[RenderableType]:
    file = decision.policy.file
    return [Text(clean(f"Policy: {file} ({decision.policy_digest[:12]})"), style="dim")] if file else []


def _remarks(decision: Decision) -> list[RenderableType]:
    """Return lines on what took no part in the verdict, or did so in another way than it was observed."""
    parts: list[RenderableType] = []
    if decision.apart:
        counted = ", ".join(f"{count:,} {mark}" for mark, count in decision.apart.items())
        parts.append(Text(clean(f"Counted apart, as reviewers marked them: {counted}."), style="bold"))
    if decision.not_judged:
        named, others = too_small_parts(decision.not_judged, _MAX_NOT_JUDGED)
        text = f"Not judged, too few examples: {', '.join([*named, *others])}"
        parts.append(Text(clean(text), style="dim"))
    return parts + [Text(clean(note), style="dim") for note in decision.notes]


def render_metrics(comparison: Comparison, confidence: float = 0.95) -> RenderableType:
    """Render every overall metric with its one-sided bounds."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("metric", no_wrap=True)
    for name in ("value", "lower", "upper"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for metric in comparison.metrics(every=True):
        if metric.per_class:
            continue
        estimate = comparison.estimate(metric.name, confidence)
        numbers = [metric_text(estimate.value, metric.unit)]
        numbers += [_bound_text(bound, metric.unit) for bound in (estimate.lower, estimate.upper)]
        lacking = comparison.lacking(metric.name)
        said = f"not available: {lacking}" if lacking else metric.summary
        table.add_row(metric.name, *numbers, Text(said, style="dim"))
    title = f"{comparison.new.title} against {comparison.old.title}, {comparison.counts.total:,} examples"
    level = f"{100 * confidence:.4g}%"
    note = f"Lower and upper are one-sided bounds, each at {level} confidence. – is undefined or unbounded."
    # What a rise of the overall accuracy would hide comes first.
    loss = shared_loss(comparison)
    head = [Text(loss, style="bold red")] if loss else []
    head.append(Text(clean(title), style="bold"))
    lines = [*class_change_lines(comparison, confidence), unknown_labels_sentence(comparison)]
    head += [Text(clean(line)) for line in lines if line]
    return Group(*head, Padding(table, (1, 0)), Text(note, style="dim"))


def _rules_table(groups: Sequence[RuleGroup]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for text, verdict, is_part in rule_lines(groups):
        mark, style = STYLES[str(verdict)] if verdict is not None else ("", "dim")
        if is_part:
            table.add_row("", Text.assemble((f"{mark} ".lstrip(), style), (clean(text), "dim")))
        else:
            table.add_row(Text(f"{mark} {verdict}", style=style), Text(clean(text)))
    return table


def flips_line(counts: FlipCounts) -> str:
    """Return the 2x2 counts as a sentence."""
    return (
        f"{number_of(counts.total, 'example')}: {number_of(counts.negative_flips, 'negative flip')}, "
        f"{number_of(counts.positive_flips, 'positive flip')}, {counts.both_right:,} both right, "
        f"{counts.both_wrong:,} both wrong"
    )


def metric_text(value: float | None, unit: str) -> str:
    """Format a metric by its `unit`, as in the metric's definition. None becomes –."""
    if value is None:
        return "–"
    if unit == "signed share":
        return points(value)
    return percent(value) if unit == "share" else f"{value:.4f}"


def _bound_text(value: float | None, unit: str) -> str:
    """Format a bound. The value beside it names the points, which would take the room of the explanation."""
    return metric_text(value, unit).removesuffix(" points")


def clean(text: str) -> str:
    """Replace unprintable characters by �.

    Names may hold escape sequences that would repaint a terminal.
    """
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
