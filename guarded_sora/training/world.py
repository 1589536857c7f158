"""The procedural captioned world: one named object that moves in one named way before one named place.

A ``Film`` is a short description from which pictures of any size and a caption follow exactly, so
films cost milliseconds and no data set is stored. One combination in ten of (object, colour,
background, motion) is held out by a fixed rule and never trained on.

Legend: T frames, S side in pixels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    MAX_TOKENS,
    MOTIONS,
    OBJECTS,
    PAD,
    SYNONYMS,
    TINTABLE,
    concept,
)
from guarded_sora.training.sprites import CELL, sprite

FRAMES = 17
FPS = 8.0
SIDE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One film of the world. Positions and sizes are fractions of the frame's side; angles in degrees.

    ``colour`` is None for objects with natural colours. ``start`` and ``end`` are
    (x, y, size, angle) in the first and the last frame; in between they change linearly.
    """

    object: str
    colour: str | None
    background: str
    motion: str
    start: tuple[float, float, float, float]
    end: tuple[float, float, float, float]
    light: float = 1.0

    @property
    def combination(self) -> tuple[str, str | None, str, str]:
        return self.object, self.colour, self.background, self.motion


def held_out(name: str, colour: str | None, background: str, motion: str) -> bool:
    """Whether this combination is kept out of training (about one in ten, evenly over all names)."""
    o, b, m = OBJECTS.index(name), BACKGROUNDS.index(background), MOTIONS.index(motion)
    c = COLOURS.index(colour) if colour else 0
    return ((131 * o + 17 * b + 7 * m + 29 * c) % 97) % 10 == 0


def combinations(*, held: bool) -> list[tuple[str, str | None, str, str]]:
    """All combinations that are held out (``held``) or trained on, in a fixed order."""
    found = []
    for name in OBJECTS:
        for colour in COLOURS if name in TINTABLE else (None,):
            for background in BACKGROUNDS:
                for motion in MOTIONS:
                    if held_out(name, colour, background, motion) == held:
                        found.append((name, colour, background, motion))
    return found


def draw_film(
    rng: np.random.Generator,
    combination: tuple[str, str | None, str, str] | None = None,
    *,
    held: bool = False,
) -> Film:
    """Draw a film; without a combination, one that is (or is not) held out, objects equally often."""
    while combination is None:
        name = OBJECTS[rng.integers(len(OBJECTS))]
        colour = COLOURS[rng.integers(len(COLOURS))] if name in TINTABLE else None
        drawn = (
            name,
            colour,
            BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
            MOTIONS[rng.integers(len(MOTIONS))],
        )
        if held_out(*drawn) == held:
            combination = drawn
    name, colour, background, motion = combination
    size = rng.uniform(0.46, 0.50)
    x, y = rng.uniform(0.45, 0.55), rng.uniform(0.45, 0.57)
    tilt = 0.0
    start, end = [x, y, size, tilt], [x, y, size, tilt]
    half = rng.uniform(0.20, 0.24)
    if motion in ("left", "right"):
        sign = 1 if motion == "right" else -1
        start[0], end[0] = 0.5 - sign * half, 0.5 + sign * half
    elif motion in ("rise", "fall"):
        sign = 1 if motion == "fall" else -1
        start[1], end[1] = 0.5 - sign * half, 0.5 + sign * half
    elif motion in ("grow", "shrink"):
        small, large = rng.uniform(0.26, 0.31), rng.uniform(0.58, 0.66)
        start[2], end[2] = (small, large) if motion == "grow" else (large, small)
    elif motion == "spin":
        start[3] = 0.0
        end[3] = rng.uniform(170, 200)
    a, b, c, d = start
    e, f, g, h = end
    return Film(
        object=name,
        colour=colour,
        background=background,
        motion=motion,
        start=(a, b, c, d),
        end=(e, f, g, h),
        light=float(rng.uniform(0.95, 1.03)),
    )


# -- captions -----------------------------------------------------------------------------------

_JOIN = {
    "beach": ("over a {}", "on the {}", "at the {}"),
    "night": ("in the {}", "under the {}", "against the {}"),
    "meadow": ("over a {}", "on a {}", "above the {}"),
    "sunset": ("against the {}", "in front of a {}", "in the {}"),
    "snow": ("over a {}", "in the {}", "on the {}"),
    "sea": ("in the {}", "under the {}", "in a {}"),
}


