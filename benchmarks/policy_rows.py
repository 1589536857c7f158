"""One row of the policy benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``more`` holds what a row says beside the common keys: n, low and high of its interval."""

    metric: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    better: str = "higher"
    unit: str = "share"
    more: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row with ``more`` beside the common keys."""
        document = asdict(self)
        return {**document.pop("more"), **document}


def row(
    metric: str,
    ours: float,
    peer: float | None = None,
    peer_name: str = "",
    *,
    better: str = "higher",
    unit: str = "share",
    **more: float,
) -> Row:
    return Row(
        metric=metric,
        ours=round(ours, 4),
        peer=None if peer is None else round(peer, 4),
        peer_name=peer_name,
        ratio=None if not peer else round(ours / peer, 3),
        better=better,
        unit=unit,
        more=more,
    )
