"""Files below a folder that was named, and nothing from elsewhere; which image is which, by its thumbnail."""

from __future__ import annotations

import io

import numpy as np
import pytest
from image_samples import IDS, bomb, data_set, photo, save, thumbnail
from PIL import Image

from pct_mlops.config import PctError
from pct_mlops.explorer.queries import image_files
from pct_mlops.explorer.queries.png import png_size


@pytest.fixture
def data(tmp_path):
    return data_set(tmp_path)


@pytest.mark.parametrize(
    "sample_id",
    [
        "../secret.png",
        "test/../../secret.png",
        "{outside}/secret.png",
        "link.png",
        "out/secret.png",
        "out/data/../secret.png",
        "/etc/passwd",
        "/dev/zero",
        "pipe.png",
        "loop.png",
        "test/ant",
        ".",
        "",
        "test/ant/nowhere.png",
        "test/ant/b.png\0",
        "x" * 5000,
        "x/" * 5000,
    ],
)
def test_no_id_leads_out_of_the_folder_or_to_what_is_no_file(data, sample_id):
    assert image_files.inside(data, sample_id.format(outside=data.parent)) is None


def test_ids_below_the_folder_are_found_also_through_links_and_whole_paths(data):
    for sample_id in (IDS[1], "in.png", "test/../test/ant/b.png", str(data / IDS[1]), "out/data/test/ant/b.png"):
        assert image_files.inside(data, sample_id) == (data / IDS[1]).resolve(), sample_id


def test_a_large_image_is_made_smaller_and_its_size_is_kept(data):
    picture = image_files.read(data / IDS[0], 100)

    assert png_size(picture.png) == (100, 50)
    assert (picture.width, picture.height) == (2000, 1000)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "P"), ("a.png", "RGBA"), ("a.png", "1"), ("a.jpg", "CMYK")],
)
def test_every_kind_of_pixel_becomes_grey_or_colour(tmp_path, name, mode):
    picture = image_files.read(save(tmp_path / name, mode=mode), 64)

    assert Image.open(io.BytesIO(picture.png)).mode in ("L", "RGB")


@pytest.mark.parametrize(("name", "mode", "says"), [("a.png", "I;16", "would be black"), ("a.tif", "F", "no scale")])
def test_pixels_without_a_scale_are_refused_as_in_training(tmp_path, name, mode, says):
    with pytest.raises(PctError, match=says):
        image_files.read(save(tmp_path / name, mode=mode), 64)


def test_only_pixels_leave_a_file(tmp_path):
    secret = b"a secret in a profile"
    file = save(tmp_path / "a.png", icc_profile=secret, exif=b"Exif\0\0" + secret, dpi=(300, 300))
    assert b"iCCP" in file.read_bytes()

    picture = image_files.read(file, 1000)

    assert [chunk for chunk in (b"iCCP", b"eXIf", b"pHYs", b"tEXt") if chunk in picture.png] == []


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Image size")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bomb(20_000, 20_000), "too large"),
        (bomb(9000, 9000), "9,000 × 9,000 pixels"),
        (bomb(10, 10), "no image"),
        (b"", "no image"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "no image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='x'/>", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "no image"),
        (b"II*\0\x08\0\0\0\xff\xff", "no image"),
        (b"GIF89a\xff\xff\xff\xff\xff", "no image"),
    ],
)
def test_a_file_that_is_huge_or_no_image_is_one_sentence(tmp_path, content, says):
    file = tmp_path / "a.png"
    file.write_bytes(content)

    with pytest.raises(PctError, match=says):
        image_files.read(file, 100)


def test_a_file_that_is_cut_short_is_one_sentence(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a.bmp"):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
        noise.save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PctError, match="no image"):
            image_files.read(tmp_path / name, 100)


def test_a_file_of_too_many_bytes_is_not_even_opened(data, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_BYTES", 1000)

    with pytest.raises(PctError, match="too large"):
        image_files.read(data / IDS[0], 100)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (2500, 1600), (50, 40)])
def test_an_image_is_known_by_its_thumbnail_and_others_are_told_apart(tmp_path, size):
    photo(1, size).save(tmp_path / "a.jpg", quality=80)
    found = image_files.read(tmp_path / "a.jpg", 1024).png

    assert image_files.alike(found, thumbnail(photo(1, size)))
    assert not image_files.alike(found, thumbnail(photo(2, size)))
    assert not image_files.alike(found, thumbnail(photo(1, size).rotate(180)))
    for unreadable in (b"", b"<svg>", bomb(60_000, 60_000), bomb(10, 10)):
        assert image_files.alike(found, unreadable), "nothing is said where nothing is known"
