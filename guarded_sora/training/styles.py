"""The styles of the procedural world: what is done to a finished picture, the same at every size.

Legend: H height, W width; pictures are float32 (H, W, 3) sRGB in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SEPIA_DARK, _SEPIA_LIGHT = np.array([0.16, 0.09, 0.03], np.float32), np.array([1.0, 0.92, 0.74], np.float32)
_PAPER, _LEAD = 0.97, 0.12
BLOCKS = 32
"""Blocks of pixel art along the shorter side."""


def _grey(picture: Picture) -> Picture:
    return np.repeat((picture @ _LUMA)[..., None], 3, -1)


def _sepia(picture: Picture) -> Picture:
    light = (picture @ _LUMA)[..., None]
    return np.asarray(_SEPIA_DARK + (_SEPIA_LIGHT - _SEPIA_DARK) * light, np.float32)


def _sketch(picture: Picture) -> Picture:
    """Dark lines where the picture changes, on paper that keeps a little of its shades."""
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.6, min(picture.shape[:2]) / 128))
    across, down = cv2.Sobel(soft, -1, 1, 0, scale=0.25), cv2.Sobel(soft, -1, 0, 1, scale=0.25)
    step = np.hypot(across, down).max(-1) * min(picture.shape[:2]) / 64
    line = np.clip((step - 0.05) / 0.25, 0, 1)
    shade = _PAPER - 0.18 * (1 - picture @ _LUMA)
    drawn = shade + (_LEAD - shade) * line
    return np.repeat(drawn[..., None], 3, -1)


def _pixels(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    block = max(1, round(min(height, width) / BLOCKS))
    few = cv2.resize(picture, (-(-width // block), -(-height // block)), interpolation=cv2.INTER_AREA)
    return np.asarray(np.repeat(np.repeat(few, block, 0), block, 1)[:height, :width], np.float32)


def _negative(picture: Picture) -> Picture:
    return 1 - picture


_RENDERERS = {"grey": _grey, "sepia": _sepia, "sketch": _sketch, "pixels": _pixels, "negative": _negative}


def apply_style(picture: Picture, style: str | None) -> Picture:
    """The picture in a style of ``STYLES``, or as it is for None. Raises KeyError for another name."""
    if style is None:
        return picture
    return np.asarray(np.clip(_RENDERERS[style](picture), 0, 1), np.float32)
