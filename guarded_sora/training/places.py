"""The places of the procedural world, drawn by formula at any size and aspect.

Legend: H height, W width in pixels; x and y are fractions of the height, 0.5 in the middle.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

FULL = 512
"""Height in pixels at which a place is drawn before it is reduced."""


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], t: NDArray[np.float32]) -> NDArray[np.float32]:
    start, end = np.array(a, np.float32), np.array(b, np.float32)
    return np.asarray(start + (end - start) * np.clip(t, 0, 1)[..., None], np.float32)


@functools.cache
def background(name: str, height: int, width: int, beyond: int = 0) -> NDArray[np.float32]:
    """The place of a film: float32 (H, W + 2 * ``beyond``, 3) sRGB in [0, 1]; drawn large, then reduced.

    A wider frame shows more of the place at both sides, a taller one less. ``beyond``: pixels of what lies
    at each side of the frame, where a camera may turn to.
    Raises ValueError for a name that is none of ``BACKGROUNDS``.
    """
    inner = min(1.0, width / height)
    width += 2 * beyond
    aspect = width / height
    wide = round(FULL * aspect)
    y, x = np.mgrid[0:FULL, 0:wide].astype(np.float32) + 0.5
    y, x = y / FULL, (x / wide - 0.5) * aspect + 0.5
    if name == "beach":
        sky, sea = _mix((120, 200, 245), (200, 232, 250), y / 0.5), (38, 140, 190)
        out = np.where((y > 0.5)[..., None], np.array(sea, np.float32), sky)
        shore = 0.64 + 0.015 * np.sin(x * 9)
        out = np.where((y > shore)[..., None], _mix((238, 206, 145), (222, 180, 110), (y - 0.64) / 0.36), out)
        out = np.where((np.abs(y - shore) < 0.008)[..., None], np.array((250, 250, 245), np.float32), out)
    elif name == "night":
        out = _mix((12, 14, 48), (40, 44, 100), y / 0.9)
        rng, moon = np.random.default_rng(7), 0.5 + 0.34 * inner
        for _ in range(26):
            u, v, r = rng.uniform(0.03, 0.97), rng.uniform(0.03, 0.8), rng.uniform(0.005, 0.010)
            out[(x - u) ** 2 + (y - v) ** 2 < r * r] = (250, 245, 200)
        crescent = (x - moon) ** 2 + (y - 0.14) ** 2 < 0.075**2
        out[crescent & ((x - moon + 0.035) ** 2 + (y - 0.12) ** 2 > 0.065**2)] = (255, 240, 180)
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
        for k in range(-12, 24):
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
        for u, v, r in ((-0.4, 0.3, 0.022), (-0.36, 0.42, 0.014), (0.4, 0.6, 0.02), (0.37, 0.72, 0.013)):
            out[np.abs(np.hypot(x - 0.5 - u * inner, y - v) - r) < 0.004] = (190, 230, 245)
    else:
        raise ValueError(f"unknown background {name!r}")
    small = cv2.resize(np.asarray(out, np.float32), (width, height), interpolation=cv2.INTER_AREA) / 255
    small.setflags(write=False)
    return np.asarray(small, np.float32)
