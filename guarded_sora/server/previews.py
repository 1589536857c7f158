"""Thumbnail and spritesheet of a film, made once and kept beside it.

A spritesheet is a grid of evenly spaced frames, row by row: what a page can scrub through without
ever getting the film itself.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guarded_sora.errors import MediaError
from guarded_sora.media import FrameStream
from guarded_sora.media.files import beside
from guarded_sora.services import Services

COLUMNS, COUNT = 6, 24
CELL_WIDTH = 320
_SHORT_SIDE = 320
_making = threading.Lock()  # one film at a time: previews must never take the machine from the guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A spritesheet: ``count`` cells of ``width`` x ``height`` pixels in ``columns`` columns."""

    path: Path
    columns: int
    count: int
    width: int
    height: int
    seconds: float


def thumbnail(services: Services, film: Path) -> Path:
    """A WebP of the film's middle frame. Raises MediaError."""
    target = _target(services, film, "thumbnail.webp")
    if not target.is_file():
        frames, _ = _frames(services, film)
        _save(Image.fromarray(frames[len(frames) // 2]), target, "WEBP")
    return target


def spritesheet(services: Services, film: Path) -> Sheet:
    """A JPEG grid of the film. Raises MediaError."""
    target = _target(services, film, "spritesheet.jpg")
    stream = FrameStream(film, services.worker)
    seconds = stream.info.duration
    if target.is_file():
        with Image.open(target) as image:
            # The grid's shape follows from the picture: cells are square-pixel copies of the film.
            width = image.width // COLUMNS
            height = max(1, round(width * stream.info.height / stream.info.width))
            count = min(COUNT, max(1, stream.info.frames), image.height // height * COLUMNS)
        return Sheet(path=target, columns=COLUMNS, count=count, width=width, height=height, seconds=seconds)
    frames, seconds = _frames(services, film)
    chosen = [frames[index] for index in np.linspace(0, len(frames) - 1, min(COUNT, len(frames))).astype(int)]
    width = CELL_WIDTH
    height = max(1, round(width * stream.info.height / stream.info.width))
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height))
    for place, frame in enumerate(chosen):
        cell = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(cell, (place % COLUMNS * width, place // COLUMNS * height))
    _save(sheet, target, "JPEG")
    return Sheet(path=target, columns=COLUMNS, count=len(chosen), width=width, height=height, seconds=seconds)


def forget(services: Services, film: Path) -> None:
    """Remove what was made of a film that is gone."""
    for name in ("thumbnail.webp", "spritesheet.jpg"):
        _target(services, film, name).unlink(missing_ok=True)


def _frames(services: Services, film: Path) -> tuple[list[NDArray[np.uint8]], float]:
    """At most twice ``COUNT`` evenly spaced frames, and the length in seconds."""
    with _making:
        info = FrameStream(film, services.worker).info
        rate = 2 * COUNT / info.duration if info.duration > 0 else None
        stream = FrameStream(film, services.worker, max_short_side=_SHORT_SIDE, sample_fps=rate, strict=False)
        frames: list[NDArray[np.uint8]] = []
        for batch in stream:
            frames.extend(np.array(frame) for frame in batch.frames)
            if len(frames) > 4 * COUNT:
                frames = frames[::2]
    if not frames:
        raise MediaError("The film holds no frame to show.")
    return frames, info.duration


def _target(services: Services, film: Path, name: str) -> Path:
    return services.settings.home / "previews" / f"{film.stem}.{name}"


def _save(image: Image.Image, target: Path, kind: str) -> None:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, quality=82)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside(target) as part:
            part.write_bytes(buffer.getvalue())
    except OSError as error:
        raise MediaError("The preview could not be written; check the disk.") from error
