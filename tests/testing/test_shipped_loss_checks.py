"""The checks that are shipped to users: each finds the mistake that it is about, and says so in a sentence."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from pct_mlops.losses import LDI, Distance, Focus
from pct_mlops.testing import DISTANCE_CHECKS, FOCUS_CHECKS, check_distance, check_focus, parametrize_with_checks


class Squared(Distance):
    """A distance as it should be."""

    def per_sample(self, new, old, target):
        return (new.logits - old.logits).square().mean(dim=1)


class Column(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target)[:, None]


class Infinite(Squared):
    def per_sample(self, new, old, target):
        return 1 / (new.logits[:, 0] - new.logits[:, 0])


class Root(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target).sqrt()


class NotZero(Squared):
    def per_sample(self, new, old, target):
        return cross_entropy(new.logits, target, reduction="none")


class ByPlace(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target) * torch.arange(1, len(target) + 1)


class Noisy(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target) * (1 + torch.rand(len(target)))


class Detached(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target).detach()


class ThroughOld(Squared):
    def __call__(self, new, old, target):
        return (new.logits - old.logits).square().mean(dim=1)


class HalfDetached(Squared):
    def per_sample(self, new, old, target):
        difference = new.logits - old.logits
        return (difference * difference.detach()).mean(dim=1)


class Rounded(Squared):
    def __call__(self, new, old, target):
        return super().__call__(new, old, target).to(new.logits.dtype)


class Overflows(Squared):
    def per_sample(self, new, old, target):
        return (new.logits - old.logits).abs().exp().mean(dim=1).log()


class AtLeastTwo(Squared):
    def per_sample(self, new, old, target):
        return super().per_sample(new, old, target) / new.logits.std(dim=0).mean()


class Broadcasts(Squared):
    def __call__(self, new, old, target):
        return self.per_sample(new, old, target.clamp(min=0)) * (target >= 0)


class SecretFeatures(Squared):
    def per_sample(self, new, old, target):
        return (new.features - old.features).square().mean(dim=1)


class SeesAll(Squared):
    across_samples = True

    def per_sample(self, new, old, target):
        value = super().per_sample(new, old, target)
        return value + value.mean()


WRONG = {
    Column: "one number per example, [12], and it is [12, 1]",
    Infinite: "must be finite",
    Root: "gradient at equal models must be finite",
    NotZero: "to itself must be 0, or set zero_at_equality to False",
    ByPlace: "permuted batch must give the permuted distances",
    Noisy: "permuted batch",
    Detached: "differentiable",
    ThroughOld: "No gradient may reach the old model",
    HalfDetached: "along a random direction",
    Rounded: "must give a float32 distance",
    Overflows: "large outputs must be finite",
    AtLeastTwo: "permuted batch|finite number",
    Broadcasts: "No gradient may reach|must raise ValueError",
    SecretFeatures: "do without features, or set needs_features to True",
    SeesAll: "target -1 must not change the others",
}


def test_a_distance_as_it_should_be_passes_as_instance_and_as_class():
    check_distance(Squared())
    check_distance(Squared)
    check_distance(LDI(margin=0.1))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_each_mistake_in_a_distance_is_said(wrong):
    import re

    with pytest.raises(AssertionError) as caught:
        check_distance(wrong())
    expected = WRONG[wrong]
    assert expected in str(caught.value) or re.search(expected, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value).strip()


def failing(checks, part):
    """The names of the checks that a part fails."""
    found = set()
    for check in checks:
        try:
            check(part)
        except AssertionError:
            found.add(check.__name__)
    return found


def test_every_check_of_distances_fails_for_some_mistake():
    class Forgiving(Squared):
        """Takes what it should refuse."""

        needs_features = True

        def __call__(self, new, old, target):
            other = new if old is None else old
            value = (new.logits.flatten()[:1] - other.logits.detach().flatten()[:1]).square() * torch.ones(len(target))
            return torch.where(target.flatten()[: len(value)] > 3, value, value + 1) / (len(target) - 1)

    found = failing(DISTANCE_CHECKS, Forgiving())
    for wrong in WRONG:
        found |= failing(DISTANCE_CHECKS, wrong())
    assert found == {check.__name__ for check in DISTANCE_CHECKS}


class Even(Focus):
    """A focus as it should be."""

    needs_teacher = False

    def weigh(self, new, old, target, index):
        return torch.ones(len(target))


class Negative(Even):
    def weigh(self, new, old, target, index):
        return -torch.ones(len(target))


class First(Even):
    def weigh(self, new, old, target, index):
        return (torch.arange(len(target)) == 0).float()


class Random(Even):
    across_samples = True

    def weigh(self, new, old, target, index):
        return torch.rand(len(target))


class WithoutLooking(Even):
    needs_teacher = True

    def __call__(self, new, old, target, index=None):
        return torch.ones(len(target))


def test_every_check_of_focuses_fails_for_some_mistake():
    check_focus(Even())
    check_focus(Even)
    found = set().union(*(failing(FOCUS_CHECKS, wrong()) for wrong in (Negative, First, Random, WithoutLooking)))
    assert found == {check.__name__ for check in FOCUS_CHECKS}
    with pytest.raises(AssertionError, match="or set across_samples to True"):
        check_focus(First())


def test_what_is_no_distance_or_focus_is_said():
    with pytest.raises(AssertionError, match=r"instance of pct_mlops\.losses\.Distance, and int gives int"):
        check_distance(int)
    with pytest.raises(AssertionError, match=r"instance of pct_mlops\.losses\.Focus, and Squared gives Squared"):
        check_focus(Squared())
    with pytest.raises(AssertionError, match=r"instance of pct_mlops\.losses\.Distance, and int gives int"):
        parametrize_with_checks([3])


@parametrize_with_checks([Squared(), Even(), "digits"])
def test_checks_as_cases(part, check):
    check(part)


def test_cases_carry_the_names_of_part_and_check():
    ids = [case.id for case in parametrize_with_checks([Squared(), Even(), "digits"]).args[1]]
    assert "Squared-0-check_permutation" in ids
    assert "Even-1-check_one_weight_per_sample" in ids
    assert "digits-2-check_test_is_fixed" in ids
    assert len(ids) == len(set(ids)) == len(DISTANCE_CHECKS) + len(FOCUS_CHECKS) + 5
