"""Makes the tables of measured updates, which stand in the how-to on choosing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import _markdown as md

if TYPE_CHECKING:
    from pct_mlops.workflows.advice.evidence_table import UpdateEvidence

MARKER = "<!-- measured updates -->"


def with_updates(markdown: str) -> str:
    """Put the tables of the packaged evidence in the place of the marker. A page without one stays as it is."""
    from pct_mlops import read_evidence

    return markdown.replace(MARKER, updates_section(read_evidence())) if MARKER in markdown else markdown


def updates_section(evidence: Sequence[UpdateEvidence]) -> str:
    """Return one table for each change, with what is recommended for it."""
    from pct_mlops import recommend_update
    from pct_mlops.workflows.advice.advice_documents import evidence_markdown
    from pct_mlops.workflows.advice.evidence_table import CHANGES
    from pct_mlops.workflows.advice.recommendation import command_line

    if not evidence:
        return "No evidence is packaged with this version."
    parts = []
    for change in CHANGES:
        table = evidence_markdown(evidence, change)
        if table:
            chosen = recommend_update(change, evidence)
            parts += [f"### {change.capitalize()}", table]
            if chosen is None:
                parts.append("None is recommended.")
                continue
            besides = f"Besides: {chosen.besides}" if chosen.besides else ""
            said = [f"Recommended: {md.code(command_line('FILE', chosen.words))}", chosen.doubt, besides]
            parts.append(" ".join(sentence for sentence in said if sentence))
    return "\n\n".join(parts)
