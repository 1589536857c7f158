"""The analytic judge of two objects: which they are, how they stand, and what one does to the other.

Nothing is learned. Objects are the regions that differ from the known place, named by the drawing that fits
best; which region is which of the two that were asked for is settled by the better fit of the two ways.

Legend: T frames, H, W height and width in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import SIDES
from guarded_sora.training.judge import (
    LEAST,
    Box,
    candidates,
    fits,
    place_and_style,
    reduced,
    regions,
)
from guarded_sora.training.places import background
from guarded_sora.training.styles import apply_style
from guarded_sora.training.world import IMPACT, Film, Thing, drawn

APART = 0.12
"""How far two objects stand apart at least for one to be at the other's side, as a share of the picture."""
SEEN = 0.16
"""Difference to the place from which on a pixel belongs to an object."""
DOUBLED = 1.5
"""Growth of the area of all objects over a film from which on something doubled."""
MOVED, STOOD = 0.08, 0.07
"""How far an object has gone at least that moved, and at most that stood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSight:
    """What the judge saw of the two objects that were asked for, each a yes or a no.

    ``objects``: the drawings that fit the two regions best are those asked for, colours left aside.
    ``colours``: so are their colours (True for objects with natural colours). ``relation``: they stand, move
    or meet as asked for. ``kept``: both are there at the end, once each.
    """

    objects: tuple[bool, bool]
    colours: tuple[bool, bool]
    relation: bool
    kept: bool


def judge_pair(film: NDArray[np.uint8], asked: Film) -> PairSight:
    """Judge a film uint8 (T, H, W, 3) against the two things, the place and the style of ``asked``."""
    if asked.other is None or asked.relation is None:
        raise ValueError("the film that was asked for has one object; judge it with judge()")
    small = reduced(film)
    place, style = place_and_style(film)
    behind = background(place, *small.shape[1:3])
    shown = apply_style(behind, style)
    pair = asked.subject, asked.other
    seen = {k: _find(small[k], behind, shown, pair, style) for k in (0, len(small) - 1)}
    (first, names), (last, later) = seen[0], seen[len(small) - 1]
    objects = tuple(name[0] == thing.object for name, thing in zip(names, pair, strict=True))
    colours = tuple(thing.colour in (None, name[1]) for name, thing in zip(names, pair, strict=True))
    filled = [float((np.abs(small[k] - shown).max(-1) > SEEN).mean()) for k in (0, -1)]
    kept = filled[1] < DOUBLED * filled[0] and all(
        name[0] == thing.object for name, thing in zip(later, pair, strict=True)
    )
    if asked.relation in SIDES:
        relation = _stands(asked.relation, first) and _stands(asked.relation, last)
    elif asked.relation == "hit":
        middle, _ = _find(small[round(IMPACT * (len(small) - 1))], behind, shown, pair, style)
        relation = _hits(first, middle, last)
    else:
        sign = np.sign(first[1][0] - first[0][0])
        passed = sign * (last[0][0] - last[1][0]) > APART and abs(last[1][0] - first[1][0]) < 2 * STOOD
        relation = bool(passed) and _before(small, behind, pair, first, last, style) == (
            asked.relation == "front"
        )
    return PairSight(
        objects=(objects[0], objects[1]), colours=(colours[0], colours[1]), relation=relation, kept=kept
    )


Places = tuple[tuple[float, float], tuple[float, float]]
"""Centres (x, y) of the two objects, as shares of the picture."""


def _find(
    frame: NDArray[np.float32],
    behind: NDArray[np.float32],
    shown: NDArray[np.float32],
    pair: tuple[Thing, Thing],
    style: str | None,
) -> tuple[Places, tuple[tuple[str, str | None], tuple[str, str | None]]]:
    """Where the two are, and what the drawings are that fit their regions best."""
    boxes = _two_boxes(np.abs(frame - shown).max(-1))
    told = [fits(frame, behind, box, style) for box in boxes]
    at = [candidates().index((thing.object, thing.colour)) for thing in pair]
    straight, crossed = told[0][at[0]] + told[1][at[1]], told[1][at[0]] + told[0][at[1]]
    order = (0, 1) if straight <= crossed else (1, 0)
    height, width = frame.shape[:2]
    centres = [((x + w / 2) / width, (y + h / 2) / height) for x, y, w, h in boxes]
    best = [candidates()[int(np.argmin(scores))] for scores in told]
    a, b = order
    return (centres[a], centres[b]), (best[a], best[b])


def _two_boxes(differs: NDArray[np.float32]) -> list[Box]:
    """What differs, parted in two by 2-means of its pixels: objects may touch, or be in pieces."""
    mask = cv2.blur(differs, (3, 3)) > SEEN
    for x, y, w, h in regions(differs)[2:]:
        if w * h < LEAST * 4:  # specks
            mask[int(y) : int(y + h), int(x) : int(x + w)] = False
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    if len(points) < 2 * LEAST:
        height, width = differs.shape
        return [(at * width, height / 4, width / 4, height / 2) for at in (0.25, 0.5)]
    wide = np.ptp(points, 0)
    labels = (points[:, int(np.argmax(wide))] > np.median(points[:, int(np.argmax(wide))])).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0)
    _, parted, _ = cv2.kmeans(points, 2, labels[:, None], stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    boxes = []
    for index in (0, 1):
        own = points[parted[:, 0] == index]
        own = own if len(own) else points
        low, high = np.percentile(own, 1, 0), np.percentile(own, 99, 0) + 1
        boxes.append((float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])))
    return boxes


def _stands(relation: str, at: Places) -> bool:
    (ax, ay), (bx, by) = at
    across, down = ax - bx, ay - by
    if relation == "beside":
        return abs(across) > APART and abs(across) > abs(down)
    value, other = {"left": (-across, down), "right": (across, down), "above": (-down, across),
                    "below": (down, across)}[relation]  # fmt: skip
    return value > APART and value > abs(other)


def _hits(first: Places, middle: Places, last: Places) -> bool:
    """The first goes up to the second and stops; only then the second goes on, the same way."""
    sign = np.sign(first[1][0] - first[0][0])
    came = sign * (middle[0][0] - first[0][0]) > MOVED
    waited = abs(middle[1][0] - first[1][0]) < STOOD
    stopped = abs(last[0][0] - middle[0][0]) < STOOD
    went = sign * (last[1][0] - middle[1][0]) > MOVED
    return bool(came and waited and stopped and went)


def _before(
    small: NDArray[np.float32],
    behind: NDArray[np.float32],
    pair: tuple[Thing, Thing],
    first: Places,
    last: Places,
    style: str | None,
) -> bool:
    """Whether the first object covers the second where they meet: which of the two pictures fits better."""
    middle = len(small) // 2
    at = [tuple((a + b) / 2 for a, b in zip(first[i], last[i], strict=True)) for i in (0, 1)]
    errors = []
    for order in ((1, 0), (0, 1)):  # the first drawn last, then drawn first
        best = np.inf
        for shift in np.linspace(-0.1, 0.1, 9):
            picture = behind
            for index in order:
                x, y = at[index][0] + (shift if index == 0 else 0), at[index][1]
                size = pair[index].start[2]
                layer = drawn(pair[index], (x, y, size, 0.0), *behind.shape[:2])
                picture = layer[..., :3] + picture * (1 - layer[..., 3:])
            best = min(best, float(np.abs(apply_style(picture, style) - small[middle]).mean()))
        errors.append(best)
    return errors[0] < errors[1]
