"""Checks of the properties that every architecture must have."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pct_mlops.errors import reason_of
from pct_mlops.models import Architecture, Body, Classifier, LogitsOnly, build_model
from pct_mlops.models.own import as_body, check_features
from pct_mlops.testing.outputs import require, same, title

Builder = Callable[[Architecture], "Body | nn.Module"]
Build = Callable[[], Classifier]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def check_architecture(
    builder: str | Builder,
    *,
    image_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 5,
    **kwargs: Any,
) -> None:
    """Check an architecture, by its name or as the function that builds it.

    Args:
        builder: A name that `pct list models` shows, or a function that takes the Architecture and returns the network
            without its last layer, as a Body or as a module with `num_features`.
        image_shape: (C, H, W) of the images that it is made for.
        num_classes: Width of the logits.
        kwargs: The arguments that a recipe would give in model.kwargs.

    Raises:
        AssertionError: With a sentence that says which property does not hold.

    Example:
        >>> check_architecture("small_resnet8", image_shape=(1, 8, 8), width=4)
    """
    build = as_build(builder, image_shape, num_classes, kwargs)
    with torch.random.fork_rng(devices=[]):
        for check in ARCHITECTURE_CHECKS:
            check(build)


def as_build(
    builder: str | Builder, image_shape: tuple[int, int, int], num_classes: int, kwargs: dict[str, Any]
) -> Build:
    """Return a function that builds the classifier, always with the same weights."""
    record = Architecture(
        name=builder if isinstance(builder, str) else title(builder),
        kwargs=kwargs,
        class_names=tuple(f"class {label}" for label in range(num_classes)),
        image_shape=image_shape,
        mean=MEAN[: image_shape[0]],
        std=STD[: image_shape[0]],
    )

    def build() -> Classifier:
        torch.set_rng_state(torch.Generator().manual_seed(0).get_state())
        if isinstance(builder, str):
            return build_model(record)
        body = as_body(builder(record), record.name)
        check_features(body, record)
        return Classifier(record, body)

    return build


def _images(model: Classifier, num: int = 4) -> Tensor:
    return torch.rand(num, *model.architecture.image_shape, generator=torch.Generator().manual_seed(1))


def _used(build: Build) -> Classifier:
    """Build a model in evaluation mode whose BatchNorm has seen a few batches."""
    model = build().train()
    with torch.no_grad():
        for _ in range(2):
            model(_images(model, 8))
    return model.eval()


def check_shapes_of_outputs(build: Build) -> None:
    """Check that logits [N, C] and features [N, D] are finite, in training and in evaluation."""
    model = build()
    wanted = (4, model.architecture.num_classes), (4, model.num_features)
    for mode in (True, False):
        output = model.train(mode)(_images(model))
        require(output.features is not None, "An architecture must give features: leave its last layer out.")
        shapes = tuple(output.logits.shape), tuple(output.features.shape)
        require(shapes == wanted, f"Logits and features must be {wanted[0]} and {wanted[1]}, not {shapes}.")
        for values in (output.logits, output.features, *output.aux):
            require(values.isfinite().all(), "Logits and features must be finite for images in [0, 1].")


def check_building_is_repeatable(build: Build) -> None:
    """Check that the same seed gives the same weights, as it does when torch's generator alone draws them."""
    one, two = build().state_dict(), build().state_dict()
    require(list(one) == list(two), "Built twice, an architecture must have the same weights by name, in one order.")
    for key, value in one.items():
        require(torch.equal(value, two[key]), f"After the same seed {key} must be the same: draw with torch alone.")


def check_gradients_reach_all(build: Build) -> None:
    """Check that every parameter takes part.

    One that does not makes data-parallel training fail.
    """
    model = build().train()
    output = model(_images(model))
    target = torch.arange(4) % model.architecture.num_classes
    heads = (output.logits, *output.aux)
    torch.stack([nn.functional.cross_entropy(logits, target) for logits in heads]).sum().backward()
    without = [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None]
    require(not without, f"Every parameter must take part, and {', '.join(without[:3])} have no gradient.")


def check_evaluation_is_steady(build: Build) -> None:
    """Check that in evaluation the logits depend on the image alone, and that evaluation changes no weights."""
    model = _used(build)
    images = _images(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        together, again, alone = model(images).logits, model(images).logits, model(images[:1]).logits
    same(together, again, "Evaluated twice, an image must have the same logits")
    sentence = "An image must have the same logits alone and in a batch"
    same(together[:1], alone, sentence, rtol=1e-3, atol=1e-4)
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    require(not changed, f"Evaluation must leave the weights alone, and {', '.join(changed[:3])} changed.")
    model.train()
    require(model.backbone.training, "train() must put the network back into training mode.")


def check_weights_survive_disk(build: Build) -> None:
    """Check that a model gives the same logits after it was rebuilt from its record and safetensors."""
    from safetensors.torch import load, save

    from pct_mlops.models import load_weights_into

    model = _used(build)
    require(
        json.loads(json.dumps(model.architecture.kwargs)) == model.architecture.kwargs,
        "The arguments of an architecture must be plain data that JSON can hold.",
    )
    back = build()
    load_weights_into(back, load(save({key: value.contiguous() for key, value in model.state_dict().items()})), "disk")
    images = _images(model)
    with torch.no_grad():
        sentence = (
            "Rebuilt from its weights, a model must give the same logits: keep all state in parameters and buffers"
        )
        same(back.eval()(images).logits, model(images).logits, sentence)
        copied = copy.deepcopy(model)(images).logits
    same(copied, model(images).logits.detach(), "A deep copy must give the same logits")


def check_export(build: Build) -> None:
    """Check that torch.export can make the served graph, for any number of images and with the same logits."""
    model = _used(build)
    images = _images(model, 5)
    batch = torch.export.Dim("batch")
    try:
        exported = torch.export.export(LogitsOnly(model), (images[:2],), dynamic_shapes=({0: batch},))
    except Exception as error:
        raise AssertionError(
            "torch.export must be able to take the model with any number of images "
            f"({type(error).__name__}: {reason_of(error)})."
        ) from error
    with torch.no_grad():
        served, own = exported.module()(images), model(images).logits
    same(served, own, "The exported graph must give the same logits", rtol=1e-4, atol=1e-5)


ARCHITECTURE_CHECKS: tuple[Callable[[Build], None], ...] = (
    check_shapes_of_outputs,
    check_building_is_repeatable,
    check_gradients_reach_all,
    check_evaluation_is_steady,
    check_weights_survive_disk,
    check_export,
)
