"""Function-preserving growth: a larger model starts with the function of a smaller one that was trained.

Source: Net2Net (Chen et al., arXiv 1511.05641), for residual networks. Wider layers replicate channels of the smaller
model, and inserted blocks begin as the identity. The new model then gives the same logits, and trains on from there.
"""

from pct_mlops.models.growth.grow import grow_classifier, grown_weights
from pct_mlops.models.growth.partial import copy_fitting_layers

__all__ = ["copy_fitting_layers", "grow_classifier", "grown_weights"]
