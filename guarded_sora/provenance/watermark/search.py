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
from guarded_sora.provenance.watermark.blocks import read_blocks
from guarded_sora.provenance.watermark.bound import LOG10, log_tail_bound
from guarded_sora.provenance.watermark.contract import (
    Geometry,
    MarkBlock,
    MarkEvidence,
    MarkSegment,
    MarkState,
)
from guarded_sora.provenance.watermark.decode import (
    TRACE_LOG10,
    WORDS_LOG2,
    Parts,
    Reading,
    Shift,
    dimensions,
    read_known,
    read_words,
    shift_of,
)
from guarded_sora.provenance.watermark.geometry import candidates
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.slots import SLOT_SECONDS, Piece, pieces
from guarded_sora.provenance.watermark.tile import (
    CODE,
    PilotLayout,
    data_layout,
    pilot_layout,
    word_bits,
)
from guarded_sora.provenance.watermark.timeline import joined, label, scores, segments_of
from guarded_sora.provenance.watermark.windows import View, apart, schedules, search_ranges, windows

ACCEPT_LOG10 = -9.0
"""A mark is present only at or below this, over everything that was tried."""

_CLEAR_PILOT = 0.62
_TRACE_PILOT = 0.75


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A reading and where it was made: the geometry, and the slots ``span`` of its piece.

    ``words_log2``: how many words the question was over.
    """

    reading: Reading
    geometry: Geometry
    words_log2: float
    span: tuple[int, int]


@dataclass(slots=True)
class Tally:
    """What was found so far and how much was tried."""

    hypotheses: int = 0
    pilot: float = 0.0
    best: dict[tuple[MarkKey, MarkPayload], Found] = field(default_factory=dict)
    segments: list[MarkSegment] = field(default_factory=list)
    blocks: dict[tuple[MarkKey, MarkPayload], tuple[float, tuple[MarkBlock, ...]]] = field(
        default_factory=dict
    )
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
            for geometry in (Geometry(), Geometry(flip=True)):
                view = View.of(piece, geometry)
                for found in self._read_view(view, True, keys, pilots, tally, hint):
                    tally.add(found)
                    views.append((found, view))
            open_slots = self._uncovered(piece, views, tally)
            for first, last in search_ranges(open_slots):
                for view in self._searched(piece, first, last, keys, pilots, tally, hint):
                    for found in self._read_view(view, False, keys, pilots, tally, hint):
                        tally.add(found)
                        views.append((found, view))
        tally.segments += self._timeline(piece, views, tally, blocks=True)

    def _uncovered(
        self, piece: Piece, views: Sequence[tuple[Found, View]], tally: Tally
    ) -> NDArray[np.bool_]:
        """(S,): slots in which no accepted mark was found yet."""
        missing = np.ones(len(piece.planes), dtype=bool)
        for segment in self._timeline(piece, views, tally):
            if segment.state is MarkState.PRESENT:
                first = round((segment.start - piece.start) / SLOT_SECONDS)
                missing[first : math.ceil((segment.end - piece.start) / SLOT_SECONDS - 1e-6)] = False
        return missing

    def _searched(
        self,
        piece: Piece,
        first: int,
        last: int,
        keys: Sequence[MarkKey],
        pilots: PilotLayout,
        tally: Tally,
        hint: Sequence[MarkPayload],
    ) -> Iterator[View]:
        """Views in geometries found by the pilots, where these or a word promise something."""
        planes = [plane for plane in piece.planes[first:last] if plane is not None]
        if not planes:
            return
        total = np.asarray(np.sum(planes, axis=0), dtype=np.float32)
        for candidate in candidates(total, keys[0]):
            tally.pilot = max(tally.pilot, candidate.peak)
            spectrum = fold(total, candidate.geometry)
            shift, _ = shift_of(spectrum, pilots)
            found = list(
                self._read_parts(
                    {0: spectrum}, [shift], candidate.geometry, (first, last), keys, pilots, tally, hint
                )
            )
            for item in found:
                tally.add(item)
            promising = any(tally.log10_p(item) < TRACE_LOG10 for item in found)
            if promising or candidate.peak >= _CLEAR_PILOT:
                yield View.of(piece, candidate.geometry)

    def _read_view(
        self,
        view: View,
        unshifted: bool,
        keys: Sequence[MarkKey],
        pilots: PilotLayout,
        tally: Tally,
        hint: Sequence[MarkPayload],
    ) -> Iterator[Found]:
        """Everything that the windows of a view say. ``unshifted``: also try the picture uncropped."""
        whole = view.between(0, len(view.spectra))
        general, peak = shift_of(whole, pilots)
        tally.pilot = max(tally.pilot, peak)
        for first, last in windows(len(view.spectra)):
            if not view.filled[first:last].any():
                continue
            shifts = [general]
            if unshifted:
                shifts.append((0.0, 0.0))
            if last - first < len(view.spectra):
                local, peak = shift_of(view.between(first, last), pilots)
                if peak >= _CLEAR_PILOT and apart(local, general):
                    shifts.append(local)
            for bounds in schedules(first, last):
                parts = {
                    index: view.between(begin, end) for index, (begin, end) in enumerate(pairwise(bounds))
                }
                yield from self._read_parts(
                    parts, shifts, view.geometry, (first, last), keys, pilots, tally, hint
                )

    def _read_parts(
        self,
        parts: Parts,
        shifts: Sequence[Shift],
        geometry: Geometry,
        span: tuple[int, int],
        keys: Sequence[MarkKey],
        pilots: PilotLayout,
        tally: Tally,
        hint: Sequence[MarkPayload],
    ) -> Iterator[Found]:
        for shift in shifts:
            dims = dimensions(parts, pilots, shift)
            tally.hypotheses += len(keys) * DATA_CLASSES
            for reading in read_words(dims, keys, shift, tally.hypotheses):
                yield Found(reading=reading, geometry=geometry, words_log2=WORDS_LOG2, span=span)
            for key in keys if hint else ():
                for start in range(DATA_CLASSES):
                    classes = {part: (start + part) % DATA_CLASSES for part in parts}
                    for payload in hint:
                        if payload.epoch == key.epoch:
                            known = read_known(dims, key, classes, shift, payload)
                            yield Found(
                                reading=known, geometry=geometry, words_log2=math.log2(len(hint)), span=span
                            )

    def _timeline(
        self, piece: Piece, views: Sequence[tuple[Found, View]], tally: Tally, *, blocks: bool = False
    ) -> list[MarkSegment]:
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
        sources: list[tuple[list[NDArray[np.float32] | None], NDArray[np.float32]]] = []
        ids: list[int] = []
        for (owner, payload), (found, view) in chosen.items():
            parts = {index: view.spectra[index] for index in range(slots)}
            dims = dimensions(parts, pilot_layout(owner), found.reading.shift)
            values = [dims.parts[index] if view.filled[index] else None for index in range(slots)]
            coded = CODE.encode(word_bits(payload, owner)).astype(np.float32)
            for data_class in range(DATA_CLASSES):
                expected = data_layout(owner, data_class).spread(coded)
                rows.append(scores(values, expected))
                sources.append((values, expected))
                ids.append(payload.id)

        def proves(candidate: int, first: int, last: int) -> bool:
            values, expected = sources[candidate]
            pooled = np.sum([row for row in values[first:last] if row is not None], axis=0)
            return log_tail_bound(pooled, float(pooled @ expected)) / LOG10 <= TRACE_LOG10

        labels = label(np.stack(rows), ids)
        for number, (found, _) in enumerate(chosen.values()):
            mine = range(number * DATA_CLASSES, (number + 1) * DATA_CLASSES)
            first, last = found.span
            if np.isin(labels, mine).any() or (labels[first:last] >= 0).any():
                continue
            # Read as a whole, too weak second by second: the window that was read is the answer.
            strengths = [float(np.sum(rows[index][first:last, 0])) for index in mine]
            labels[first:last] = mine[int(np.argmax(strengths))]
        if blocks:
            for number, (mark, (found, _)) in enumerate(chosen.items()):
                self._blocks(piece, mark, found, labels - number * DATA_CLASSES, tally)
        return segments_of(labels, ids, proves, piece.start, piece.end, SLOT_SECONDS)

    def _blocks(
        self,
        piece: Piece,
        mark: tuple[MarkKey, MarkPayload],
        found: Found,
        labels: NDArray[np.intp],
        tally: Tally,
    ) -> None:
        """Keep the blocks of the piece in which the mark was read best."""
        if mark in tally.blocks and tally.blocks[mark][0] <= _cost(found):
            return
        key, payload = mark
        classes = [int(label) if 0 <= label < DATA_CLASSES else None for label in labels]
        coded = CODE.encode(word_bits(payload, key)).astype(np.float32)
        blocks = read_blocks(piece, found.geometry, found.reading.shift, key, coded, classes)
        tally.blocks[mark] = (_cost(found), blocks)

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
        if best is not None and log10_p <= TRACE_LOG10:
            start = tally.segments[0].start
            segment = MarkSegment(start=start, end=end, id=None, state=MarkState.INCONCLUSIVE)
            return self._result(
                tally, best, MarkState.INCONCLUSIVE, (segment,), "a trace of a mark below the bound"
            )
        if tally.pilot >= _TRACE_PILOT:
            start = tally.segments[0].start
            segment = MarkSegment(start=start, end=end, id=None, state=MarkState.INCONCLUSIVE)
            return self._result(
                tally, best, MarkState.INCONCLUSIVE, (segment,), "pilot tones, but no word of these keys"
            )
        return self._result(tally, best, MarkState.ABSENT, joined(tally.segments), "")

    def _blocks_of(self, tally: Tally, best: Found | None) -> tuple[MarkBlock, ...]:
        if best is None:
            return ()
        return tally.blocks.get((best.reading.key, best.reading.payload), (0.0, ()))[1]

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
            blocks=self._blocks_of(tally, best) if present else (),
            frames=tally.frames,
            reason=reason,
        )
