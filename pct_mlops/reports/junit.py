"""Writes a decision as JUnit XML, with one case for every rule, class and slice that was checked.

PASS is a case without a child. FAIL and INCONCLUSIVE are a <failure> of that type, because neither lets the candidate
through. ERROR is an <error>. A class or slice that is too small for its rule is <skipped>.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pct_mlops.config.numbers import number_of
from pct_mlops.reports.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pct_mlops.gate import Check, Decision, NotJudged

_ELEMENTS = {"FAIL": "failure", "INCONCLUSIVE": "failure", "ERROR": "error"}
_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def to_junit(
    decision: Decision, when: datetime, *, host: str = "localhost", properties: Mapping[str, str] | None = None
) -> str:
    """Return the XML document.

    `when` (UTC) and `host` say when and where the decision was made. `properties` are added to those of the suite.
    """
    cases = [_case(check, decision) for check in decision.checks]
    cases += [_skipped(item) for item in decision.not_judged]
    verdict = str(decision.verdict)
    if not any(str(check.verdict) == verdict for check in decision.checks):
        # No rule led to this verdict: it was refused earlier, is a first version, or could not be stored.
        cases.append(_whole(decision))
    title = decision.candidate.title if decision.candidate else "pct gate"
    counts = {"tests": len(cases)}
    counts |= {name: sum(case.find(tag) is not None for case in cases) for name, tag in _COUNTED.items()}
    numbers = {name: str(count) for name, count in counts.items()}
    # Jenkins refuses a root element with a count of skipped cases.
    whole = {name: number for name, number in numbers.items() if name != "skipped"}
    suites = ElementTree.Element("testsuites", {"name": "pct gate", **whole, "time": "0"})
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        {"name": clean(title), **numbers, "time": "0", "timestamp": stamp, "hostname": clean(host) or "localhost"},
    )
    listed = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(decision, properties or {}).items():
        ElementTree.SubElement(listed, "property", {"name": name, "value": clean(value)})
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = clean(
        " ".join(filter(None, (decision.shared_loss, f"{verdict}: {decision.sentence}")))
    )
    ElementTree.indent(suites)
    # Encode first: a character that UTF-8 cannot hold is an error here, not a broken file.
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True).decode() + "\n"


def _properties(decision: Decision, more: Mapping[str, str]) -> dict[str, str]:
    return {
        "verdict": str(decision.verdict),
        "policy_digest": decision.policy_digest,
        **({"policy_file": decision.policy.file} if decision.policy.file else {}),
        "candidate": decision.candidate.title if decision.candidate else "",
        "baseline": decision.baseline.title if decision.baseline else "",
        **({"classes.shared_loss": decision.shared_loss} if decision.shared_loss else {}),
        **{f"apart.{mark}": str(count) for mark, count in decision.apart.items()},
        **({f"evidence.{role}": str(tie) for role, tie in decision.ties.both().items()} if decision.ties else {}),
        **more,
    }


def _case(check: Check, decision: Decision) -> ElementTree.Element:
    name = _name(check)
    if check.limit is not None:
        name = f"{name}, limit {check.limit:g} ({check.bound})"
    element = _element(check.metric, name)
    _add_outcome(element, str(check.verdict), check.sentence)
    return element


def _name(part: Check | NotJudged) -> str:
    """Return the name of a check: its metric, and its class and slice if it has them."""
    about = f" of class '{part.class_name}'" if part.class_name is not None else ""
    if part.on != "all":
        about += f" on {part.on} classes"
    where = " where {} is '{}'".format(*part.slice) if part.slice is not None else ""
    return f"{part.metric}{about}{where}"


def _skipped(item: NotJudged) -> ElementTree.Element:
    element = _element(item.metric, _name(item))
    flips = "" if item.negative_flips is None else f", {number_of(item.negative_flips, 'negative flip')}"
    message = f"{number_of(item.support, 'example')}{flips}, and the rule asks for {item.min_support:,}"
    ElementTree.SubElement(element, "skipped", {"message": message})
    return element


def _whole(decision: Decision) -> ElementTree.Element:
    element = _element("gate", "the gate as a whole")
    _add_outcome(element, str(decision.verdict), decision.sentence)
    return element


def _element(metric: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"classname": clean(f"pct.gate.{metric}"), "name": clean(name), "time": "0"})


def _add_outcome(case: ElementTree.Element, verdict: str, sentence: str) -> None:
    text = clean(sentence)
    about = {"type": verdict, "message": text} if verdict in _ELEMENTS else {}
    ElementTree.SubElement(case, _ELEMENTS.get(verdict, "system-out"), about).text = text
