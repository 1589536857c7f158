"""Natural films for training: photographs that come inside Python packages, seen by a moving camera.

Only pictures whose licence allows training are named; which of them are installed is looked up when
asked. Nothing is downloaded and nothing of them is copied into this package. ``python -m
guarded_sora.training.natural`` lists what is there.

Legend: T frames, S side in pixels.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """A picture inside an installed package; ``held`` ones only measure, never train."""

    package: str
    path: str
    licence: str
    held: bool = False


PHOTOGRAPHS = (
    Photograph(package="skimage", path="data/astronaut.png", licence="public domain (NASA)"),
    Photograph(package="skimage", path="data/coffee.png", licence="CC0"),
    Photograph(package="skimage", path="data/hubble_deep_field.jpg", licence="public domain (NASA)"),
    Photograph(package="skimage", path="data/retina.jpg", licence="CC0"),
    Photograph(package="skimage", path="data/rocket.jpg", licence="CC0"),
    Photograph(package="skimage", path="data/grass.png", licence="CC0"),
    Photograph(package="skimage", path="data/gravel.png", licence="CC0"),
    Photograph(package="skimage", path="data/brick.png", licence="CC0"),
    Photograph(package="skimage", path="data/camera.png", licence="CC0"),
    Photograph(package="skimage", path="data/ihc.png", licence="public domain"),
    Photograph(package="sklearn", path="datasets/images/china.jpg", licence="CC-BY 2.0"),
    Photograph(package="matplotlib", path="mpl-data/sample_data/grace_hopper.jpg", licence="public domain"),
    Photograph(package="skimage", path="data/chelsea.png", licence="CC0", held=True),
    Photograph(package="sklearn", path="datasets/images/flower.jpg", licence="CC-BY 2.0", held=True),
)


def _place(photograph: Photograph) -> Path | None:
    spec = importlib.util.find_spec(photograph.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], photograph.path)
    return path if path.is_file() else None


@functools.cache
def photographs(*, held: bool = False) -> tuple[NDArray[np.uint8], ...]:
    """The installed photographs of one part, uint8 (H, W, 3) sRGB, longest side at most 1024 pixels."""
    found = []
    for photograph in PHOTOGRAPHS:
        path = _place(photograph)
        if photograph.held != held or path is None:
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        scale = min(1.0, 1024 / max(picture.shape[:2]))
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8))
    return tuple(found)


def camera_film(
    rng: np.random.Generator, picture: NDArray[np.uint8], *, side: int, frames: int
) -> NDArray[np.uint8]:
    """A camera that pans, zooms and turns over ``picture``: uint8 (T, S, S, 3).

    The view covers a fifth to all of the picture's shorter side; exposure differs from film to film.
    """
    height, width = picture.shape[:2]
    short = min(height, width)

    def view() -> NDArray[np.float64]:
        size = short * rng.uniform(0.2, 0.95)
        room_x, room_y = (width - size) / 2, (height - size) / 2
        return np.array(
            [width / 2 + rng.uniform(-1, 1) * room_x, height / 2 + rng.uniform(-1, 1) * room_y, size,
             rng.uniform(-20, 20)]
        )  # fmt: skip

    start = view()
    # Films move slowly or fast, hence the share of the way from one view to another; one in five stands.
    share = 0.0 if rng.random() < 0.2 else rng.uniform(0.02, 0.25)
    end = start + (view() - start) * share
    mirror = rng.random() < 0.5
    light, tint = rng.uniform(0.75, 1.15), rng.uniform(0.92, 1.08, 3)
    size = (start[2] + end[2]) / 2
    source, scale = picture, 1.0
    view_of = np.zeros((2, 3))
    while size * scale > 1.6 * side:  # halve first, so that sampling does not alias
        half = cv2.resize(source, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        source = half.astype(np.uint8)
        scale /= 2
    out = np.empty((frames, side, side, 3), np.uint8)
    for k in range(frames):
        x, y, extent, angle = start + (end - start) * (k / max(1, frames - 1))
        view_of[:] = cv2.getRotationMatrix2D((x * scale, y * scale), angle, side / (extent * scale))
        view_of[:, 2] += side / 2 - np.array([x, y]) * scale
        frame = cv2.warpAffine(source, view_of, (side, side), flags=cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_REFLECT_101)  # fmt: skip
        out[k] = np.clip(frame[:, ::-1] if mirror else frame, 0, 255)
    lit = out.astype(np.float32) * np.asarray(light * tint, np.float32)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def draw_natural(
    rng: np.random.Generator, *, side: int, frames: int, held: bool = False
) -> NDArray[np.uint8]:
    """A film over a random photograph, uint8 (T, S, S, 3).

    Raises LookupError where no package with photographs is installed.
    """
    pictures = photographs(held=held)
    if not pictures:
        raise LookupError("no photographs are installed; install scikit-image and scikit-learn")
    return camera_film(rng, pictures[int(rng.integers(len(pictures)))], side=side, frames=frames)


if __name__ == "__main__":
    for entry in PHOTOGRAPHS:
        state = "installed" if _place(entry) else "missing"
        part = "measures" if entry.held else "trains"
        print(f"{state}  {part:8}  {entry.package}/{entry.path}  {entry.licence}")
