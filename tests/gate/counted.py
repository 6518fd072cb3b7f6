"""A comparison made of counts alone, so that thousands can be judged."""

from __future__ import annotations

from prediction_tables import table

from pct_mlops.comparison import Comparison
from pct_mlops.comparison.slices import Joined
from pct_mlops.comparison.totals import Totals

OLD = table([0], [0], model_version="1").info
NEW = table([0], [0], model_version="2").info


class Counts:
    """In the place of the joined pair of tables: sums by class, and no rows."""

    slice_columns = ()

    def __init__(self, classes):
        self._classes = dict(enumerate(classes))

    def classes(self):
        return self._classes

    def calibration(self, column, *, by_class):
        """Without confidences there is none: undefined."""
        return {}

    def query(self, text):
        """Whether one table is a copy of the other: no, some confidence differs."""
        return [(1, 2)]


def counted(flips, nums):
    """`flips[k]` of the `nums[k]` examples of class k are negative flips, the rest is right twice."""
    from dataclasses import replace

    classes = [
        Totals(both_right=int(num - lost), negative_flips=int(lost)) for lost, num in zip(flips, nums, strict=True)
    ]
    names = tuple(f"class {k}" for k in range(len(classes)))
    infos = [replace(info, class_names=names, num_examples=int(sum(nums))) for info in (OLD, NEW)]
    return Comparison(*infos, Counts(classes), Joined(), apart=frozenset(), costs=None)
