"""Images of examples: from the registry's thumbnails or below a folder that was named, and nothing from elsewhere."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from app import image_files, pictures, store
from app.store import Pair, VersionTable
from app.tiles import image, png_size
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions

IDS = ["test/ant/a.jpg", "test/ant/b.png", "test/bee/gone.png", "../secret.png"]


def save(path, size=(300, 200), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90).save(path, **options)
    return path


@pytest.fixture
def data(tmp_path):
    """A data set's folder beside a secret, with links and a pipe in it."""
    root = tmp_path / "data"
    secret = save(tmp_path / "secret.png")
    save(root / IDS[0], size=(2000, 1000))
    save(root / IDS[1])
    (root / "link.png").symlink_to(secret)
    (root / "out").symlink_to(tmp_path, target_is_directory=True)
    (root / "in.png").symlink_to(root / IDS[1])
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    return root


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
    [("a.png", "P"), ("a.png", "RGBA"), ("a.png", "I;16"), ("a.png", "1"), ("a.jpg", "CMYK"), ("a.tif", "F")],
)
def test_every_kind_of_pixel_becomes_grey_or_colour(tmp_path, name, mode):
    picture = image_files.read(save(tmp_path / name, mode=mode), 64)

    assert Image.open(io.BytesIO(picture.png)).mode in ("L", "RGB")


def test_only_pixels_leave_a_file(tmp_path):
    secret = b"a secret in a profile"
    file = save(tmp_path / "a.png", icc_profile=secret, exif=b"Exif\0\0" + secret, dpi=(300, 300))
    assert b"iCCP" in file.read_bytes()

    picture = image_files.read(file, 1000)

    assert [chunk for chunk in (b"iCCP", b"eXIf", b"pHYs", b"tEXt") if chunk in picture.png] == []


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(width, height):
    """A PNG of a few bytes that says to be of this size."""
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")


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


def pair_of(tmp_path, preprocessing, images):
    logits = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    words = {"class_names": ("ant", "bee"), "split": "test", "preprocessing": preprocessing}
    file = Predictions.from_arrays(IDS, [0, 0, 1, 1], logits, **words).save(tmp_path / "table.parquet").path
    key = store.file_table(file)
    return Pair(key, key, "old", "new", str(images) if images else None)


@pytest.fixture
def thumbnails(tmp_path):
    pngs = []
    for _ in IDS:
        buffer = io.BytesIO()
        Image.new("L", (28, 28), 7).save(buffer, "PNG")
        pngs.append(buffer.getvalue())
    pq.write_table(pa.table({"sample_id": IDS, "png": pa.array(pngs, pa.binary())}), tmp_path / "thumbnails.parquet")
    return tmp_path / "thumbnails.parquet"


FILES = "image_folder/224x224/uint8/rgb-bilinear-centre"


def test_with_the_data_sets_folder_the_large_view_has_the_full_image(tmp_path, data):
    pair = pair_of(tmp_path, FILES, data)

    png, said = pictures.large(pair, IDS[1])
    assert (png_size(png), said) == ((300, 200), "The full image: 300 × 200 pixels.")
    png, said = pictures.large(pair, IDS[0])
    assert png_size(png) == (1024, 512)
    assert said == "The full image: 2,000 × 1,000 pixels, shown with 1,024 on the longer side."
    for sample_id in IDS[2:]:
        png, said = pictures.large(pair, sample_id)
        assert (png, said) == (None, "The folder of --images has no file of this name.")
    shown, said = pictures.tiles(pair, IDS)
    assert [png_size(png) for png in shown.values()] == [(192, 96), (192, 128)]
    assert said == ""


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ("fashion_mnist/28x28/uint8", "The full image: 28 × 28 pixels."),
        ("fashion_mnist/28x28/uint8/ten-crop", "The full image: 28 × 28 pixels."),
        ("fashion_mnist/28x28/uint8/bilinear", "A stored copy of 28 × 28 pixels."),
        ("fashion_mnist/32x32/uint8", "A stored copy of 28 × 28 pixels."),
        ("", "A stored copy of 28 × 28 pixels."),
        (FILES, "A stored copy of 28 × 28 pixels. Where the image_folder data lies on this machine"),
        (FILES.replace("224", "28"), "A stored copy of 28 × 28 pixels. Where the image_folder data lies"),
    ],
)
def test_a_stored_image_is_called_full_only_where_it_is(tmp_path, thumbnails, preprocessing, expected):
    png, said = pictures.large(pair_of(tmp_path, preprocessing, thumbnails), IDS[3])

    assert png_size(png) == (28, 28)
    assert said.startswith(expected)
    assert ("pct explore --images FOLDER" in said) is (FILES[:12] in preprocessing)


def test_a_broken_file_leaves_the_stored_image_and_says_why(tmp_path, data, thumbnails, monkeypatch):
    monkeypatch.setattr(pictures, "_stored_file", lambda pair: thumbnails)
    (data / IDS[1]).write_bytes(b"no image")

    png, said = pictures.large(pair_of(tmp_path, FILES, data), IDS[1])

    assert png_size(png) == (28, 28)
    assert said == "The file is no image that can be read. A stored copy of 28 × 28 pixels."


def test_a_stored_image_that_is_too_large_for_the_gallery_is_shown_alone(tmp_path):
    large = b"\x89PNG\r\n\x1a\n" + bytes(pictures.LARGEST_TILE)
    file = tmp_path / "images.parquet"
    pq.write_table(pa.table({"sample_id": IDS[:1], "png": pa.array([large], pa.binary())}), file)
    pair = pair_of(tmp_path, "", file)

    assert pictures.tiles(pair, IDS)[0] == {}
    assert pictures.large(pair, IDS[0])[0] == large


