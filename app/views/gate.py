"""Draws the view Gate: the verdict under other limits and another confidence, and the policy file with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import UNDEFINED, count
from pct_mlops.comparison import METRICS
from pct_mlops.explorer.components import limit_bar, limit_slider, verdict_banner, verdict_panel
from pct_mlops.explorer.components.limit_strip import strip
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import pairs, what_if
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.queries.what_if import Limits
from pct_mlops.explorer.state import selection
from pct_mlops.gate import distance, limit_name, rules_sentence, tightest, to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.config import Policy, Rule
    from pct_mlops.gate import Check, Decision

SHOWN = 12  # rules that are shown at first; the rest are folded away
HINTS = {
    "rules": "Shaded: what the limit allows. Dot: what was observed. Bar: its one-sided bounds at the chosen "
    "confidence. A rule passes when its bound lies in the shaded part, fails when even the opposite bound lies "
    "outside, and is undecided otherwise.",
    "upper": "The upper bound is compared with this limit: the rule passes when the limit is surely met.",
    "lower": "The lower bound is compared with this limit: the rule passes when the limit is surely met.",
    "point": "The observed value itself is compared with this limit.",
    "beyond": "Pinned examples must never flip again. Reviewers may mark an example as a blocker, and accept or reject "
    "the candidate. No slider changes these checks.",
    "yaml": "A policy file with these limits. Relative paths in it start at the folder that it is saved in.",
}
BEYOND = ("pinned", "blocker", "review")
WORDS = {"max": "at most", "min": "at least", "max_times_floor": "at most"}


def gate() -> None:
    """Draw the page."""
    pair = selection.current()
    path = selection.policy_file()
    policy = what_if.starting_policy(path)
    st.title("What would pass?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}, judged as in CI. Nothing is promoted.")
    if not path:
        st.info(
            "No policy was given, so these limits are only an example and there is no verdict: start the explorer with "
            "`--policy FILE` to try the limits of your policy.",
            icon=":material/policy:",
        )
    as_given = what_if.what_if_decision(pair, path, Limits())
    if not as_given.checks:
        verdict_banner.banner(str(as_given.verdict), as_given.sentence, "No rule can be judged, whatever its limit.")
        return
    # The verdict that counts stays on top, whatever limits a link brings.
    if path or pairs.recorded_verdict(pair):
        verdict_panel.draw_verdict(pair)
    place = st.container()
    limits = draw_rules(pair, path, policy)
    decision = what_if.what_if_decision(pair, path, limits)
    with place:
        draw_what_if(decision, limits)
    draw_beyond(decision)
    draw_file(what_if.changed(path, limits))


def draw_what_if(decision: Decision, limits: Limits) -> None:
    """Draw what the gate would say with the reader's limits. Limits of the policy need no second word."""
    if selection.policy_file() and limits == Limits():
        st.caption("These are the policy's own limits: move a slider below to try others.")
    else:
        verdict_banner.what_if(str(decision.verdict), rules_sentence(decision), verdict_banner.reasons(decision))


