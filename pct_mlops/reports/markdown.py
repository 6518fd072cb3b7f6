"""Writes a decision as Markdown for a pull request or a step summary, never larger than what these accept.

Names come from outside. They are shown as text, so that no class name makes a link, an image, a heading or a mention.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pct_mlops.gate import rules_sentence
from pct_mlops.reports.class_change import class_change_lines
from pct_mlops.reports.rule_lines import rule_lines, too_small_parts, worst_rule_first
from pct_mlops.reports.terminal import STYLES, clean, flips_line, metric_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.comparison import Comparison
    from pct_mlops.gate import Decision
    from pct_mlops.reports.links import ComparedPair

# A comment on GitHub holds 65,536 characters. A step summary holds 1 MiB, and is dropped if it is larger. Both are in
# bytes here.
PULL_REQUEST, STEP_SUMMARY = 64 * 1024, 1024 * 1024
_MAX_TEXT = 600  # characters of one sentence or name
_TO_SAY_HOW_MANY = 100  # bytes of the sentence on a list of which no item fits
_WORST = 20  # classes or slices below a rule
_SHOWN_METRICS = ("accuracy_old", "accuracy_new", "accuracy_change", "nfr", "pfr")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|~$])")
# Mentions, issue numbers (#1, GH-1), bare addresses, and emoji such as :tada:.
_FOUND_LATER = re.compile(r"@(?=\w)|\\#(?=\w)|:(?=//|\\?[\w+-])|(?i:www)(?=\.)|\b(?i:gh)\\-(?=\d)")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def to_markdown(
    decision: Decision,
    comparison: Comparison | None = None,
    *,
    pair: ComparedPair | None = None,
    explorer: str = "",
    remarks: Sequence[str] = (),
    limit: int = PULL_REQUEST,
) -> str:
    """Return the document, with at most `limit` bytes of UTF-8. A list that does not fit says how many more there are.

    Args:
        decision: The decision.
        comparison: Its comparison, if there was one.
        pair: The compared models, for a link to the explorer or a command.
        explorer: The explorer's address, for the link.
        remarks: Further lines of the caller.
        limit: The largest size in bytes.
    """
    mark, _ = STYLES[str(decision.verdict)]
    parts = [f"## {mark} {decision.verdict}: {_title(decision)}", markdown_text(rules_sentence(decision))]
    parts += [f"**{markdown_text(remark)}**" for remark in (decision.shared_loss, *remarks) if remark]
    if pair is not None:
        parts.append(
            f"[Look at every flip in the explorer]({pair.address(explorer)})"
            if explorer
            else f"Look at every flip: {code(pair.command)}"
        )
    if comparison is not None:
        parts.append(_numbers(decision, comparison))
        parts += [markdown_text(line) for line in class_change_lines(comparison, decision.confidence)]
    if decision.apart:
        counted = ", ".join(f"{count:,} {markdown_text(name)}" for name, count in decision.apart.items())
        parts.append(f"Counted apart, as reviewers marked them: {counted}.")
    parts += [markdown_text(note) for note in decision.notes]
    policy = ", ".join(code(part) for part in (decision.policy.file, decision.policy_digest[:12]) if part)
    parts.append(f"Policy {policy}, bounds at {100 * decision.confidence:.4g}% confidence.")
    document = "\n\n".join(parts) + "\n"
    last = _TO_SAY_HOW_MANY if decision.not_judged else 0
    document += _checks(decision, limit - len(document.encode()) - last)
    return document + _not_judged(decision, limit - len(document.encode()))


def markdown_text(value: str) -> str:
    """Return text from outside as Markdown that renders as nothing but this text. Cut a long text, and say so."""
    value = clean(value.replace("\n", " "))
    if len(value) > _MAX_TEXT:
        value = f"{value[:_MAX_TEXT]}… ({len(value) - _MAX_TEXT:,} more characters)"
    value = "".join(_HTML.get(character, character) for character in value.strip())
    value = _SPECIAL.sub(r"\\\1", value)
    # This would begin a list.
    value = re.sub(r"^(\d+)\.", r"\1\\.", value)
    # GitHub looks for these in the rendered text. A zero-width space stops it, a backslash or an entity does not.
    return _FOUND_LATER.sub(lambda found: f"{found[0]}\u200b", value)


def code(value: str) -> str:
    """Return text from outside as a code span. Cut a long text.

    Do not use it in a table, where a | in the text would end the cell.
    """
    value = clean(value)
    value = value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}…"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", value)), default=0) + 1)
    edge = " " if value.startswith("`") or value.endswith("`") else ""
    return f"{fence}{edge}{value}{edge}{fence}"


def _title(decision: Decision) -> str:
    if decision.candidate is None:
        return "the candidate"
    against = f" against {markdown_text(decision.baseline.title)}" if decision.baseline else ""
    return f"{markdown_text(decision.candidate.title)}{against}"


def _numbers(decision: Decision, comparison: Comparison) -> str:
    rows = ["| | value | at least | at most |", "|---|---:|---:|---:|"]
    for name in _SHOWN_METRICS:
        estimate, unit = comparison.estimate(name, decision.confidence), comparison.metric(name).unit
        values = " | ".join(metric_text(value, unit) for value in (estimate.value, estimate.lower, estimate.upper))
        rows.append(f"| {markdown_text(name)} | {values} |")
    return "\n".join([f"{flips_line(comparison.counts)}.", "", *rows])


def _checks(decision: Decision, room: int) -> str:
    rows = []
    for text, verdict, is_part in rule_lines(worst_rule_first(decision), _WORST):
        mark = STYLES[str(verdict)][0] if verdict is not None else ""
        said = markdown_text(f"{mark} {text}" if is_part else text)
        rows.append(f"| | {said} |" if is_part else f"| {mark} {verdict} | {said} |")
    head = "\n| verdict | rule |\n|---|---|\n"
    return _fitted(head, rows, "\n", room, "lines, none worse than the last one shown: see the JSON report")


def _not_judged(decision: Decision, room: int) -> str:
    named, others = too_small_parts(decision.not_judged)
    # What counts the others stands first, so that a list that is cut still has it.
    parts = [markdown_text(part) for part in (*others, *named)]
    return _fitted("\nNot judged, too few examples: ", parts, ", ", room, "that are too small")


def _fitted(head: str, items: Sequence[str], separator: str, room: int, more: str) -> str:
    """Return as many items as fit into `room` bytes together with a sentence on the rest."""
    if not items:
        return ""
    room -= len(head.encode()) + len(more.encode()) + 40
    shown = 0
    for item in items:
        room -= len(item.encode()) + len(separator)
        if room < 0:
            break
        shown += 1
    left = len(items) - shown
    lines = separator.join(items[:shown])
    if not left:
        return f"{head}{lines}\n"
    return f"{head}{lines}\n\n{left:,} more {more}.\n" if shown else f"\n{left:,} {more}.\n"
