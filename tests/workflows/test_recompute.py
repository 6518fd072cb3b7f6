"""An evaluation set that has grown: refused, scored anew on both sides, and nothing of what there was is lost."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_store import heard

from pct_mlops.comparison import compare
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import add_predictions
from pct_mlops.workflows.gating.rescore import recompute
from pct_mlops.workflows.runtime.references import version_predictions


def put(store, reference, path):
    add_predictions(store.registry, store.registry.resolve(reference), path)


def smaller(store, reference, folder, share=0.5):
    """The version's own table, cut as if the test set had been smaller when it was scored."""
    rows = pq.read_table(store.registry.predictions(store.registry.resolve(reference)))
    rows = rows.slice(0, int(len(rows) * share))
    cut = Predictions.from_arrays(
        rows["sample_id"].to_pylist(),
        rows["label"].to_numpy(),
        np.array(rows["logits"].to_pylist(), np.float32),
        class_names=[str(digit) for digit in range(10)],
        model_name="digits",
        dataset="digits",
        split="test",
    )
    cut.save(folder / "test.parquet")
    return folder / "test.parquet"


def tables(store):
    registry = store.registry
    return [version_predictions(registry, registry.get("digits", number), "test") for number in (1, 2)]


def run(store):
    registry = store.registry
    recompute(registry, registry.get("digits", 1), registry.get("digits", 2))


def test_a_set_that_has_grown(store, tmp_path, capsys):
    before = pq.read_table(tables(store)[0].path)
    path = smaller(store, "digits/1", tmp_path)
    put(store, "digits/1", path)
    small = tables(store)[0].info
    with pytest.raises(PctError, match=r"not comparable: .* only in the new table"):
        compare(*tables(store))
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient")) == 2
    with heard() as said:
        run(store)
    old, new = tables(store)
    assert compare(old, new).counts.total == len(before)
    for table in (old, new):
        table.verify()
    # Scored from the registered weights: what training had written, up to the order of rows and rounding.
    after = pq.read_table(old.path)
    np.testing.assert_array_equal(after["sample_id"].to_numpy(), before["sample_id"].to_numpy())
    logits = [np.array(rows["logits"].to_pylist()) for rows in (before, after)]
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-4)
    kept = store.registry.download(store.registry.get("digits", 1), f"predictions/test-{small.digest[:8]}.parquet")
    assert kept is not None
    assert kept.read_bytes() == path.read_bytes()
    assert f"predictions/test-{small.digest[:8]}.parquet" in " ".join(said)
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient")) == 0


def test_again_and_again_nothing_is_lost(store, tmp_path):
    for share in (0.5, 0.25, 0.5):
        put(store, "digits/1", smaller(store, "digits/1", tmp_path, share))
        run(store)
    folder = tables(store)[0].path.parent
    kept = [path for path in folder.iterdir() if path.name.startswith("test-")]
    sizes = sorted(len(pq.read_table(path, columns=["label"])) for path in kept)
    whole = tables(store)[0].info.num_examples
    assert sizes == sorted([whole // 2, whole // 4])
    # A table that nobody can read may say why: it is kept, too.
    (tmp_path / "test.parquet").write_bytes(b"PAR1 and nothing else")
    store.registry.files(store.registry.get("digits", 1)).add(tmp_path / "test.parquet", "predictions")
    run(store)
    assert (folder / "test-unreadable.parquet").read_bytes() == b"PAR1 and nothing else"
    assert compare(*tables(store)).counts.total == whole


@pytest.mark.parametrize("lost", ["model.safetensors", "architecture.json"])
def test_without_a_model_nothing_is_stored(store, tmp_path, lost):
    registry = store.registry
    put(store, "digits/1", smaller(store, "digits/1", tmp_path))
    registry.download(registry.get("digits", 1), lost).unlink()
    before = store.state()
    with pytest.raises(PctError, match=f"digits/1 carries no {lost}"):
        run(store)
    assert store.state() == before


def test_a_candidate_without_a_recipe(store):
    registry = store.registry
    registry.download(registry.get("digits", 2), "recipe.yaml").unlink()
    with pytest.raises(PctError, match="digits/2 carries no recipe"):
        run(store)


def test_data_that_a_model_cannot_see(store):
    registry = store.registry
    baseline, candidate = (registry.download(registry.get("digits", number), "recipe.yaml") for number in (1, 2))
    text = candidate.read_text()
    # The candidate's own image size is no concern of the baseline's, which sees what it was trained on.
    candidate.write_text(text.replace("image_size: null", "image_size: 12"))
    before = store.state()
    with pytest.raises(PctError, match=r"digits/2 sees images of shape \(1, 8, 8\), and digits has \(1, 12, 12\)"):
        run(store)
    candidate.write_text(text)
    baseline.write_text(baseline.read_text().replace("image_size: null", "image_size: 12"))
    with pytest.raises(PctError, match="digits/1 sees images"):
        run(store)
    assert store.state() == before
    record = registry.download(registry.get("digits", 1), "architecture.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "class_names": list("abcdefghij")}))
    with pytest.raises(PctError, match="digits/1 knows none of the classes of digits"):
        run(store)
    assert store.state() == before


def test_nothing_is_stored_for_one_when_the_other_is_another_model(store, tmp_path):
    registry = store.registry
    put(store, "digits/1", smaller(store, "digits/1", tmp_path))
    served = registry.download(registry.get("digits", 2), "MLmodel")
    served.write_text(f"{served.read_text()}\n")
    before = store.state()
    with pytest.raises(PctError, match="The served model of models:/digits/2 was changed"):
        run(store)
    assert store.state() == before
