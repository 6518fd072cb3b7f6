"""Bins confidences in SQL, and computes calibration from the bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pct_mlops.comparison.totals import Calibration

NUM_BINS = 15

SIDE = f"""
least(greatest(ceil({{side}}_confidence::DOUBLE * {NUM_BINS}), 1), {NUM_BINS})::INT AS {{side}}_bin,
{{side}}_right, {{side}}_confidence, {{side}}_label_confidence
"""
SIDE_SUMS = """
count(*) FILTER (WHERE {side}_right), sum({side}_confidence::DECIMAL(18, 9)),
sum((-ln(nullif({side}_label_confidence, 0)::DOUBLE))::DECIMAL(18, 9)),
count(*) FILTER (WHERE {side}_label_confidence = 0)
"""
# Both models in one pass: each row is a bin of one of them, and there the other's bin is NULL. A table without
# confidences has one bin, NULL.
BINS = """
WITH binned AS (SELECT {value} AS slice_value, {label} AS class_index, {old}, {new} FROM sliced {where})
SELECT slice_value, class_index, grouping(old_bin) = 0, count(*), {old_sums}, {new_sums} FROM binned
GROUP BY GROUPING SETS ((slice_value, class_index, old_bin), (slice_value, class_index, new_bin))
"""


def calibration_of(bins: Sequence[Any]) -> Calibration:
    """Compute ECE over bins of equal width (Guo et al., ICML 2017), and mean NLL.

    A bin is (examples, right predictions, sum of confidence, sum of -ln(target confidence), target confidences of 0).
    A target confidence of 0 has no finite logarithm, so then there is no NLL.
    """
    num = sum(row[0] for row in bins)
    unknown = any(row[2] is None for row in bins)
    ece = None if unknown else sum(abs(row[1] - float(row[2])) for row in bins) / num
    if any(row[4] or row[3] is None for row in bins):
        return Calibration(ece, None)
    return Calibration(ece, float(sum(row[3] for row in bins)) / num)
