"""Every kind of file that a command reads, with a payload in it: it is refused or read, and nothing of it runs.

Files with tests of their own: checkpoints (tests/engine/test_engine_hostile_checkpoints.py), `.result` files
(tests/workflows/test_legacy_results.py), logged models (tests/workflows/test_models_that_run_code.py), records and
recipes out of a registry that name code (tests/plugins/test_plugins_trusted.py), caches of fonts
(tests/data/test_data_glyphs.py).
"""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pct_mlops.cli import main
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions

RECIPE = {
    "model_name": "digits",
    "data": {"name": "digits", "num_workers": 0},
    "model": {"name": "small_resnet8", "kwargs": {"width": 8}},
    "optim": {"epochs": 1},
    "engine": {"cpu": True},
}
IDS, LABELS = ["x", "y"], [0, 1]


class Payload:
    """What a pickle does to those who load it: it makes a folder."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """The folder that every payload makes. The current folder holds a good table, a policy and a recipe."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        made = Predictions.from_arrays(IDS, LABELS, np.eye(2) * 3, class_names=["a", "b"], split="test")
        made.save(tmp_path / f"{name}.parquet")
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.9, bound: point}]")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path / "ran"


def objects(mark):
    return np.array([Payload(mark), None], dtype=object)


def npz(path, mark):
    np.savez(path, sample_id=np.array(IDS), label=np.array(LABELS), prediction=objects(mark))


def bare_pickle(path, mark):
    path.write_bytes(pickle.dumps(Payload(mark)))


def torch_file(path, mark):
    import torch

    torch.save({"state_dict": Payload(mark)}, path)


def old_torch_file(path, mark):
    import torch

    torch.save(Payload(mark), path, _use_new_zipfile_serialization=False)


def parquet_extension(path, mark):
    """Extension types of Arrow once came with a pickle of their class (CVE-2023-47248)."""
    table = pa.table({"sample_id": IDS, "label": LABELS, "prediction": LABELS, "weight": [1.0, 1.0]})
    evil = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Payload(mark))}
    fields = [field.with_metadata(evil) for field in table.schema]
    pandas = {b"pandas": json.dumps({"index_columns": [], "columns": [], "attributes": {}}).encode()}
    pq.write_table(table.cast(pa.schema(fields, metadata=pandas)), path)


def python_tag(path, mark):
    path.write_text(f"!!python/object/apply:os.mkdir ['{mark}']")


def python_tag_inside(path, mark):
    path.write_text(f"rules: !!python/object/apply:os.mkdir ['{mark}']\nmodel_name: !!python/name:os.system x")


# What is written under which name, and the commands that are given it as FILE.
TABLES = (
    "compare old.parquet FILE",
    "gate FILE --baseline old.parquet --policy policy.yaml",
    "risk old.parquet --members FILE",
)
SETTINGS = ("gate new.parquet --baseline old.parquet --policy FILE", "train FILE", "policy check FILE")
WEIGHTS = (
    "score FILE --recipe recipe.yaml --output out.parquet",
    "train recipe.yaml --loss none --set model.init=FILE",
    "train recipe.yaml --loss ldi --set teacher.ref=FILE",
    "train recipe.yaml --loss ldi --set teacher.refs=[{ref: FILE}]",
)
CE_WEIGHTS = "train recipe.yaml --loss none --set objective.ce_weights=FILE"
CASES = [
    *((make, "evil.npz", command) for make in (npz, bare_pickle) for command in TABLES),
    *(
        (make, "evil.parquet", command)
        for make in (parquet_extension, bare_pickle)
        for command in (*TABLES, CE_WEIGHTS)
    ),
    *((bare_pickle, f"evil.{end}", TABLES[0]) for end in ("csv", "tsv", "jsonl", "result", "pkl")),
    *((make, "evil.yaml", command) for make in (python_tag, python_tag_inside) for command in SETTINGS),
    *((bare_pickle, "evil.txt", command) for command in (*SETTINGS, "compare old.parquet new.parquet --classes FILE")),
    *((torch_file, "evil.pth.tar", command) for command in WEIGHTS),
    (old_torch_file, "evil.pt", WEIGHTS[0]),
    (bare_pickle, "evil.ckpt", WEIGHTS[0]),
    (bare_pickle, "evil.bin", WEIGHTS[0]),
    (bare_pickle, "evil.safetensors", WEIGHTS[0]),
]


