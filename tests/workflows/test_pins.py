"""Ids that are added to a list which people keep by hand."""

from __future__ import annotations

import pytest

from pct_mlops.workflows.gating.pinned_examples import with_ids


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("sample_id\na\n", "b\n"),
        ("why,sample_id\nx,a", "\n,b\n"),
        # As some editors write it: nothing that was there changes.
        ('\ufeffsample_id,why\r\na,"x\r\ny"\r\n', "b,\r\n"),
    ],
)
def test_what_the_list_lacks_is_added_and_nothing_else_changes(tmp_path, text, added):
    path = tmp_path / "pinned.csv"
    path.write_bytes(text.encode())
    assert with_ids(path, ["a", "b"]) == (text + added, 1)
    assert with_ids(path, ["a"])[1] == 0
