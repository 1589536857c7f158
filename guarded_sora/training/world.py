"""The procedural captioned world: one or two named objects that move in named ways before a named place.

A ``Film`` is a short description from which pictures of any size and a caption follow exactly, so
films cost milliseconds and no data set is stored. One combination in ten is held out by a fixed rule
and never trained on: of (object, colour, background, motion), of two objects, of an object and a style.

Motion is closed-form: a course gives the way done at each time, be it steady, under gravity or by the
blow of another object.

Legend: T frames, H, W height and width, S side in pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import BACKGROUNDS, COLOURS, MOTIONS, OBJECTS, STYLES, TINTABLE
from guarded_sora.training.places import background
from guarded_sora.training.sprites import CELL, sprite
from guarded_sora.training.styles import apply_style

FRAMES = 17
FPS = 8.0
SIDE = 256
RESTITUTION = 0.7
"""Share of its speed with which a bouncing object leaves the ground."""
DROP_TIME = 0.3
"""When a bouncing object first meets the ground, as a share of the film."""
IMPACT = 0.45
"""When one object meets another, as a share of the film."""

PAN, ZOOM = 0.3, 1.3
"""How far the camera goes to a side in a film, as a share of the width, and how near it comes."""

Pose = tuple[float, float, float, float]
"""(x, y, size, angle): fractions of width, height and of the shorter side; degrees."""


def bounce(t: float) -> float:
    """Way done by what falls and bounces, 0 at the top and 1 at the ground, at time ``t`` in [0, 1].

    Constant acceleration; each flight is ``RESTITUTION`` times as long as the one before.
    """
    if t < DROP_TIME:
        return (t / DROP_TIME) ** 2
    t, flight = t - DROP_TIME, 2 * DROP_TIME * RESTITUTION
    while t > flight and flight > 1e-3:
        t, flight = t - flight, flight * RESTITUTION
    height = (flight / 2) ** 2 - (t - flight / 2) ** 2
    return 1 - max(0.0, height) / DROP_TIME**2


def there_and_back(t: float) -> float:
    """Way done by what turns round at both of its ends."""
    return 1 - abs(t % 2 - 1)


COURSES: dict[str, Callable[[float], float]] = {
    "steady": there_and_back,
    "turning": lambda t: t,
    "bounce": bounce,
    "striking": lambda t: min(t / IMPACT, 1.0),
    "struck": lambda t: max(0.0, (min(t, 1.0) - IMPACT) / IMPACT),
}
"""Way done (0 start, 1 end) at time t; up to 1 is the film of two seconds, and a longer film goes on so.

Equal masses: what strikes stops, what is struck goes on.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a camera sees: its middle lies ``shift`` widths right of the place's, ``zoom`` times enlarged."""

    shift: float = 0.0
    zoom: float = 1.0

    def seen(self, pose: Pose) -> Pose:
        """Where a pose of the place lies in the picture."""
        x, y, size, angle = pose
        return 0.5 + self.zoom * (x - 0.5 - self.shift), 0.5 + self.zoom * (y - 0.5), self.zoom * size, angle

    def matrix(
        self, height: int, width: int, *, scale: float = 1.0, beyond: float = 0.0
    ) -> NDArray[np.float64]:
        """Pixels of a picture (H, W) to those of its place, drawn ``scale`` times as large with ``beyond``
        pixels more at its left: affine, (2, 3), pixels counted from their middles."""
        step = scale / self.zoom
        across = scale * width * (0.5 + self.shift) + beyond - step * width / 2
        down = (scale - step) * height / 2
        return np.array([[step, 0, across + (step - 1) / 2], [0, step, down + (step - 1) / 2]])


