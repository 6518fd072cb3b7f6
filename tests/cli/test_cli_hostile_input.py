"""Mutated tables and policies thrown at the gate: no traceback, no other exit code, and no PASS that is not earned.

What a PASS must mean is worked out again here, from the rows as pyarrow reads them, with numpy and scipy alone.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import beta

from pct_mlops.cli import main
from pct_mlops.predictions import Predictions

NUM, CLASSES = 60, ("a", "b", "c")
LIMIT, CONFIDENCE = 0.2, 0.95
POLICY = f"confidence: {CONFIDENCE}\nrules:\n  - {{metric: nfr, max: {LIMIT}}}\n"
COLUMNS = ("sample_id", "label", "prediction", "confidence", "label_confidence")


def build(folder):
    """old.parquet and new.parquet, which pass: 2 of 60 flip."""
    labels = np.arange(NUM) % 3
    for name, wrong in (("old", (7,)), ("new", (3, 11))):
        answers = labels.copy()
        answers[list(wrong)] = (answers[list(wrong)] + 1) % 3
        logits = np.eye(3, dtype=np.float32)[answers] * 4
        Predictions.from_arrays(
            [f"test/{i:03d}" for i in range(NUM)], labels, logits, class_names=CLASSES, model_name=name, split="test"
        ).save(folder / f"{name}.parquet")
    (folder / "policy.yaml").write_text(POLICY)


def replaced(rows, column, values, kind=None):
    index = rows.schema.get_field_index(column)
    return rows.set_column(index, column, pa.array(values, kind or rows.schema.field(column).type, from_pandas=False))


def value_mutation(random, rows):
    """One column's values, some rows, or the metadata."""
    choice = random.integers(0, 9)
    column = COLUMNS[random.integers(0, 5)]
    values = rows[column].to_pylist()
    where = random.integers(0, len(values), random.integers(1, 20))
    if choice <= 3:
        pool = {
            "sample_id": ["test/000", "", None, "test/0001", "x" * 10_000, "test/\x00", "é"],
            "label": [0, 1, 2, 3, -1, None, 2**31 - 1],
            "prediction": [0, 1, 2, 3, -1, None, -(2**31)],
        }.get(column, [0.0, 1.0, float("nan"), float("inf"), -0.1, 1.5, None, 0.5])
        for place in where:
            values[place] = pool[random.integers(0, len(pool))]
        return replaced(rows, column, values)
    if choice == 4:  # rows twice, in the place of others
        places = np.arange(len(rows))
        places[where] = places[random.integers(0, len(rows))]
        return rows.take(places)
    if choice == 5:
        return rows.take(random.permutation(len(rows))[: random.integers(0, len(rows) + 1)])
    if choice == 6:
        kinds = [pa.int64(), pa.float64(), pa.string(), pa.bool_()]
        kind = kinds[random.integers(0, 4)]
        index = rows.schema.get_field_index(column)
        return rows.set_column(index, column, pa.nulls(len(rows), kind))
    if choice == 7:
        return rows.drop_columns([column])
    meta = dict(rows.schema.metadata)
    key = sorted(meta)[random.integers(0, len(meta))]
    pool = [b"", b"0", b"2", b"\xff\xfe", b"[]", b'["a"]', b'["a", "b", "\\u001b[31mc"]', b"x" * 64, b"1" * 5_000]
    meta[key] = pool[random.integers(0, len(pool))]
    return rows.replace_schema_metadata(meta)


def byte_mutation(random, data):
    data = bytearray(data)
    choice = random.integers(0, 4)
    start = int(random.integers(0, len(data)))
    if choice == 0:
        for place in random.integers(0, len(data), random.integers(1, 8)):
            data[place] ^= 1 << int(random.integers(0, 8))
    elif choice == 1:
        del data[start:]
    elif choice == 2:
        stop = int(random.integers(start, len(data)))
        data[start:stop] = data[: stop - start][::-1]
    else:
        del data[start : start + int(random.integers(1, 50))]
    return bytes(data)


def policy_mutation(random):
    policy = yaml.safe_load(POLICY)
    rule = policy["rules"][0]
    key = ["max", "metric", "bound", "min_support", "confidence", "slice", "classes", "extra"][random.integers(0, 8)]
    pool = [None, 1.5, -1, float("nan"), float("inf"), "", "nfr", [], {}, "point", "lower", True, 10**400, "\x1b[31m"]
    value = pool[random.integers(0, len(pool))]
    (policy if key == "confidence" else rule)[key] = value
    text = yaml.safe_dump(policy)
    if random.integers(0, 3) == 0:
        text = byte_mutation(random, text.encode()).decode("utf-8", "replace")
    return text


