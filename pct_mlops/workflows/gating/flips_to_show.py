"""Picks the negative flips of a comparison that a report shows, with the images or texts that are stored of them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import PctError
from pct_mlops.predictions.example_texts import open_texts
from pct_mlops.predictions.stored_images import read_pngs
from pct_mlops.reports import MOST_FLIPS, MOST_TEXT, ShownFlip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.comparison import Comparison, FlipRow
    from pct_mlops.registry import Registry, Version

_LARGEST_IMAGE = 64 * 1024  # bytes of a stored PNG


def flips_of_versions(comparison: Comparison, registry: Registry, version: Version) -> tuple[ShownFlip, ...]:
    """Return the flips that the candidate `version` lost most confidence on, with what the registry stores of them.

    Images or texts that cannot be read are left out: a report must not fail because of them.
    """
    rows = _worst(comparison)
    digest, images, texts = comparison.new.digest, None, None
    with contextlib.suppress(PctError):
        images, texts = registry.images(version.name, digest), registry.texts(version.name, digest)
    return _shown(comparison, rows, _pngs(images, rows), _texts(texts, rows))


def flips_of_files(comparison: Comparison, candidate: str) -> tuple[ShownFlip, ...]:
    """Return the flips that the file `candidate` lost most confidence on, with the texts that it holds beside them."""
    rows = _worst(comparison)
    return _shown(comparison, rows, {}, _texts(Path(candidate), rows))


def _worst(comparison: Comparison) -> list[FlipRow]:
    for sort in ("confidence_lost", "sample_id"):
        try:
            return comparison.flips("negative", sort=sort, limit=MOST_FLIPS)
        except PctError:
            continue  # one of the tables has no confidences
    return []


def _shown(
    comparison: Comparison, rows: Sequence[FlipRow], pngs: dict[str, bytes], texts: dict[str, str]
) -> tuple[ShownFlip, ...]:
    names = comparison.new.class_names
    return tuple(
        ShownFlip(
            row.sample_id,
            names[row.label],
            names[row.old_prediction],
            names[row.new_prediction],
            pngs.get(row.sample_id, b""),
            texts.get(row.sample_id, ""),
        )
        for row in rows
    )


def _pngs(path: Path | None, rows: Sequence[FlipRow]) -> dict[str, bytes]:
    if path is None:
        return {}
    try:
        return read_pngs(path, [row.sample_id for row in rows], _LARGEST_IMAGE)
    except PctError:
        return {}


def _texts(path: Path | None, rows: Sequence[FlipRow]) -> dict[str, str]:
    if path is None:
        return {}
    try:
        found = open_texts(path).read([row.sample_id for row in rows], max_text=MOST_TEXT + 1, max_columns=8)
    except PctError:
        return {}
    return {
        sample_id: content.text or ", ".join(f"{name} {value}" for name, value in content.row)
        for sample_id, content in found.items()
    }
