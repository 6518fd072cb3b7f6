"""Thumbnails: small, one an example, and no more of them than a registry should hold."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pct_mlops.workflows.training import thumbnails


class Pictures:
    """A split's interface, with noise."""

    def __init__(self, number: int, channels: int) -> None:
        self.sample_ids = [f"test/{index}" for index in range(number)]
        self.pixels = torch.randint(0, 256, (number, channels, 20, 40), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def images(self, rows: range) -> torch.Tensor:
        return self.pixels[list(rows)]


@pytest.mark.parametrize("channels", [1, 3])
def test_no_side_is_longer_than_asked_for(tmp_path, channels):
    thumbnails.write_thumbnails(Pictures(5, channels), 16, tmp_path / "t.parquet")

    table = pq.read_table(tmp_path / "t.parquet")
    assert table["sample_id"].to_pylist() == [f"test/{index}" for index in range(5)]
    assert {Image.open(io.BytesIO(png)).size for png in table["png"].to_pylist()} == {(16, 8)}


def test_a_set_that_is_too_large_keeps_its_first_thumbnails(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, "CHUNK", 4)
    thumbnails.write_thumbnails(Pictures(12, 1), 16, tmp_path / "whole.parquet")
    whole = pq.read_table(tmp_path / "whole.parquet")
    size = [len(png) for png in whole["png"].to_pylist()]
    monkeypatch.setattr(thumbnails, "MAX_BYTES", sum(size[:9]))

    thumbnails.write_thumbnails(Pictures(12, 1), 16, tmp_path / "cut.parquet")

    kept = pq.read_table(tmp_path / "cut.parquet")["sample_id"].to_pylist()
    assert kept == whole["sample_id"].to_pylist()[:8]