def caption(film: Film, rng: np.random.Generator | None = None) -> str:
    """A caption of the film; without a generator the plainest one.

    For example "a red balloon rising over a sandy beach".
    """

    def pick(options: tuple[str, ...]) -> str:
        return options[0] if rng is None else options[rng.integers(len(options))]

    thing = pick(SYNONYMS[f"object:{film.object}"])
    if film.colour:
        thing = f"{pick(SYNONYMS[f'colour:{film.colour}'])} {thing}"
    moves = pick(SYNONYMS[f"motion:{film.motion}"])
    place = pick(_JOIN[film.background]).format(pick(SYNONYMS[f"background:{film.background}"]))
    article = "an" if thing[0] in "aeiou" else "a"
    return pick(
        (
            f"{article} {thing} {moves} {place}",
            f"{article} {thing} is {moves} {place}",
            f"{place}, {article} {thing} {moves}",
            f"a video of {article} {thing} {moves} {place}",
            f"the {thing} {place}, {moves}",
        )
    )


def tokens(film: Film, rng: np.random.Generator | None = None, *, omit: float = 0.0) -> tuple[int, ...]:
    """Concept tokens of the film's caption; each but the object is left out with probability ``omit``.

    Captions of the grammar read back to exactly these tokens (tested), so training skips the text.
    """
    row = [concept("object", film.object)]
    rest = [concept("background", film.background), concept("motion", film.motion)]
    if film.colour:
        rest.insert(0, concept("colour", film.colour))
    for index in rest:
        if rng is None or rng.random() >= omit:
            row.append(index)
    return tuple((row + [PAD] * MAX_TOKENS)[:MAX_TOKENS])


# -- pictures -----------------------------------------------------------------------------------


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], t: NDArray[np.float32]) -> NDArray[np.float32]:
    start, end = np.array(a, np.float32), np.array(b, np.float32)
    return np.asarray(start + (end - start) * np.clip(t, 0, 1)[..., None], np.float32)


@functools.cache
def background(name: str, side: int) -> NDArray[np.float32]:
    """The place of a film: float32 (S, S, 3) sRGB in [0, 1]; drawn at twice the size, then reduced."""
    full = 2 * SIDE
    y, x = (np.mgrid[0:full, 0:full].astype(np.float32) + 0.5) / full
    if name == "beach":
        sky, sea = _mix((120, 200, 245), (200, 232, 250), y / 0.5), (38, 140, 190)
        out = np.where((y > 0.5)[..., None], np.array(sea, np.float32), sky)
        shore = 0.64 + 0.015 * np.sin(x * 9)
        out = np.where((y > shore)[..., None], _mix((238, 206, 145), (222, 180, 110), (y - 0.64) / 0.36), out)
        out = np.where((np.abs(y - shore) < 0.008)[..., None], np.array((250, 250, 245), np.float32), out)
    elif name == "night":
        out = _mix((12, 14, 48), (40, 44, 100), y / 0.9)
        rng = np.random.default_rng(7)
        for _ in range(26):
            u, v, r = rng.uniform(0.03, 0.97), rng.uniform(0.03, 0.8), rng.uniform(0.005, 0.010)
            out[(x - u) ** 2 + (y - v) ** 2 < r * r] = (250, 245, 200)
        moon = (x - 0.84) ** 2 + (y - 0.14) ** 2 < 0.075**2
        out[moon & ((x - 0.805) ** 2 + (y - 0.12) ** 2 > 0.065**2)] = (255, 240, 180)
        out[y > 0.90 + 0.03 * np.sin(x * 7)] = (8, 10, 28)
    elif name == "meadow":
        out = _mix((110, 185, 245), (205, 235, 255), y / 0.55)
        out = np.where(
            (y > 0.50 + 0.04 * np.sin(x * 5 + 2))[..., None], np.array((130, 195, 90), np.float32), out
        )
        hill = y > 0.62 + 0.03 * np.sin(x * 6)
        out = np.where(hill[..., None], _mix((96, 178, 70), (60, 140, 50), (y - 0.6) / 0.4), out)
    elif name == "sunset":
        out = _mix((110, 60, 130), (250, 130, 70), y / 0.55)
        out = np.where((y > 0.4)[..., None], _mix((250, 130, 70), (255, 205, 110), (y - 0.4) / 0.3), out)
        out[(x - 0.5) ** 2 + (y - 0.70) ** 2 < 0.17**2] = (255, 238, 150)
        out = np.where((y > 0.70)[..., None], _mix((120, 55, 80), (60, 30, 60), (y - 0.7) / 0.3), out)
    elif name == "snow":
        out = _mix((165, 185, 205), (215, 225, 235), y / 0.6)
        for k in range(12):
            u, w, h = (k + 0.5) / 12, 0.045, 0.13 + 0.05 * ((k * 5) % 3)
            tree = (np.abs(x - u) < w * (y - (0.62 - h)) / h) & (y < 0.64)
            out[tree] = (60, 100, 90)
        out = np.where((y > 0.60 + 0.02 * np.sin(x * 6 + 1))[..., None],
                       _mix((236, 242, 250), (212, 224, 240), (y - 0.6) / 0.4), out)  # fmt: skip
    elif name == "sea":
        out = _mix((40, 150, 205), (6, 40, 100), y)
        ray = np.clip(np.sin((x + 0.5 * y) * 22), 0, 1) * np.clip(1 - y * 1.3, 0, 1) * 0.22
        out = out + (np.array((200, 240, 255), np.float32) - out) * ray[..., None]
        out[y > 0.92 + 0.02 * np.sin(x * 10)] = (70, 90, 95)
        for u, v, r in ((0.1, 0.3, 0.022), (0.14, 0.42, 0.014), (0.9, 0.6, 0.02), (0.87, 0.72, 0.013)):
            out[np.abs(np.hypot(x - u, y - v) - r) < 0.004] = (190, 230, 245)
    else:
        raise ValueError(f"unknown background {name!r}")
    small = cv2.resize(np.asarray(out, np.float32), (side, side), interpolation=cv2.INTER_AREA) / 255
    small.setflags(write=False)
    return np.asarray(small, np.float32)


