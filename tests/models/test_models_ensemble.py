"""Several teachers as one: every weight counts, classes are matched by name."""

from __future__ import annotations

import pytest
import torch

from pct_mlops.config import PctError
from pct_mlops.models import Architecture, Ensemble, build_model

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def member(seed: int, names: str = "abc", width: int = 4):
    torch.manual_seed(seed)
    record = Architecture(
        name="small_resnet8",
        kwargs={"width": width},
        class_names=tuple(names),
        image_shape=(1, 8, 8),
        mean=(0.4,),
        std=(0.3,),
    )
    return build_model(record).eval()


def test_every_weight_counts_the_first_included() -> None:
    members = [member(seed) for seed in range(3)]
    for weights in ((5.0, 1.0, 2.0), (0.5, 3.0, 3.0)):
        output = Ensemble(members, weights, "abc")(IMAGES)
        with torch.no_grad():
            expected = sum(w * m(IMAGES).logits for w, m in zip(weights, members, strict=True)) / sum(weights)
            features = sum(w * m(IMAGES).features for w, m in zip(weights, members, strict=True)) / sum(weights)
        torch.testing.assert_close(output.logits, expected)
        torch.testing.assert_close(output.features, features)


def test_one_member_is_itself() -> None:
    one = member(1)
    ensemble = Ensemble([one], [3.0], "abc")
    assert ensemble.known_classes == (0, 1, 2)
    torch.testing.assert_close(ensemble(IMAGES).logits, one(IMAGES).logits.detach())


def test_classes_are_matched_by_name_not_by_place() -> None:
    first, second = member(1, "cab"), member(2, "dbca")
    ensemble = Ensemble([first, second], [1.0, 1.0], "abcx")
    assert ensemble.known_classes == (0, 1, 2)
    with torch.no_grad():
        expected = (first(IMAGES).logits[:, [1, 2, 0]] + second(IMAGES).logits[:, [3, 1, 2]]) / 2
    torch.testing.assert_close(ensemble(IMAGES).logits, expected)


def test_a_class_that_one_member_lacks_is_unknown_to_all() -> None:
    assert Ensemble([member(1, "abc"), member(2, "ac")], [1.0, 1.0], "abc").known_classes == (0, 2)


def test_without_a_common_class_it_says_so() -> None:
    with pytest.raises(PctError, match="knows none of the 2 classes of the data"):
        Ensemble([member(1, "abc")], [1.0], "xy")


def test_features_are_averaged_only_where_widths_agree() -> None:
    assert Ensemble([member(1), member(2)], [1, 1], "abc").num_features == 16
    mixed = Ensemble([member(1), member(2, width=8)], [1, 1], "abc")
    assert mixed.num_features is None
    assert mixed(IMAGES).features is None


def test_it_is_frozen() -> None:
    ensemble = Ensemble([member(1), member(2)], [1, 1], "abc")
    assert not ensemble.training
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())
