"""Makes random outputs of two models for the checks of losses, and helps these checks to compare and to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pct_mlops.losses import Binding, Distance, Objective
from pct_mlops.models import ModelOutput

Bindable = TypeVar("Bindable", Distance, Objective)
Outputs = tuple[ModelOutput, ModelOutput, Tensor]

# Inputs that neither a distance nor a focus may accept, each as a function that spoils (new, old, target).
WRONG_SHAPES: dict[str, Callable[[ModelOutput, ModelOutput, Tensor], Outputs]] = {
    "other classes": lambda new, old, y: (new, old._replace(logits=old.logits[:, :-1]), y),
    "one class, which broadcasts": lambda new, old, y: (new, old._replace(logits=old.logits[:, :1]), y),
    "another batch": lambda new, old, y: (new, take(old, torch.arange(5)), y),
    "one row, which broadcasts": lambda new, old, y: (new, take(old, torch.arange(1)), y),
    "targets as a column": lambda new, old, y: (new, old, y[:, None]),
    "too few targets": lambda new, old, y: (new, old, y[:3]),
    "targets as floats": lambda new, old, y: (new, old, y.float()),
    "logits of pixels": lambda new, old, y: (new._replace(logits=new.logits[..., None]), old, y),
    "auxiliary logits of other classes": lambda new, old, y: (new._replace(aux=(new.logits[:, :2],)), old, y),
}


def make(
    num_samples: int = 12, num_classes: int = 7, num_features: int = 5, *, seed: int = 0, scale: float = 2.0
) -> Outputs:
    """Return (new, old, target) for two models that agree in part and are better than chance.

    Logits are [N, C], features [N, D], targets int64 [N]. The outputs of both models require gradients.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    target = torch.randint(num_classes, (num_samples,), generator=generator)
    shared = scale * draw(num_samples, num_classes) + 3.0 * nn.functional.one_hot(target, num_classes)
    features = draw(num_samples, num_features)
    outputs = [
        ModelOutput(
            (shared + scale * draw(num_samples, num_classes)).requires_grad_(),
            (features + 0.7 * draw(num_samples, num_features)).requires_grad_(),
        )
        for _ in range(2)
    ]
    return outputs[0], outputs[1], target


def bound(thing: Bindable, new: ModelOutput | None = None, old: ModelOutput | None = None) -> Bindable:
    """Bind a distance or objective to two models that give such outputs.

    Its random modules are the same in every call.
    """
    new, old = new or make()[0], old or make()[1]
    widths = [parts(output)[1].shape[1] for output in (new, old)]
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(0).get_state())
        head = nn.Linear(widths[1], old.logits.shape[1])
        return thing.bind(Binding(new.logits.shape[1], widths[0], widths[1], head))


def parts(output: ModelOutput) -> tuple[Tensor, Tensor]:
    """Return logits and features of an output that has both."""
    assert output.features is not None
    return output.logits, output.features


def take(output: ModelOutput, rows: Tensor) -> ModelOutput:
    """Return the rows int64 [n] of an output."""
    logits, features = parts(output)
    return output._replace(logits=logits[rows], features=features[rows])


def cast(output: ModelOutput, dtype: torch.dtype) -> ModelOutput:
    """Convert an output to another precision."""
    logits, features = parts(output)
    return output._replace(logits=logits.to(dtype), features=features.to(dtype))


def gradients(value: Tensor, output: ModelOutput) -> list[Tensor]:
    """Return the gradients of the sum of `value` by logits and features.

    A part on which the value does not depend has none, so that the list may be shorter or empty.
    """
    if not value.requires_grad:
        return []
    found = torch.autograd.grad(value.sum(), parts(output), allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def require(condition: object, sentence: str) -> None:
    """Raise AssertionError with the sentence unless the condition holds.

    Python's option -O does not switch it off.
    """
    if not bool(condition):
        raise AssertionError(sentence)


def same(one: Tensor, other: Tensor, sentence: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise AssertionError with the sentence and the largest difference unless both are equal within the tolerances."""
    shapes = one.shape == other.shape
    if not shapes or not torch.allclose(one, other, rtol=rtol, atol=atol):
        apart = f"they differ by {float((one - other).abs().max()):.3g}" if shapes else "their shapes differ"
        raise AssertionError(f"{sentence} ({apart})")


@contextmanager
def refused(errors: type[Exception] | tuple[type[Exception], ...], sentence: str) -> Iterator[None]:
    """Raise AssertionError with the sentence unless one of these errors is raised inside."""
    try:
        yield
    except errors:
        return
    except Exception as error:
        raise AssertionError(f"{sentence.rstrip('.')} ({type(error).__name__} was raised instead).") from error
    raise AssertionError(sentence)


def made_by(part: Any, kind: type[Any]) -> Any:
    """Return the part itself, or the result when it is a class or function, called without arguments.

    Raise AssertionError when that is no distance or focus, whichever `kind` asks for.
    """
    made = part() if isinstance(part, type | partial) or inspect.isroutine(part) else part
    name = kind.__name__
    require(
        isinstance(made, kind),
        f"A {name.lower()} must be an instance of pct_mlops.losses.{name}, and {title(part)} gives {title(made)}.",
    )
    return made


def title(part: Any) -> str:
    """Return the name that sentences give to the part that is checked."""
    return str(getattr(part, "__qualname__", None) or type(part).__qualname__)
