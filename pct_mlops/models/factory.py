"""Builds every architecture: turns a record into a module that returns ModelOutput."""

from __future__ import annotations

from pct_mlops.models import families, logit_mean, own, small_resnet, torchvision_zoo
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier


def build_model(architecture: Architecture) -> Classifier:
    """Build a classifier with random weights.

    Its weights are drawn from torch's generator: seed it before the call.

    Raises:
        PctError: the name or an argument is unknown, or the network does not take images of this shape.
    """
    if architecture.name == logit_mean.LOGIT_MEAN:
        records = logit_mean.member_records(architecture)
        return logit_mean.LogitMean(architecture, [build_model(record.architecture) for record in records])
    if families.is_own(architecture.name):
        return Classifier(architecture, own.build_body(architecture))
    base, variant = families.split_name(architecture.name)
    if base in small_resnet.DEPTHS:
        return Classifier(architecture, small_resnet.build_small_body(base, variant, architecture))
    model = Classifier(architecture, torchvision_zoo.build_torchvision_body(base, variant, architecture))
    torchvision_zoo.check_images(architecture.name, model, architecture.image_shape)
    return model
