"""Rows of a benchmark: a number of ours, what stands beside it, and how both are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured number.

    ``better`` says which way is better, ``unit`` what is counted; ``more`` holds what a benchmark says beside
    these keys, such as the bounds of an interval.
    """

    metric: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    better: str = "higher"
    unit: str = "share"
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row with ``more`` beside the common keys."""
        return {
            "metric": self.metric,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "better": self.better,
            "unit": self.unit,
            **self.more,
        }

    def __str__(self) -> str:
        beside = "" if self.peer is None else f"{_plain(self.peer):>12} {self.peer_name}"
        ratio = "" if self.ratio is None else f"  x{_plain(self.ratio)}"
        more = "".join(f"  {name} {value}" for name, value in self.more.items() if value not in (None, ""))
        return f"{self.metric:<58} {_plain(self.ours):>12} {self.unit:<9} {beside}{ratio}{more}".rstrip()


def row(
    metric: str,
    ours: float,
    peer: float | None = None,
    peer_name: str = "",
    better: str = "higher",
    unit: str = "share",
    *,
    digits: int | None = 4,
    **more: Any,
) -> Row:
    """A row with its ratio; ``digits``: how many decimals are kept of both numbers, None for all."""
    return Row(
        metric=metric,
        ours=ours if digits is None else round(ours, digits),
        peer=peer if peer is None or digits is None else round(peer, digits),
        peer_name=peer_name,
        ratio=ratio_of(ours, peer, digits=None if digits is None else 3),
        better=better,
        unit=unit,
        more=more,
    )


def ratio_of(ours: float, peer: float | None, *, digits: int | None = 3) -> float | None:
    """Ours in shares of the peer's; None without a peer, or where it has nothing."""
    if not peer:
        return None
    return ours / peer if digits is None else round(ours / peer, digits)


def report(name: str, environment: Mapping[str, Any], rows: Iterable[Row], **more: Any) -> dict[str, Any]:
    """What ``--json`` prints; ``more`` stands beside the rows."""
    return {"name": name, "environment": environment, "rows": [item.as_json() for item in rows], **more}


def print_report(name: str, environment: Mapping[str, Any], rows: Iterable[Row], **more: Any) -> None:
    """The report as one JSON object on one line of stdout."""
    print(json.dumps(report(name, environment, rows, **more)))


def print_rows(rows: Iterable[Row]) -> None:
    """A line each, for people."""
    for item in rows:
        print(item, flush=True)


def _plain(value: float) -> str:
    """Up to four decimals, and none that say nothing."""
    text = f"{value:,.4f}"
    return text.rstrip("0").rstrip(".")
