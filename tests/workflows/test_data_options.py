"""What a recipe changes in the data of a training, and what a data set hands on to tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import DataConfig, PctError, Recipe
from pct_mlops.data import load_data
from pct_mlops.data.split import check_splits
from pct_mlops.engine import make_accelerator
from pct_mlops.workflows.runtime.session import open_session
from pct_mlops.workflows.training.register import predictions_table
from pct_mlops.workflows.training.train import train_once

KEPT = ("1", "4", "7")


def trained(store, folder, *overrides):
    recipe = Recipe.read(store.recipe, ["optim.epochs=1", f"engine.checkpoint_dir={folder}", *overrides])
    return train_once(recipe, open_session(make_accelerator(recipe.engine), store.uri, create=False))


def test_a_training_on_some_classes_knows_them_alone(shared_store, tmp_path):
    done = trained(shared_store, tmp_path, "data.classes=[1, 4, 7]")
    assert done.model.architecture.class_names == KEPT
    assert {logits.shape[1] for logits in done.logits.values()} == {3}
    table = predictions_table(done.logits["test"], done.splits.test, done.splits, model_name="digits")
    assert table.info.class_names == KEPT
    assert table.info.num_examples == len(done.splits.test) < len(load_data(DataConfig(name="digits"), 0).test)
    assert table.accuracy() > 0.5


def test_trainings_with_other_classes_or_noise_are_not_taken_for_each_other(shared_store, tmp_path):
    wanted = ((), ("data.label_noise=0.4",), ("data.label_noise=0.2",), ("data.classes=[1, 4, 7]",))
    folders = {trained(shared_store, tmp_path, *overrides).folder for overrides in wanted}
    assert len(folders) == len(wanted)
    assert trained(shared_store, tmp_path, "data.label_noise=0.4").num_epochs == 0  # found again


def test_slice_columns_of_a_data_set_go_into_tables():
    splits = load_data(DataConfig(name="digits"), 0)
    scanner = ["a" if row % 3 else "b" for row in range(len(splits.test))]
    test = replace(splits.test, slices={"scanner": scanner})
    labels = test.labels.numpy()
    old = predictions_table(np.eye(10, dtype=np.float32)[labels] * 5, test, splits, model_name="old")
    wrong = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 10, labels)
    new = predictions_table(np.eye(10, dtype=np.float32)[wrong] * 5, test, splits, model_name="new")
    found = compare(old, new)
    assert found.slice_columns == ("scanner",)
    flips = {row.value: row.counts.negative_flips / row.counts.total for row in found.slices("scanner")}
    assert flips == {"a": 0.0, "b": 1.0}


def test_columns_are_selected_with_their_examples():
    splits = load_data(DataConfig(name="digits"), 0)
    test = replace(splits.test, slices={"id": list(splits.test.sample_ids)})
    assert test.select(np.array([7, 3])).slices == {"id": [test.sample_ids[7], test.sample_ids[3]]}
    with pytest.raises(ValueError, match="a slice column has another length than the 599 ids"):
        replace(splits.test, slices={"short": ["a"]})


def test_a_column_with_a_reserved_name_is_an_error_before_the_training():
    splits = load_data(DataConfig(name="digits"), 0)
    test = replace(splits.test, slices={"label": ["x"] * len(splits.test)})
    with pytest.raises(PctError, match="The test split of digits: slice column 'label' is empty, repeated or reserved"):
        check_splits(replace(splits, test=test))
