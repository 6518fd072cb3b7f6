"""Draws the gate's verdict on the pair on screen, at the top of the pages on which a reader decides."""

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
    """Draw and return the gate's decision under the policy that the explorer was started with.

    The banner also names the verdict that the gate recorded when it judged this very pair. Without a policy it names
    only that verdict, and None is returned, as where the policy cannot be judged.
    """
    recorded = pairs.recorded_verdict(pair)
    try:
        decision = decisions.decision(pair, selection.policy_file())
    except PctError as error:
        st.error(plain(str(error)), icon=":material/error:")
        decision = None
    if decision is None:
        if recorded:
            verdict_banner.banner(
                recorded,
                "The gate recorded this verdict for these two versions.",
                "The explorer was started without a policy.",
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
