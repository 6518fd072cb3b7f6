"""What the gate says of the pair on screen, first thing on the pages on which one decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.errors import PctError
from pct_mlops.explorer.components import verdict_banner
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import decisions, pairs
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import selection
from pct_mlops.gate.ties import ties_notes

if TYPE_CHECKING:
    from pct_mlops.gate import Decision


def draw_verdict(pair: Pair) -> Decision | None:
    """The gate's decision under the given policy, and the one on record when it judged this very pair."""
    recorded = pairs.recorded_verdict(pair)
    try:
        decision = decisions.decision(pair, selection.policy_file())
    except PctError as error:
        st.error(plain(str(error)), icon=":material/error:")
        decision = None
    if decision is None:
        if recorded:
            verdict_banner.banner(
                recorded, "So the gate recorded when it judged these two versions.", "No policy was given here."
            )
        elif not selection.policy_file():
            st.info(
                "No verdict: no policy was given. Start the explorer with `--policy FILE` to see one.",
                icon=":material/policy:",
            )
        return None
    note = " ".join(["", *ties_notes(decision.ties)])
    note += f" The gate recorded {recorded} for these two versions." if recorded else ""
    verdict_banner.banner(
        str(decision.verdict),
        decision.sentence,
        f"Judged now under {Path(selection.policy_file() or '').name}.{note}",
        verdict_banner.reasons(decision),
    )
    return decision
