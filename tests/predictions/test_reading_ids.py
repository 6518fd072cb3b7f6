"""Tables of other pixels of the same image files are not compared."""

from __future__ import annotations

import numpy as np
import pytest

from pct_mlops import compare
from pct_mlops.errors import NotComparableError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.reading_ids import FROM_FILES, READ_ANEW, read_differently

FORMER = f"image_folder/224x224/uint8/{FROM_FILES}"
ANEW = f"{FORMER}/{READ_ANEW}"


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        (FORMER, FORMER, False),
        (ANEW, ANEW, False),
        (FORMER, ANEW, True),
        (ANEW, FORMER, True),
        (f"{FORMER}/ten-crop", f"{FORMER.replace('224', '320')}/ten-crop/{READ_ANEW}", True),
        (FORMER, FORMER.replace("224", "320"), False),
        (ANEW, f"{FORMER.replace('224', '320')}/ten-crop/{READ_ANEW}", False),
        (f"{FORMER} + {FORMER}/ten-crop", FORMER, False),
        (f"{FORMER} + {ANEW}", ANEW, True),
        ("fashion_mnist/28x28/uint8", ANEW, False),
        ("", ANEW, False),
    ],
)
def test_what_counts_is_how_files_were_read(old, new, differs):
    assert read_differently(old, new) is differs


def table(name, preprocessing):
    about = {"class_names": ("a", "b"), "model_name": name, "preprocessing": preprocessing}
    return Predictions.from_arrays(["x", "y"], [0, 1], np.eye(2), **about)


def test_a_table_of_other_pixels_is_refused_by_name():
    assert compare(table("one", ANEW), table("two", ANEW)).counts.both_right == 2
    for old, new, former in (("one", "two", "one"), ("two", "one", "one")):
        ids = {"one": FORMER, "two": ANEW}
        with pytest.raises(NotComparableError, match=rf"comparable: {former} saw other pixels, .* 'pct score'\.$"):
            compare(table(old, ids[old]), table(new, ids[new]))
