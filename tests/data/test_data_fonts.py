"""Fonts: what is drawn of a file, and which files are left out."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont
from tiny_fonts import write_font

from pct_mlops.data.fonts import (
    CHARACTERS,
    MAX_FACES,
    chosen_faces,
    draw,
    family_of,
    first_word,
    font_files,
    is_small_caps,
    read_face,
)  # fmt: skip


@pytest.fixture(scope="module")
def aileron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The font that Pillow carries: a real one, without a package."""
    path = tmp_path_factory.mktemp("fonts") / "Aileron.ttf"
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    font.path.seek(0)
    path.write_bytes(font.path.read())
    return path


def rows_with_ink(image: np.ndarray) -> np.ndarray:
    return np.flatnonzero(image.max(axis=1) > 64)


@pytest.mark.parametrize("size", [32, 64])
def test_characters_fill_the_image_in_one_scale_on_one_line(aileron: Path, size: int) -> None:
    face = read_face(aileron, size)
    assert face is not None
    assert (face.family, face.name, face.style) == ("Aileron", "Aileron-Regular", "unknown")
    assert face.images.shape == (62, size, size)
    assert face.images.dtype == np.uint8
    assert face.images.max() == 255
    margin = size // 16
    assert face.images[:, : margin - 1].max() == face.images[:, -(margin - 1) or size :].max(initial=0) == 0
    of = {character: face.images[CHARACTERS.index(character)] for character in CHARACTERS}
    for character in "AHMT08":  # symmetric ones
        columns = np.flatnonzero(of[character].max(axis=0) > 64)
        assert abs(columns[0] + columns[-1] - (size - 1)) <= 1
    low = {character: rows_with_ink(of[character])[-1] for character in CHARACTERS}
    assert low["A"] == low["x"] == low["1"] < low["p"]
    heights = {character: len(rows_with_ink(of[character])) for character in "oOxXlL"}
    assert heights["o"] < 0.85 * heights["O"]
    assert heights["x"] < 0.85 * heights["X"]


def test_drawing_is_the_same_each_time_and_like_a_known_one(aileron: Path) -> None:
    font = ImageFont.truetype(str(aileron), 200, layout_engine=ImageFont.Layout.BASIC)
    one, two = draw(font, 32), draw(font, 32)
    assert np.array_equal(one, two)
    # The ink of a few characters, which a change of the renderer would move. FreeType's versions differ by far less.
    ink = {character: float(one[CHARACTERS.index(character)].mean()) for character in "Mil0"}
    assert ink == pytest.approx(INK, abs=0.5)


INK = {"M": 47.6, "i": 11.6, "l": 14.0, "0": 30.6}


def test_a_font_without_one_of_the_characters_is_left_out(tmp_path: Path) -> None:
    assert read_face(write_font(tmp_path / "all.ttf", "All"), 32) is not None
    assert read_face(write_font(tmp_path / "less.ttf", "Less", without="q"), 32) is None


def test_small_letters_that_are_capitals_leave_a_font_out(tmp_path: Path, aileron: Path) -> None:
    assert read_face(write_font(tmp_path / "caps.ttf", "Caps", small_caps=True), 32) is None
    real = read_face(aileron, 32)
    assert real is not None
    small, capital = (slice(CHARACTERS.index(first), CHARACTERS.index(first) + 26) for first in "aA")
    copied = real.images.copy()
    copied[small] = copied[capital]
    assert not is_small_caps(real.images)
    assert is_small_caps(copied)


