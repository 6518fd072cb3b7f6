"""Reads where production is right on val, so that each epoch can be measured against it.

This does not depend on what the training learns from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.errors import PctError
from pct_mlops.registry import PRODUCTION, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split


def production_right(registry: Registry, model_name: str, split: Split) -> NDArray[np.bool_] | None:
    """Return where production is right, bool [N] in the order of `split`, from its stored predictions.

    Return None where there is no production, where it has no predictions on this split, or where they are about other
    examples. The training then reports no flip rates between epochs, and only the gate measures them.
    """
    import numpy as np
    import pyarrow.parquet as pq

    production = registry.find(model_name, PRODUCTION)
    if production is None:
        return None
    try:
        table = pq.read_table(
            registry.predictions(production, split.name), columns=["sample_id", "label", "prediction"]
        )
    except (PctError, OSError):
        return None
    ids, labels, predictions = (column.to_numpy() for column in table.columns)
    order = ids.argsort()
    wanted = np.array(split.sample_ids, dtype=object)
    places = np.searchsorted(ids[order], wanted)
    if len(ids) != len(wanted) or (places == len(ids)).any():
        return None
    rows = order[places]
    if not (ids[rows] == wanted).all() or not (labels[rows] == split.labels.numpy()).all():
        return None
    return predictions[rows] == labels[rows]
