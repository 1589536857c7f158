"""One decoding of a film for all legs that look at it.

The mark reads small pictures. As they pass by, the fingerprint hashes its seconds and the detector's
windows are cut from the same frames at their own size. A leg whose share of a pass did not come to its
end, because another failed or stopped early, has a pass of its own: no leg depends on another's fate.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import chain
from typing import Generic, Protocol, TypeVar

from guarded_sora.detectors.fingerprint import Hasher, SecondHash
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.blocks import gate, spacing
from guarded_sora.detectors.synthetic.cuttings import Cuttings
from guarded_sora.media import Box, Excerpts, FrameStream

EXCERPTS = Excerpts(seconds=2.0, every=10.0)
"""What is looked at of a film that may well be none of ours: its first two seconds, and two of every ten.

An excerpt is as long as the shortest window in which the mark is read. A stretch of twelve seconds
always holds a whole one.
"""

_Pair = tuple[FrameBatch, FrameBatch | None]


class Viewing:
    """A film that is decoded once for several readers. Re-iterable; memory stays flat.

    ``stream``: the film as mark and fingerprint see it. ``cut``: also cut the detector's windows.
    Iterating raises what the stream raises.
    """

    def __init__(self, stream: FrameStream, *, cut: bool = False) -> None:
        self.stream = stream
        self._cut = cut
        self._first: FrameBatch | None = None
        self._begun: Iterator[FrameBatch] | None = None
        self._running: Generator[FrameBatch, None, None] | None = None
        self._hashes: tuple[SecondHash, ...] | None = None
        self._cuttings: Cuttings | None = None

    @property
    def excerpts(self) -> Excerpts | None:
        """What is looked at; None for the whole film."""
        return self.stream.excerpts

    @property
    def spans(self) -> list[tuple[float, float]]:
        """Start and end, in seconds, of all that is looked at."""
        duration = self.stream.info.duration
        return [(0.0, duration)] if self.excerpts is None else self.excerpts.spans(duration)

    def whole(self) -> Viewing:
        """The same film, all of it."""
        return Viewing(self.stream.in_part(None), cut=self._cut)

    def begin(self) -> bool:
        """Decode the first frames; whether there are any. The next iteration goes on from them."""
        self.close()
        if self._cut:
            self._first = self.stream.first_picture()
        frames = self._pass()
        first = next(frames, None)
        if first is None:
            return False
        self._begun = chain((first,), frames)
        self._running = frames
        return True

    def close(self) -> None:
        """End a pass that was begun, so that its process is free again. Safe to call twice."""
        self._begun = None
        if self._running is not None:
            with suppress(ValueError):  # an abandoned leg may be in the middle of it
                self._running.close()

    def hashes(self) -> tuple[SecondHash, ...]:
        """Fingerprints of the seconds that are looked at."""
        if self._hashes is None:
            for _ in self:
                pass
        if self._hashes is None:
            raise RuntimeError("the seconds of the film could not be hashed")
        return self._hashes

    @property
    def cuttings(self) -> Cuttings | None:
        """The detector's windows of the whole film, where a pass has cut all of them."""
        found = self._cuttings
        return found if found is not None and found.whole and self.excerpts is None else None

    def __iter__(self) -> Iterator[FrameBatch]:
        begun, self._begun = self._begun, None
        return self._pass() if begun is None else begun

    def _pass(self) -> Generator[FrameBatch, None, None]:
        hasher = _Beside(Hasher())
        cuttings = self._scissors()
        windows = None if cuttings is None else _Beside(cuttings)
        for batch, part in self._pairs(cuttings):
            hasher.add(batch)
            if windows is not None and part is not None:
                windows.add(part)
            yield batch
        if not hasher.broken:
            self._hashes = hasher.reader.finish()
        if windows is not None and not windows.broken:
            self._cuttings = windows.reader

    def _scissors(self) -> Cuttings | None:
        if self._first is None or self._cuttings is not None:
            return None
        info = self.stream.info
        if gate(width=info.width, height=info.height, fps=info.fps, seconds=info.duration):
            return None
        return Cuttings(self._first, every=spacing(info.duration, info.fps))

    def _pairs(self, cuttings: Cuttings | None) -> Iterator[_Pair]:
        if cuttings is None or cuttings.part is None:
            return ((batch, None) for batch in self.stream)
        top, left, height, width = cuttings.part
        return iter(self.stream.with_part(Box(top=top, left=left, height=height, width=width)))


class _Reader(Protocol):
    def add(self, batch: FrameBatch, /) -> None: ...


R = TypeVar("R", bound=_Reader)


class _Beside(Generic[R]):
    """A reader beside the one that pulls. Its fault is its own: it is remembered and does not spread."""

    def __init__(self, reader: R) -> None:
        self.reader = reader
        self.broken = False

    def add(self, batch: FrameBatch) -> None:
        if not self.broken:
            try:
                self.reader.add(batch)
            except Exception:
                self.broken = True


__all__ = ["EXCERPTS", "Viewing"]