def test_a_stored_image_that_would_fill_the_browsers_memory_is_not_sent():
    assert "too large" in image(bomb(60_000, 60_000), "x")
    assert "<img" in image(bomb(100, 100), "x")
    assert "not stored" in image(b"<svg>", "x")
    assert "not stored" in image(None, "x")


def photo(seed, size=(300, 200)):
    """Blurred noise, which has the contrast of a photograph."""
    spots = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def thumbnail(picture, side=64):
    """As a training stores it: the middle of the image in the size that the model sees, made small."""
    seen = ImageOps.fit(picture, (224, 224), Image.Resampling.BILINEAR)
    seen.thumbnail((side, side))
    buffer = io.BytesIO()
    seen.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (2500, 1600), (50, 40)])
def test_an_image_is_known_by_its_thumbnail_and_others_are_told_apart(tmp_path, size):
    photo(1, size).save(tmp_path / "a.jpg", quality=80)
    found = image_files.read(tmp_path / "a.jpg", pictures.LARGE).png

    assert image_files.alike(found, thumbnail(photo(1, size)))
    assert not image_files.alike(found, thumbnail(photo(2, size)))
    assert not image_files.alike(found, thumbnail(photo(1, size).rotate(180)))
    for unreadable in (b"", b"<svg>", bomb(60_000, 60_000), bomb(10, 10)):
        assert image_files.alike(found, unreadable), "nothing is said where nothing is known"


def test_a_folder_with_other_images_of_the_same_names_shows_the_stored_ones_and_says_so(tmp_path, data, monkeypatch):
    photo(1).save(data / IDS[0])
    photo(2).save(data / IDS[1])
    kept = pa.array([thumbnail(photo(1))] * 2, pa.binary())
    pq.write_table(pa.table({"sample_id": IDS[:2], "png": kept}), tmp_path / "kept.parquet")
    monkeypatch.setattr(pictures, "_stored_file", lambda pair: tmp_path / "kept.parquet")
    pair = pair_of(tmp_path, FILES, data)

    png, said = pictures.large(pair, IDS[0])
    assert (png_size(png), said) == ((300, 200), "The full image: 300 × 200 pixels.")
    png, said = pictures.large(pair, IDS[1])
    assert png == thumbnail(photo(1))
    assert said == f"{pictures.OTHER_IMAGE} A stored copy of 64 × 64 pixels."


@pytest.mark.parametrize(
    ("is_version", "preprocessing", "images", "says"),
    [
        (True, "fashion_mnist/28x28/uint8", None, "data.thumbnail_size is 0. 'pct explore --images FILE'"),
        (True, FILES, None, "data.thumbnail_size is 0. Where the image_folder data lies on this machine"),
        (False, FILES, None, "'pct explore OLD NEW --images PATH'"),
        (False, FILES, "elsewhere.parquet", "a row of sample_id and png for each"),
    ],
)
def test_where_no_image_is_it_says_what_to_do(tmp_path, monkeypatch, is_version, preprocessing, images, says):
    pair = pair_of(tmp_path, preprocessing, images)
    table = pictures.predictions(pair.new)
    pair = replace(pair, new=VersionTable(None, "pets", 1)) if is_version else pair
    monkeypatch.setattr(pictures, "predictions", lambda _: table)
    monkeypatch.setattr(pictures, "_stored_file", lambda pair: None)

    for shown, said in (pictures.tiles(pair, IDS), pictures.large(pair, IDS[0])):
        assert not shown
        assert said.startswith("No image")
        assert says in said


def test_images_that_cannot_be_read_leave_the_gallery_and_say_so(explore, files, folder, html_of):
    (folder / "broken-images.parquet").write_bytes(b"PAR1 no images")

    app = explore(*files, "--images", folder / "broken-images.parquet", view="examples")

    assert not app.exception
    assert not app.error
    assert html_of(app).count("<figure") == 24
    assert any("cannot be read: give a Parquet file" in caption.value.replace("\\", "") for caption in app.caption)


def test_a_thumbnail_that_comes_later_is_shown(tmp_path, thumbnails, monkeypatch):
    there = [None, thumbnails]
    monkeypatch.setattr(pictures, "_stored_file", lambda pair: there.pop(0))
    pair = pair_of(tmp_path, "", None)

    assert pictures.tiles(pair, IDS)[0] == {}
    assert set(pictures.tiles(pair, IDS)[0]) == set(IDS)


def test_the_large_view_says_what_its_image_is(explore, tmp_path, data, html_of):
    table = pair_of(tmp_path, FILES, data).new.path
    other = Predictions.load(table)
    swapped = Predictions.from_arrays(
        IDS, [0, 0, 1, 1], np.eye(2)[[1, 0, 1, 0]], class_names=other.info.class_names, split="test"
    ).save(tmp_path / "other.parquet")

    app = explore(table, swapped.path, "--images", data, view="examples", example=IDS[3])

    assert not app.exception
    assert "image not stored" in html_of(app)
    assert any("has no file of this name" in caption.value for caption in app.caption)
    next(button for button in app.button if button.label == "Gallery").click().run()
    assert html_of(app).count("data:image/png;base64,") == 1
    app.query_params["example"] = IDS[0]
    app.run()
    assert "data:image/png;base64," in html_of(app)
    assert any("2,000 × 1,000 pixels" in caption.value for caption in app.caption)
