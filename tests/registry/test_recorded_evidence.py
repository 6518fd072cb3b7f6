"""Digests of evidence: every change of what a table says is found, and no change of how its file is written is one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pct_mlops.errors import PromotionError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.content_digest import content_digest
from pct_mlops.predictions.with_info import save_with_info
from pct_mlops.registry import ModelFiles, Version, check_evidence, stored_evidence
from pct_mlops.registry.evidence_record import EvidenceDigests

CLASSES, NUM = ("cat", "dog", "horse", "sheep"), 40
VERSION = Version("pets", 3, (), "", "models:/m-1", 0, {})


def drawn(seed):
    """Columns of a table, with a slice that has gaps."""
    rng = np.random.default_rng(seed)
    return {
        "ids": [f"test/{place:03d}" for place in rng.permutation(NUM)],
        "labels": rng.integers(0, len(CLASSES), NUM),
        "logits": rng.normal(0, 3, (NUM, len(CLASSES))).astype(np.float32),
        "camera": [None if value == 2 else f"c{value}" for value in rng.integers(0, 3, NUM)],
        "about": {"model_name": "pets", "dataset": "farm", "preprocessing": "p"},
    }


def table_of(columns):
    """A table in which prediction, confidences and digest follow from the columns."""
    slices = {} if columns["camera"] is None else {"camera": columns["camera"]}
    about = {"class_names": CLASSES, "split": "test", **columns["about"]}
    return Predictions.from_arrays(columns["ids"], columns["labels"], columns["logits"], slices=slices, **about)


def logits_of_one(columns, rng):
    row = rng.integers(NUM)
    columns["logits"][row] = columns["logits"][row][::-1] if rng.random() < 0.5 else columns["logits"][row] * 1.01


def rounding_of_one(columns, rng):
    row = rng.integers(NUM), rng.integers(len(CLASSES))
    columns["logits"][row] = np.nextafter(columns["logits"][row], np.float32(9))


def all_right(columns, rng):
    columns["logits"][np.arange(NUM), columns["labels"]] = columns["logits"].max(axis=1) + 1


def label_of_one(columns, rng):
    row = rng.integers(NUM)
    columns["labels"][row] = (columns["labels"][row] + 1) % len(CLASSES)


def ids_swapped(columns, rng):
    one, other = rng.choice(NUM, 2, replace=False)
    columns["ids"][one], columns["ids"][other] = columns["ids"][other], columns["ids"][one]


def id_renamed(columns, rng):
    columns["ids"][rng.integers(NUM)] += "x"


def row_dropped(columns, rng):
    keep = np.delete(np.arange(NUM), rng.integers(NUM))
    for name in ("labels", "logits"):
        columns[name] = columns[name][keep]
    for name in ("ids", "camera"):
        columns[name] = [columns[name][row] for row in keep]


def row_doubled(columns, rng):
    row = rng.integers(NUM)
    columns["labels"] = np.append(columns["labels"], columns["labels"][row])
    columns["logits"] = np.append(columns["logits"], columns["logits"][row : row + 1], axis=0)
    columns["ids"].append("test/999")
    columns["camera"].append(columns["camera"][row])


def slice_of_one(columns, rng):
    row = rng.integers(NUM)
    columns["camera"][row] = "" if columns["camera"][row] is None else None


def slice_dropped(columns, rng):
    columns["camera"] = None


def words(columns, rng):
    columns["about"][str(rng.choice(["model_name", "dataset", "preprocessing"]))] = "other"


CHANGES = (
    logits_of_one,
    rounding_of_one,
    all_right,
    label_of_one,
    ids_swapped,
    id_renamed,
    row_dropped,
    row_doubled,
    slice_of_one,
    slice_dropped,
    words,
)


class Folder:
    """The artifacts of a version, in place of a registry."""

    def __init__(self, folder):
        self.folder = folder
        for name, content in (("architecture.json", "{}"), ("model.safetensors", "w"), ("data/model.pt2", "s")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)

    def files(self, version=VERSION):
        return ModelFiles(version.uri, str(self.folder), "sqlite://")

    def put(self, columns):
        table_of(columns).save(self.folder / "predictions" / "test.parquet")

    def judged(self, aside):
        return stored_evidence(self.files(), "test", aside).digests


def mutate(folder, aside, seed):
    """Change a table consistently after it was judged. Return what the check under the lock says."""
    rng, columns = np.random.default_rng([seed, 1]), drawn(seed)
    folder.put(columns)
    judged = folder.judged(aside)
    check_evidence(folder, VERSION, "test", judged)
    CHANGES[seed % len(CHANGES)](columns, rng)
    folder.put(columns)
    with pytest.raises(PromotionError) as refused:
        check_evidence(folder, VERSION, "test", judged)
    return str(refused.value)


THOROUGH = [pytest.param(range(start, start + 200), marks=pytest.mark.thorough) for start in range(33, 2033, 200)]


@pytest.mark.parametrize("seeds", [range(33), *THOROUGH])
def test_nothing_moves_on_a_table_that_was_changed_after_it_was_judged(tmp_path, seeds):
    folder = Folder(tmp_path / "model")
    for seed in seeds:
        said = mutate(folder, tmp_path / "aside", seed)
        assert said == (
            "The table of predictions of models:/pets/3 was changed since the gate judged: run 'pct gate' again."
        ), seed


@pytest.mark.parametrize(
    ("file", "says"), [("model.safetensors", "weights"), ("data/model.pt2", "served model"), ("new.py", "served model")]
)
def test_nothing_moves_on_another_model(tmp_path, file, says):
    folder = Folder(tmp_path / "model")
    folder.put(drawn(0))
    judged = folder.judged(tmp_path / "aside")
    for own in ("gate", "images", "texts"):
        (folder.folder / own).mkdir()
        (folder.folder / own / "x").write_text("written by pct")
    check_evidence(folder, VERSION, "test", judged)
    (folder.folder / file).write_text("another")
    with pytest.raises(PromotionError, match=f"The {says} of models:/pets/3 (was|were) changed"):
        check_evidence(folder, VERSION, "test", judged)


def test_a_table_that_is_gone_moves_nothing(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.put(drawn(0))
    judged = folder.judged(tmp_path / "aside")
    (folder.folder / "predictions" / "test.parquet").unlink()
    with pytest.raises(PromotionError, match=r"table of predictions of models:/pets/3 was changed"):
        check_evidence(folder, VERSION, "test", judged)


def test_the_digest_depends_on_what_a_table_says_and_on_nothing_else(tmp_path):
    columns = drawn(5)
    first = table_of(columns).save(tmp_path / "first.parquet").path
    rows = pq.read_table(first)
    digest = content_digest(first)
    orders = {"shuffled": np.random.default_rng(0).permutation(NUM), "sorted": np.argsort(columns["ids"])}
    for name, order in orders.items():
        pq.write_table(rows.take(pa.array(order)), tmp_path / f"{name}.parquet", row_group_size=7, compression="gzip")
        assert content_digest(tmp_path / f"{name}.parquet") == digest
    wide = rows.schema.set(0, pa.field("sample_id", pa.large_string()))
    lists = rows.schema.get_field_index("logits")
    wide = wide.set(lists, pa.field("logits", pa.list_(pa.float32())))
    turned = rows.cast(wide).select(rows.column_names[::-1])
    pq.write_table(turned, tmp_path / "turned.parquet", use_dictionary=False)
    assert content_digest(tmp_path / "turned.parquet") == digest
    # The same rows that say another model made them are other evidence.
    save_with_info(Predictions.load(first), tmp_path / "words.parquet", weights="f" * 64)
    assert content_digest(tmp_path / "words.parquet") != digest


def test_lists_of_unequal_length_and_gaps_have_digests_of_their_own(tmp_path):
    """Tables that no reader takes are still told apart, so that one cannot be swapped for another."""
    first = table_of(drawn(5)).save(tmp_path / "first.parquet").path
    rows = pq.read_table(first)
    place, found = rows.schema.get_field_index("features"), set()
    assert place == -1
    for values in ([[1.0]] * NUM, [[1.0, 2.0], [3.0]] * (NUM // 2), [[1.0], [2.0, 3.0]] * (NUM // 2), [None] * NUM):
        more = rows.append_column("features", pa.array(values, pa.list_(pa.float32())))
        pq.write_table(more, tmp_path / "more.parquet")
        found.add(content_digest(tmp_path / "more.parquet"))
    assert len(found) == 4


def test_a_file_of_known_bytes_is_not_read_again(tmp_path, monkeypatch):
    folder = Folder(tmp_path / "model")
    folder.put(drawn(0))
    judged = folder.judged(tmp_path / "aside")
    monkeypatch.setattr("pct_mlops.registry.evidence_record.content_digest", None)
    check_evidence(folder, VERSION, "test", judged)
    assert judged.changed(judged) == ""
    other = EvidenceDigests(judged.table, "another file", judged.weights, judged.served)
    assert (judged.changed(other), judged.whole) == ("", other.whole)
    another = EvidenceDigests("another table", "another file", judged.weights, "another served model")
    assert judged.changed(another) == "served model", "a new table would not help"
