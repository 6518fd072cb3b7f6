"""Teacher outputs on disk: equal to asking the teacher, and refused when they are not what was stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fit_cases import CLASSES, DATA, SoftCrossEntropy, cpu, loader_for, make_model, make_split, store, train

from pct_mlops.config import AugmentConfig, OptimConfig, PctError
from pct_mlops.engine import ModuleTeacher, StoredOutputs, progress, stored
from pct_mlops.models import ModelOutput

OPTIM = OptimConfig(lr=0.05, epochs=3, global_batch_size=24)
VIEWS = DATA.model_copy(update={"views": 2})
NUM = 50


def build(folder: Path, **options: Any) -> StoredOutputs:
    return store(folder, make_model(1, norm="batch"), make_split(NUM), cpu(), VIEWS, **options)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    torch.set_num_threads(1)
    build(folder, with_features=True)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(written, tmp_path / "outputs"))


def test_stored_outputs_are_the_teachers_own_of_the_same_views(written: Path) -> None:
    outputs = StoredOutputs.open(written, "key", with_features=True)
    assert outputs.shape == (2, NUM, len(CLASSES))
    teacher = ModuleTeacher(make_model(1, norm="batch"))
    for epoch in range(2):
        for batch in loader_for(make_split(NUM), cpu(), OPTIM, VIEWS).epoch(epoch):
            found, expected = outputs.outputs(batch), teacher.outputs(batch)
            assert found.logits.dtype == found.features.dtype == torch.float32
            torch.testing.assert_close(found.logits, expected.logits, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(found.features, expected.features, rtol=1e-3, atol=1e-4)
    assert StoredOutputs.open(written, "key").outputs(batch).features is None


@pytest.mark.parametrize("loss", ["ldi", "cna"])
def test_a_training_with_them_is_the_training_with_the_teacher(written: Path, loss: str) -> None:
    curves = []
    for teacher in (make_model(1, norm="batch"), StoredOutputs.open(written, "key", with_features=True)):
        loader = loader_for(make_split(NUM), cpu(), OPTIM, VIEWS)
        results = train(make_model(), loader, cpu(), OPTIM, loss, teacher=teacher)
        curves.append([value for result in results for value in result.losses])
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)


def test_what_is_there_is_not_computed_again(folder: Path) -> None:
    def nobody(number: int) -> Any:
        raise AssertionError(number)

    size = {"num_views": 2, "num_examples": NUM}
    again = StoredOutputs.build(folder, "key", make_model(9), nobody, **size, accelerator=cpu(), with_features=True)
    assert again.shape == (2, NUM, len(CLASSES))
    assert StoredOutputs.exists(folder, "key")
    assert not StoredOutputs.exists(folder, "other")
    with pytest.raises(PctError, match=r"are of 2 views of 50 examples, not of 3 of 50: remove that folder"):
        StoredOutputs.build(folder, "key", make_model(9), nobody, num_views=3, num_examples=NUM, accelerator=cpu())


@pytest.mark.parametrize("name", ["logits.npy", "features.npy", "header.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "half", "bit"])
def test_damaged_files_are_refused(folder: Path, name: str, how: str) -> None:
    file = folder / "key" / name
    content = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
    elif how == "bit":
        content[len(content) * 3 // 4] ^= 255
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2 if how == "half" else 0])
    says = rf"^The stored teacher outputs {folder / 'key'} cannot be used \(.+\): remove that folder, and they are"
    with pytest.raises(PctError, match=says):
        build(folder, with_features=True)
    shutil.rmtree(folder / "key")
    build(folder, with_features=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "else"}, "not of this program"),
        ({"version": 0}, "not of this program"),
        ({"key": "other"}, "another teacher, other data or other views"),
        ({"files": {}}, "logits.npy"),
        ({"files": None}, "."),
    ],
)
def test_foreign_headers_are_refused(folder: Path, change: dict, says: str) -> None:
    header = folder / "key" / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), **change}))
    with pytest.raises(PctError, match=says):
        StoredOutputs.open(folder, "key")


def test_foreign_files_are_refused(folder: Path) -> None:
    (folder / "key").rename(folder / "renamed")
    with pytest.raises(PctError, match="belongs to another teacher, other data or other views"):
        StoredOutputs.open(folder, "renamed")
    with pytest.raises(PctError, match=r"There are no stored teacher outputs at .*key: train with teacher\.store=true"):
        StoredOutputs.open(folder, "key")
    (folder / "list").mkdir()
    (folder / "list" / "header.json").write_text("[]")
    with pytest.raises(PctError, match="remove that folder"):
        StoredOutputs.open(folder, "list")
    (folder / "file").write_text("mine")
    with pytest.raises(PctError, match="remove that folder"):
        StoredOutputs.open(folder, "file")


def test_an_array_that_is_not_what_the_header_says(folder: Path) -> None:
    header, file = folder / "key" / "header.json", folder / "key" / "logits.npy"
    for array in (np.zeros((2, NUM, 4), np.float32), np.zeros((2, NUM, 3), np.float16)):
        np.save(file, array)
        record = json.loads(header.read_text())
        record["files"]["logits.npy"] |= {"bytes": file.stat().st_size, "crc32": stored.checksum(file)}
        header.write_text(json.dumps(record))
        with pytest.raises(PctError, match="another shape"):
            StoredOutputs.open(folder, "key")


def test_features_that_were_not_stored(tmp_path: Path) -> None:
    build(tmp_path)
    with pytest.raises(PctError, match="it holds no features"):
        StoredOutputs.open(tmp_path, "key", with_features=True)

    class Plain(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> ModelOutput:
            return ModelOutput(images.flatten(1)[:, :4])

    with pytest.raises(PctError, match="returns no features"):
        store(tmp_path / "plain", Plain(), make_split(NUM), cpu(), VIEWS, with_features=True)


def test_a_kill_leaves_nothing_under_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".key.partial", ".lock"]
    build(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "key"]


def test_examples_that_are_missing_or_come_twice_are_noticed(tmp_path: Path) -> None:
    from pct_mlops.data import view_loader

    batches = list(view_loader(make_split(NUM), VIEWS, 0, batch_size=9, seed_data=2))
    size = {"num_views": 1, "num_examples": NUM, "accelerator": cpu()}
    for wrong in (batches[1:], [*batches, batches[0]]):
        with pytest.raises(RuntimeError, match="view 0: some examples are missing or come twice"):
            StoredOutputs.build(tmp_path, "key", make_model(), lambda number, wrong=wrong: wrong, **size)
    backwards = [
        batch._replace(**{key: getattr(batch, key).flip(0) for key in ("images", "index")}) for batch in batches
    ]
    one = StoredOutputs.build(tmp_path, "backwards", make_model(), lambda number: backwards, **size)
    other = StoredOutputs.build(tmp_path, "forwards", make_model(), lambda number: batches, **size)
    torch.testing.assert_close(one.outputs(batches[0]).logits, other.outputs(batches[0]).logits, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_what_float16_cannot_hold_is_a_sentence(tmp_path: Path, value: float) -> None:
    teacher = make_model()
    torch.nn.init.constant_(teacher.head.bias, value)
    with pytest.raises(PctError, match=r"not finite in float16, so they cannot be stored: set teacher\.store=false"):
        store(tmp_path, teacher, make_split(NUM), cpu(), VIEWS)
    assert not StoredOutputs.exists(tmp_path, "key")


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PctError, match=r"Teacher outputs cannot be stored in .*file"):
        build(tmp_path / "file")


def test_views_that_are_not_stored_are_refused(written: Path) -> None:
    outputs = StoredOutputs.open(written, "key")
    for data in (DATA, DATA.model_copy(update={"views": 3})):
        with pytest.raises(PctError, match=r"of 2 fixed views an example.*set data\.views=2"):
            train(make_model(), loader_for(make_split(NUM), cpu(), OPTIM, data), cpu(), OPTIM, "l2", teacher=outputs)
    with pytest.raises(ValueError, match="outside the 50 examples"):
        train(make_model(), loader_for(make_split(99), cpu(), OPTIM, VIEWS), cpu(), OPTIM, "l2", teacher=outputs)


def test_a_table_that_was_moved_to_the_device_says_the_same(written: Path) -> None:
    mapped, moved = (StoredOutputs.open(written, "key", with_features=True) for _ in range(2))
    moved._on_device = [torch.from_numpy(table.copy()) for table in moved._tables]
    for batch in loader_for(make_split(NUM), cpu(), OPTIM, VIEWS).epoch(0):
        one, other = mapped.outputs(batch), moved.outputs(batch)
        assert torch.equal(one.logits, other.logits)
        assert torch.equal(one.features, other.features)
    assert not mapped._on_device  # on a CPU nothing is copied


def test_mixtures_are_refused(written: Path) -> None:
    mixed = VIEWS.model_copy(update={"augment": AugmentConfig(padding=2, cutmix=1.0)})
    loader = loader_for(make_split(NUM), cpu(), OPTIM, mixed)
    with pytest.raises(PctError, match="mixup and cutmix show mixtures of two examples, and stored outputs are of"):
        train(make_model(), loader, cpu(), OPTIM, SoftCrossEntropy(), teacher=StoredOutputs.open(written, "key"))


def test_a_bar_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int, bool]] = []

    class Bar(progress.Progress):
        def __init__(self, title: str, total: int, visible: bool) -> None:
            shown.append((title, total, visible))
            super().__init__(title, total, False)

    monkeypatch.setattr("pct_mlops.engine.store_writer.Progress", Bar)
    build(tmp_path)
    assert shown == [("teacher outputs", 2 * NUM, True)]
