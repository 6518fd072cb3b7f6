"""Makes a data set of the letters and digits of fonts: each font draws the same 62 classes in its own way.

The fonts are those of Debian packages, or of any folder. They are split by family, so that no font of the test split
was seen in training. What was drawn is kept in .data, under a digest of the fonts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import features

from pct_mlops.config import DataConfig
from pct_mlops.data.arrays import array_splits, statistics
from pct_mlops.data.fonts import CHARACTERS, EXTENSIONS, Face, chosen_faces, first_word, font_files, read_face
from pct_mlops.data.locking import one_process_at_a_time
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.data.split import FRACTION, Split, Splits
from pct_mlops.errors import ConfigError, DataError, OutputError

log = logging.getLogger(__name__)

PACKAGES = Path(__file__).with_name("font_packages.txt")
DPKG = Path("/var/lib/dpkg/info")
VARIABLE = "PCT_GLYPHS"
RENDERER = 1  # raise it when other pixels are drawn, or other fonts are chosen, from the same files
DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE = 32, 16, 128
MIN_FAMILIES = 200  # of the packages; a folder may have fewer
TEST_SHARE, VAL_SHARE = 0.25, 0.15  # of the first words of families
NAMED = 6  # packages that an error lists


@dataclass(frozen=True, eq=False)
class Glyphs:
    """The characters of all fonts.

    Attributes:
        images: uint8 [F, 62, size, size].
        names: of the fonts [F], for ids.
        families: of the fonts [F].
        styles: of the fonts [F].
    """

    images: np.ndarray
    names: np.ndarray
    families: np.ndarray
    styles: np.ndarray

    def __post_init__(self) -> None:
        count, size = len(self.names), self.images.shape[-1]
        fits = self.images.shape == (count, len(CHARACTERS), size, size) and self.images.dtype == np.uint8
        if not fits or not count == len(self.families) == len(self.styles):
            raise ValueError("its arrays do not fit each other")


def read_glyphs(config: DataConfig, seed: int, downloads: Path) -> Splits:
    """Draw the characters of all fonts, or read them from `downloads`, and split them by family.

    Raises:
        PctError: packages are not installed, a folder has no usable fonts, or the image size is out of bounds.
    """
    size = config.image_size or DEFAULT_SIZE
    if not LEAST_SIZE <= size <= MOST_SIZE:
        raise ConfigError(f"glyphs are drawn at {LEAST_SIZE} to {MOST_SIZE} pixels: set data.image_size to 32 or 64.")
    folder = config.root or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    files = _folder_fonts(folder) if folder is not None else _package_fonts()
    digest = _digest(files)
    found = _drawn(list(files.values()), size, downloads, digest)
    _check_number(found, len(files), folder)
    return _split(found, config, seed, digest)


# Where fonts are ---------------------------------------------------------------------------------------------------


def _folder_fonts(folder: Path) -> dict[str, Path]:
    """Return the font files of a folder, by their path below it."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: set data.root or {VARIABLE} to a folder of .ttf and .otf files.")
    found = {path.relative_to(folder).as_posix(): path for path in font_files(folder)}
    if not found:
        raise DataError(f"{folder} holds no .ttf or .otf file: set data.root or {VARIABLE} to a folder that does.")
    return found


def _package_fonts() -> dict[str, Path]:
    """Return the font files of the packages, by their path. Raise PctError unless all packages are installed."""
    found: dict[str, Path] = {}
    missing = []
    for name in package_names():
        paths = fonts_of_package(name)
        missing += [name] if paths is None else []
        found |= {str(path): path for path in paths or ()}
    if missing:
        named = " ".join(missing[:NAMED])
        command = f"'apt-get install {named}'" if len(missing) <= NAMED else f"'xargs apt-get install -y < {PACKAGES}'"
        more = ", ..." if len(missing) > NAMED else ""
        raise DataError(
            f"{len(missing)} of the font packages of glyphs are not installed ({named.replace(' ', ', ')}{more}): run "
            f"'make glyphs' or {command}, or set {VARIABLE} to a folder of fonts."
        )
    return dict(sorted(found.items()))


def fonts_of_package(name: str) -> list[Path] | None:
    """Return the font files that a Debian package brought, or None unless it is installed."""
    listing = DPKG / f"{name}.list"
    if not listing.is_file():
        return None
    paths = [Path(line) for line in listing.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file()]


def package_names() -> list[str]:
    """Return the names of the Debian packages whose fonts make the data set."""
    return PACKAGES.read_text(encoding="utf-8").split()


def _digest(files: dict[str, Path]) -> str:
    """Return sha256 over the names and the contents of font files."""
    found = hashlib.sha256()
    for name, path in files.items():
        found.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        try:
            found.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            log.warning("Left out %s, which cannot be read (%s).", path, error.strerror)
    return found.hexdigest()


def _check_number(found: Glyphs, num_files: int, folder: Path | None) -> None:
    families = len(set(found.families.tolist()))
    if folder is not None:
        log.info("glyphs: %d fonts of %d families from %d files in %s.", len(found.names), families, num_files, folder)
    elif families < MIN_FAMILIES:
        raise DataError(
            f"The font packages of glyphs hold {families} usable families, and {MIN_FAMILIES} are needed: repair "
            f"them with 'xargs apt-get install --reinstall -y < {PACKAGES}'."
        )


