"""Property tests for your own losses, data sets and architectures: the same that the built-in parts pass.

A check that fails raises AssertionError with a sentence that says why. In a test of yours:

    from pct_mlops.testing import check_distance

    def test_my_distance():
        check_distance(MyDistance(margin=0.5))

`parametrize_with_checks` makes one pytest case of every check, so that a report names each check that failed.
"""

from pct_mlops.testing.architectures import ARCHITECTURE_CHECKS, check_architecture
from pct_mlops.testing.cases import parametrize_with_checks
from pct_mlops.testing.datasets import DATASET_CHECKS, check_dataset
from pct_mlops.testing.distances import DISTANCE_CHECKS, check_distance
from pct_mlops.testing.focuses import FOCUS_CHECKS, check_focus

__all__ = [
    "ARCHITECTURE_CHECKS",
    "DATASET_CHECKS",
    "DISTANCE_CHECKS",
    "FOCUS_CHECKS",
    "check_architecture",
    "check_dataset",
    "check_distance",
    "check_focus",
    "parametrize_with_checks",
]
