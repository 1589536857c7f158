"""Reading a film: every place and geometry that is tried is counted, and the count is paid for.

Legend: S slots of a piece, K bins of the band, D data dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark.bound import LOG10
from guarded_sora.provenance.watermark.contract import Geometry, MarkEvidence, MarkSegment, MarkState
from guarded_sora.provenance.watermark.decode import (
    WORDS_LOG2,
    Reading,
    Shift,
    coherence_at,
    dimensions,
    read_known,
    read_word,
    shift_of,
)
from guarded_sora.provenance.watermark.embed import SEGMENT_SECONDS
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.slots import SLOT_SECONDS, Piece, pieces
from guarded_sora.provenance.watermark.tile import CODE, PilotLayout, data_layout, pilot_layout, word_bits
from guarded_sora.provenance.watermark.timeline import joined, label, scores, segments_of

ACCEPT_LOG10 = -9.0
"""A mark is present only at or below this, over everything that was tried."""

_TRACE_LOG10 = -3.0
_WINDOWS = ((4.0, 2.0), (2.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A reading and where it was made. ``words_log2``: how many words the question was over."""

    reading: Reading
    geometry: Geometry
    words_log2: float


@dataclass(slots=True)
class Tally:
    """What was found so far and how much was tried."""

    hypotheses: int = 0
    pilot: float = 0.0
    best: dict[tuple[MarkKey, MarkPayload], Found] = field(default_factory=dict)
    segments: list[MarkSegment] = field(default_factory=list)
    frames: int = 0

    def add(self, found: Found) -> None:
        key = (found.reading.key, found.reading.payload)
        known = self.best.get(key)
        if known is None or _cost(found) < _cost(known):
            self.best[key] = found

    def log10_p(self, found: Found) -> float:
        """Bound over the words of the question and all hypotheses so far."""
        return min(0.0, (_cost(found) + math.log(max(self.hypotheses, 1))) / LOG10)


