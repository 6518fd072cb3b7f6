"""The data set glyphs: where fonts come from, how they are split, and what is kept."""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_fonts import FAMILIES, write_folder, write_font

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data import Splits, datasets, glyphs, load_data
from pct_mlops.data.fonts import CHARACTERS, first_word
from pct_mlops.testing import check_dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("fonts"))


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is drawn, and no packages."""
    monkeypatch.delenv("PCT_GLYPHS", raising=False)
    monkeypatch.setattr(datasets, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr(glyphs, "DPKG", tmp_path / "dpkg")
    return tmp_path / "downloads"


def load(fonts: Path | None, seed: int = 0, **keys: object) -> Splits:
    return load_data(DataConfig(name="glyphs", root=fonts, **keys), seed)  # type: ignore[arg-type]


def parts(splits: Splits) -> dict:
    return {"train": splits.train, "val": splits.val, "test": splits.test}


def contents(splits: Splits) -> dict[str, bytes]:
    found = {}
    for split in parts(splits).values():
        for sample_id, image in zip(split.sample_ids, split.all_images(), strict=True):
            found[sample_id] = image.numpy().tobytes()
    return found


def test_the_data_set_keeps_the_contract(fonts: Path) -> None:
    check_dataset("glyphs", DataConfig(root=fonts))


def test_families_are_split_and_each_font_has_every_class(fonts: Path) -> None:
    splits = load(fonts)
    assert splits.class_names == tuple(CHARACTERS)
    assert splits.image_shape == (1, 32, 32)
    for name, split in parts(splits).items():
        assert set(split.slices["family"]) == set(FAMILIES[name])
        number = len(FAMILIES[name]) + 1  # the first family has two styles
        assert torch.bincount(split.labels).tolist() == [number] * 62
        for row in (0, len(split) - 1):
            family, sample_id = split.slices["family"][row], split.sample_ids[row]
            assert re.fullmatch(rf"{name}/{family}-(Regular|Bold)/{CHARACTERS[int(split.labels[row])]}", sample_id)
    assert set(splits.train.slices["style"]) == {"unknown"}


def test_related_families_and_weights_are_in_one_split_whatever_else_is_there(fonts: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(fonts, more)
    for number, family in enumerate(("Lato Sans", "Lato Serif", "Lato Black", "LatoMono")):
        write_font(more / f"{number}.ttf", family, "Italic", seed=100 + number)
    before, after = load(fonts), load(more)
    assert {family for family in after.val.slices["family"] if first_word(family) == "lato"} == {
        "Lato", "Lato Sans", "Lato Serif", "LatoMono",
    }  # fmt: skip
    assert contents(before).items() <= contents(after).items()


def test_names_and_order_of_files_do_not_count(fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "moved"
    (moved / "deep").mkdir(parents=True)
    files = sorted(fonts.iterdir())
    random.Random(0).shuffle(files)
    for number, path in enumerate(files):
        shutil.copy(path, moved / ("deep" if number % 2 else ".") / f"{number}.otf")
    one, two = load(fonts), load(moved)
    assert one.train.sample_ids == two.train.sample_ids
    assert contents(one) == contents(two)
    assert (one.mean, one.std) == (two.mean, two.std)


def test_the_image_size_is_drawn_and_not_resized(fonts: Path) -> None:
    large = load(fonts, image_size=64)
    assert large.image_shape == (1, 64, 64)
    assert re.fullmatch(r"glyphs/64x64/uint8/fonts-[0-9a-f]{12}", large.preprocessing_id)
    for size in (8, 500):
        with pytest.raises(PctError, match=r"16 to 128 pixels: set data\.image_size to 32 or 64"):
            load(fonts, image_size=size)


def test_the_preprocessing_names_the_contents_of_the_fonts(fonts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(fonts, other)
    assert load(other).preprocessing_id == load(fonts).preprocessing_id
    write_font(other / "Amiri-Regular.ttf", "Amiri", seed=77)
    assert load(other).preprocessing_id != load(fonts).preprocessing_id


def test_a_fraction_of_train_is_whole_families_and_lies_within_a_larger_one(fonts: Path) -> None:
    whole, half, third = (load(fonts, train_fraction=share) for share in (1.0, 0.5, 0.34))
    assert len(set(half.train.slices["family"])) == 3
    assert set(third.train.sample_ids) < set(half.train.sample_ids) < set(whole.train.sample_ids)
    assert len(set(torch.bincount(half.train.labels).tolist())) == 1
    assert half.val.sample_ids == whole.val.sample_ids
    assert (half.mean, half.std) == (whole.mean, whole.std)
    drawn = {frozenset(load(fonts, seed, train_fraction=0.5).train.slices["family"]) for seed in range(6)}
    assert len(drawn) > 1
    assert len(set(load(fonts, train_fraction=0.01).train.slices["family"])) == 1


# What is kept ------------------------------------------------------------------------------------------------------


def test_what_was_drawn_is_read_the_next_time(
    fonts: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="pct_mlops")
    first = contents(load(fonts))
    assert "Drawing the 62 characters of 16 font files" in caplog.text
    assert "16 fonts of 13 families from 16 files" in caplog.text
    assert [path.suffix for path in downloads.iterdir() if path.name != ".lock"] == [".npz"]
    monkeypatch.setattr(glyphs, "read_face", None)
    assert contents(load(fonts)) == first


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other arrays", "one array less"])
def test_a_damaged_file_is_drawn_again_with_a_line(
    damage: str, fonts: Path, downloads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = contents(load(fonts))
    (path,) = downloads.glob("*.npz")
    content = path.read_bytes()
    if damage == "other arrays":
        np.savez(path, images=np.zeros((2, 3, 4, 4)), names=["a"], families=["a"], styles=["a"])
    elif damage == "one array less":
        np.savez(path, images=np.zeros((1, 62, 32, 32), np.uint8))
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "text": b"no archive", "empty": b""}[damage])
    assert contents(load(fonts)) == first
    assert "is damaged" in caplog.text
    caplog.clear()
    assert contents(load(fonts)) == first
    assert "damaged" not in caplog.text


def test_pickled_objects_are_never_loaded(fonts: Path, downloads: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "sprung"),)

    load(fonts)
    (path,) = downloads.glob("*.npz")
    trap = np.array([Trap()], dtype=object)
    np.savez(path, images=trap, names=trap, families=trap, styles=trap)
    load(fonts)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_be_written_costs_a_line_only(
    fonts: Path, downloads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    downloads.write_text("a file where the folder should be")
    assert len(load(fonts).test) == 5 * 62
    assert f"drawn anew each time, because {downloads} cannot be written" in caplog.text


# Where fonts are ---------------------------------------------------------------------------------------------------


def install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, packages: dict[str, list[Path]], listed: list[str]
) -> None:
    """What dpkg knows of packages, and a list of those that are wanted."""
    (tmp_path / "dpkg").mkdir()
    for name, files in packages.items():
        lines = ["/.", "/usr/share/doc", *map(str, files), "/gone/Lost.ttf"]
        (tmp_path / "dpkg" / f"{name}.list").write_text("\n".join(lines) + "\n")
    (tmp_path / "wanted.txt").write_text("\n".join(listed) + "\n")
    monkeypatch.setattr(glyphs, "PACKAGES", tmp_path / "wanted.txt")


def test_packages_that_are_missing_are_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, {"fonts-a": []}, ["fonts-a", "fonts-b", "fonts-c"])
    with pytest.raises(PctError) as caught:
        load(None)
    assert str(caught.value) == (
        "2 of the font packages of glyphs are not installed (fonts-b, fonts-c): run 'make glyphs' or 'apt-get install "
        "fonts-b fonts-c', or set PCT_GLYPHS to a folder of fonts."
    )


def test_many_missing_packages_are_installed_from_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, {}, [f"fonts-{number}" for number in range(9)])
    with pytest.raises(PctError) as caught:
        load(None)
    assert "9 of the font packages" in str(caught.value)
    assert f"fonts-5, ...): run 'make glyphs' or 'xargs apt-get install -y < {tmp_path}/wanted.txt'" in str(
        caught.value
    )


def test_the_fonts_of_the_packages_are_used_and_no_others(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(fonts.iterdir())
    install(monkeypatch, tmp_path, {"fonts-a": files[:9], "fonts-b": files[9:], "fonts-z": []}, ["fonts-a", "fonts-b"])
    with pytest.raises(PctError, match=r"hold 13 usable families, and 200 are needed: repair them with 'xargs apt-get"):
        load(None)
    monkeypatch.setattr(glyphs, "MIN_FAMILIES", 13)
    assert contents(load(None)) == contents(load(fonts))


def test_the_variable_names_a_folder_and_data_root_comes_first(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCT_GLYPHS", str(fonts))
    assert len(load(None).test) == 5 * 62
    with pytest.raises(PctError, match=r"There is no folder .*nowhere: set data\.root or PCT_GLYPHS"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PctError, match=r"empty holds no \.ttf or \.otf file"):
        load(tmp_path / "empty")


def test_a_folder_whose_fonts_do_not_serve_is_an_error(tmp_path: Path) -> None:
    write_font(tmp_path / "few" / "a.ttf", "Amiri", without="z")
    with pytest.raises(PctError, match=r"None of 1 font files has all of 0-9, A-Z and a-z"):
        load(tmp_path / "few")
    write_font(tmp_path / "few" / "b.ttf", "Amiri")
    with pytest.raises(PctError, match=r"None of the 1 font families falls into the val split: add fonts"):
        load(tmp_path / "few")


def test_broken_fonts_among_others_are_left_out(fonts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(fonts, mixed)
    (mixed / "broken.ttf").write_bytes(b"no font")
    (mixed / "dangling.ttf").symlink_to(tmp_path / "gone.ttf")
    assert contents(load(mixed)) == contents(load(fonts))
    assert len([record for record in caplog.records if "broken.ttf" in record.getMessage()]) == 1


# The list ----------------------------------------------------------------------------------------------------------


def test_the_list_is_in_order_and_the_page_has_a_licence_for_each() -> None:
    names = glyphs.package_names()
    assert names == sorted(set(names))
    assert len(names) > 100
    page = (ROOT / "docs" / "reference" / "glyphs.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (fonts-\S+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert [package for package, _, _ in lines] == names
    families = Counter(family for _, listed, _ in lines for family in listed.split(", "))
    assert len(families) >= glyphs.MIN_FAMILIES


@pytest.mark.thorough
def test_the_fonts_of_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs `make glyphs`."""
    monkeypatch.setattr(glyphs, "DPKG", Path("/var/lib/dpkg/info"))
    splits = load(None)
    families = {name: set(split.slices["family"]) for name, split in parts(splits).items()}
    assert sum(map(len, families.values())) >= 200
    assert not families["train"] & families["test"]
    words = {name: {first_word(family) for family in found} for name, found in families.items()}
    assert not (words["train"] | words["val"]) & words["test"]
    total = sum(len(split) for split in parts(splits).values())
    assert 0.15 < len(splits.test) / total < 0.35
    assert 0.05 < len(splits.val) / total < 0.25
    assert "test/OpenSans-Regular/a" in splits.test.sample_ids
    check_dataset("glyphs", DataConfig())