def draw_rules(pair: Pair, path: str | None, policy: Policy) -> Limits:
    """Draw a slider for the confidence and one for each rule, and return what the reader has moved."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        confidence = limit_slider.slide_confidence(policy.confidence)
    keys = [f"limit{place + 1}" for place in range(len(policy.rules))]
    right.button(
        "Reset to the policy's limits" if path else "Reset to the example limits",
        icon=":material/restart_alt:",
        on_click=selection.forget,
        args=("confidence", *keys),
        key="reset",
        disabled=not any(name in st.query_params for name in ("confidence", *keys)),
    )
    st.subheader("Rules", anchor=False, help=HINTS["rules"])
    st.html(limit_bar.STYLE)
    changed_confidence = None if confidence == policy.confidence else confidence
    moved: list[tuple[int, float]] = []
    folded = st.expander(f"{count(len(policy.rules) - SHOWN)} more rules") if len(policy.rules) > SHOWN else None
    for place, rule in enumerate(policy.rules):
        with (folded or st.container()) if place >= SHOWN else st.container(border=True):
            limit = draw_rule(pair, path, place, changed_confidence)
        if limit != getattr(rule, limit_name(rule)):
            moved.append((place, limit))
    return Limits(tuple(moved), changed_confidence)


def draw_rule(pair: Pair, path: str | None, place: int, confidence: float | None) -> float:
    """Draw the slider of a rule with the observed value below, its verdict and its distance. Return the limit."""
    rule = what_if.starting_policy(path).rules[place]
    before = what_if.checks(pair, path, Limits(), place)
    shown = limit_slider.dial(f"limit{place + 1}", rule, tightest(before))
    left, right = st.columns([1.25, 1], gap="medium")
    label = f"{place + 1}. {plain(rule_name(rule))} {WORDS[limit_name(rule)]}"
    with left:
        limit = limit_slider.slide(shown, label, rule_hint(rule))
    moved = () if limit == shown.own else ((place, limit),)
    checks = what_if.checks(pair, path, Limits(moved, confidence), place)
    worst = tightest(checks)
    left.html(strip(shown, rule, worst, limit))
    is_trial = bool(moved) or confidence is not None or path is None
    with right:
        st.markdown(f"{verdict_banner.badge(str(worst.verdict), is_what_if=is_trial)} {_room(worst)}")
        st.caption(_where(checks, worst, is_trial) + plain(worst.sentence))
    return limit


def rule_name(rule: Rule) -> str:
    """Return what a rule is about, in words."""
    parts = [rule.metric]
    if (part := getattr(rule, "slice", None)) is not None:
        parts.append(f"where {part.column} is {part.value}" if part.value is not None else f"of each {part.column}")
    classes = getattr(rule, "classes", None)
    if classes == "all":
        parts.append("of each class")
    elif classes:
        parts.append(f"of {', '.join(classes[:3])}" + (f" and {len(classes) - 3} more" if len(classes) > 3 else ""))
    return " ".join(parts)


def rule_hint(rule: Rule) -> str:
    """Return what the metric is, and what is compared with the limit."""
    known = METRICS.get(rule.metric)
    what = f"{rule.metric}: {known.summary}. " if known else ""
    return plain(what) + HINTS[rule.bound or "point"]


def _room(check: Check) -> str:
    """Return in words what is compared with the limit and its distance from it."""
    left = distance(check)
    if left is None:
        return UNDEFINED
    what = "observed value" if check.bound == "point" else f"{check.bound} bound"
    return f"{what} {verdict_banner.far(check.metric, left)}"


def _where(checks: Sequence[Check], worst: Check, is_trial: bool) -> str:
    """Return how many checks of a rule have the verdict of the one shown, "" for a single check."""
    if len(checks) == 1:
        return ""
    alike = sum(check.verdict is worst.verdict for check in checks)
    said = verdict_banner.would(str(worst.verdict)).capitalize() if is_trial else worst.verdict
    return plain(f"{said} in {count(alike)} of {count(len(checks))} checks; the tightest: ")


def draw_beyond(decision: Decision) -> None:
    """Draw the checks that no limit changes: pinned examples, blockers and the reviewers' decision."""
    beyond = [check for check in decision.checks if check.metric in BEYOND]
    if beyond:
        st.subheader("What must hold besides the rules", anchor=False, help=HINTS["beyond"])
        st.html(verdict_banner.rules_table(beyond))


def draw_file(policy: Policy) -> None:
    """Draw the policy with these limits, to copy or to save."""
    st.subheader("As a policy file", anchor=False, help=HINTS["yaml"])
    text = to_yaml(policy)
    # Without colours, because those of numbers are too faint to read in a light theme.
    st.code(text, language=None, wrap_lines=True)
    st.download_button(
        "Save as policy.yaml", text, "policy.yaml", "application/yaml", icon=":material/download:", on_click="ignore"
    )


gate()