def _cost(found: Found) -> float:
    return found.reading.log_p + found.words_log2 * math.log(2.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A piece seen in one geometry: bins of every slot (S, K), and their running sums."""

    geometry: Geometry
    spectra: NDArray[np.complex64]
    filled: NDArray[np.bool_]
    sums: NDArray[np.complex128]

    @classmethod
    def of(cls, piece: Piece, geometry: Geometry) -> View:
        bins = [None if plane is None else fold(plane, geometry) for plane in piece.planes]
        size = next(len(row) for row in bins if row is not None)
        spectra = np.stack([np.zeros(size, np.complex64) if row is None else row for row in bins])
        sums = np.concatenate([np.zeros((1, size)), np.cumsum(spectra, axis=0, dtype=np.complex128)])
        filled = np.array([row is not None for row in bins])
        return cls(geometry=geometry, spectra=spectra, filled=filled, sums=sums)

    def between(self, first: int, last: int) -> NDArray[np.complex64]:
        """Bins (K,) of slots ``first`` to ``last`` - 1."""
        return np.asarray(self.sums[last] - self.sums[first], dtype=np.complex64)


class Reader:
    """Reads films with a set of keys."""

    def __init__(self, keys: Sequence[MarkKey], mark: str, version: str) -> None:
        self._mark, self._version = mark, version
        groups: dict[tuple[bytes, int], list[MarkKey]] = {}
        for key in keys:
            groups.setdefault((key.secret, key.epoch), []).append(key)
        self._groups = list(groups.values())

    def read(self, frames: Iterable[FrameBatch], hint: Sequence[MarkPayload] = ()) -> MarkEvidence:
        """The evidence of a whole film."""
        tally = Tally()
        for piece in pieces(frames):
            tally.frames += piece.frames
            self._read_piece(piece, tally, hint)
        return self._evidence(tally)

    def _read_piece(self, piece: Piece, tally: Tally, hint: Sequence[MarkPayload]) -> None:
        views: list[tuple[Found, View]] = []
        for keys in self._groups:
            pilots = pilot_layout(keys[0])
            for view, shifts in self._views(piece, pilots, tally):
                for found in self._read_view(view, shifts, keys, pilots, tally, hint):
                    tally.add(found)
                    views.append((found, view))
        tally.segments += self._timeline(piece, views, tally)

    def _views(self, piece: Piece, pilots: PilotLayout, tally: Tally) -> Iterator[tuple[View, list[Shift]]]:
        for geometry in (Geometry(), Geometry(flip=True)):
            view = View.of(piece, geometry)
            total = view.between(0, len(view.spectra))
            shift, peak = shift_of(total, pilots)
            tally.pilot = max(tally.pilot, peak, coherence_at(total, pilots, (0.0, 0.0)))
            yield view, [(0.0, 0.0), shift]

    def _read_view(
        self,
        view: View,
        shifts: Sequence[Shift],
        keys: Sequence[MarkKey],
        pilots: PilotLayout,
        tally: Tally,
        hint: Sequence[MarkPayload],
    ) -> Iterator[Found]:
        for first, last in _windows(len(view.spectra)):
            if not view.filled[first:last].any():
                continue
            for bounds in _schedules(first, last):
                parts = {
                    index: view.between(begin, end) for index, (begin, end) in enumerate(pairwise(bounds))
                }
                for shift in shifts:
                    dims = dimensions(parts, pilots, shift)
                    for key in keys:
                        for start in range(DATA_CLASSES):
                            classes = {part: (start + part) % DATA_CLASSES for part in parts}
                            tally.hypotheses += 1
                            reading = read_word(dims, key, classes, shift)
                            if reading is not None:
                                yield Found(reading=reading, geometry=view.geometry, words_log2=WORDS_LOG2)
                            for payload in hint:
                                if payload.epoch == key.epoch:
                                    known = read_known(dims, key, classes, shift, payload)
                                    yield Found(
                                        reading=known,
                                        geometry=view.geometry,
                                        words_log2=math.log2(len(hint)),
                                    )

    def _timeline(self, piece: Piece, views: Sequence[tuple[Found, View]], tally: Tally) -> list[MarkSegment]:
        chosen: dict[tuple[MarkKey, MarkPayload], tuple[Found, View]] = {}
        for found, view in views:
            key = (found.reading.key, found.reading.payload)
            if tally.log10_p(found) > ACCEPT_LOG10 and not self._accepted(tally, key):
                continue
            if key not in chosen or _cost(found) < _cost(chosen[key][0]):
                chosen[key] = (found, view)
        slots = len(piece.planes)
        if not chosen:
            return [MarkSegment(start=piece.start, end=piece.end, id=None, state=MarkState.ABSENT)]
        rows: list[NDArray[np.float64]] = []
        ids: list[int] = []
        for (owner, payload), (found, view) in chosen.items():
            parts = {index: view.spectra[index] for index in range(slots)}
            dims = dimensions(parts, pilot_layout(owner), found.reading.shift)
            values = [dims.parts[index] if view.filled[index] else None for index in range(slots)]
            coded = CODE.encode(word_bits(payload, owner)).astype(np.float32)
            for data_class in range(DATA_CLASSES):
                expected = data_layout(owner, data_class).spread(coded)
                rows.append(scores(values, expected))
                ids.append(payload.id)
        labels = label(np.stack(rows))
        return segments_of(labels, ids, piece.start, piece.end, SLOT_SECONDS)

    def _accepted(self, tally: Tally, key: tuple[MarkKey, MarkPayload]) -> bool:
        known = tally.best.get(key)
        return known is not None and tally.log10_p(known) <= ACCEPT_LOG10

    def _evidence(self, tally: Tally) -> MarkEvidence:
        end = tally.segments[-1].end if tally.segments else 0.0
        if tally.frames == 0:
            return self._result(tally, None, MarkState.INCONCLUSIVE, (), "no picture large enough to read")
        best = min(tally.best.values(), key=_cost, default=None)
        log10_p = 0.0 if best is None else tally.log10_p(best)
        if best is not None and log10_p <= ACCEPT_LOG10:
            good = {
                found.reading.payload.id
                for found in tally.best.values()
                if tally.log10_p(found) <= ACCEPT_LOG10
            }
            segments = joined(
                [
                    segment
                    if segment.id is None or segment.id in good
                    else MarkSegment(
                        start=segment.start, end=segment.end, id=None, state=MarkState.INCONCLUSIVE
                    )
                    for segment in tally.segments
                ]
            )
            return self._result(tally, best, MarkState.PRESENT, segments, "")
        if best is not None and log10_p <= _TRACE_LOG10:
            start = tally.segments[0].start
            segment = MarkSegment(start=start, end=end, id=None, state=MarkState.INCONCLUSIVE)
            return self._result(
                tally, best, MarkState.INCONCLUSIVE, (segment,), "a trace of a mark below the bound"
            )
        return self._result(tally, best, MarkState.ABSENT, joined(tally.segments), "")

    def _result(
        self,
        tally: Tally,
        best: Found | None,
        state: MarkState,
        segments: tuple[MarkSegment, ...],
        reason: str,
    ) -> MarkEvidence:
        present = best is not None and state is MarkState.PRESENT
        geometry = None
        if best is not None and present:
            geometry = Geometry(
                scale=best.geometry.scale,
                angle=best.geometry.angle,
                flip=best.geometry.flip,
                aspect=best.geometry.aspect,
                shift=best.reading.shift,
            )
        return MarkEvidence(
            mark=self._mark,
            mark_version=self._version,
            state=state,
            log10_p=0.0 if best is None else tally.log10_p(best),
            hypotheses=tally.hypotheses,
            rho=0.0 if best is None else best.reading.rho,
            pilot=tally.pilot,
            payload=best.reading.payload if best is not None and present else None,
            tenant=best.reading.key.tenant if best is not None and present else None,
            geometry=geometry,
            segments=segments,
            frames=tally.frames,
            reason=reason,
        )


def _windows(slots: int) -> list[tuple[int, int]]:
    """Slot ranges that are read on their own: all, then 4 s every 2 s and 2 s every second."""
    result = [(0, slots)]
    for length, hop in _WINDOWS:
        size, step = round(length / SLOT_SECONDS), round(hop / SLOT_SECONDS)
        if slots > size:
            starts = [*range(0, slots - size, step), slots - size]
            result += [(start, start + size) for start in starts]
    return list(dict.fromkeys(result))


def _schedules(first: int, last: int) -> list[list[int]]:
    """Where the data class may change inside a window: nowhere, or every 8 s at one of four phases."""
    period = round(SEGMENT_SECONDS / SLOT_SECONDS)
    if last - first <= period // 2:
        return [[first, last]]
    result = [[first, last]] if last - first <= period else []
    for phase in range(period // 4, period + 1, period // 4):
        inside = list(range(first + phase, last, period))
        if inside:
            result.append([first, *inside, last])
    return result
