"""The analytic judge: what a film of the world shows, measured with nothing learned.

Place by the nearest of the known places; object and colour by fitting every drawing of the atlas to
what differs from the place; motion by the drift of that fit. Used on films of a model, and on real
films as the ceiling.

Legend: T frames, S side in pixels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import BACKGROUNDS, COLOURS, OBJECTS, TINTABLE
from guarded_sora.training.sprites import CELL, sprite
from guarded_sora.training.world import background

SIDE = 64
"""The judge looks at films of this side."""
_WINDOW = 24
"""Side to which the object's surroundings are brought for the comparison of drawings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the judge saw; ``error`` is the mean difference to the best drawing, 0 to 1."""

    object: str
    colour: str | None
    background: str
    motion: str
    error: float


def judge(film: NDArray[np.uint8]) -> Sight:
    """Judge a film uint8 (T, S, S, 3) of any side."""
    frames = np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in film])
    small = np.asarray(frames / np.float32(255), np.float32)
    place = _place(small)
    differs = np.abs(small - background(place, SIDE)).max(-1)
    boxes = [_box(d) for d in differs]
    motion = _motion(small, differs, boxes)
    # A spinning object stands upright only in the first frame; others are looked at three times.
    looks = (0,) if motion == "spin" else (0, len(film) // 2, len(film) - 1)
    scores = np.mean([_fits(small[i], background(place, SIDE), boxes[i]) for i in looks], 0)
    best = int(np.argmin(scores))
    name, colour = _candidates()[best]
    return Sight(object=name, colour=colour, background=place, motion=motion, error=float(scores[best]))


def _place(small: NDArray[np.float32]) -> str:
    """The known place whose median difference over each frame is least (an object covers less than half)."""
    scores = [
        np.median(np.abs(small - background(name, SIDE)).mean(-1), (1, 2)).mean() for name in BACKGROUNDS
    ]
    return BACKGROUNDS[int(np.argmin(scores))]


def _box(differs: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """(x, y, width, height) of the largest connected region that differs from the place, in pixels."""
    mask = (cv2.blur(differs, (3, 3)) > 0.16).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return SIDE / 4, SIDE / 4, SIDE / 2, SIDE / 2
    x, y, w, h, _ = stats[1 + int(np.argmax(stats[1:, 4]))]
    return float(x), float(y), float(w), float(h)


@functools.cache
def _candidates() -> list[tuple[str, str | None]]:
    return [(n, c) for n in OBJECTS for c in (COLOURS if n in TINTABLE else (None,))]


@functools.cache
def _drawings() -> list[NDArray[np.float32]]:
    """Every drawing, cut to its own box: premultiplied (h, w, 4)."""
    found = []
    for name, colour in _candidates():
        full = sprite(name, colour)
        ys, xs = np.nonzero(full[..., 3] > 0.3)
        found.append(full[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    return found


@functools.cache
def _sized(index: int, width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(_drawings()[index], (width, height), interpolation=cv2.INTER_AREA))


def _fits(
    frame: NDArray[np.float32], place: NDArray[np.float32], box: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """Mean difference of each drawing, fitted into the box at its own aspect, to the frame around it."""
    x, y, w, h = box
    scores = np.empty(len(_candidates()))
    margin = 5
    left, top = int(max(0, x - margin)), int(max(0, y - margin))
    right, bottom = int(min(SIDE, x + w + margin)), int(min(SIDE, y + h + margin))
    seen, behind = frame[top:bottom, left:right], place[top:bottom, left:right]
    cx, cy = x + w / 2 - left, y + h / 2 - top

    def error(index: int, shifts: tuple[int, ...]) -> float:
        """Least difference of one drawing over a few heights and shifts."""
        drawing = _drawings()[index]
        ratio, best = drawing.shape[1] / drawing.shape[0], np.inf
        for height in {h, w / ratio, (h + w / ratio) / 2}:
            tall, wide = max(4, round(height)), max(4, round(height * ratio))
            if tall > SIDE * 1.2 or wide > SIDE * 1.2:
                continue
            layer = _sized(index, wide, tall)
            for dy in shifts:
                for dx in shifts:
                    canvas = _paste(
                        layer, seen.shape[:2], round(cx - wide / 2) + dx, round(cy - tall / 2) + dy
                    )
                    model = canvas[..., :3] + behind * (1 - canvas[..., 3:])
                    best = min(best, float(np.abs(model - seen).mean()))
        return best

    for index in range(len(scores)):
        scores[index] = error(index, (0,))
    for index in np.argsort(scores)[:12]:
        scores[index] = error(int(index), (-1, 0, 1))
    return scores


def _paste(layer: NDArray[np.float32], shape: tuple[int, ...], left: int, top: int) -> NDArray[np.float32]:
    canvas = np.zeros((shape[0], shape[1], 4), np.float32)
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(shape[0], top + layer.shape[0]), min(shape[1], left + layer.shape[1])
    if y1 > y0 and x1 > x0:
        canvas[y0:y1, x0:x1] = layer[y0 - top : y1 - top, x0 - left : x1 - left]
    return canvas


def _motion(
    small: NDArray[np.float32], differs: NDArray[np.float32], boxes: list[tuple[float, float, float, float]]
) -> str:
    """Motion from the first to the last frame, by centre, size and, where neither changes, rotation."""

    def middle(of: slice) -> tuple[float, float, float]:
        part = np.array(boxes[of])
        centre_x, centre_y = part[:, 0] + part[:, 2] / 2, part[:, 1] + part[:, 3] / 2
        size = np.sqrt(part[:, 2] * part[:, 3])
        return float(np.median(centre_x)), float(np.median(centre_y)), float(np.median(size))

    (x0, y0, s0), (x1, y1, s1) = middle(slice(0, 3)), middle(slice(-3, None))
    scores = {
        "right": (x1 - x0) / SIDE / 0.38,
        "left": (x0 - x1) / SIDE / 0.38,
        "fall": (y1 - y0) / SIDE / 0.38,
        "rise": (y0 - y1) / SIDE / 0.38,
        "grow": np.log(s1 / s0) / 0.65,
        "shrink": np.log(s0 / s1) / 0.65,
    }
    name = max(scores, key=lambda n: scores[n])
    if scores[name] > 0.45:
        return name
    return "spin" if _turned(small, differs) else "still"


def _turned(small: NDArray[np.float32], differs: NDArray[np.float32]) -> bool:
    """Whether some turn of the first frame's object explains the middle frames better than none."""
    first, votes = small[0], 0
    centre = (SIDE / 2 - 0.5, SIDE / 2 - 0.5)
    ys, xs = np.nonzero(differs[0] > 0.16)
    if len(ys):
        centre = (float(xs.min() + xs.max()) / 2, float(ys.min() + ys.max()) / 2)
    count = len(small)
    looks = [i for i in (count // 3, count // 2, 2 * count // 3, count - 1) if i]
    radius = np.hypot(*(np.mgrid[0:SIDE, 0:SIDE] - np.array(centre[::-1])[:, None, None])) < SIDE * 0.22
    for i in looks:
        errors = {}
        for angle in (0, 45, 90, 135, 180):
            matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
            turned = cv2.warpAffine(first, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
            errors[angle] = float(np.abs(turned - small[i])[radius].mean())
        still = errors.pop(0)
        votes += still > 0.03 and (min(errors.values()) < 0.85 * still or still > 0.08)
    return votes * 2 >= len(looks)


assert CELL >= SIDE  # drawings are only ever reduced
