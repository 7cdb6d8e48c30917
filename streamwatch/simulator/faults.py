"""What the simulated camera is told to do wrong, and when.

A fault is written ``KIND[:VALUE][@START]``: ``stall:30s@10s`` stops sending 10 s after the server started, for 30 s;
``loss:2%`` drops packets from the start on. What has a duration lasts that long, a rate lasts for ever.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from streamwatch.config.units import parse_duration_s
from streamwatch.errors import UsageError

_LASTING = ("stall", "mute", "refuse", "401", "freeze", "black", "covered", "resize")
_RATES = ("loss", "reorder")
_ONCE = ("reset", "close", "jump", "wrap")
_FACTORS = ("slow",)
KINDS = (*_LASTING, *_RATES, *_ONCE, *_FACTORS)
_DEFAULT_VALUES = {
    **dict.fromkeys(_LASTING, "10s"),
    "loss": "2%",
    "reorder": "2%",
    "jump": "1h",
    "slow": "2",
    "wrap": "5s",
    "reset": "",
    "close": "",
}
DEFAULT_START_S = 10.0
_FAULT = re.compile(r"^(?P<kind>[a-z0-9]+)(:(?P<value>[^@]+))?(@(?P<start>.+))?$")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        start_s: when it begins, seconds after the server's start.
        duration_s: how long it lasts; infinite for a rate, 0 for what happens once.
        amount: a share for loss and reorder, a factor for slow, seconds for jump and wrap.
    """

    kind: str
    start_s: float = 0.0
    duration_s: float = 0.0
    amount: float = 0.0

    def active(self, now_s: float) -> bool:
        """Whether it is going on."""
        return self.start_s <= now_s < self.start_s + self.duration_s


def parse_fault(text: str) -> Fault:
    """Read one fault.

    Raises:
        UsageError: an unknown kind, or a value that does not belong to it.
    """
    match = _FAULT.match(text.strip())
    if match is None or match["kind"] not in KINDS:
        raise UsageError(f"unknown fault {text!r}", hint=f"write KIND[:VALUE][@START] with one of {', '.join(KINDS)}")
    kind, value = match["kind"], match["value"] or _DEFAULT_VALUES[match["kind"]]
    try:
        start_s = parse_duration_s(match["start"]) if match["start"] else _default_start_s(kind)
        return replace(_with_value(kind, value), start_s=start_s)
    except ValueError:
        raise UsageError(
            f"fault {text!r}: {value or 'a value'!r} does not fit", hint="like stall:30s, loss:2% or slow:2"
        ) from None


def _default_start_s(kind: str) -> float:
    return 0.0 if kind in (*_RATES, *_FACTORS, "wrap") else DEFAULT_START_S


def _with_value(kind: str, value: str) -> Fault:
    if kind in _LASTING:
        return Fault(kind, duration_s=parse_duration_s(value))
    if kind in _RATES:
        share = float(value.removesuffix("%")) / 100
        if not value.endswith("%") or not 0 < share < 1:
            raise ValueError(value)
        return Fault(kind, duration_s=float("inf"), amount=share)
    if kind in _FACTORS:
        if float(value) <= 1:
            raise ValueError(value)
        return Fault(kind, duration_s=float("inf"), amount=float(value))
    if kind in ("jump", "wrap"):
        sign = -1.0 if value.startswith("-") else 1.0
        return Fault(kind, amount=sign * parse_duration_s(value.removeprefix("-")))
    return Fault(kind)


class FaultSchedule:
    """The faults of one camera, by its own clock; more can be added while it runs.

    Args:
        now_s: seconds since the camera's start.
    """

    def __init__(self, faults: tuple[Fault, ...], now_s: Callable[[], float]) -> None:
        self._faults = list(faults)
        self._now_s = now_s
        self._lock = threading.Lock()
        self._done: set[Fault] = set()

    def add(self, fault: Fault) -> None:
        """Start ``fault`` now (its ``start_s`` is counted from now)."""
        with self._lock:
            self._faults.append(replace(fault, start_s=self._now_s() + fault.start_s))

    def active(self, kind: str) -> Fault | None:
        """The fault of this kind that is going on."""
        now_s = self._now_s()
        with self._lock:
            return next((f for f in self._faults if f.kind == kind and f.active(now_s)), None)

    def due(self, kind: str) -> Fault | None:
        """A fault of this kind that happens once and whose time has come; it is given out once."""
        now_s = self._now_s()
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fault.start_s <= now_s and fault not in self._done:
                    self._done.add(fault)
                    return fault
        return None

    def any_of(self, kind: str) -> Fault | None:
        """A fault of this kind, whenever it is: what must be known before it happens."""
        with self._lock:
            return next((f for f in self._faults if f.kind == kind), None)
