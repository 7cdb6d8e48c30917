"""Templates of messages: run in a sandbox, and kept from making more than a message may be.

They are the operator's own. What is bounded is what a slip of the hand makes large: a multiplication, a power, a padding.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

MAX_LENGTH = 262_144
_MAX_BITS = 4096
_PADDING = frozenset({"ljust", "rjust", "center", "zfill", "expandtabs"})
_WIDTH = re.compile(r"%[-+ #0]*(?:\(\w*\))?[-+ #0]*(?:\d{4,}|\*|\d*\.(?:\d{4,}|\*))")
_MAX_WIDTH = 10_000


class BoundedEnvironment(SandboxedEnvironment):
    """The sandbox, its operators bounded; without what pads text to any width."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(autoescape=False, undefined=StrictUndefined)
        for name in ("center", "format", "indent", "wordwrap"):
            self.filters[name] = _bounded(self.filters[name])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The operator's result; raises SecurityError for one that would be too large."""
        if operator == "*" and _product_length(left, right) > MAX_LENGTH:
            raise SecurityError("a multiplication makes more than a message may be")
        if operator == "**" and _power_bits(left, right) > _MAX_BITS:
            raise SecurityError("a power is too large")
        if operator == "%" and isinstance(left, str) and _WIDTH.search(left):
            raise SecurityError("a width is too large")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may use it."""
        return not (isinstance(obj, str) and attr in _PADDING) and super().is_safe_attribute(obj, attr, value)


def _bounded(filtering: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pads, for widths that a message may have."""

    @functools.wraps(filtering)
    def bounded(*arguments: Any, **keywords: Any) -> Any:
        given = (*arguments, *keywords.values())
        pads = filtering.__name__ != "do_format" and any(isinstance(v, int) and abs(v) > _MAX_WIDTH for v in given)
        if pads or any(isinstance(text, str) and _WIDTH.search(text) for text in arguments[:1]):
            raise SecurityError("a width is too large")
        return filtering(*arguments, **keywords)

    return bounded


def _product_length(left: Any, right: Any) -> float:
    for many, times in ((left, right), (right, left)):
        if isinstance(times, int) and hasattr(many, "__len__"):
            return float(len(many)) * max(times, 0)
    return 0.0


def _power_bits(base: Any, exponent: Any) -> float:
    if isinstance(base, int) and isinstance(exponent, int):
        return float(base.bit_length()) * abs(exponent) if exponent.bit_length() < 64 else float("inf")
    return 0.0
