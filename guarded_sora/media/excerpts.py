"""Parts of a film: which seconds are looked at, and how the packets between them are passed over.

Nothing is sought: packets are read one after the other and those that no wanted frame needs are not
decoded. A second, undecoded reading a little ahead tells where the next key frame lies, so a film that
can be entered nowhere between two excerpts is decoded through, as it must be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_SLACK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpts:
    """The first ``seconds`` of every ``every`` seconds of a film, counted from its first picture."""

    seconds: float
    every: float

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= self.every < math.inf:
            raise ValueError(f"excerpts of {self.seconds:g} s every {self.every:g} s make no sense")

    def holds(self, time: float) -> bool:
        """Whether ``time`` lies in an excerpt."""
        return (time + _SLACK) % self.every < self.seconds

    def next(self, time: float) -> float:
        """Where the first excerpt begins that begins after ``time``."""
        return (math.floor((time + _SLACK) / self.every) + 1) * self.every

    def spans(self, duration: float) -> list[tuple[float, float]]:
        """Start and end of every excerpt of a film of ``duration`` seconds, the last one cut at its end."""
        count = max(1, math.ceil(duration / self.every - _SLACK))
        starts = [number * self.every for number in range(count)]
        return [(start, min(start + self.seconds, max(duration, start))) for start in starts]


class Passage:
    """Passes over the packets between excerpts. One film, one reading.

    ``start`` (the time of the first picture on the file's clock) and ``shown`` (seconds of the last
    decoded frame) are told by whoever decodes; until they are, nothing is passed over.
    """

    def __init__(self, excerpts: Excerpts | None, ahead: Callable[[], Iterator[Any]]) -> None:
        """``ahead`` begins a second reading of the same packets, of which only the heads are looked at."""
        self._excerpts = excerpts
        self._begin = ahead
        self._ahead: Iterator[Any] | None = None
        self._key: int | None = None
        self._latest: float = -math.inf
        self.start: float | None = None
        self.shown = -math.inf

    def wants(self, time: float) -> bool:
        """Whether the frame at ``time`` is looked at."""
        return self._excerpts is None or self._excerpts.holds(time)

    def needed(self, packets: Iterable[Any], stream: Any) -> Iterator[Any]:
        """``packets`` that must be decoded. Ends with the last excerpt."""
        if self._excerpts is None or not stream.time_base:
            yield from packets
            return
        goal: int | None = None
        settled = 0.0  # the excerpt for which it is known that there is no key frame to jump to
        told = True  # films that do not say when a packet is shown are decoded through
        for packet in packets:
            told = told and (packet.size == 0 or None not in (packet.pts, packet.dts))
            if goal is not None:
                if packet.dts is None or packet.dts < goal:
                    continue
                stream.codec_context.flush_buffers()
                goal = None
            elif told and packet.size and self._between():
                aim = self._excerpts.next(self.shown)
                if aim > settled:
                    settled = aim
                    key, over = self._look_ahead(
                        math.floor((aim + (self.start or 0.0)) / stream.time_base + _SLACK)
                    )
                    if over:
                        return
                    if key is not None and key > packet.dts:
                        goal = key
                        continue
            yield packet

    def _between(self) -> bool:
        return self.start is not None and self.shown >= 0 and not self.wants(self.shown)

    def _look_ahead(self, until: int) -> tuple[int | None, bool]:
        """When the last key frame shown up to ``until`` is decoded; whether nothing is shown from then on."""
        if self._ahead is None:
            self._ahead = self._begin()
        for packet in self._ahead:
            if packet.pts is None or packet.dts is None:
                continue
            if packet.dts > until:
                # It may itself be the key frame of a later excerpt.
                self._ahead = _chained(packet, self._ahead)
                return self._key, False
            self._latest = max(self._latest, packet.pts)
            if packet.is_keyframe and packet.pts <= until:
                self._key = packet.dts
        return self._key, self._latest < until


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