def earned(folder):
    """Whether the limit holds by an independent count of the files as they now are; None: they cannot be read."""
    try:
        tables = [pq.read_table(folder / f"{name}.parquet", columns=list(COLUMNS)) for name in ("old", "new")]
    except Exception:
        return None
    maps = []
    for rows in tables:
        ids, labels, answers = (rows[name].to_pylist() for name in COLUMNS[:3])
        shares = [value for name in COLUMNS[3:] for value in rows[name].to_pylist()]
        numbers = [*labels, *answers]
        sound = (
            len(set(ids)) == len(ids) > 0
            and all(isinstance(item, str) and item for item in ids)
            and all(isinstance(item, int) and 0 <= item < 3 for item in numbers)
            and all(isinstance(item, float) and 0 <= item <= 1 for item in shares)
        )
        if not sound:
            return False
        maps.append({key: (label, answer) for key, label, answer in zip(ids, labels, answers, strict=True)})
    old, new = maps
    if old.keys() != new.keys() or any(old[key][0] != new[key][0] for key in old):
        return False
    flips = sum(old[key][1] == old[key][0] and new[key][1] != new[key][0] for key in old)
    upper = 1.0 if flips == len(old) else beta.ppf(CONFIDENCE, flips + 1, len(old) - flips)
    return bool(upper <= LIMIT)


def attack(folder, seed, capsys):
    """One mutation of one file, one run of the gate; the exit code."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 5)
    names = ["old", "new"] if random.integers(0, 4) == 0 else [("old", "new")[random.integers(0, 2)]]
    sources = {name: (folder / f"{name}.parquet").read_bytes() for name in ("old", "new")}
    try:
        for name in names:
            path = folder / f"{name}.parquet"
            if kind <= 2:
                # The same seed for both: what is wrong in both alike must not cancel out.
                pq.write_table(value_mutation(np.random.default_rng(seed), pq.read_table(path)), path)
            elif kind == 3:
                path.write_bytes(byte_mutation(random, sources[name]))
            else:
                (folder / "policy.yaml").write_text(policy_mutation(random))
        words = ["gate", f"{folder}/new.parquet", "--baseline", f"{folder}/old.parquet"]
        code = main([*words, "--policy", f"{folder}/policy.yaml", "--json", f"{folder}/report.json"])
        said = capsys.readouterr()
        text = said.out + said.err
        assert code in (0, 1, 2, 3), (seed, text)
        assert "Traceback" not in text, (seed, text)
        assert "unexpected" not in said.err, (seed, text)
        if code == 0:
            assert json.loads((folder / "report.json").read_text())["verdict"] == "PASS", (seed, text)
            if kind <= 3:
                assert earned(folder), (seed, text)
        return code, kind
    finally:
        for name, data in sources.items():
            (folder / f"{name}.parquet").write_bytes(data)
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "report.json").unlink(missing_ok=True)


def attacks(folder, seeds, capsys):
    build(folder)
    assert earned(folder)
    outcomes = [attack(folder, seed, capsys) for seed in seeds]
    assert {code for code, _ in outcomes} >= {0, 2}
    assert {kind for _, kind in outcomes} == set(range(5))


def test_hundreds_of_mutations(tmp_path, capsys):
    attacks(tmp_path, range(200), capsys)


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_thousands_of_mutations(tmp_path, capsys):
    attacks(tmp_path, range(1_000, 5_000), capsys)


def refused(capsys, folder, new):
    code = main(["gate", str(new), "--baseline", f"{folder}/old.parquet", "--policy", f"{folder}/policy.yaml"])
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert code == 2
    assert "Traceback" not in text
    assert "unexpected" not in text
    return text


def test_pipes_loops_and_devices_do_not_hang(tmp_path, capsys):
    build(tmp_path)
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "loop.parquet").symlink_to(tmp_path / "loop.parquet")
    assert "is a pipe or device" in refused(capsys, tmp_path, tmp_path / "pipe.parquet")
    assert "is a pipe or device" in refused(capsys, tmp_path, "/dev/zero")
    assert "cannot be read" in refused(capsys, tmp_path, tmp_path / "loop.parquet")
    assert "is a folder" in refused(capsys, tmp_path, tmp_path)
    (tmp_path / "locked.parquet").write_bytes(b"PARE" + b"\0" * 100 + b"PARE")
    assert "is encrypted" in refused(capsys, tmp_path, tmp_path / "locked.parquet")


class Payload:
    """What a pickle does to those who load it."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_result_file_that_would_run_code(tmp_path, capsys):
    import torch

    build(tmp_path)
    mark = tmp_path / "ran"
    torch.save({"pred": Payload(mark), "gt": [0], "outputs": [[1.0]]}, tmp_path / "bad.result")
    assert "nothing in it was run" in refused(capsys, tmp_path, tmp_path / "bad.result")
    assert not mark.exists()
    os.mkfifo(tmp_path / "pipe.result")
    assert "pipe or device" in refused(capsys, tmp_path, tmp_path / "pipe.result")
