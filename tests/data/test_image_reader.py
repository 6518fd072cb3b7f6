"""The pixel contract: what a model sees of an odd file, and that the header alone tells whether that is new."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_images import ORIENTATION, READ, REFUSED, exif, halves
from PIL import Image, ImageOps

from pct_mlops.data.file_headers import count_odd, output_size, read_anew, read_headers
from pct_mlops.data.pixels import FilePixels, corrupt_files, decode
from pct_mlops.errors import DataError
from pct_mlops.explorer.queries import image_files
from pct_mlops.image_reader import ImageFacts, read_facts, to_rgb


@pytest.mark.parametrize("name", READ)
def test_an_odd_file_is_read_as_the_contract_says(tmp_path: Path, name: str) -> None:
    write, pixel, is_new = READ[name]
    path = tmp_path / name
    write(path)
    facts = read_facts(str(path))
    size = facts.height, facts.width
    assert size == ((16, 8) if any(word in name for word in ("sideways", "xmp", "behind")) else (8, 16))
    image = decode(str(path), size)
    assert image.shape == (3, *size)
    assert np.abs(image[:, 0, 0].numpy().astype(int) - pixel).max() <= 2
    assert (facts.refusal, facts.is_read_anew) == ("", is_new)

    # Nothing that is read as before may be called new, and nothing that is read anew may be called the same.
    with Image.open(path) as file:
        before = np.array(file.convert("RGB"))
    same = before.shape == (*size, 3) and np.array_equal(before, image.permute(1, 2, 0).numpy())
    assert same or is_new
    assert facts.is_rotated == ("ways" in name or name.startswith(("mirrored", "upside", "exif_", "xmp")))
    assert facts.is_deep == name.startswith("deep")
    assert facts.has_transparency == any(word in name for word in ("clear", "opaque", "key"))

    # The explorer shows the same pixels.
    shown = image_files.read(path, 1024)
    assert (shown.height, shown.width) == size


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_a_scale_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    write, reason = REFUSED[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError, match=rf"^The image .*{name} cannot be read \({reason}[^\n]*skip_corrupt=true\.$"):
        decode(str(path), (8, 16))
    assert corrupt_files([str(path)]) == [True]
    with pytest.raises(DataError, match=r"^The file (cannot be read: its|is no image)"):
        image_files.read(path, 1024)


def test_the_reader_turns_as_pillow_does(tmp_path: Path) -> None:
    random = np.random.RandomState(0).randint(0, 256, (8, 16, 3), dtype=np.uint8)
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(random).save(path, exif=exif(orientation))
        with Image.open(path) as file:
            assert file.getexif()[ORIENTATION] == orientation
            expected = np.array(ImageOps.exif_transpose(file))
        with Image.open(path) as file:
            assert np.array_equal(np.array(to_rgb(file)), expected)


def test_the_explorer_shows_a_small_copy_of_a_turned_photograph(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    halves().resize((1600, 800)).save(path, exif=exif(6))
    picture = image_files.read(path, 100)
    assert (picture.width, picture.height) == (800, 1600)
    with Image.open(io.BytesIO(picture.png)) as shown:
        assert shown.size == (50, 100)
        assert shown.getpixel((25, 5))[2] > 200, "the blue half is above"


def test_headers_give_size_and_oddities(tmp_path: Path) -> None:
    names = ["plain.png", "sideways6.jpg", "clear.png", "floats.tiff", "no_image.png"]
    for name in names:
        (READ | REFUSED)[name][0](tmp_path / name)
    told: list[int] = []
    headers = read_headers([str(tmp_path / name) for name in names], told.append)
    assert told == [5]
    assert [type(header) for header in headers] == [ImageFacts] * 4 + [DataError]
    assert read_anew(headers).tolist() == [False, True, True, True, False]
    odd = {"rotated": 1, "of more than 8 bits": 1, "with transparency": 1, "without a scale to 8 bits": 1}
    assert count_odd(headers) == odd
    assert output_size(headers[:1], None) == (8, 16)
    assert output_size(headers, None) == (224, 224)
    assert output_size(headers, 32) == (32, 32)
    with pytest.raises(DataError, match="not an image"):
        output_size([headers[0], headers[-1]], None)


def test_a_split_is_read_anew_only_where_one_of_its_files_is() -> None:
    pixels = FilePixels(["a.png", "b.png"], (8, 8), np.array([False, True]))
    assert pixels.is_read_anew
    assert not pixels.select(torch.tensor([0])).is_read_anew
    assert pixels.select(torch.tensor([1])).is_read_anew
