"""The report on image files: each finding with the files that it is about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from odd_images import READ, REFUSED

from pct_mlops.cli.main import main
from pct_mlops.config import DataConfig
from pct_mlops.data.file_report import FileFinding, check_files, same_bytes
from pct_mlops.errors import ConfigError


def found_in(root: Path) -> dict[str, FileFinding]:
    return {item.name: item for item in check_files(DataConfig(name="image_folder", root=root))}


@pytest.fixture
def odd_root(image_root: Path) -> Path:
    train, test = image_root / "train" / "cat", image_root / "test" / "dog"
    for name in ("sideways6.jpg", "deep_grey.png", "clear.png"):
        READ[name][0](train / name)
    REFUSED["floats.tiff"][0](train / "floats.tiff")
    (train / "empty.jpg").write_bytes(b"")
    (train / "notes.txt").write_text("no image")
    (train / ".hidden").mkdir()
    shutil.copy(train / "clear.png", train / "clear2.png")
    shutil.copy(train / "deep_grey.png", test / "leak.png")
    return image_root


def test_each_finding_names_its_files(odd_root: Path) -> None:
    found = found_in(odd_root)
    said = {name: (item.level, item.items) for name, item in found.items()}
    assert len(found["train files"].items) == 18
    # Each class has 6 files in train, 2 in val and 3 in test, all .png, and four more were added.
    assert said["by extension"] == ("ok", (".png (26)", ".jpg (2)", ".tiff (1)"))
    assert said["rotated"] == ("warning", ("train/cat/sideways6.jpg",))
    assert said["with transparency"] == ("warning", ("train/cat/clear.png", "train/cat/clear2.png"))
    assert set(said["of more than 8 bits"][1]) == {
        "train/cat/deep_grey.png",
        "train/cat/floats.tiff",
        "test/dog/leak.png",
    }
    assert said["without a scale to 8 bits"][0] == "error"
    assert "floats" in said["without a scale to 8 bits"][1][0]
    assert said["unreadable"][0] == "error"
    assert "train/cat/empty.jpg cannot be read (not an image)" in said["unreadable"][1][0]
    assert said["left out: no image extension"] == ("warning", (str(odd_root / "train/cat/notes.txt"),))
    assert said["left out: hidden"] == ("ok", (str(odd_root / "train/cat/.hidden") + "/",))
    assert "train/cat/deep_grey.png = test/dog/leak.png" in said["equal bytes in train and test"][1]
    assert "train/cat/clear.png = train/cat/clear2.png" in said["equal bytes twice in a split"][1]
    assert said["classes with fewer than 10 training files"][1] == ("dog (6)",)


def test_bytes_are_read_only_where_sizes_are_equal(tmp_path: Path) -> None:
    for name, text in (("a", "12"), ("b", "12"), ("c", "34"), ("d", "123")):
        (tmp_path / name).write_text(text)
    found = same_bytes([str(tmp_path / name) for name in "abcde"])
    assert sorted(Path(path).name for path in found) == ["a", "b", "c"]
    assert found[str(tmp_path / "a")] == found[str(tmp_path / "b")] != found[str(tmp_path / "c")]


def test_a_bar_knows_how_many_files_each_part_of_the_work_reads(image_root: Path) -> None:
    said: list[list] = []

    def advance(number: int) -> None:
        said[-1].append(number)

    check_files(
        DataConfig(name="image_folder", root=image_root),
        begin=lambda title, total: said.append([title, total]),
        advance=advance,
    )
    headers, equal = said
    assert (headers[:2], sum(headers[2:])) == (["read headers", 22], 22)
    assert (equal[0], sum(equal[2:])) == ("read files of equal size", equal[1])


def test_a_data_set_of_arrays_has_no_files_to_check() -> None:
    with pytest.raises(ConfigError, match="digits is not read from image files"):
        check_files(DataConfig(name="digits"))


def test_the_command_says_by_its_exit_code_what_is_in_the_way(
    odd_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model_name: pets\ndata: {{name: image_folder, root: {odd_root}}}\n")
    command = ["data", "check", str(recipe)]
    assert main(command) == 2
    out = capsys.readouterr().out
    assert "rotated" in out
    assert "sideways6.jpg" in out
    (odd_root / "train/cat/empty.jpg").unlink()
    (odd_root / "train/cat/floats.tiff").unlink()
    assert main(command) == 0
    assert main([*command, "--strict"]) == 1
    assert main(["data", "check", str(recipe), "--set", f"data.root={tmp_path / 'nowhere'}"]) == 2
    assert "no folder" in capsys.readouterr().err
