"""The documented SQL, run on two other engines, counts what `compare` counts."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prediction_tables import table

from pct_mlops.comparison import compare

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "sql.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
CLASSES = tuple("abcdef")


def on_polars(old, new, query):
    with pl.SQLContext(old=pl.scan_parquet(old.path), new=pl.scan_parquet(new.path)) as context:
        return context.execute(query, eager=True).rows()


def on_sqlite(old, new, query):
    database = sqlite3.connect(":memory:")
    for name, source in (("old", old), ("new", new)):
        rows = pl.read_parquet(source.path, columns=["sample_id", "label", "prediction"]).rows()
        database.execute(f"CREATE TABLE {name} (sample_id TEXT, label INT, prediction INT)")
        database.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", rows)
    return database.execute(query).fetchall()


@pytest.mark.parametrize("engine", [on_polars, on_sqlite])
@pytest.mark.parametrize("seed", range(4))
def test_other_engines_count_the_same(tmp_path, engine, seed):
    random = np.random.default_rng(seed)
    num = int(random.integers(1, 400))
    # The last classes have no examples.
    labels = random.integers(0, random.integers(1, 5), num)
    ids = [f"val/n{i:08d}.JPEG" for i in range(num)]
    order = random.permutation(num)
    wrong = [(labels + random.integers(0, 6, num) * (random.random(num) < 0.4)) % 6 for _ in range(2)]
    old = table(labels, wrong[0], ids=ids, class_names=CLASSES).save(tmp_path / "old.parquet")
    other = {"ids": [ids[i] for i in order], "class_names": CLASSES, "model_version": "2"}
    new = table(labels[order], wrong[1][order], **other).save(tmp_path / "new.parquet")
    comparison = compare(old, new)
    check, whole, by_class, matrix = (engine(old, new, query) for query in QUERIES)
    assert check == [(num, num)]

    def four(counts):
        return (counts.both_right, counts.negative_flips, counts.positive_flips, counts.both_wrong)

    assert whole == [four(comparison.counts)]
    expected = [(part.index, *four(part.counts)) for part in comparison.classes() if part.counts.total]
    assert by_class == expected
    assert len(expected) < len(CLASSES)
    assert matrix == [(cell.target, cell.wrong, cell.count) for cell in comparison.flip_matrix()]
