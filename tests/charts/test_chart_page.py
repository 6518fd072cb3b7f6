"""A figure as a page of its own."""

from __future__ import annotations

import plotly.graph_objects as go

from pct_mlops.charts import page


def test_a_page_needs_no_network_and_its_title_is_text():
    text = page(go.Figure(), "a <script> & b")

    assert "<title>a &lt;script&gt; &amp; b</title>" in text
    assert "<h1" in text
    assert 'src="http' not in text
    assert len(text) > 1_000_000, "plotly itself is inside"