# Drawing and keeping -----------------------------------------------------------------------------------------------


def _drawn(files: Sequence[Path], size: int, downloads: Path, digest: str) -> Glyphs:
    """Return what is kept for these fonts. Draw and keep it where nothing is, or where it is damaged."""
    from pct_mlops.predictions.writing import write_aside

    drawn_by = f"{digest}/{RENDERER}/{features.version('freetype2')}"
    path = downloads / f"glyphs-{size}-{hashlib.sha256(drawn_by.encode()).hexdigest()[:16]}.npz"
    try:
        with one_process_at_a_time(downloads, lambda: log.info("Another program draws glyphs: waiting for it ...")):
            if (kept := _kept(path)) is not None:
                return kept
            found = _draw(files, size)
            write_aside(path, lambda aside: _save(aside, found))
            return found
    except (OSError, OutputError) as error:
        log.warning("Glyphs are drawn anew each time, because %s cannot be written (%s).", downloads, error)
        return _draw(files, size)


def _save(path: Path, found: Glyphs) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **vars(found))


def _kept(path: Path) -> Glyphs | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return Glyphs(**{name: file[name] for name in ("images", "names", "families", "styles")})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("%s is damaged (%s): the glyphs are drawn again.", path, str(error).split("\n", 1)[0].rstrip("."))
        return None


def _draw(files: Sequence[Path], size: int) -> Glyphs:
    log.info("Drawing the %d characters of %d font files, once ...", len(CHARACTERS), len(files))
    faces: list[Face] = []
    with _progress(len(files)) as advance:
        for path in files:
            face = read_face(path, size)
            faces += [] if face is None else [face]
            advance()
    kept = chosen_faces(faces)
    if not kept:
        raise DataError(
            f"None of {len(files)} font files has all of 0-9, A-Z and a-z, with small letters of their own: set "
            f"data.root or {VARIABLE} to a folder of other fonts."
        )
    names, families, styles = (np.array([getattr(face, key) for face in kept]) for key in ("name", "family", "style"))
    return Glyphs(np.stack([face.images for face in kept]), names, families, styles)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal. Yield the function that counts one file."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("draw glyphs", total=total)
        yield lambda: bar.advance(task)


# Splitting ---------------------------------------------------------------------------------------------------------


def _split_of(family: str) -> str:
    """Return the split of a family. It depends on the first word of its name alone, so other fonts do not move it."""
    place = int.from_bytes(hashlib.sha256(first_word(family).encode()).digest()[:8], "big") / 2**64
    return "test" if place < TEST_SHARE else "val" if place < TEST_SHARE + VAL_SHARE else "train"


def _split(found: Glyphs, config: DataConfig, seed: int, digest: str) -> Splits:
    splits = np.array([_split_of(family) for family in found.families.tolist()])
    for name in ("train", "val", "test"):
        if not (splits == name).any():
            raise DataError(
                f"None of the {len(set(found.families.tolist()))} font families falls into the {name} split: add fonts "
                "of other names. They are split by the first word of the name."
            )
    train = np.flatnonzero(splits == "train")
    pixels = found.images[train].reshape(-1, 1, *found.images.shape[2:])
    made = array_splits(
        config.model_copy(update={"train_fraction": 1.0}),
        seed,
        class_names=tuple(CHARACTERS),
        statistics=statistics(pixels),
        train=_of_fonts("train", found, _fraction(found.families, train, config.train_fraction, seed)),
        val=_of_fonts("val", found, np.flatnonzero(splits == "val")),
        test=_of_fonts("test", found, np.flatnonzero(splits == "test")),
    )
    return replace(made, preprocessing_id=f"{made.preprocessing_id}/fonts-{digest[:12]}")


def _fraction(families: np.ndarray, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Choose whole families at random, at least one. Those of a smaller fraction are among those of a larger one."""
    known = np.unique(families[rows])
    random = np.random.RandomState([FRACTION, seed % 2**32, seed // 2**32 % 2**32])
    chosen = random.permutation(known)[: max(1, int(np.floor(fraction * len(known) + 0.5)))]
    return rows[np.isin(families[rows], chosen)]


def _of_fonts(split: str, found: Glyphs, fonts: np.ndarray) -> Split:
    """Return the examples of the given fonts, 62 of each."""
    images = np.ascontiguousarray(found.images[fonts]).reshape(-1, 1, *found.images.shape[2:])
    ids = [f"{split}/{name}/{character}" for name in found.names[fonts].tolist() for character in CHARACTERS]
    labels = torch.arange(len(CHARACTERS)).repeat(len(fonts))
    slices = {
        column: [value for value in values[fonts].tolist() for _ in CHARACTERS]
        for column, values in (("family", found.families), ("style", found.styles))
    }
    return Split(split, ids, labels, ArrayPixels(torch.from_numpy(images)), slices)
