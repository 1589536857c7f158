"""What a still picture of the world shows, by the analytic judge; None for a picture of anything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guarded_sora.training.judge import candidates, fits, place_and_style, reduced, regions
from guarded_sora.training.places import background
from guarded_sora.training.styles import apply_style

PLACE_APART, OBJECT_APART = 0.035, 0.05
"""Most mean difference, 0 to 1, at which a place or an object counts as known. Pictures of the world stay
below 0.02 and 0.03; of photographs, noise and grey, none measured lay below 0.058 in the place."""
MOST_REGIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """``objects``: (object, colour or None) of each region whose drawing is known, largest first."""

    background: str
    style: str | None
    objects: tuple[tuple[str, str | None], ...]


def look_at(picture: NDArray[np.uint8]) -> Still | None:
    """What a picture uint8 (H, W, 3) sRGB shows, or None where its place is none that the world has."""
    film = picture[None]
    small = reduced(film)
    place, style = place_and_style(film)
    behind = background(place, *small.shape[1:3])
    differs = np.abs(small[0] - apply_style(behind, style))
    apart = np.sort(differs.mean(-1), None)
    if apart[: len(apart) // 2].mean() > PLACE_APART:
        return None
    seen = []
    for box in regions(differs.max(-1))[:MOST_REGIONS]:
        scores = fits(small[0], behind, box, style)
        if scores.min() <= OBJECT_APART:
            seen.append(candidates()[int(np.argmin(scores))])
    return Still(background=place, style=style, objects=tuple(seen))
