"""Lists the image files below class folders, and says which other files were left out and why."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pct_mlops.config.catalog import closest_first
from pct_mlops.errors import DataError

EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif",
)  # fmt: skip
_OF_SYSTEMS = ("thumbs.db", "desktop.ini")  # Windows hides them by a flag
# Reasons why a file is left out.
HIDDEN, NO_IMAGE, OUTSIDE = "hidden", "no image extension", "in no class folder"
AGAIN = "linked, and listed already or around the class folder"


class OmittedFile(NamedTuple):
    """A file or folder that is no example. A folder's path ends with a slash."""

    path: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files of one split, in the order of their ids, and what was left out."""

    sample_ids: list[str]
    paths: list[str]
    labels: list[int]
    left_out: list[OmittedFile] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)  # folders that were reached by a link


def nfc(name: str) -> str:
    """Return a name with composed letters. macOS writes them apart, and they look the same."""
    return unicodedata.normalize("NFC", name)


def is_hidden(name: str) -> bool:
    """Tell whether a system hides files of this name."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of the class folders, in NFC. Raise PctError when there is none."""
    names = sorted({nfc(entry.name) for entry in os.scandir(folder) if entry.is_dir() and not is_hidden(entry.name)})
    if not names:
        raise DataError(f"{folder} has no class folders: put the images of each class into a folder of its own.")
    return names


def list_folder(root: Path, split: str, class_names: Sequence[str], known_from: str) -> Listing:
    """List the images of a split. `known_from` says in errors where the class names come from."""
    folder, found = root / split, Listing([], [], [])
    class_folders(folder)
    index = {nfc(name): number for number, name in enumerate(class_names)}
    # Both spellings of a name may be there, as two folders of one class.
    for entry in sorted(os.scandir(folder), key=lambda entry: (nfc(entry.name), entry.name)):
        if is_hidden(entry.name) or not entry.is_dir():
            found.left_out.append(_left_out(entry))
            continue
        if nfc(entry.name) not in index:
            raise DataError(
                f"The class folder {entry.path} is not among the classes of {known_from}: rename or remove it "
                f"(closest: {closest_first(entry.name, list(class_names))[0]})."
            )
        before = len(found.paths)
        found.linked.extend([entry.path] if entry.is_symlink() else [])
        _list_class(Path(entry.path), found)
        files = found.paths[before:]
        if not files:
            raise DataError(f"The class folder {entry.path} has no images: add some, or remove the folder.")
        found.sample_ids.extend(Path(os.path.relpath(path, root)).as_posix() for path in files)
        found.labels.extend([index[nfc(entry.name)]] * len(files))
    return found


def _left_out(entry: os.DirEntry[str]) -> OmittedFile:
    if entry.is_dir():
        return OmittedFile(f"{entry.path}/", HIDDEN)
    return OmittedFile(entry.path, _reason(entry.name) or OUTSIDE)


def _reason(name: str) -> str:
    """Return why a file of this name is no example of its class folder, or "" where it is one."""
    if is_hidden(name):
        return HIDDEN
    return "" if name.lower().endswith(EXTENSIONS) else NO_IMAGE


def _list_class(folder: Path, found: Listing) -> None:
    """Add the files below a class folder. Folders behind links come last, and no folder twice."""
    # A link to a folder around this one would bring in other classes.
    seen = {_identity(str(parent)) for parent in folder.resolve().parents}
    waiting = [str(folder)]
    for top in waiting:  # grows while it is read
        for where, images, links in _walk(top, seen, found.left_out):
            found.paths.extend(os.path.join(where, name) for name in images)
            found.linked.extend([top] if where == top != str(folder) else [])
            waiting += links


def _identity(folder: str) -> tuple[int, int]:
    about = os.stat(folder)
    return about.st_dev, about.st_ino


def _refuse(error: OSError) -> None:
    raise error


def _walk(
    top: str, seen: set[tuple[int, int]], left_out: list[OmittedFile]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (folder, names of its images, folders that its links lead to) from `top` down, unless it was seen."""
    for where, folders, names in os.walk(top, onerror=_refuse):
        identity = _identity(where)
        if identity in seen:
            left_out.append(OmittedFile(f"{where}/", AGAIN))
            folders.clear()
            continue
        seen.add(identity)
        left_out += [OmittedFile(f"{os.path.join(where, name)}/", HIDDEN) for name in folders if is_hidden(name)]
        inside = sorted(name for name in folders if not is_hidden(name))
        links = [name for name in inside if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in inside if name not in links]
        left_out += [OmittedFile(os.path.join(where, name), _reason(name)) for name in sorted(names) if _reason(name)]
        images = [name for name in sorted(names) if not _reason(name)]
        yield where, images, [os.path.join(where, name) for name in links]
