"""Reads recipes and policies, and holds catalogs of names.

This is the lowest layer of the package above `errors`: every other layer may import it.
"""

from pct_mlops.config.catalog import Catalog, unknown
from pct_mlops.config.class_names import FileClasses, class_list
from pct_mlops.config.policy import Policy
from pct_mlops.config.policy_rules import Rule, SliceRule
from pct_mlops.config.recipe import (
    RANDOM_START,
    AugmentConfig,
    DataConfig,
    EngineConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    Recipe,
    SeedConfig,
)
from pct_mlops.config.teacher_section import TeacherConfig, TeacherMember
from pct_mlops.errors import PctError

__all__ = [
    "RANDOM_START",
    "AugmentConfig",
    "Catalog",
    "DataConfig",
    "EngineConfig",
    "FileClasses",
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
    "class_list",
    "unknown",
]
