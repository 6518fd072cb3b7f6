"""Fonts of random shapes, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from pct_mlops.data.fonts import CHARACTERS


def _glyph(shape: np.ndarray, *, height: int, width: int):
    """Four rectangles between the baseline and the height."""
    pen = TTGlyphPen(None)
    for left, low, wide, high in shape:
        x0, y0 = int(40 + left * width * 0.6), int(low * height * 0.6)
        x1, y1 = x0 + int((0.15 + 0.25 * wide) * width), y0 + int((0.15 + 0.25 * high) * height)
        pen.moveTo((x0, y0))
        pen.lineTo((x0, y1))
        pen.lineTo((x1, y1))
        pen.lineTo((x1, y0))
        pen.closePath()
    return pen.glyph()


def write_font(
    path: Path,
    family: str,
    style: str = "Regular",
    *,
    seed: int = 0,
    without: str = "",
    small_caps: bool = False,
    monospaced: bool = False,
    os2: dict[str, object] | None = None,
    scale: float = 1.0,
    odd: str = "",
) -> Path:
    """Write a font whose shapes the seed decides, except for odd characters. Small letters are lower than capitals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [character for character in CHARACTERS if character not in without]
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    metrics = {".notdef": (500, 0)}
    for character in kept:
        source = character.upper() if small_caps else character
        shape = np.random.RandomState([seed + 1000 * (character in odd), ord(source)]).rand(4, 4)
        height = 525 if character.islower() else 700
        glyphs[f"u{ord(character)}"] = _glyph(shape, height=int(height * scale), width=int(500 * scale))
        metrics[f"u{ord(character)}"] = (int(scale * (600 if monospaced else 520 + ord(character) % 70)), 40)
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(character): f"u{ord(character)}" for character in kept})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(metrics)
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": style})
    builder.setupOS2(sTypoAscender=800, **(os2 or {}))
    builder.setupPost()
    builder.save(path)
    return path


# Names whose first words fall into each of the three splits.
FAMILIES = {
    "train": ("Amiri", "Inter", "Play", "Sora", "Yrsa", "Agave"),
    "val": ("Lato", "Dosis", "Cardo"),
    "test": ("Karla", "Rasa", "Tuffy", "Kristi"),
}


def write_folder(folder: Path) -> Path:
    """Write a font of each of FAMILIES, and a second style of the first family of each split."""
    seed = 0
    for names in FAMILIES.values():
        for place, name in enumerate(names):
            for style in ("Regular", "Bold") if place == 0 else ("Regular",):
                seed += 1
                write_font(folder / f"{name}-{style}.ttf", name, style, seed=seed)
    return folder
