"""Recipes, policies, catalogs of names, and the error a user sees: the ground everything stands on."""

from pct_mlops.config.catalog import Catalog, unknown
from pct_mlops.config.policy import Policy
from pct_mlops.config.policy_rules import Rule, SliceRule
from pct_mlops.config.recipe import (
    AugmentConfig,
    DataConfig,
    EngineConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    Recipe,
    SeedConfig,
    TeacherConfig,
    TeacherMember,
)
from pct_mlops.errors import PctError

__all__ = [
    "AugmentConfig",
    "Catalog",
    "DataConfig",
    "EngineConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PctError",
    "Policy",
    "Recipe",
    "Rule",
    "SeedConfig",
    "SliceRule",
    "TeacherConfig",
    "TeacherMember",
    "unknown",
]
