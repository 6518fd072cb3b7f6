"""What the model in production answers on val: the measure of every epoch, whatever the training learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.errors import PctError
from pct_mlops.registry import PRODUCTION, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split


def production_right(registry: Registry, model_name: str, split: Split) -> NDArray[np.bool_] | None:
    """Where production is right, bool [N] in the order of `split`, from its stored predictions.

    None where there is no production, it has no predictions on this split, or they are about other examples: the
    training then goes on without a flip rate between epochs, and the gate has the last word.
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
