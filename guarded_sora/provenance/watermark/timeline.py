"""Which seconds carry which mark, once an id is known.

A known word is a far weaker question than an unknown one, so every quarter second can answer it.

Legend: S slots, A candidates (an id in one data class), D data dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import MarkSegment, MarkState

_ENTER = 5.0
_SMOOTH_TARGET = 4.0


def scores(slots: Sequence[NDArray[np.float32] | None], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """(S, 2): correlation of every slot's weighted dimensions (D,) with ``expected`` (D,), and its variance.

    Without the mark the first has mean 0 and the second as its variance.
    """
    result = np.zeros((len(slots), 2))
    for index, values in enumerate(slots):
        if values is not None:
            result[index] = float(values @ expected), float(values @ values)
    return result


def label(candidates: NDArray[np.float64], entry: float = _ENTER) -> NDArray[np.intp]:
    """(S,): -1 for no mark, else the candidate, by the likeliest path through the slots.

    ``candidates`` (A, S, 2) as ``scores`` gives them. Changing between candidates of the list costs as
    much as entering one.
    """
    count, slots, _ = candidates.shape
    likelihood = np.zeros((count + 1, slots))
    for index in range(count):
        likelihood[index + 1] = _evidence(candidates[index])
    best = np.full((count + 1, slots), -np.inf)
    origin = np.zeros((count + 1, slots), dtype=np.intp)
    best[:, 0] = likelihood[:, 0] - entry * (np.arange(count + 1) > 0)
    for slot in range(1, slots):
        jump = int(np.argmax(best[:, slot - 1]))
        stay = best[:, slot - 1]
        moved = best[jump, slot - 1] - entry
        origin[:, slot] = np.where(stay >= moved, np.arange(count + 1), jump)
        best[:, slot] = np.maximum(stay, moved) + likelihood[:, slot]
    path = np.empty(slots, dtype=np.intp)
    state = int(np.argmax(best[:, -1]))
    for slot in range(slots - 1, -1, -1):
        path[slot] = state
        state = int(origin[state, slot])
    return path - 1


def _evidence(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S,): log-likelihood for the mark against nothing, from slots pooled just far enough to tell."""
    deviation = np.sqrt(np.maximum(pairs[:, 1], 1e-12))
    single = np.where(pairs[:, 1] > 0, pairs[:, 0] / deviation, 0.0)
    strong = np.sort(single)[::-1]
    typical = float(np.mean(strong[: max(1, len(strong) // 4)]))
    width = 1
    # An unmarked still picture pushes every slot the same way, so slots are not added up as if
    # they were independent: the mark must stand out by its size in a window.
    while typical * np.sqrt(width) < _SMOOTH_TARGET and width < 8:
        width *= 2
    if width > 1:
        sums, power = (_moving_sum(pairs[:, column], width) for column in (0, 1))
        single = np.where(power > 0, sums / np.sqrt(np.maximum(power, 1e-12)), 0.0)
    level = float(np.clip(0.7 * typical * np.sqrt(width), 3.0, 4.5))
    evidence = level * (single - level / 2.0)
    return np.asarray(np.where(pairs[:, 1] > 0, np.clip(evidence, -8.0, 8.0), 0.0))


def _moving_sum(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(S,): sum of ``width`` values around each, fewer at the ends."""
    running = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    first = np.maximum(place - (width - 1) // 2, 0)
    last = np.minimum(place + width // 2 + 1, len(values))
    return np.asarray(running[last] - running[first], dtype=np.float64)


def joined(segments: Sequence[MarkSegment]) -> tuple[MarkSegment, ...]:
    """Neighbours with the same id and state made one."""
    result: list[MarkSegment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is not None and last.id == segment.id and last.state == segment.state:
            result[-1] = MarkSegment(start=last.start, end=segment.end, id=last.id, state=last.state)
        elif segment.end > segment.start:
            result.append(segment)
    return tuple(result)


def segments_of(
    labels: NDArray[np.intp], ids: Sequence[int], start: float, end: float, slot: float
) -> list[MarkSegment]:
    """Segments of a piece from the label of each slot; ``ids`` by candidate."""
    result: list[MarkSegment] = []
    for index, candidate in enumerate(labels):
        begin = start + index * slot
        finish = end if index == len(labels) - 1 else start + (index + 1) * slot
        marked = candidate >= 0
        result.append(
            MarkSegment(
                start=begin,
                end=max(finish, begin),
                id=ids[candidate] if marked else None,
                state=MarkState.PRESENT if marked else MarkState.ABSENT,
            )
        )
    return list(joined(result))
