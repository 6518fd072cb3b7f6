"""Which keys of two nested mappings differ."""

from __future__ import annotations

from pct_mlops.config.difference import UNSET, Difference, differences


def test_nested_keys_are_dotted_and_what_is_alike_is_left_out():
    old = {"optim": {"lr": 0.1, "epochs": 3}, "data": {"views": None}, "same": [1, 2]}
    new = {"optim": {"lr": 0.2, "epochs": 3}, "data": {"views": 4}, "same": [1, 2], "flag": True}

    assert differences(old, new) == [
        Difference("optim.lr", "0.1", "0.2"),
        Difference("data.views", "none", "4"),
        Difference("flag", UNSET, "true"),
    ]


def test_a_key_that_became_a_group_and_one_that_is_gone():
    assert differences({"loss": "none", "gone": {}}, {"loss": {"name": "cna"}}) == [
        Difference("loss.name", UNSET, "cna"),
        Difference("loss", "none", UNSET),
        Difference("gone", "{}", UNSET),
    ]


def test_nothing_differs_from_itself():
    assert differences({"a": {"b": 1}}, {"a": {"b": 1}}) == []
