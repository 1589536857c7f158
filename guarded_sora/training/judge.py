"""The analytic judge: what a film of the world shows, measured with nothing learned.

Place and style by the nearest of the known places in every style; object and colour by fitting every
drawing of the atlas to what differs from the place; motion by the drift of that fit. Used on films of a
model, and on real films as the ceiling.

Legend: T frames, H, W height and width in pixels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import BACKGROUNDS, COLOURS, OBJECTS, STYLES, TINTABLE
from guarded_sora.training.judge_camera import camera_of
from guarded_sora.training.places import background
from guarded_sora.training.sprites import CELL, sprite
from guarded_sora.training.styles import BLOCKS, apply_style
from guarded_sora.training.world import COURSES, DROP_TIME

SIDE = 64
"""The judge looks at films of this side."""
LEAST = 12
"""Pixels of a region that counts as seen."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the judge saw; ``error`` is the mean difference to the best drawing, 0 to 1."""

    object: str
    colour: str | None
    background: str
    motion: str
    style: str | None
    camera: str | None
    error: float


def judge(film: NDArray[np.uint8]) -> Sight:
    """Judge a film of one object, uint8 (T, H, W, 3) of any size and shape."""
    small = reduced(film)
    place, style = place_and_style(film)
    behind = background(place, *small.shape[1:3])
    camera, small = camera_of(small, apply_style(behind, style))
    differs = np.abs(small - apply_style(behind, style)).max(-1)
    boxes = [_box(d) for d in differs]
    motion = _motion(small, differs, boxes)
    # A spinning object stands upright only in the first frame; others are looked at three times.
    looks = (0,) if motion == "spin" else (0, len(film) // 2, len(film) - 1)
    scores = np.mean([fits(small[i], behind, boxes[i], style) for i in looks], 0)
    best = int(np.argmin(scores))
    name, colour = candidates()[best]
    return Sight(object=name, colour=colour, background=place, motion=motion, style=style,
                 camera=camera, error=float(scores[best]))  # fmt: skip


def reduced(film: NDArray[np.uint8], size: int = SIDE) -> NDArray[np.float32]:
    """The film with a shorter side of ``size`` pixels, float32 (T, H, W, 3) in [0, 1]."""
    height, width = film.shape[1:3]
    scale = size / min(height, width)
    sides = round(width * scale), round(height * scale)
    frames = np.stack([cv2.resize(f, sides, interpolation=cv2.INTER_AREA) for f in film])
    return np.asarray(frames / np.float32(255), np.float32)


@functools.cache
def _places(height: int, width: int) -> list[tuple[str, str | None, NDArray[np.float32]]]:
    styles = (None, *(style for style in STYLES if style != "pixels"))  # blocks hardly show in a smooth place
    pairs = [(name, style) for style in styles for name in BACKGROUNDS]
    return [(name, style, apply_style(background(name, height, width), style)) for name, style in pairs]


def place_and_style(film: NDArray[np.uint8]) -> tuple[str, str | None]:
    """The known place in the known style from which the frames differ least in most of their area.

    Objects cover less than half: the mean is taken over the half that differs least. Pixel art is known by
    its steps, which lie on the edges of its blocks.
    """
    small, scores = reduced(film), []
    places = _places(*small.shape[1:3])
    for _, _, picture in places:
        apart = np.sort(np.abs(small - picture).mean(-1).reshape(len(small), -1), 1)
        scores.append(apart[:, : apart.shape[1] // 2].mean())
    name, style, _ = places[int(np.argmin(scores))]
    return name, "pixels" if style is None and _blocky(film) else style


def _blocky(film: NDArray[np.uint8]) -> bool:
    """Whether most of the steps between neighbouring pixels lie on the edges of ``BLOCKS`` blocks a side."""
    pixels = reduced(film, 4 * BLOCKS)[:: max(1, len(film) // 4)].mean(-1)
    shares = []
    for axis in (1, 2):
        steps = np.square(np.diff(pixels, axis=axis))
        along = steps.sum((0, 3 - axis))
        shares.append(along[3::4].sum() / max(1e-9, along.sum()))
    return float(np.mean(shares)) > 0.45


def regions(differs: NDArray[np.float32]) -> list[Box]:
    """(x, y, width, height) in pixels of each connected region that differs from the place, largest first."""
    mask = (cv2.blur(differs, (3, 3)) > 0.16).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    order = 1 + np.argsort(-stats[1:, 4], kind="stable")
    return [(float(x), float(y), float(w), float(h)) for x, y, w, h, area in stats[order] if area >= LEAST]


def _box(differs: NDArray[np.float32]) -> Box:
    """The largest region, or the middle of the picture."""
    height, width = differs.shape
    return next(iter(regions(differs)), (width / 4, height / 4, width / 2, height / 2))


@functools.cache
def candidates() -> list[tuple[str, str | None]]:
    return [(n, c) for n in OBJECTS for c in (COLOURS if n in TINTABLE else (None,))]


@functools.cache
def _drawings() -> list[NDArray[np.float32]]:
    """Every drawing, cut to its own box: premultiplied (h, w, 4)."""
    found = []
    for name, colour in candidates():
        full = sprite(name, colour)
        ys, xs = np.nonzero(full[..., 3] > 0.3)
        found.append(full[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    return found


@functools.cache
def _sized(index: int, width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(_drawings()[index], (width, height), interpolation=cv2.INTER_AREA))


def fits(
    frame: NDArray[np.float32],
    place: NDArray[np.float32],
    box: Box,
    style: str | None = None,
) -> NDArray[np.float64]:
    """Mean difference of each drawing, fitted into the box at its own aspect, to the frame around it."""
    x, y, w, h = box
    scores = np.empty(len(candidates()))
    margin = 5
    left, top = int(max(0, x - margin)), int(max(0, y - margin))
    right, bottom = int(min(frame.shape[1], x + w + margin)), int(min(frame.shape[0], y + h + margin))
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
                    model = apply_style(canvas[..., :3] + behind * (1 - canvas[..., 3:]), style)
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


def _motion(small: NDArray[np.float32], differs: NDArray[np.float32], boxes: list[Box]) -> str:
    """Motion from the first to the last frame, by centre, size and, where neither changes, rotation."""

    def middle(of: slice) -> tuple[float, float, float]:
        part = np.array(boxes[of])
        centre_x, centre_y = part[:, 0] + part[:, 2] / 2, part[:, 1] + part[:, 3] / 2
        size = np.sqrt(part[:, 2] * part[:, 3])
        return float(np.median(centre_x)), float(np.median(centre_y)), float(np.median(size))

    height, width = differs.shape[1:]
    (x0, y0, s0), (x1, y1, s1) = middle(slice(0, 3)), middle(slice(-3, None))
    scores = {
        "right": (x1 - x0) / width / 0.38,
        "left": (x0 - x1) / width / 0.38,
        "fall": (y1 - y0) / height / 0.38,
        "rise": (y0 - y1) / height / 0.38,
        "grow": np.log(s1 / s0) / 0.65,
        "shrink": np.log(s0 / s1) / 0.65,
    }
    name = max(scores, key=lambda n: scores[n])
    if scores[name] > 0.45:
        return "bounce" if name == "fall" and _bounced(boxes, height) else name
    return "spin" if _turned(small, differs) else "still"


def _bounced(boxes: list[Box], height: int) -> bool:
    """Whether what fell was thrown up again half-way through the film."""
    heights = np.array([y + h / 2 for _, y, _, h in boxes]) / height
    ground, top = round(DROP_TIME * (len(heights) - 1)), round(0.51 * (len(heights) - 1))
    return bool(heights[max(0, ground - 1) : ground + 2].max() - heights[top] > 0.1)


def course_error(film: NDArray[np.uint8], motion: str) -> float:
    """How far the object is from the way that the motion's law sets, as a share of the picture's height.

    Root mean square over the frames, against the law between the film's own least and greatest height.
    ``motion`` is "fall" or "bounce".
    """
    small = reduced(film)
    place, style = place_and_style(film)
    differs = np.abs(small - apply_style(background(place, *small.shape[1:3]), style)).max(-1)
    heights = np.array([y + h / 2 for _, y, _, h in map(_box, differs)]) / small.shape[1]
    law = COURSES["bounce" if motion == "bounce" else "steady"]
    ways = np.array([law(k / max(1, len(heights) - 1)) for k in range(len(heights))])
    begin, way = heights[0], np.percentile(heights, 95) - heights[0]
    return float(np.sqrt(np.mean((heights - begin - way * ways / np.percentile(ways, 95)) ** 2)))


def _turned(small: NDArray[np.float32], differs: NDArray[np.float32]) -> bool:
    """Whether some turn of the first frame's object explains the middle frames better than none."""
    first, votes = small[0], 0
    height, width = differs.shape[1:]
    centre = (width / 2 - 0.5, height / 2 - 0.5)
    ys, xs = np.nonzero(differs[0] > 0.16)
    if len(ys):
        centre = (float(xs.min() + xs.max()) / 2, float(ys.min() + ys.max()) / 2)
    count = len(small)
    looks = [i for i in (count // 3, count // 2, 2 * count // 3, count - 1) if i]
    radius = np.hypot(*(np.mgrid[0:height, 0:width] - np.array(centre[::-1])[:, None, None])) < SIDE * 0.22
    for i in looks:
        errors = {}
        for angle in (0, 45, 90, 135, 180):
            matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
            turned = cv2.warpAffine(first, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
            errors[angle] = float(np.abs(turned - small[i])[radius].mean())
        still = errors.pop(0)
        votes += still > 0.03 and (min(errors.values()) < 0.85 * still or still > 0.08)
    return votes * 2 >= len(looks)


assert CELL >= SIDE  # drawings are only ever reduced
