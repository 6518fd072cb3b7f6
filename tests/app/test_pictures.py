"""Images of examples: from the registry's thumbnails or below a folder that was named, and nothing from elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_samples import IDS, bomb, data_set, photo, thumbnail
from PIL import Image

from pct_mlops.explorer.components.gallery import image
from pct_mlops.explorer.queries import example_contents, example_images, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.queries.png import png_size
from pct_mlops.predictions import Predictions


@pytest.fixture
def data(tmp_path):
    return data_set(tmp_path)


def pair_of(tmp_path, preprocessing, images):
    logits = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    words = {"class_names": ("ant", "bee"), "split": "test", "preprocessing": preprocessing}
    file = Predictions.from_arrays(IDS, [0, 0, 1, 1], logits, **words).save(tmp_path / "table.parquet").path
    key = pairs.file_table(file)
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

    png, said = example_images.large(pair, IDS[1])
    assert (png_size(png), said) == ((300, 200), "The full image: 300 × 200 pixels.")
    png, said = example_images.large(pair, IDS[0])
    assert png_size(png) == (1024, 512)
    assert said == "The full image: 2,000 × 1,000 pixels, shown with 1,024 on the longer side."
    for sample_id in IDS[2:]:
        png, said = example_images.large(pair, sample_id)
        assert (png, said) == (None, "The folder of --images has no file of this name.")
    shown, said = example_images.tiles(pair, IDS)
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
    png, said = example_images.large(pair_of(tmp_path, preprocessing, thumbnails), IDS[3])

    assert png_size(png) == (28, 28)
    assert said.startswith(expected)
    assert ("pct explore --images FOLDER" in said) is (FILES[:12] in preprocessing)


def test_a_broken_file_leaves_the_stored_image_and_says_why(tmp_path, data, thumbnails, monkeypatch):
    monkeypatch.setattr(example_images, "_stored_file", lambda pair: thumbnails)
    (data / IDS[1]).write_bytes(b"no image")

    png, said = example_images.large(pair_of(tmp_path, FILES, data), IDS[1])

    assert png_size(png) == (28, 28)
    assert said == "The file is no image that can be read. A stored copy of 28 × 28 pixels."


def test_a_stored_image_that_is_too_large_for_the_gallery_is_shown_alone(tmp_path):
    large = b"\x89PNG\r\n\x1a\n" + bytes(example_images.LARGEST_TILE)
    file = tmp_path / "images.parquet"
    pq.write_table(pa.table({"sample_id": IDS[:1], "png": pa.array([large], pa.binary())}), file)
    pair = pair_of(tmp_path, "", file)

    assert example_images.tiles(pair, IDS)[0] == {}
    assert example_images.large(pair, IDS[0])[0] == large


def test_a_stored_image_that_would_fill_the_browsers_memory_is_not_sent():
    assert "too large" in image(bomb(60_000, 60_000), "x")
    assert "<img" in image(bomb(100, 100), "x")
    assert "not stored" in image(b"<svg>", "x")
    assert "not stored" in image(None, "x")


def test_a_folder_with_other_images_of_the_same_names_shows_the_stored_ones_and_says_so(tmp_path, data, monkeypatch):
    photo(1).save(data / IDS[0])
    photo(2).save(data / IDS[1])
    kept = pa.array([thumbnail(photo(1))] * 2, pa.binary())
    pq.write_table(pa.table({"sample_id": IDS[:2], "png": kept}), tmp_path / "kept.parquet")
    monkeypatch.setattr(example_images, "_stored_file", lambda pair: tmp_path / "kept.parquet")
    pair = pair_of(tmp_path, FILES, data)

    png, said = example_images.large(pair, IDS[0])
    assert (png_size(png), said) == ((300, 200), "The full image: 300 × 200 pixels.")
    png, said = example_images.large(pair, IDS[1])
    assert png == thumbnail(photo(1))
    assert said == f"{example_images.OTHER_IMAGE} A stored copy of 64 × 64 pixels."


@pytest.mark.parametrize(
    ("is_version", "preprocessing", "images", "says"),
    [
        (True, "fashion_mnist/28x28/uint8", None, "data.thumbnail_size is 0. 'pct explore --images FILE'"),
        (True, FILES, None, "data.thumbnail_size is 0. Where the image_folder data lies on this machine"),
        (False, FILES, None, "give 'pct explore' --images PATH"),
        (False, FILES, "elsewhere.parquet", "a row of sample_id and png for each"),
    ],
)
def test_where_no_image_is_it_says_what_to_do(tmp_path, monkeypatch, is_version, preprocessing, images, says):
    pair = pair_of(tmp_path, preprocessing, images)
    table = example_images.predictions(pair.new)
    pair = replace(pair, new=VersionTable(None, "pets", 1)) if is_version else pair
    monkeypatch.setattr(example_images, "predictions", lambda _: table)
    monkeypatch.setattr(example_images, "_stored_file", lambda pair: None)

    assert example_images.tiles(pair, IDS) == ({}, "")
    assert example_images.large(pair, IDS[0]) == (None, "")
    for missing in (example_images.NO_IMAGES, example_images.NO_IMAGE):
        said = example_contents.how_to_show(pair, missing)
        assert said.startswith("No image")
        assert says in said
        assert "--texts FILE" in said


def test_images_that_cannot_be_read_leave_the_gallery_and_say_so(explore, files, folder, html_of):
    (folder / "broken-images.parquet").write_bytes(b"PAR1 no images")

    app = explore(*files, "--images", folder / "broken-images.parquet", view="examples")

    assert not app.exception
    assert not app.error
    assert html_of(app).count("<figure") == 24
    assert any("cannot be read: give a Parquet file" in caption.value.replace("\\", "") for caption in app.caption)


def test_a_thumbnail_that_comes_later_is_shown(tmp_path, thumbnails, monkeypatch):
    there = [None, thumbnails]
    monkeypatch.setattr(example_images, "_stored_file", lambda pair: there.pop(0))
    pair = pair_of(tmp_path, "", None)

    assert example_images.tiles(pair, IDS)[0] == {}
    assert set(example_images.tiles(pair, IDS)[0]) == set(IDS)


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