def view(camera: str | None, t: float, *, strength: float = 1.0) -> View:
    """What the camera sees at time ``t``, 0 to 1 for the film of two seconds; later it turns back.

    ``strength``: how far it goes, of ``PAN`` or ``ZOOM``. Raises ValueError for a name not in ``CAMERAS``.
    """
    way = there_and_back(t)
    if camera is None:
        return View()
    if camera in ("left", "right"):
        return View(shift=(1 if camera == "right" else -1) * strength * PAN * (way - 0.5))
    if camera in ("in", "out"):
        near = 1 + strength * (ZOOM - 1)
        return View(zoom=float(near ** (way if camera == "in" else 1 - way)))
    raise ValueError(f"unknown camera move {camera!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object and its way. ``colour`` is None for objects with natural colours."""

    object: str
    colour: str | None
    start: Pose
    end: Pose
    course: str = "steady"

    def pose(self, frame: int, frames: int = FRAMES) -> Pose:
        """Where it is in one frame."""
        way = COURSES[self.course](frame / max(1, frames - 1))
        a, b, c, d = (s + (e - s) * way for s, e in zip(self.start, self.end, strict=True))
        return a, b, c, d


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One film of the world; ``things`` as they are drawn, ``first`` the index of the one named first."""

    things: tuple[Thing, ...]
    background: str
    motion: str | None
    relation: str | None = None
    style: str | None = None
    camera: str | None = None
    first: int = 0
    light: float = 1.0

    def view(self, frame: int, frames: int = FRAMES) -> View:
        """What the camera sees in one frame."""
        return view(self.camera, frame / max(1, frames - 1))

    @property
    def subject(self) -> Thing:
        """The object that is named first."""
        return self.things[self.first]

    @property
    def other(self) -> Thing | None:
        """The second object."""
        return self.things[1 - self.first] if len(self.things) > 1 else None

    @property
    def combination(self) -> tuple[str, str | None, str, str | None]:
        return self.subject.object, self.subject.colour, self.background, self.motion


def held_out(name: str, colour: str | None, background: str, motion: str) -> bool:
    """Whether this combination is kept out of training (about one in ten, evenly over all names)."""
    o, b, m = OBJECTS.index(name), BACKGROUNDS.index(background), MOTIONS.index(motion)
    c = COLOURS.index(colour) if colour else 0
    return ((131 * o + 17 * b + 7 * m + 29 * c) % 97) % 10 == 0


def held_out_pair(name: str, other: str) -> bool:
    """Whether these two objects, in this order, are never trained on together."""
    return ((31 * OBJECTS.index(name) + 7 * OBJECTS.index(other)) % 89) % 10 == 0


def held_out_style(name: str, style: str) -> bool:
    """Whether this object is never trained on in this style."""
    return ((13 * OBJECTS.index(name) + 5 * STYLES.index(style)) % 59) % 10 == 0


def combinations(*, held: bool) -> list[tuple[str, str | None, str, str]]:
    """All combinations of one object that are held out (``held``) or trained on, in a fixed order."""
    found = []
    for name in OBJECTS:
        for colour in COLOURS if name in TINTABLE else (None,):
            for place in BACKGROUNDS:
                for motion in MOTIONS:
                    if held_out(name, colour, place, motion) == held:
                        found.append((name, colour, place, motion))
    return found


# -- pictures -----------------------------------------------------------------------------------


@functools.cache
def _mip(name: str, colour: str | None, cell: int) -> NDArray[np.float32]:
    full = sprite(name, colour)
    return full if cell == CELL else np.asarray(cv2.resize(full, (cell, cell), interpolation=cv2.INTER_AREA))


def layout(
    film: Film, height: int, width: int, *, frames: int = FRAMES, count: int | None = None
) -> NDArray[np.float32]:
    """Where each place of a raster lies on each of two objects: float32 (T, 4, height, width).

    (u, v) of the object named first, then of the second; zero where there is none. They are coordinates
    of the drawing, zero at its middle and 1 one drawing's side away, turned and sized as the object is:
    the inverse of the map that ``render`` draws it with.
    """
    count = frames if count is None else count
    across, down = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5
    out = np.zeros((count, 4, height, width), np.float32)
    for index, thing in enumerate((film.subject, film.other)):
        if thing is None:
            continue
        for k in range(count):
            x, y, size, angle = film.view(k, frames).seen(thing.pose(k, frames))
            cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            pixels = size * min(height, width)
            dx, dy = (across - x * width)[None, :] / pixels, (down - y * height)[:, None] / pixels
            out[k, 2 * index], out[k, 2 * index + 1] = cos * dx - sin * dy, sin * dx + cos * dy
    return out


def drawn(thing: Thing, pose: Pose, height: int, width: int) -> NDArray[np.float32]:
    """The object alone, premultiplied float32 (H, W, 4)."""
    x, y, size, angle = pose
    pixels, cell = size * min(height, width), CELL
    while cell > 1.5 * pixels and cell > 16:
        cell //= 2
    source = _mip(thing.object, thing.colour, cell)
    matrix = cv2.getRotationMatrix2D((cell / 2 - 0.5, cell / 2 - 0.5), angle, pixels / cell)
    matrix[0, 2] += x * width - cell / 2
    matrix[1, 2] += y * height - cell / 2
    return np.asarray(cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR), np.float32)


def viewed(name: str, camera: View, height: int, width: int) -> NDArray[np.float32]:
    """A place as a camera sees it, float32 (H, W, 3); see :func:`guarded_sora.training.places.background`."""
    if camera == View():
        return background(name, height, width)
    tall, wide = round(ZOOM * height), round(ZOOM * width)
    beyond = -(-int(wide * PAN) // 2) + 2
    source = background(name, tall, wide, beyond)
    matrix = camera.matrix(height, width, scale=wide / width, beyond=beyond)
    matrix[1] = camera.matrix(height, width, scale=tall / height)[1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(source, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )


def render(
    film: Film,
    *,
    side: int | tuple[int, int] = SIDE,
    frames: int = FRAMES,
    first: int = 0,
    count: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures uint8 (T, H, W, 3) sRGB, and how far each object covers them, uint8 (2, T, H, W).

    ``side`` is that of a square or (H, W); frames ``first`` on, of ``frames``. The coverage is that of the
    object named first, then of the second, each less what stands before it.
    """
    count = frames - first if count is None else count
    height, width = (side, side) if isinstance(side, int) else side
    pictures = np.empty((count, height, width, 3), np.uint8)
    cover = np.zeros((2, count, height, width), np.uint8)
    for k in range(count):
        camera = film.view(first + k, frames)
        picture = viewed(film.background, camera, height, width) * film.light
        seen = np.zeros((2, height, width), np.float32)
        for index, thing in enumerate(film.things):
            layer = drawn(thing, camera.seen(thing.pose(first + k, frames)), height, width)
            alpha = layer[..., 3]
            picture = layer[..., :3] * film.light + picture * (1 - alpha[..., None])
            seen *= 1 - alpha
            seen[index if film.first == 0 else 1 - index] = alpha
        pictures[k] = np.clip(apply_style(np.clip(picture, 0, 1), film.style) * 255 + 0.5, 0, 255)
        cover[:, k] = seen * 255 + 0.5
    return pictures, cover
