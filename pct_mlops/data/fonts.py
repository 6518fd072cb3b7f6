"""Reads font files with Pillow, and draws their 62 letters and digits as small grey images.

A font is left out, and a log line says why, if it lacks one of the characters or draws its small letters like capitals.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

log = logging.getLogger(__name__)

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EXTENSIONS = (".otf", ".ttf")
MAX_BYTES = 64 * 1024**2  # of a font file; a larger one is no alphabet
MAX_FACES = 4  # of a family, so that one of forty weights does not outweigh ten others
LOOKALIKE = 0.12  # share of different ink: two versions of Helvetica differ by 0.07, Helvetica and Arial by 0.23

MEASURED_AT = 200  # pixels of the em at which a font is measured
OVERSAMPLING = 4  # drawn larger and averaged, so that hinting, which differs between versions, hardly shows
LEAST, MOST = 0.05, 5.0  # extent of the characters together in ems; beyond it a file is broken or hostile
ABSENT = "\uffff"  # no font has it, so it is drawn as a missing character

# Letters whose small form differs from the capital in nearly every font, apart from its size.
CAPITALS, UNLIKE_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abdeghnqrt"
_WEIGHT = re.compile(
    r"[ _-]+(Thin|Hairline|(Extra|Ultra|Semi|Demi)?[ -]?(Light|Bold|Condensed|Expanded|Cond)|Book|Regular|Roman|Medium"
    r"|Normal|Demi|Black|Heavy|Ultra|Fat|Narrow|Wide|Extended|Italic|Oblique|Slanted|Outline|Inline|Shadow)$",
    re.IGNORECASE,
)
_JOINED_WEIGHT = re.compile(r"(?<=\w)(Bold|Italic|Oblique|Condensed|Regular)$")  # OCRABold
_FIRST_STYLES = ("regular", "book", "roman", "medium", "normal", "bold", "italic", "oblique", "bold italic")
# Numbers of Panose, and of the family class, in the table OS/2, as the OpenType specification lists them.
_TEXT, _FIRST_SERIF, _FIRST_SANS = 2, 2, 11
_KINDS = {3: "handwriting", 4: "decorative"}
_GROUPS = {
    1: "serif",
    2: "serif",
    3: "serif",
    4: "serif",
    5: "serif",
    7: "serif",
    8: "sans",
    9: "decorative",
    10: "handwriting",
}


class _UnusableError(Exception):
    """A reason why a font is left out."""


@dataclass(frozen=True, eq=False)
class Face:
    """One font file that has all the characters.

    Attributes:
        family: The name of its family, without weight and width.
        name: Family and style without spaces, for ids: "NotoSerif-BoldItalic".
        style: serif, sans, mono, handwriting, decorative or unknown, as the file says.
        images: uint8 [62, size, size], white on black, in the order of CHARACTERS.
        rank: Orders the faces of a family: the usual ones first.
    """

    family: str
    name: str
    style: str
    images: np.ndarray = field(repr=False)
    rank: tuple[int, str]


def font_files(folder: Path) -> list[Path]:
    """List the font files below a folder, sorted by their path below it."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_face(path: Path, size: int) -> Face | None:
    """Draw the characters of a font file. Log one line and return None if the file cannot be used."""
    try:
        return _face(path, size)
    except _UnusableError as error:
        log.debug("Left out %s: %s.", path, error)
    except (OSError, ValueError, OverflowError, MemoryError, struct.error, SyntaxError) as error:
        log.warning("Left out %s, which cannot be read as a font: %s.", path, str(error).split("\n", 1)[0].rstrip("."))
    return None


