"""Writes a decision as one HTML file that needs no other: no script, no font, no request to anywhere.

Names come from outside. The template escapes all of them, and a content security policy in the file forbids everything
but its own style and its own images.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.gate import Check, RuleGroup, is_at_most, part_sentence, ruler, rules_sentence
from pct_mlops.gate.sentences import value_text
from pct_mlops.reports.class_change import class_change_lines
from pct_mlops.reports.rule_lines import too_small_parts, worst_rule_first
from pct_mlops.reports.terminal import STYLES, clean, metric_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from pct_mlops.comparison import Comparison
    from pct_mlops.gate import Decision
    from pct_mlops.reports.links import ComparedPair

MOST_FLIPS = 60  # examples that are shown
# Together with 60 texts and 100 lines of rules, the file stays below 1.5 MB. Base64 makes images a third larger.
MOST_IMAGE_BYTES = 700 * 1024
MOST_TEXT = 300  # characters of an example's text
_MOST_RULES, _MOST_PARTS, _MOST_CLASSES, _MOST_SMALL = 40, 10, 12, 30
_MOST_NAME, _MOST_SENTENCE = 200, 600  # characters of a class name or an id, and of a sentence that may hold several
_METRICS = ("accuracy_old", "accuracy_new", "accuracy_change", "nfr", "pfr")


@dataclass(frozen=True)
class ShownFlip:
    """A negative flip with its input, as the report shows it.

    Attributes:
        sample_id: Id of the example.
        target: Name of the target class.
        old: Name of the class that the old model predicts.
        new: Name of the class that the new model predicts.
        png: A small image of the example, b"" without one.
        text: The beginning of its text, "" without one.
    """

    sample_id: str
    target: str
    old: str
    new: str
    png: bytes = b""
    text: str = ""


class _Bar(NamedTuple):
    """A line with the allowed side of a limit, the bounds and the value, in percent of its width."""

    allowed: tuple[float, float]
    bounds: tuple[float, float]
    value: float
    limit: float


@dataclass(frozen=True)
class HtmlContents:
    """Parts of the page beside the decision and its comparison.

    Attributes:
        pair: The compared models, for links to the explorer or a command.
        explorer: The explorer's address, for the links.
        remarks: Further lines of the caller.
        flips: Negative flips to show; at most 60 are.
    """

    pair: ComparedPair | None = None
    explorer: str = ""
    remarks: Sequence[str] = ()
    flips: Sequence[ShownFlip] = ()


def to_html(decision: Decision, comparison: Comparison | None = None, contents: HtmlContents | None = None) -> str:
    """Return the document. Made again from the same decision, it is the same to the last byte.

    Args:
        decision: The decision.
        comparison: Its comparison, if there was one.
        contents: What the page shows beside them.
    """
    page = contents or HtmlContents()
    pair, explorer = page.pair, page.explorer
    mark, style = STYLES[str(decision.verdict)]
    groups = worst_rule_first(decision)
    small = too_small_parts(decision.not_judged, _MOST_SMALL)
    return _template().render(
        decision=decision,
        mark=mark,
        style=style,
        sentence=rules_sentence(decision),
        title=decision.candidate.title if decision.candidate else "the candidate",
        against=decision.baseline.title if decision.baseline else "",
        level=f"{100 * decision.confidence:.4g}%",
        remarks=[line for line in (decision.shared_loss, *page.remarks) if line],
        pair=pair,
        explorer=explorer,
        rules=[_rule(group) for group in groups[:_MOST_RULES]],
        num_more_rules=max(len(groups) - _MOST_RULES, 0),
        counts=comparison.counts if comparison else None,
        metrics=_metrics(decision, comparison) if comparison else [],
        classes=_classes(decision, comparison) if comparison else [],
        change=class_change_lines(comparison, decision.confidence) if comparison else [],
        small=[*small.named, *small.others],
        flips=_tiles(page.flips[:MOST_FLIPS], pair, explorer),
    )


def _rule(group: RuleGroup) -> dict[str, Any]:
    worst, parts = group.worst, group.listed
    mark, style = STYLES[str(worst.verdict)]
    return {
        "mark": mark,
        "style": style,
        "verdict": str(worst.verdict),
        "sentence": group.full_sentence,
        "bar": _bar(worst),
        "worst": group.name if parts else "",
        "parts": [f"{STYLES[str(check.verdict)][0]} {part_sentence(check)}" for check in parts[:_MOST_PARTS]],
        "num_more": max(len(parts) - _MOST_PARTS, 0),
    }


def _bar(check: Check) -> _Bar | None:
    places = ruler(check.value, check.lower, check.upper, check.limit)
    if places is None:
        return None
    start, end, value, limit = (round(100 * place, 2) for place in places)
    allowed = (0.0, limit) if is_at_most(check) else (limit, round(100 - limit, 2))
    return _Bar(allowed, (start, round(end - start, 2)), value, limit)


def _metrics(decision: Decision, comparison: Comparison) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for name in _METRICS:
        estimate, unit = comparison.estimate(name, decision.confidence), comparison.metric(name).unit
        value, lower, upper = (metric_text(number, unit) for number in (estimate.value, estimate.lower, estimate.upper))
        rows.append((name, METRIC_INFO[name].summary, value, lower, upper))
    return rows


def _classes(decision: Decision, comparison: Comparison) -> list[tuple[str, int, int, str, str]]:
    """Return name, examples, negative flips, NFR and its upper bound of the classes with most negative flips."""
    flipped = [part for part in comparison.classes() if part.counts.negative_flips]
    flipped.sort(key=lambda part: -part.counts.negative_flips)
    rows = []
    for part in flipped[:_MOST_CLASSES]:
        estimate = comparison.estimate("nfr", decision.confidence, part.index)
        value, upper = value_text(estimate.value, "share"), value_text(estimate.upper, "share")
        rows.append((part.name, part.counts.total, part.counts.negative_flips, value, upper))
    return rows


def _tiles(flips: Sequence[ShownFlip], pair: ComparedPair | None, explorer: str) -> list[dict[str, Any]]:
    tiles, room = [], MOST_IMAGE_BYTES
    for flip in flips:
        # A picture that does not fit is left out, and the words about the example stay.
        fits = flip.png.startswith(b"\x89PNG") and len(flip.png) <= room
        room -= len(flip.png) if fits else 0
        tiles.append(
            {
                "flip": flip,
                "image": f"data:image/png;base64,{base64.b64encode(flip.png).decode()}" if fits else "",
                "address": pair.address(explorer, flip.sample_id) if pair is not None and explorer else "",
            }
        )
    return tiles


@cache
def _template() -> Template:
    # Imported here: few runs of the gate write this report.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clean"] = lambda text: _cut(clean(str(text)), _MOST_SENTENCE)
    environment.filters["name"] = lambda text: _cut(clean(str(text)), _MOST_NAME)
    environment.filters["text"] = lambda text: _cut(clean(" ".join(str(text).split())), MOST_TEXT)
    source = resources.files("pct_mlops.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
