"""A version of ours that was trained before a class came: scored on data with that class, and judged by the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_store import RECIPE, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.data import load_data
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.gating.rescore import recompute
from pct_mlops.workflows.runtime.references import version_predictions
from pct_mlops.workflows.studies.fingerprints import check_examples
from pct_mlops.workflows.studies.old_model import Old, old_tables
from pct_mlops.workflows.studies.trials import Bench
from pct_mlops.workflows.training.production_reference import production_right
from pct_mlops.workflows.training.train import train

COUNTS = {"train": 12, "val": 4, "test": 6}
SHADES = {"bee": 30, "cat": 120, "dog": 220, "ant": 70}


def draw(root: Path, names: list[str]) -> Path:
    """Write an image folder whose classes are shades of grey, which a tiny model can learn."""
    random = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in names:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.normal(SHADES[name], 20, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def recipe(root: Path) -> Recipe:
    data = {"name": "image_folder", "root": str(root), "image_size": 8, "augment": {"crop": "none", "flip": False}}
    optim = {"epochs": 2, "lr": 0.05, "global_batch_size": 12}
    return Recipe.model_validate(
        {**RECIPE, "model_name": "shop", "data": {**data, "num_workers": 0}, "optim": optim, "engine": {"cpu": True}}
    )


@pytest.fixture
def shop(empty):
    """shop/1 knows cat and dog and is in production; shop/2 was trained on data that have bee before them."""
    old, new = draw(empty.folder / "old", ["cat", "dog"]), draw(empty.folder / "new", ["bee", "cat", "dog"])
    assert train(recipe(old), tracking_uri=empty.uri).version == 1
    assert empty.pct("gate", "shop/1", "--policy", empty.policy("lenient"), "--promote") == 0
    assert train(recipe(new), tracking_uri=empty.uri).version == 2
    return empty


def stored(store, number):
    registry = store.registry
    return version_predictions(registry, registry.get("shop", number), "test")


def said(table) -> dict[str, tuple[str, str]]:
    """id -> label and prediction by name."""
    import pyarrow.parquet as pq

    rows, names = pq.read_table(table.path), table.info.class_names
    columns = (rows[name].to_pylist() for name in ("sample_id", "label", "prediction"))
    return {key: (names[label], names[prediction]) for key, label, prediction in zip(*columns, strict=True)}


def check_old(table) -> None:
    assert (table.info.class_names, table.info.known_classes) == (("cat", "dog", "bee"), ("cat", "dog"))
    table.verify()
    found = said(table)
    assert sorted(label for label, _ in found.values()) == ["bee"] * 6 + ["cat"] * 6 + ["dog"] * 6
    assert {prediction for _, prediction in found.values()} <= {"cat", "dog"}


def check_report(store, report: dict) -> None:
    """Hold the report against a count by name."""
    old, new = said(stored(store, 1)), said(stored(store, 2))
    was, now = ({key for key, (label, prediction) in side.items() if label == prediction} for side in (old, new))
    bees = {key for key, (label, _) in new.items() if label == "bee"}
    change = report["class_change"]
    assert (change["shared"], change["new"], change["gone"], change["inferred"]) == (["cat", "dog"], ["bee"], [], [])
    for part, within in (("on_shared", set(new) - bees), ("on_new", bees)):
        counts = change[part]["counts"]
        assert counts["negative_flips"] == len((was - now) & within), part
        assert counts["positive_flips"] == len((now - was) & within), part
        assert counts["total"] == len(within)
    assert report["counts"]["both_right"] == len(was & now)


def check_studies(store, splits) -> None:
    """Sweep, tune and floor find the same examples in the tables of shop/1, and count flips on both splits."""
    first, second = (old_tables(store.registry, store.registry.get("shop", number)) for number in (1, 2))
    test, val = first["test"].info, first["val"].info
    names = {split: table.info.class_names for split, table in first.items()}
    old = Old("models:/shop/1", 1, test.digest, test.num_examples, 0.5, None, val.digest, names)
    check_examples(splits, old)
    for name in ("test", "val"):
        labels = getattr(splits, name).labels.clone()
        labels[0] = (labels[0] + 1) % 3
        other = replace(splits, **{name: replace(getattr(splits, name), labels=labels)})
        with pytest.raises(PctError, match=f"The recipe's {name} examples are not those that models:/shop/1"):
            check_examples(other, old)
    metrics = Bench(None, old=first)._measure(second)
    for split in ("val", "test"):
        was, now = said(first[split]), said(second[split])
        flips = [was[key][0] == was[key][1] and now[key][0] != now[key][1] for key in was]
        assert metrics[f"{split}/nfr"] == pytest.approx(np.mean(flips)), split


def gate(store, *words, **policy) -> tuple[int, dict]:
    rules = [{"metric": "nfr", "max": 0.99, "on": "shared"}]
    (store.folder / "grown.yaml").write_text(yaml.safe_dump({"rules": rules, **policy}))
    code = store.pct("gate", "shop/2", "--policy", store.folder / "grown.yaml", "--json", "report.json", *words)
    return code, json.loads((store.folder / "report.json").read_text())


def test_score_recompute_and_gate(shop, capsys):
    assert gate(shop)[0] == 2, "the tables are about other examples"
    with heard() as lines:
        assert shop.pct("score", "shop/1", "--set", f"data.root={shop.folder / 'new'}") == 0
    assert [line for line in lines if "does not know" in line] == [
        "shop/1: the model does not know 1 of the labels (bee), so its predictions for 6 examples count as wrong."
    ]
    check_old(stored(shop, 1))
    code, report = gate(shop, evidence={"tied": True})
    assert code == 0
    check_report(shop, report)
    # The same from one command, which scores both on the candidate's data.
    code, report = gate(shop, "--recompute", evidence="recomputed")
    assert (code, report["evidence"]) == (0, {"candidate": "recomputed", "baseline": "recomputed"})
    check_old(stored(shop, 1))
    check_report(shop, report)
    # The next training counts flips against the old model by name, though its table has the classes in another order.
    assert shop.pct("score", "shop/1", "--split", "val", "--set", f"data.root={shop.folder / 'new'}") == 0
    splits = load_data(recipe(shop.folder / "new").data, 0)
    right = production_right(shop.registry, "shop", splits.val, splits.class_names)
    by_name = said(version_predictions(shop.registry, shop.registry.get("shop", 1), "val"))
    expected = [label == prediction for label, prediction in map(by_name.get, splits.val.sample_ids)]
    assert right.tolist() == expected
    assert 0 < sum(expected) < len(expected)
    check_studies(shop, splits)
    assert gate(shop, "--promote")[0] == 0
    capsys.readouterr()
    assert shop.pct("compare", "shop/1", "shop/2") == 0
    assert "1 (bee) known to the new model only; none known to the old" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_file_of_images_and_an_ensemble(shop, capsys):
    pixels, ids, labels = [], [], []
    for path in sorted((shop.folder / "new" / "test").rglob("*.png")):
        pixels.append(np.asarray(Image.open(path)))
        ids.append(path.relative_to(shop.folder / "new").as_posix())
        labels.append(path.parent.name)
    np.savez(shop.folder / "new.npz", id=ids, label=labels, images=np.stack(pixels))
    assert shop.pct("score", "shop/1", "--data", "new.npz", "--output", "old.parquet") == 0
    table = Predictions.load("old.parquet")
    check_old(table)
    assert shop.pct("compare", "old.parquet", "shop/2", "--json", "c.json") == 0
    assert json.loads(Path("c.json").read_text())["class_change"]["new"] == ["bee"]
    capsys.readouterr()
    assert shop.pct("ensemble", "mean.parquet", "old.parquet", "shop/2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not know bee: give models that know the same classes" in line


@pytest.mark.slow
def test_data_of_none_of_the_classes(shop, tmp_path, capsys):
    other = draw(tmp_path / "other", ["ant", "bee"])
    before = shop.registry.predictions(shop.registry.get("shop", 1)).read_bytes()
    assert shop.pct("score", "shop/1", "--set", f"data.root={other}") == 2
    assert "models:/shop/1 knows none of the classes of image_folder" in capsys.readouterr().err
    assert shop.registry.predictions(shop.registry.get("shop", 1)).read_bytes() == before


@pytest.mark.slow
def test_data_that_change_meanwhile_are_refused(shop, monkeypatch):
    """Also where the classes differ, so that the digests do anyway."""
    import pct_mlops.workflows.gating.rescore as module

    scored = module._scored

    def then_add_one(*given):
        table = scored(*given)
        Image.new("RGB", (8, 8)).save(shop.folder / "new" / "test" / "cat" / "late.png")
        return table

    monkeypatch.setattr(module, "_scored", then_add_one)
    registry = shop.registry
    with pytest.raises(PctError, match="changed while it was read"):
        recompute(registry, registry.get("shop", 1), registry.get("shop", 2))
    assert stored(shop, 1).info.num_examples == 12
