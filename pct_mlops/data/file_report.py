"""Reports what is suspicious about the image files of a data set: what was left out, odd, unreadable or there twice."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pct_mlops.config import DataConfig
from pct_mlops.data import folders
from pct_mlops.data.file_headers import Header, read_headers
from pct_mlops.data.file_listing import HIDDEN, Listing
from pct_mlops.data.pixels import NUM_THREADS
from pct_mlops.errors import ConfigError, DataError

FEW = 10  # a class with fewer training files is reported
_BLOCK = 1 << 20  # bytes that are read at once


class FileFinding(NamedTuple):
    """Something about the files of a data set: `level` is "ok", "warning" or "error", `items` names all of them."""

    level: str
    name: str
    items: tuple[str, ...]


def check_files(
    config: DataConfig,
    begin: Callable[[str, int], object] = lambda title, total: None,
    advance: Callable[[int], object] = lambda number: None,
) -> list[FileFinding]:
    """List the image files of a data set, read their headers, and report on them.

    Of files that share their size with another one, all bytes are read.

    Args:
        config: where the files are.
        begin: called with the title of a part of the work, and with the number of files that it reads.
        advance: called with the number of files that were read since.

    Raises:
        PctError: the data set is not made of image files, or they cannot be listed.
    """
    known = {"image_folder": folders.list_image_folder, "image_list": folders.list_image_list}
    if config.name not in known:
        raise ConfigError(f"{config.name} is not read from image files: check a recipe of {' or '.join(known)}.")
    found = known[config.name](config)
    listings = found.listings()
    paths = [path for part in listings.values() for path in part.paths]
    begin("read headers", len(paths))
    headers = {name: read_headers(part.paths, advance) for name, part in listings.items()}
    digests = same_bytes(paths, begin, advance)
    return report_files(listings, found.class_names, headers, digests)


def same_bytes(
    paths: Sequence[str],
    begin: Callable[[str, int], object] = lambda title, total: None,
    advance: Callable[[int], object] = lambda number: None,
) -> dict[str, str]:
    """Return path -> digest of the bytes of each file whose size another file has too. Others have no equal.

    `begin` and `advance` are those of `check_files`.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        try:
            by_size[os.path.getsize(path)].append(path)
        except OSError:
            continue  # its header could not be read either, which is reported
    shared = [path for group in by_size.values() if len(group) > 1 for path in group]
    begin("read files of equal size", len(shared))
    found: dict[str, str] = {}
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for path, digest in zip(shared, pool.map(_digest, shared), strict=True):
            found |= {path: digest} if digest else {}
            advance(1)
    return found


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def report_files(
    listings: Mapping[str, Listing],
    class_names: Sequence[str],
    headers: Mapping[str, Sequence[Header]],
    digests: Mapping[str, str],
) -> list[FileFinding]:
    """Return what there is to say about listed files, from their headers and the digests of `same_bytes`."""
    ids = [sample_id for part in listings.values() for sample_id in part.sample_ids]
    every = list(zip(ids, (header for part in listings for header in headers[part]), strict=True))
    facts = [(sample_id, header) for sample_id, header in every if not isinstance(header, DataError)]
    left_out = [item for part in listings.values() for item in part.left_out]
    twice, leaked = _copies(listings, digests)
    counts = Counter(listings["train"].labels)
    few = [f"{name} ({counts[index]})" for index, name in enumerate(class_names) if counts[index] < FEW]
    extensions = Counter(os.path.splitext(sample_id)[1].lower() for sample_id in ids)
    found = [FileFinding("ok", f"{name} files", tuple(part.sample_ids)) for name, part in listings.items()] + [
        FileFinding("ok", "by extension", tuple(f"{end} ({number})" for end, number in extensions.most_common()))
    ]
    found += [
        FileFinding("error", "unreadable", tuple(str(item) for _, item in every if isinstance(item, DataError))),
        FileFinding(
            "error", "without a scale to 8 bits", tuple(f"{item} ({it.refusal})" for item, it in facts if it.refusal)
        ),
        FileFinding("warning", "equal bytes in train and test", leaked),
        FileFinding("warning", "equal bytes twice in a split", twice),
        *(
            FileFinding("ok" if reason == HIDDEN else "warning", f"left out: {reason}", tuple(paths))
            for reason, paths in _by_reason(left_out).items()
        ),
        FileFinding("ok", "linked folders", tuple(path for part in listings.values() for path in part.linked)),
        FileFinding("warning", "rotated", tuple(item for item, it in facts if it.is_rotated)),
        FileFinding("warning", "of more than 8 bits", tuple(item for item, it in facts if it.is_deep)),
        FileFinding("warning", "with transparency", tuple(item for item, it in facts if it.has_transparency)),
        FileFinding("warning", f"classes with fewer than {FEW} training files", tuple(few)),
    ]
    return [item for item in found if item.items]


def _by_reason(left_out: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path, reason in left_out:
        found[reason].append(path)
    return found


def _copies(listings: Mapping[str, Listing], digests: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return groups of equal files in one split, and in both train and test, each as "id = id"."""
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, part in listings.items():
        for sample_id, path in zip(part.sample_ids, part.paths, strict=True):
            if path in digests:
                groups[digests[path]][name].append(sample_id)
    twice = [" = ".join(ids) for group in groups.values() for ids in group.values() if len(ids) > 1]
    both = [group for group in groups.values() if "train" in group and "test" in group]
    return tuple(twice), tuple(f"{group['train'][0]} = {group['test'][0]}" for group in both)
