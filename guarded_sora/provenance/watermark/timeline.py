"""Which seconds carry which mark, once an id is known.

A known word is a far weaker question than an unknown one, so every quarter second can answer it.

Legend: S slots, A candidates (an id in one data class), D data dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import MarkSegment, MarkState

_ENTER = 5.0


def scores(slots: Sequence[NDArray[np.float32] | None], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """(S, 2): correlation of every slot's weighted dimensions (D,) with ``expected`` (D,), and its variance.

    Without the mark the first has mean 0 and the second as its variance.
    """
    result = np.zeros((len(slots), 2))
    for index, values in enumerate(slots):
        if values is not None:
            result[index] = float(values @ expected), float(values @ values)
    return result


def label(candidates: NDArray[np.float64], ids: Sequence[int], entry: float = _ENTER) -> NDArray[np.intp]:
    """(S,): -1 for no mark, else the candidate, by the likeliest path through the slots.

    ``ids`` (A,): candidates of one id differ in their data class and share the strength expected.

    ``candidates`` (A, S, 2) as ``scores`` gives them. Changing between candidates of the list costs as
    much as entering one.
    """
    count, slots, _ = candidates.shape
    likelihood = np.zeros((count + 1, slots))
    strength: dict[int, float] = {}
    for clip, pairs in zip(ids, candidates, strict=True):
        strength[clip] = max(strength.get(clip, 0.0), _typical(pairs))
    for index, clip in enumerate(ids):
        likelihood[index + 1] = _evidence(candidates[index], strength[clip])
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


def _single(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(pairs[:, 1] > 0, pairs[:, 0] / np.sqrt(np.maximum(pairs[:, 1], 1e-12)), 0.0)


def _typical(pairs: NDArray[np.float64]) -> float:
    """Median score of the better half of the slots that were seen."""
    strong = np.sort(_single(pairs)[pairs[:, 1] > 0])[::-1]
    return float(np.median(strong[: max(1, len(strong) // 2)])) if len(strong) else 0.0


def _evidence(pairs: NDArray[np.float64], typical: float) -> NDArray[np.float64]:
    """(S,): log-likelihood for a mark of ``typical`` strength against nothing.

    One slot never outweighs entering and leaving, so a hard cut in brightness does not tear a hole.
    """
    level = float(np.clip(0.55 * typical, 1.2, 8.0))
    evidence = np.clip(level * (_single(pairs) - level / 2.0), -8.0, 8.0)
    return np.asarray(np.where(pairs[:, 1] > 0, evidence, 0.0))


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
    labels: NDArray[np.intp],
    ids: Sequence[int],
    proves: Callable[[int, int, int], bool],
    start: float,
    end: float,
    slot: float,
) -> list[MarkSegment]:
    """Segments of a piece from the label of each slot; ``ids`` by candidate.

    ``proves(candidate, first, last)`` says whether slots ``first`` to ``last`` - 1 taken together carry
    the candidate: a still picture can push every slot a little the same way without any mark.
    """
    result: list[MarkSegment] = []
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for first, last in pairwise(edges):
        candidate = int(labels[first])
        state = MarkState.ABSENT
        if candidate >= 0:
            state = MarkState.PRESENT if proves(candidate, first, last) else MarkState.INCONCLUSIVE
        result.append(
            MarkSegment(
                start=start + first * slot,
                end=end if last == len(labels) else start + last * slot,
                id=ids[candidate] if state is MarkState.PRESENT else None,
                state=state,
            )
        )
    return list(joined(result))
