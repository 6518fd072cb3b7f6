"""Reads where production is right on val, so that each epoch can be measured against it.

This does not depend on what the training learns from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import PRODUCTION, Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split


def production_right(
    registry: Registry, model_name: str, split: Split, class_names: Sequence[str]
) -> NDArray[np.bool_] | None:
    """Return where production is right, bool [N] in the order of `split`, from its stored predictions.

    Labels are compared by name, because a model that does not know all of `class_names` has classes in its own order.
    Return None where there is no production, where it has no predictions on this split, or where they are about other
    examples. The training then reports no flip rates between epochs, and only the gate measures them.
    """
    import numpy as np
    import pyarrow.parquet as pq

    production = registry.find(model_name, PRODUCTION)
    if production is None:
        return None
    try:
        path = registry.predictions(production, split.name)
        names = np.array(Predictions.load(path).info.class_names, dtype=object)
        table = pq.read_table(path, columns=["sample_id", "label", "prediction"])
    except (PctError, OSError):
        return None
    ids, labels, predictions = (column.to_numpy() for column in table.columns)
    if not len(labels) or labels.min() < 0 or labels.max() >= len(names):
        return None
    of_data = np.array(class_names, dtype=object)
    order = ids.argsort()
    wanted = np.array(split.sample_ids, dtype=object)
    places = np.searchsorted(ids[order], wanted)
    if len(ids) != len(wanted) or (places == len(ids)).any():
        return None
    rows = order[places]
    if not (ids[rows] == wanted).all() or not (names[labels[rows]] == of_data[split.labels.numpy()]).all():
        return None
    return predictions[rows] == labels[rows]
