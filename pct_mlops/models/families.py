"""Names of architectures: residual networks have variants, named by a prefix or suffix."""

from __future__ import annotations

from pct_mlops.config import unknown
from pct_mlops.config.plugins import installed, is_code
from pct_mlops.models import small_resnet, torchvision_zoo

# Variant -> what `pct list models` says of it.
VARIANTS = {"aux": "auxiliary heads", "mb": "three heads", "stodepth": "stochastic depth"}
ORIGINAL_STODEPTH = "_StoDepth_lineardecay"
GROUP = "pct_mlops.architectures"


def split_name(name: str) -> tuple[str, str]:
    """Split a name into base and variant.

    aux_resnet18 gives (resnet18, aux), resnet18_stodepth gives (resnet18, stodepth), and alexnet gives (alexnet, "").
    The research code's spelling resnet18_StoDepth_lineardecay is understood too. The name of a user's own architecture
    is its own base. Raise PctError for unknown names.
    """
    if is_own(name):
        return name, ""
    plain = name.replace(ORIGINAL_STODEPTH, "_stodepth")
    prefix, _, rest = plain.partition("_")
    base, variant = plain, ""
    if prefix in ("aux", "mb"):
        base, variant = rest, prefix
    elif plain.endswith("_stodepth"):
        base, variant = plain.removesuffix("_stodepth"), "stodepth"
    known = residual_names() if variant else plain_names()
    if base not in known:
        own = [plugin.name for plugin in installed(GROUP, "architecture")]
        raise unknown("architecture", name, [*model_names(), *own])
    return base, variant


def is_own(name: str) -> bool:
    """Tell whether a user's own code builds this architecture.

    Such a name is code, written module:callable, or an entry point whose name is not built in.
    """
    if is_code(name):
        return True
    return name not in model_names() and any(plugin.name == name for plugin in installed(GROUP, "architecture"))


def residual_names() -> list[str]:
    """Return the names of the networks that have variants."""
    return [*small_resnet.DEPTHS, *torchvision_zoo.torchvision_residual_names()]


def plain_names() -> list[str]:
    """Return the names of all built-in networks, without variants."""
    return [*small_resnet.DEPTHS, *torchvision_zoo.torchvision_names()]


def model_names() -> list[str]:
    """Return every built-in name that `build_model` knows, variants included."""
    variants = [name for base in residual_names() for name in (f"aux_{base}", f"mb_{base}", f"{base}_stodepth")]
    return sorted([*plain_names(), *variants])


def summary(name: str) -> str:
    """Describe an architecture in a short line: where it comes from, and what is special about it."""
    base, variant = split_name(name)
    parts = ["small images" if base in small_resnet.DEPTHS else "torchvision"]
    if variant:
        parts.append(VARIANTS[variant])
    if base in torchvision_zoo.LARGE_INPUT:
        parts.append(f"made for {torchvision_zoo.LARGE_INPUT[base]} pixels")
    return ", ".join(parts)
