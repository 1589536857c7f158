"""The shapes of picture that the base model learned, and which of them serves a size that is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

BASE_SIDE = 128
"""Side of the square that the base model makes, pixels; the cascade doubles it."""
BASE_SHAPES = ((BASE_SIDE, BASE_SIDE), (96, 160), (160, 96), (144, 112))
"""(H, W) of what the base model makes: square, wide, tall, and upright. All have about as many pixels."""
NATIVE = 2 * BASE_SIDE
"""Side of the square that comes out of the cascade."""


def base_shape(height: int, width: int, shapes: Sequence[Sequence[int]] = BASE_SHAPES) -> tuple[int, int]:
    """The shape (H, W), of those that the weights know, whose aspect is nearest to ``height`` : ``width``."""
    aspect = math.log(width / height)
    nearest = min(shapes, key=lambda shape: abs(math.log(shape[1] / shape[0]) - aspect))
    return nearest[0], nearest[1]