@pytest.mark.parametrize(("make", "name", "command"), CASES)
def test_no_command_runs_a_payload(mark, tmp_path, capsys, make, name, command):
    make(tmp_path / name, mark)
    words = [part.replace("FILE", name) for part in command.replace(": ", ":\0").split(" ")]
    code = main([word.replace("\0", " ") for word in words])
    said = capsys.readouterr().err
    assert not mark.exists()
    assert "Traceback" not in said
    assert "unexpected" not in said
    if make is not parquet_extension:  # that one has plain columns, whose type alone is strange
        assert code == 2
        assert name in said, "it is this file that is refused"


@pytest.mark.parametrize(
    ("make", "ending"),
    [(npz, "npz"), (parquet_extension, "parquet"), *((bare_pickle, end) for end in ("npz", "parquet", "csv", "jsonl"))],
)
def test_examples_to_score_run_nothing(mark, tmp_path, make, ending):
    from pct_mlops.workflows.runtime.example_data import read_examples

    path = tmp_path / f"evil.{ending}"
    make(path, mark)
    if make is parquet_extension:
        assert read_examples(path, {}).labels == LABELS
    else:
        with pytest.raises(PctError, match=rf"evil\.{ending}"):
            read_examples(path, {})
    assert not mark.exists()


@pytest.mark.parametrize("with_header", [True, False])
def test_stored_outputs_of_a_teacher_run_nothing(mark, tmp_path, with_header):
    from pct_mlops.engine import StoredOutputs
    from pct_mlops.engine.store_writer import HEADER, KIND, LOGITS, VERSION, checksum

    folder = tmp_path / "stored" / "key"
    folder.mkdir(parents=True)
    np.save(folder / LOGITS, objects(mark), allow_pickle=True)
    size, crc = (folder / LOGITS).stat().st_size, checksum(folder / LOGITS)
    header = {
        "kind": KIND,
        "version": VERSION,
        "key": "key",
        "dtype": "float16",
        "files": {LOGITS: {"shape": [2], "bytes": size, "crc32": crc}},
    }
    if with_header:
        (folder / HEADER).write_text(json.dumps(header))
    else:
        bare_pickle(folder / HEADER, mark)
    with pytest.raises(PctError):
        StoredOutputs.open(tmp_path / "stored", "key")
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_a_data_set_that_comes_as_pickles_is_read_only_as_it_was_published(mark, tmp_path, kind):
    """torchvision's copy of CIFAR is pickles. It compares their digests before it reads one."""
    from torchvision import datasets

    from pct_mlops.config import DataConfig
    from pct_mlops.data import load_data

    source = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[kind]
    folder = tmp_path / "data" / source.base_folder
    folder.mkdir(parents=True)
    for name in (*(item[0] for item in (*source.train_list, *source.test_list)), source.meta["filename"]):
        bare_pickle(folder / name, mark)
    with pytest.raises(PctError, match=r"set data\.root to the folder that holds"):
        load_data(DataConfig(name=kind, root=tmp_path / "data"), 0)
    assert not mark.exists()


def test_the_payloads_would_have_run(mark, tmp_path):
    """So that the tests above are some."""
    for make, name, load in (
        (npz, "evil.npz", lambda path: np.load(path, allow_pickle=True)["prediction"]),
        (bare_pickle, "evil.pkl", pd.read_pickle),
        (python_tag, "evil.yaml", lambda path: yaml.unsafe_load(path.read_text())),
    ):
        make(tmp_path / name, mark)
        load(tmp_path / name)
        mark.rmdir()
