"""Flip rates of two models on the same examples: plain functions on arrays, and metrics for torchmetrics.

The functions need numpy alone. NegativeFlipRate, PositiveFlipRate and Churn need torchmetrics, which the extra
`pct-mlops[metrics]` installs. It is imported when one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pct_mlops.metrics.rates import churn, negative_flip_rate, positive_flip_rate

if TYPE_CHECKING:
    from pct_mlops.metrics.streaming import Churn, NegativeFlipRate, PositiveFlipRate

__all__ = [
    "Churn",
    "NegativeFlipRate",
    "PositiveFlipRate",
    "churn",
    "negative_flip_rate",
    "positive_flip_rate",
]
_STREAMING = ("Churn", "NegativeFlipRate", "PositiveFlipRate")

if not TYPE_CHECKING:
    # A type checker would take this function to mean that every name exists.

    def __getattr__(name: str) -> Any:
        if name not in _STREAMING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from pct_mlops.metrics import streaming
        except ModuleNotFoundError as error:
            if error.name != "torchmetrics":
                raise
            raise ImportError(
                f"{name} needs torchmetrics: install it with `pip install 'pct-mlops[metrics]'`, or call the function "
                "for arrays in pct_mlops.metrics.",
                name="torchmetrics",
            ) from None
        return getattr(streaming, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
