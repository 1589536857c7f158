"""Finding a picture that was scaled, turned, mirrored, squeezed or cropped, by its pilot tones.

The magnitudes of a spectrum do not care where a picture begins, only how it is scaled and turned.
So every scale, angle and mirror image is scored by the magnitudes at the 40 places where the pilots
would then lie; the best are made exact, and phase correlation finds the shift. Only pilots are
looked at: data bins decide nothing here, so no word has been tried when the search ends.

Legend: h, w working size; P pilots; G geometries of the grid (rows x scales).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.decode import shift_of
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, PilotLayout, pilot_layout

SIZE = 1024
_SCALES = np.exp(np.arange(np.log(0.36), np.log(2.4), 0.0045))
_ANGLES = np.arange(-8.0, 8.01, 0.4)
_ASPECTS = np.exp(np.arange(-13, 14) * 0.025)
_EDGE = 0.47
_CLAMP = 3.0
_SEATS, _UPRIGHT_SEATS = 8, 3
_LOCAL = (31, 31)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """``places`` int32 (rows, scales, P): where to look in the half spectrum, its last cell meaning nowhere.

    ``counts`` (rows, scales): tones inside the spectrum. ``rows``: (flip, angle, aspect) each.
    """

    places: NDArray[np.int32]
    counts: NDArray[np.float32]
    rows: tuple[tuple[bool, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A geometry with the coherence of its pilots (0 to 1)."""

    geometry: Geometry
    peak: float


def candidates(plane: NDArray[np.float32], key: MarkKey, keep: int = 3) -> list[Candidate]:
    """The likeliest geometries of a whitened plane (h, w) under the key's pilots, best first."""
    pilots = pilot_layout(key)
    spectrum = magnitudes(plane)
    grid = _grid(key.secret, key.epoch)
    flat = np.append(spectrum.ravel(), np.float32(0.0)).astype(np.float32)
    # One row at a time keeps the gathered numbers in the processor's cache.
    score: NDArray[np.float32] = np.empty(grid.counts.shape, dtype=np.float32)
    for row in range(len(grid.rows)):
        score[row] = np.take(flat, grid.places[row]).sum(axis=1)
    score = np.asarray((score - grid.counts) / np.sqrt(np.maximum(grid.counts, 1.0)), dtype=np.float32)
    score[grid.counts < len(pilots.bins) / 2] = -np.inf
    short = min(plane.shape)
    found: list[Candidate] = []
    upright = np.array([angle == 0.0 and aspect == 1.0 for _, angle, aspect in grid.rows])
    # Most pictures are only scaled or cropped: these geometries get seats of their own.
    chosen = _peaks(score, _SEATS) + _peaks(np.where(upright[:, None], score, -np.inf), _UPRIGHT_SEATS)
    for row, column in dict.fromkeys(chosen):
        flip, angle, aspect = grid.rows[row]
        start = np.array([np.log(_SCALES[column] * aspect), np.log(_SCALES[column]), angle])
        exact, _ = _climb(spectrum, pilots, start, flip)
        geometry = _geometry(exact, flip, short)
        if any(_alike(geometry, other.geometry) for other in found):
            continue
        _, peak = shift_of(fold(plane, geometry), pilots)
        found.append(Candidate(geometry=geometry, peak=peak))
    found.sort(key=lambda item: -item.peak)
    return [polished(plane, item, pilots) for item in found[:keep]]


def polished(plane: NDArray[np.float32], candidate: Candidate, pilots: PilotLayout) -> Candidate:
    """The candidate with scale, aspect and angle moved to where the pilots agree best."""
    best = candidate
    straight = replace(best.geometry, angle=0.0)
    # Four free numbers fit some noise too: the plain geometry wins unless it is clearly worse.
    tries = [straight, replace(straight, aspect=1.0), replace(best.geometry, aspect=1.0)]
    for geometry in tries:
        if (
            abs(best.geometry.angle - geometry.angle) < 0.5
            and abs(best.geometry.aspect - geometry.aspect) < 0.02
        ):
            best = _better(plane, pilots, best, geometry, bonus=0.04)
    for step in (0.0016, 0.0006):
        for axis in (0, 1, 2):
            for sign in (1.0, -1.0):
                moved = _better(plane, pilots, best, _moved(best.geometry, axis, sign * step))
                if moved is not best:
                    best = moved
                    break
    return best


def _better(
    plane: NDArray[np.float32], pilots: PilotLayout, best: Candidate, geometry: Geometry, bonus: float = 0.0
) -> Candidate:
    if geometry == best.geometry:
        return best
    _, peak = shift_of(fold(plane, geometry), pilots)
    return Candidate(geometry=geometry, peak=peak) if peak + bonus > best.peak else best