def _face(path: Path, size: int) -> Face:
    if path.stat().st_size > MAX_BYTES:
        raise _UnusableError(f"it has more than {MAX_BYTES // 1024**2} MB")
    font = ImageFont.truetype(str(path), MEASURED_AT, layout_engine=ImageFont.Layout.BASIC)
    family, style = (_ascii(part or "") for part in font.getname())
    if not re.search("[A-Za-z0-9]", family):
        raise _UnusableError("it does not name its family")
    images = draw(font, size)
    if is_small_caps(images):
        raise _UnusableError("its small letters have the form of its capitals")
    style = style or "Regular"
    name = "-".join(re.sub(r"[^A-Za-z0-9]+", "", part) or "Unnamed" for part in (family, style))
    kind = style.lower()
    rank = _FIRST_STYLES.index(kind) if kind in _FIRST_STYLES else len(_FIRST_STYLES)
    return Face(family_of(family), name, style_of(font, path, family), images, (rank, name))


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip()


def family_of(name: str) -> str:
    """Return the name of a family without the weights and widths that some fonts have in it."""
    while (shorter := _JOINED_WEIGHT.sub("", _WEIGHT.sub("", name))) != name:
        name = shorter
    return name


def first_word(family: str) -> str:
    """Return the word that related families share: "liberation" of Liberation Sans, "cabin" of CabinSketch."""
    found = re.search(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", family)
    return found.group().lower() if found else family.lower()


def draw(font: ImageFont.FreeTypeFont, size: int) -> np.ndarray:
    """Draw the characters as uint8 [62, size, size], white on black.

    All are drawn in one scale and on one line, so that "o" and "O" differ as they do in a text. The scale is the
    largest at which each fits. Each is centred from left to right.
    """
    boxes = [font.getbbox(character, anchor="ls") for character in CHARACTERS]
    width, top, bottom = _extent(boxes)
    absent = font.getbbox(ABSENT, anchor="ls")
    largest = max(abs(edge) for box in (*boxes, absent) for edge in box)
    if largest > MOST * MEASURED_AT or max(width, bottom - top) < LEAST * MEASURED_AT:
        raise ValueError("its characters are of absurd sizes")
    canvas, inner = size * OVERSAMPLING, (size - 2 * max(1, size // 16)) * OVERSAMPLING
    scale = min(inner / width, inner / (bottom - top))
    drawn = font.font_variant(size=MEASURED_AT * scale)
    baseline = canvas / 2 - (top + bottom) / 2 * scale
    images = []
    for character, box in zip(CHARACTERS, boxes, strict=True):
        at = (canvas / 2 - (box[0] + box[2]) / 2 * scale, baseline)
        image = _image(drawn, character, at, canvas)
        if not image.getbbox() or (box == absent and image == _image(drawn, ABSENT, at, canvas)):
            raise _UnusableError(f"it has no '{character}'")
        images.append(np.asarray(_centred(image).reduce(OVERSAMPLING)))
    return np.stack(images)


def _extent(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float]:
    """Return the width of the widest character, and the highest and lowest edge of all."""
    left, top, right, bottom = np.array(boxes).T
    if (right <= left).any() or (bottom <= top).any():
        raise _UnusableError(f"it has no '{CHARACTERS[int(np.argmax((right <= left) | (bottom <= top)))]}'")
    return float((right - left).max()), float(top.min()), float(bottom.max())


def _image(font: ImageFont.FreeTypeFont, character: str, at: tuple[float, float], canvas: int) -> Image.Image:
    image = Image.new("L", (canvas, canvas))
    ImageDraw.Draw(image).text(at, character, fill=255, font=font, anchor="ls")
    return image


def _centred(image: Image.Image) -> Image.Image:
    """Move what is drawn to the middle from left to right. A box of Pillow's says less: it holds the advance, too."""
    left, _, right, _ = image.getbbox() or (0, 0, 0, 0)
    return ImageChops.offset(image, round((image.width - left - right) / 2), 0)


def is_small_caps(images: np.ndarray) -> bool:
    """Tell whether most small letters have the form of their capitals, in the same or in another size.

    A small letter has it if its own capital, among all, differs least from it once each fills its image.
    """
    forms = np.stack([_fitted(images[CHARACTERS.index(capital)]) for capital in CAPITALS])
    own = 0
    for letter in UNLIKE_CAPITALS:
        differences = np.abs(forms - _fitted(images[CHARACTERS.index(letter)])).mean(axis=(1, 2))
        own += CAPITALS[int(differences.argmin())] == letter.upper()
    return own > len(UNLIKE_CAPITALS) / 2


def _fitted(image: np.ndarray) -> np.ndarray:
    """Return the part of an image that is not black, in 16 x 16 pixels."""
    picture = Image.fromarray(image)
    return np.asarray(picture.crop(picture.getbbox()).resize((16, 16), Image.Resampling.BOX), dtype=np.float32)


def style_of(font: ImageFont.FreeTypeFont, path: Path, family: str) -> str:
    """Return serif, sans, mono, handwriting or decorative by what a font says of itself, or unknown."""
    if np.ptp([font.getlength(character) for character in CHARACTERS]) <= 0.02 * MEASURED_AT:  # hinting moves edges
        return "mono"
    kind, serif, group = _classes(path)
    if kind in _KINDS or group in _GROUPS:
        return _KINDS.get(kind) or _GROUPS[group]
    if kind == _TEXT and serif >= _FIRST_SERIF:
        return "sans" if serif >= _FIRST_SANS else "serif"
    named = re.search(r"\b(sans|serif|gothic|antiqua)\b", family.lower())
    return {"sans": "sans", "gothic": "sans"}.get(named.group(), "serif") if named else "unknown"


def _classes(path: Path) -> tuple[int, int, int]:
    """Return family kind and serif style of Panose, and the family class, of the table OS/2. Return zeros without."""
    with path.open("rb") as file:
        (count,) = struct.unpack(">4xH6x", file.read(12))
        tables = {(entry := file.read(16))[:4]: struct.unpack(">8xII", entry)[0] for _ in range(min(count, 100))}
        if b"OS/2" not in tables:
            return 0, 0, 0
        file.seek(tables[b"OS/2"] + 30)
        group, _, kind, serif = file.read(4)
    return kind, serif, group


def chosen_faces(faces: Iterable[Face]) -> list[Face]:
    """Return up to MAX_FACES faces of each family, ordered by family.

    Faces that are there already, by name or by all pixels, are left out. So are families that look like one before them
    in the alphabet: there are many versions of Times.
    """
    seen: set[str] = set()
    kept: list[Face] = []
    counts: Counter[str] = Counter()
    for face in sorted(faces, key=lambda face: (face.family, face.rank)):
        marks = {face.name.lower(), hashlib.sha256(face.images.tobytes()).hexdigest()}
        if marks & seen or counts[face.family] == MAX_FACES:
            continue
        seen |= marks
        counts[face.family] += 1
        kept.append(face)
    return _without_lookalikes(kept)


def _without_lookalikes(faces: list[Face]) -> list[Face]:
    """Keep the first family of those that are connected by pairs of faces that look alike."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import cdist

    if not faces:
        return []
    families = np.array([face.family for face in faces])
    inks = np.stack([_coarse(face.images) for face in faces])
    different, total = cdist(inks, inks, "cityblock"), inks.sum(axis=1)
    # The share of the ink of two fonts, laid over each other, that only one of them has.
    share = 2 * different / (total[:, None] + total[None] + different)
    _, looks = connected_components((share < LOOKALIKE) | (families[:, None] == families[None]), directed=False)
    first: dict[int, str] = {}
    for look, family in zip(looks.tolist(), families.tolist(), strict=True):
        if first.setdefault(look, family) != family:
            log.debug("Left out %s, which looks like %s.", family, first[look])
    return [face for look, face in zip(looks.tolist(), faces, strict=True) if first[look] == face.family]


def _coarse(images: np.ndarray) -> np.ndarray:
    """Return all characters at 8 x 8 pixels as one vector."""
    small = [Image.fromarray(image).resize((8, 8), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image, dtype=np.float64) for image in small]).ravel()