@functools.cache
def _mip(name: str, colour: str | None, cell: int) -> NDArray[np.float32]:
    full = sprite(name, colour)
    return full if cell == CELL else np.asarray(cv2.resize(full, (cell, cell), interpolation=cv2.INTER_AREA))


def pose(film: Film, frame: int, frames: int = FRAMES) -> tuple[float, float, float, float]:
    """(x, y, size, angle) of the object in one frame."""
    t = frame / max(1, frames - 1)
    a, b, c, d = (s + (e - s) * t for s, e in zip(film.start, film.end, strict=True))
    return a, b, c, d


def layout(film: Film, grid: int, *, frames: int = FRAMES, count: int | None = None) -> NDArray[np.float32]:
    """Where each place of a ``grid`` x ``grid`` raster lies on the object: float32 (T, 2, grid, grid).

    (u, v) are coordinates of the drawing, zero at its middle and 1 one drawing's side away, turned and
    sized as the object is: the inverse of the map that ``render`` draws it with.
    """
    count = frames if count is None else count
    centres = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    out = np.empty((count, 2, grid, grid), np.float32)
    for k in range(count):
        x, y, size, angle = pose(film, k, frames)
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        dx, dy = (centres - x)[None, :] / size, (centres - y)[:, None] / size
        out[k, 0], out[k, 1] = cos * dx - sin * dy, sin * dx + cos * dy
    return out


def render(
    film: Film, *, side: int = SIDE, frames: int = FRAMES, first: int = 0, count: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures uint8 (T, S, S, 3) sRGB and the object's coverage uint8 (T, S, S), frames ``first`` on."""
    count = frames - first if count is None else count
    place = background(film.background, side) * film.light
    film_out = np.empty((count, side, side, 3), np.uint8)
    cover = np.empty((count, side, side), np.uint8)
    for k in range(count):
        x, y, size, angle = pose(film, first + k, frames)
        pixels = size * side
        cell = CELL
        while cell > 1.5 * pixels and cell > 16:
            cell //= 2
        source = _mip(film.object, film.colour, cell)
        matrix = cv2.getRotationMatrix2D((cell / 2 - 0.5, cell / 2 - 0.5), angle, pixels / cell)
        matrix[0, 2] += x * side - cell / 2
        matrix[1, 2] += y * side - cell / 2
        layer = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_LINEAR)
        alpha = layer[..., 3:]
        picture = layer[..., :3] * film.light + place * (1 - alpha)
        film_out[k] = np.clip(picture * 255 + 0.5, 0, 255)
        cover[k] = alpha[..., 0] * 255 + 0.5
    return film_out, cover
