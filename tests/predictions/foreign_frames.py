"""Predictions as other programs would write them: one truth, many formats and spellings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

USUAL = {
    "sample_id": ("sample_id", "id", "example_id", "ID"),
    "label": ("label", "target", "y_true", "true_label"),
    "prediction": ("prediction", "pred", "y_pred", "Predicted"),
    "confidence": ("confidence", "score"),
}
FORMATS = ("csv", "tsv", "jsonl", "parquet", "polars", "parts", "npz", "pandas", "arrow")


@dataclass
class Truth:
    """What a model said of n examples; classes are indices into `names`."""

    names: tuple[str, ...]
    ids: list[str]
    label: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    slices: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def random(cls, random: np.random.Generator, num: int, names: tuple[str, ...], *, scores: bool) -> Truth:
        label = random.integers(0, len(names), num)
        label[: len(names)] = np.arange(len(names))[:num]  # each class occurs, so that data name them all
        probabilities = random.dirichlet(np.ones(len(names)), num) if scores else None
        if scores:
            prediction, confidence = probabilities.argmax(axis=1), None
        else:
            prediction, confidence = random.integers(0, len(names), num), random.random(num)
        ids = [f"{place:04d}" for place in random.permutation(num)]
        return cls(names, ids, label, prediction, confidence, probabilities)

    def frame(self, spelling: dict[str, str], *, numbers: bool, lists: bool) -> pd.DataFrame:
        """The examples under column names of somebody's own; classes as numbers or names, scores as lists or not."""
        known = np.array(self.names)

        def said(index: np.ndarray) -> Any:
            return index if numbers else known[index]

        columns: dict[str, Any] = {spelling["sample_id"]: self.ids, spelling["label"]: said(self.label)}
        columns[spelling["prediction"]] = said(self.prediction)
        if self.confidence is not None:
            columns[spelling["confidence"]] = self.confidence
        if self.probabilities is not None and lists:
            columns["probabilities"] = [list(map(float, row)) for row in self.probabilities]
        elif self.probabilities is not None:
            columns |= {f"prob_{name}": self.probabilities[:, place] for place, name in enumerate(self.names)}
        return pd.DataFrame({**columns, **self.slices})


def write(frame: pd.DataFrame, kind: str, folder: Path, name: str = "table") -> Any:
    """The frame in a format: a path, or a frame for from_frame."""
    path = folder / f"{name}.{'parquet' if kind == 'polars' else kind}"
    if kind in ("csv", "tsv"):
        frame = frame.map(lambda value: json.dumps(value) if isinstance(value, list) else value)
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ";", encoding="utf-8-sig")
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, double_precision=15, force_ascii=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "polars":
        pl.from_pandas(frame).write_parquet(path)
    elif kind == "parts":
        path = folder / f"{name}-parts"
        path.mkdir()
        half = len(frame) // 2
        frame[:half].to_parquet(path / "part-00000-a.snappy.parquet")
        frame[half:].to_parquet(path / "part-00001-b.snappy.parquet")
        (path / "_SUCCESS").touch()
        (path / ".part-00000-a.snappy.parquet.crc").write_bytes(b"x")
    elif kind == "npz":
        arrays = {}
        for column in frame:
            values = frame[column].tolist()
            arrays[column] = np.array(values, dtype=str if isinstance(values[0], str) else None)
        np.savez(path, **arrays)
    elif kind == "pandas":
        return frame
    else:
        return pl.from_pandas(frame).to_arrow()
    return path
