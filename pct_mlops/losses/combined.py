"""A weighted sum of distances, for example ldi + cna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from pct_mlops.losses.distance import DISTANCES, Binding, Distance

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


class Term(NamedTuple):
    """One distance of a sum, and the weight that multiplies it."""

    weight: float
    distance: Distance


@DISTANCES.register("sum")
@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Sum(Distance):
    """Weighted sum of other distances, such as the original code's li+cna.

    It needs a teacher, features or an old head when one of its terms does.

    Args:
        terms: at least one, each as {weight: 1, distance: {name: ldi}}. A weight that is left out is 1.
    """

    # Its terms see the targets of -1 too: some of them may compare examples with each other.
    across_samples: ClassVar[bool] = True
    _trained: ClassVar[nn.ModuleDict | None] = None

    terms: Any

    @field_validator("terms")
    @classmethod
    def _build(cls, specs: Any) -> tuple[Term, ...]:
        if not isinstance(specs, list | tuple) or not specs:
            raise ValueError("list at least one term, each as {weight: 1, distance: {name: ldi}}")
        return tuple(_term(spec) for spec in specs)

    @property
    def needs_teacher(self) -> bool:
        """True when one of its terms needs a teacher."""
        return any(term.distance.needs_teacher for term in self.terms)

    @property
    def needs_features(self) -> bool:
        """True when one of its terms needs features."""
        return any(term.distance.needs_features for term in self.terms)

    @property
    def needs_old_head(self) -> bool:
        """True when one of its terms needs the teacher's own classifier."""
        return any(term.distance.needs_old_head for term in self.terms)

    @property
    def zero_at_equality(self) -> bool:
        """True when every term is 0 where both models agree."""
        return all(term.distance.zero_at_equality for term in self.terms)

    @property
    def module(self) -> nn.ModuleDict | None:
        """The trained parts of its terms, by the number of the term, or None when nothing is trained."""
        return self._trained

    def bind(self, binding: Binding) -> Sum:
        """Return a copy with every term bound."""
        terms = tuple(Term(weight, distance.bind(binding)) for weight, distance in self.terms)
        modules = {str(i): term.distance.module for i, term in enumerate(terms)}
        trained = {name: module for name, module in modules.items() if module is not None}
        return self.owning(terms=terms, _trained=nn.ModuleDict(trained) if trained else None)

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return the weighted sum of the terms' values, float32 [N]."""
        return torch.stack([weight * distance(new, old, target) for weight, distance in self.terms]).sum(dim=0)


def _term(spec: Any) -> Term:
    if isinstance(spec, Term):
        return spec
    if not isinstance(spec, Mapping) or not isinstance(spec.get("distance"), Mapping) or set(spec) - set(Term._fields):
        raise ValueError("write each term as {weight: 1, distance: {name: ldi}}")
    weight = spec.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
        raise ValueError(f"a term's weight should be a number >= 0, not {weight!r}")
    return Term(float(weight), DISTANCES.build(spec["distance"]))
