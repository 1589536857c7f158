"""Sprites of the procedural world: an atlas of named drawings from an MIT-licensed emoji set.

``python -m guarded_sora.training.sprites ICONS_JSON`` rebuilds ``atlas.png`` from ``icons.json`` of
the npm package ``@iconify-json/fluent-emoji-flat`` 1.2.6 (Microsoft, MIT; see ``ATLAS-NOTICE.txt``).

Legend: H height, W width; RGBA is sRGB with straight alpha.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guarded_sora.generation.vocabulary import COLOURS, NATURAL, OBJECTS, TINTABLE

CELL = 128
"""Side of one sprite in the atlas, pixels."""

ICONS: dict[str, str] = {
    "balloon": "balloon",
    "ball": "basketball",
    "heart": "red-heart",
    "star": "star",
    "car": "automobile",
    "fish": "fish",
    "butterfly": "butterfly",
    "flower": "hibiscus",
    "apple": "red-apple",
    "kite": "kite",
    "boat": "sailboat",
    "umbrella": "umbrella",
    "dog": "dog-face",
    "cat": "cat-face",
    "rocket": "rocket",
    "pizza": "pizza",
    "mushroom": "mushroom",
    "penguin": "penguin",
    "turtle": "turtle",
    "robot": "robot",
    "cactus": "cactus",
    "snowman": "snowman",
    "owl": "owl",
    "ghost": "ghost",
}
"""Icon of the set for each object name."""

COLUMNS = 6
ATLAS = Path(__file__).with_name("atlas.png")

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 35, 40),
    "orange": (250, 135, 20),
    "yellow": (250, 215, 40),
    "green": (40, 160, 60),
    "blue": (35, 85, 225),
    "purple": (130, 55, 180),
    "pink": (250, 125, 185),
    "brown": (125, 75, 40),
}


def build_atlas(icons_json: Path, out: Path = ATLAS) -> None:
    """Rasterise every icon of ``ICONS`` at ``CELL`` pixels and write one RGBA PNG."""
    import io
    import json

    import resvg_py

    data = json.loads(icons_json.read_text())
    rows = -(-len(OBJECTS) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * CELL, rows * CELL))
    for index, name in enumerate(OBJECTS):
        icon = data["icons"][ICONS[name]]
        width, height = icon.get("width", data.get("width", 32)), icon.get("height", data.get("height", 32))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{CELL}" height="{CELL}">{icon["body"]}</svg>'
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=CELL, height=CELL)
        picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        sheet.paste(picture, ((index % COLUMNS) * CELL, (index // COLUMNS) * CELL))
    sheet.save(out, optimize=True)


@functools.cache
def _atlas() -> NDArray[np.uint8]:
    with Image.open(ATLAS) as picture:
        return np.asarray(picture.convert("RGBA"))


def _tint(rgba: NDArray[np.float32], colour: tuple[int, int, int]) -> NDArray[np.float32]:
    """Luminance shading times a tint: the sprite's usual luminance becomes exactly ``colour``."""
    luma = rgba[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    usual = float(np.median(luma[rgba[..., 3] > 0.5]))
    tint = np.array(colour, np.float32) / 255
    dark = tint * np.minimum(luma / usual, 1.0)[..., None]
    light = np.clip((luma - usual) / max(1e-3, 1 - usual), 0, 1)[..., None] * 0.75
    out = np.concatenate([dark * (1 - light) + light, rgba[..., 3:]], -1)
    return out.astype(np.float32)


@functools.cache
def sprite(name: str, colour: str | None) -> NDArray[np.float32]:
    """One sprite, float32 (CELL, CELL, 4), premultiplied sRGB in [0, 1].

    ``colour`` is a name of ``PALETTE`` for a tintable object and None for the others.
    """
    index = OBJECTS.index(name)
    top, left = (index // COLUMNS) * CELL, (index % COLUMNS) * CELL
    rgba = np.asarray(_atlas()[top : top + CELL, left : left + CELL] / np.float32(255), np.float32)
    if colour is not None:
        rgba = _tint(rgba, PALETTE[colour])
    out = rgba.copy()
    out[..., :3] *= out[..., 3:]
    out.setflags(write=False)
    return out


assert set(PALETTE) == set(COLOURS) and set(ICONS) == set(TINTABLE) | set(NATURAL)

if __name__ == "__main__":
    build_atlas(Path(sys.argv[1]))
