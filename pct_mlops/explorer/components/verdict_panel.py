"""Draws the gate's verdict on the pair on screen, at the top of the pages on which a reader decides.

It says beside it whether the old version is still the one that the gate compares with, and looks again every few
seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.errors import PctError
from pct_mlops.explorer.components import verdict_banner
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import baselines, decisions, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import selection
from pct_mlops.gate import rules_sentence
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
    draw_live(pair, decision, recorded)
    return decision


@st.fragment(run_every=2 * baselines.REFRESH)
def draw_live(pair: Pair, decision: Decision | None, recorded: str | None) -> None:
    """Draw whether the old version is still the baseline, and the verdict. Look again every few seconds."""
    is_stale = draw_standing(pair)
    if decision is not None:
        note = " ".join(["", *ties_notes(decision.ties)])
        note += f" The gate recorded {recorded} for these two versions." if recorded else ""
        verdict_banner.banner(
            str(decision.verdict),
            rules_sentence(decision),
            f"Judged now under {Path(selection.policy_file() or '').name}.{note}",
            verdict_banner.reasons(decision),
            is_stale=is_stale,
        )
    elif recorded:
        verdict_banner.banner(
            recorded,
            "The gate recorded this verdict for these two versions.",
            "The explorer was started without a policy.",
            is_stale=is_stale,
        )
    elif not selection.policy_file():
        st.info(
            "No verdict: no policy was given. Start the explorer with `--policy FILE` to see one.",
            icon=":material/policy:",
        )


def draw_standing(pair: Pair) -> bool:
    """Say whether the old version is still the baseline, and tell whether it is another one."""
    try:
        found = baselines.standing(pair, baselines.alias_of(selection.policy_file()))
    except PctError as error:
        # This part is also drawn alone, where the frame of the page does not catch its errors.
        st.error(plain(f"It is not known whether the old version is still the baseline: {error}"))
        return True
    if found is None:
        return False
    if not found.is_stale:
        st.caption(f":material/link: {plain(found.sentence)}")
        return False
    st.warning(plain(found.sentence), icon=":material/history:")
    assert isinstance(pair.new, VersionTable)
    # A pair of the command line cannot be changed here, and the baseline cannot be compared with itself.
    if "model" in st.query_params and pair.new.version != found.baseline:
        st.page_link(
            "views/overview.py",
            label=f"Compare with version {found.baseline}",
            icon=":material/compare_arrows:",
            query_params={**selection.link_params(), "old": str(found.baseline)},
        )
    return True