@pytest.mark.parametrize("content", [b"", b"no font", b"\0\1\0\0" + bytes(200), "cut"])
def test_a_broken_file_is_left_out_with_a_line(
    content: bytes | str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.ttf"
    if content == "cut":
        write_font(path, "Cut")
        content = path.read_bytes()[:300]
    path.write_bytes(content)  # type: ignore[arg-type]
    assert read_face(path, 32) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(path) in line
    assert "cannot be read as a font" in line


@pytest.mark.parametrize("scale", [0.01, 25.0])
def test_absurd_sizes_are_left_out(scale: float, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_face(write_font(tmp_path / "font.ttf", "Huge", scale=scale), 32) is None
    assert "absurd sizes" in caplog.text


def test_flipped_bytes_never_raise(tmp_path: Path) -> None:
    content = write_font(tmp_path / "font.ttf", "Sound").read_bytes()
    random = np.random.RandomState(0)
    for number in range(60):
        spoiled = bytearray(content)
        for place in random.randint(0, len(content), 20):
            spoiled[place] = random.randint(256)
        path = tmp_path / f"{number}.ttf"
        path.write_bytes(spoiled)
        read_face(path, 32)


def test_only_files_with_a_fonts_ending_are_listed_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/z.ttf", "a.OTF", "b/a.ttf", "readme.txt", "c.pfb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.ttf").mkdir()
    os.mkfifo(tmp_path / "pipe.ttf")
    assert [path.relative_to(tmp_path).as_posix() for path in font_files(tmp_path)] == ["a.OTF", "b/a.ttf", "b/z.ttf"]


@pytest.mark.parametrize(
    ("name", "family", "word"),
    [
        ("Lato Black", "Lato", "lato"),
        ("Roboto Condensed Light", "Roboto", "roboto"),
        ("OCRABold", "OCRA", "ocra"),
        ("DejaVu Sans Mono", "DejaVu Sans Mono", "deja"),
        ("CabinSketch", "CabinSketch", "cabin"),
        ("GWMonospace", "GWMonospace", "gw"),
        ("3270 Semi-Light", "3270", "3270"),
        ("Bold", "Bold", "bold"),
        ("!", "!", "!"),
    ],
)
def test_family_and_first_word_of_a_name(name: str, family: str, word: str) -> None:
    assert family_of(name) == family
    assert first_word(family) == word


@pytest.mark.parametrize(
    ("given", "style"),
    [
        ({"monospaced": True}, "mono"),
        ({"os2": {"sFamilyClass": 8 << 8}}, "sans"),
        ({"os2": {"sFamilyClass": 1 << 8}}, "serif"),
        ({"os2": {"sFamilyClass": 10 << 8}}, "handwriting"),
        ({"family": "Plain Serif"}, "serif"),
        ({"family": "Plain Sans"}, "sans"),
        ({}, "unknown"),
    ],
)
def test_style_is_what_the_font_says(given: dict, style: str, tmp_path: Path) -> None:
    face = read_face(write_font(tmp_path / "font.ttf", **{"family": "Plain", **given}), 32)
    assert face is not None
    assert face.style == style


def faces(folder: Path, *fonts: dict) -> list:
    found = []
    for number, font in enumerate(fonts):
        path = write_font(folder / f"{number}.ttf", **{"seed": number, **font})
        found.append(read_face(path, 32))
    return found


def test_copies_and_families_that_look_alike_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="pct_mlops")
    found = faces(
        tmp_path,
        {"family": "Beta"},
        {"family": "Beta"},  # of the same name
        {"family": "Beta", "style": "Bold", "seed": 0},  # with the same pixels
        {"family": "Gamma"},
        {"family": "Alpha", "seed": 0, "odd": "Qz"},  # looks like Beta
    )
    assert [face.name for face in chosen_faces(found)] == ["Alpha-Regular", "Gamma-Regular"]
    assert "Left out Beta, which looks like Alpha." in caplog.text


def test_a_family_gives_its_usual_faces_first_and_a_limited_number(tmp_path: Path) -> None:
    styles = ("Black", "Bold", "Extra", "Italic", "Regular", "Thin")
    found = faces(tmp_path, *({"family": "Many", "style": style} for style in styles))
    kept = chosen_faces(found)
    assert len(kept) == MAX_FACES
    assert [face.name for face in kept] == ["Many-Regular", "Many-Bold", "Many-Italic", "Many-Black"]
    assert [face.name for face in chosen_faces(reversed(found))] == [face.name for face in kept]


def test_no_font_gives_no_face() -> None:
    assert chosen_faces([]) == []