def magnitudes(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (1024, 513): the spectrum's power against its surroundings; 1 on average, limited.

    No window: tones are found best at full resolution, and whitened pictures leak little.
    """
    height, width = (min(side, SIZE) for side in plane.shape)
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    padded = np.zeros((SIZE, SIZE), dtype=np.float32)
    padded[:height, :width] = plane[top : top + height, left : left + width]
    both = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT, nonzeroRows=height)[:, : SIZE // 2 + 1]
    size = np.asarray(np.hypot(both[..., 0], both[..., 1]), dtype=np.float32)
    around = np.asarray(cv2.blur(size, _LOCAL, borderType=cv2.BORDER_REFLECT), dtype=np.float32)
    power = np.minimum(size / np.maximum(around, 1e-9), _CLAMP) ** 2
    return np.asarray(power / max(float(power.mean()), 1e-9), dtype=np.float32)


def _frequencies(
    pilots: PilotLayout, log_sx: NDArray[np.float64], log_sy: NDArray[np.float64], angle: float, flip: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y (..., P) in cycles per working pixel, for scales in working pixels per canonical pixel."""
    turn = np.deg2rad(angle)
    across = pilots.frequencies[:, 0] / np.exp(log_sx)[..., None]
    down = pilots.frequencies[:, 1] / np.exp(log_sy)[..., None]
    x = np.cos(turn) * across + np.sin(turn) * down
    y = -np.sin(turn) * across + np.cos(turn) * down
    return (-x if flip else x), y


@lru_cache(maxsize=8)
def _grid(secret: bytes, epoch: int) -> Grid:
    pilots = pilot_layout(MarkKey(secret=secret, epoch=epoch))
    turned = [(flip, float(angle), 1.0) for flip in (False, True) for angle in _ANGLES]
    squeezed = [(flip, 0.0, float(a)) for flip in (False, True) for a in _ASPECTS if abs(a - 1) > 0.01]
    rows = tuple(turned + squeezed)
    places = np.empty((len(rows), len(_SCALES), len(pilots.bins)), dtype=np.int32)
    counts = np.empty((len(rows), len(_SCALES)), dtype=np.float32)
    half = SIZE // 2 + 1
    for index, (flip, angle, aspect) in enumerate(rows):
        logs = np.log(_SCALES)
        x, y = _frequencies(pilots, logs + np.log(aspect), logs, angle, flip)
        inside = (np.abs(x) < _EDGE) & (np.abs(y) < _EDGE)
        y = np.where(x < 0, -y, y)
        column = np.rint(np.abs(x) * SIZE).astype(np.int32)
        line = np.rint(y * SIZE).astype(np.int32) % SIZE
        places[index] = np.where(inside, line * half + column, SIZE * half)
        counts[index] = inside.sum(axis=1)
    return Grid(places=places, counts=counts, rows=rows)


def _peaks(score: NDArray[np.float32], count: int) -> list[tuple[int, int]]:
    """Row and column of the best cells, no two in neighbouring scales of one row."""
    order = np.argsort(score, axis=None)[::-1][: 40 * count]
    result: list[tuple[int, int]] = []
    for place in order:
        row, column = divmod(int(place), score.shape[1])
        if all(row != r or abs(column - c) > 4 for r, c in result):
            result.append((row, column))
            if len(result) == count:
                break
    return result


def _climb(
    spectrum: NDArray[np.float32], pilots: PilotLayout, start: NDArray[np.float64], flip: bool
) -> tuple[NDArray[np.float64], float]:
    """Coordinate ascent over (log sx, log sy, angle) on interpolated magnitudes."""
    steps = np.array([0.003, 0.003, 0.2])
    place = start.copy()
    best = _score(spectrum, pilots, place, flip)
    for _ in range(4):
        for _ in range(3):
            before = best
            for axis in range(3):
                for sign in (1.0, -1.0):
                    moved = place.copy()
                    moved[axis] += sign * steps[axis]
                    score = _score(spectrum, pilots, moved, flip)
                    if score > best:
                        place, best = moved, score
            # Both scales together: a picture is enlarged far more often than squeezed.
            for sign in (1.0, -1.0):
                moved = place + sign * np.array([steps[0], steps[1], 0.0])
                score = _score(spectrum, pilots, moved, flip)
                if score > best:
                    place, best = moved, score
            if best == before:
                break
        steps /= 2.0
    return place, best


def _score(
    spectrum: NDArray[np.float32], pilots: PilotLayout, place: NDArray[np.float64], flip: bool
) -> float:
    x, y = _frequencies(pilots, np.array(place[0]), np.array(place[1]), float(place[2]), flip)
    inside = (np.abs(x) < _EDGE) & (np.abs(y) < _EDGE)
    y = np.where(x < 0, -y, y)[inside] * SIZE
    x = np.abs(x[inside]) * SIZE
    if len(x) < len(inside) / 2:
        return -np.inf
    column, line = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    fx, fy = x - column, y - line
    upper, lower = line % SIZE, (line + 1) % SIZE
    values = (1 - fy) * ((1 - fx) * spectrum[upper, column] + fx * spectrum[upper, column + 1])
    values = values + fy * ((1 - fx) * spectrum[lower, column] + fx * spectrum[lower, column + 1])
    return float((values.sum() - len(values)) / np.sqrt(len(values)))


def _geometry(place: NDArray[np.float64], flip: bool, short: int) -> Geometry:
    sx, sy = float(np.exp(place[0])), float(np.exp(place[1]))
    angle = float(place[2])
    return Geometry(
        scale=sy / (short / CANONICAL_LINES),
        aspect=sx / sy,
        angle=0.0 if abs(angle) < 0.06 else angle,
        flip=flip,
    )


def _moved(geometry: Geometry, axis: int, step: float) -> Geometry:
    scale, aspect, angle = geometry.scale, geometry.aspect, geometry.angle
    if axis == 0:
        scale *= float(np.exp(step))
    elif axis == 1:
        # Down and across in opposite senses: the two moves are then nearly independent.
        aspect *= float(np.exp(step))
        scale *= float(np.exp(-step / 2))
    else:
        angle += 80.0 * step
    return Geometry(scale=scale, aspect=aspect, angle=angle, flip=geometry.flip)


def _alike(a: Geometry, b: Geometry) -> bool:
    return (
        a.flip == b.flip
        and abs(a.angle - b.angle) < 0.15
        and abs(np.log(a.scale / b.scale)) < 0.003
        and abs(np.log(a.aspect / b.aspect)) < 0.003
    )
