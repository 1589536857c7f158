"""What happens to a film between its maker and its finder: the steps of ``attacks.toml``.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
SUITE = Path(__file__).with_name("attacks.toml")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Film:
    """``frames`` uint8 (T, H, W, 3) at ``fps``. ``kbps``: rate of the last encoding, 0 before."""

    frames: Frames
    fps: float
    kbps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the suite; ``kind`` is single, combined or severe."""

    name: str
    kind: str
    steps: tuple[dict[str, Any], ...]

    def run(self, film: Film) -> Film:
        """The film after all steps."""
        for step in self.steps:
            options = {name: value for name, value in step.items() if name != "op"}
            film = _STEPS[step["op"]](film, **options)
        return film


def cells(path: Path = SUITE) -> tuple[Cell, ...]:
    """The frozen suite. Raises ``KeyError`` for a step that nobody wrote."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    result = tuple(
        Cell(name=item["name"], kind=item["class"], steps=tuple(item["steps"])) for item in data["cell"]
    )
    for cell in result:
        for step in cell.steps:
            _STEPS[step["op"]]
    return result


def each(film: Film, change: Callable[[Frames], Frames]) -> Film:
    """The film with every frame changed."""
    return replace(film, frames=np.stack([change(frame) for frame in film.frames]))


def resized(film: Film, width: int, height: int) -> Film:
    """Scaled: area average down, cubic up; even sizes."""
    width, height = max(width // 2 * 2, 16), max(height // 2 * 2, 16)
    mode = cv2.INTER_AREA if width < film.frames.shape[2] else cv2.INTER_CUBIC
    return each(film, lambda frame: np.asarray(cv2.resize(frame, (width, height), interpolation=mode)))


def encode(
    film: Film, codec: str, crf: int | None = None, preset: str = "medium", kbps: int | None = None
) -> Film:
    """Through a codec and back, 8-bit 4:2:0, one thread."""
    data = encoded(film, codec, crf, preset, kbps)
    return replace(decoded(data, film.fps), kbps=len(data) * 8 * film.fps / len(film.frames) / 1000)


def decoded(data: bytes, fps: float) -> Film:
    """The pictures of a file that ``encoded`` wrote."""
    with av.open(io.BytesIO(data)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    return Film(frames=frames, fps=fps)


def encoded(
    film: Film, codec: str, crf: int | None = None, preset: str = "medium", kbps: int | None = None
) -> bytes:
    """The film as a Matroska file."""
    frames = film.frames[:, : film.frames.shape[1] // 2 * 2, : film.frames.shape[2] // 2 * 2]
    options = {"threads": "1"}
    if crf is not None:
        options["crf"] = str(crf)
    if codec == "libvpx-vp9":
        options |= {"deadline": "realtime", "cpu-used": "6", "b": "0"}
    else:
        options["preset"] = preset
    if codec == "libx265":
        options["x265-params"] = "log-level=error:pools=none"
    if codec == "libsvtav1":
        options["svtav1-params"] = "lp=1"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=round(film.fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = options
        if kbps is not None:
            stream.bit_rate = kbps * 1000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


def crop(film: Film, area: float, restore: bool = False) -> Film:
    """Keep 1 - ``area`` of the picture, cut off unevenly; ``restore`` enlarges to the old size."""
    height, width = film.frames.shape[1:3]
    side = (1.0 - area) ** 0.5
    new_height, new_width = int(height * side) // 2 * 2, int(width * side) // 2 * 2
    top, left = int((height - new_height) * 0.61), int((width - new_width) * 0.37)
    cut = replace(film, frames=film.frames[:, top : top + new_height, left : left + new_width])
    return resized(cut, width, height) if restore else cut


def vertical(film: Film) -> Film:
    """A 9:16 strip out of the middle left."""
    height, width = film.frames.shape[1:3]
    strip = min(width, height * 9 // 16 // 2 * 2)
    left = (width - strip) * 2 // 5
    return replace(film, frames=film.frames[:, :, left : left + strip])


def rotate(film: Film, degrees: float) -> Film:
    """About the centre, black corners."""
    height, width = film.frames.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return each(
        film, lambda frame: np.asarray(cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_CUBIC))
    )


def letterbox(film: Film, part: float) -> Film:
    """Black bars above and below, each ``part`` of the height."""
    bar = int(film.frames.shape[1] * part) // 2 * 2
    return replace(film, frames=np.pad(film.frames, ((0, 0), (bar, bar), (0, 0), (0, 0))))


def levels(film: Film, gain: float, lift: float) -> Film:
    """Contrast about mid grey, then brightness."""
    table = np.clip((np.arange(256) - 128.0) * gain + 128.0 + lift, 0, 255).astype(np.uint8)
    return replace(film, frames=table[film.frames])


def noise(film: Film, sigma: float) -> Film:
    """Gaussian noise, new in every frame."""
    rng = np.random.default_rng(12345)
    return each(
        film,
        lambda frame: np.clip(
            frame + sigma * rng.standard_normal(frame.shape, dtype=np.float32), 0, 255
        ).astype(np.uint8),
    )


def jpeg(film: Film, quality: int) -> Film:
    """Every frame through JPEG."""

    def through(frame: Frames) -> Frames:
        data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return each(film, through)


def logo(film: Film) -> Film:
    """An opaque white box of 22 % x 15 % and a line of text."""
    height, width = film.frames.shape[1:3]

    def stamp(frame: Frames) -> Frames:
        out = frame.copy()
        cv2.rectangle(
            out, (width // 20, height // 20), (width // 20 + width * 22 // 100, height // 5), (255,) * 3, -1
        )
        return _text(out, "CHANNEL FIVE", height * 95 // 100)

    return each(film, stamp)


def subtitles(film: Film) -> Film:
    """Two lines of white text with black edges."""
    height = film.frames.shape[1]
    return each(
        film,
        lambda frame: _text(
            _text(frame.copy(), "and so the tide came in again", height * 86 // 100),
            "long before anybody woke",
            height * 94 // 100,
        ),
    )


def drop(film: Film, every: int) -> Film:
    """Every ``every``-th frame lost, the rest at their times."""
    keep = np.arange(len(film.frames)) % every != every - 1
    return Film(frames=film.frames[keep], fps=film.fps * (every - 1) / every)


def interpolate(film: Film) -> Film:
    """A blended frame between any two: twice the rate."""
    frames = film.frames
    between = ((frames[:-1].astype(np.uint16) + frames[1:]) // 2).astype(np.uint8)
    out = np.empty((len(frames) + len(between), *frames.shape[1:]), dtype=np.uint8)
    out[0::2], out[1::2] = frames, between
    return Film(frames=out, fps=film.fps * 2)


def cut(film: Film, start: float, seconds: float) -> Film:
    """Some seconds taken out."""
    first = round(start * film.fps)
    last = min(round((start + seconds) * film.fps), len(film.frames) - 1)
    return replace(film, frames=np.concatenate([film.frames[:first], film.frames[last:]]))


def screen(film: Film) -> Film:
    """Filmed off a screen, roughly: resampled, another gamma, a fine grid, noise."""
    height, width = film.frames.shape[1:3]
    larger = resized(film, round(width * 1.13), round(height * 1.13))
    ramp = np.arange(larger.frames.shape[2]) * 0.9
    grid = (1.0 + 0.03 * np.sin(2 * np.pi * ramp / 2.7))[None, :, None]
    table = (255.0 * (np.arange(256) / 255.0) ** 1.15).astype(np.float32)
    seen = each(
        larger, lambda frame: np.clip(table[frame] * grid.astype(np.float32), 0, 255).astype(np.uint8)
    )
    return noise(seen, 3.0)


def inset(film: Film, factor: float) -> Film:
    """The film small in the upper right of a picture that changes slowly."""
    height, width = film.frames.shape[1:3]
    small = resized(film, round(width * factor), round(height * factor)).frames
    rng = np.random.default_rng(9)
    back = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), dtype=np.uint8), (0, 0), 3.0)
    back = cv2.normalize(back, None, 30, 220, cv2.NORM_MINMAX)
    out = np.repeat(np.asarray(back, dtype=np.uint8)[None], len(small), axis=0)
    out[:, 20 : 20 + small.shape[1], width - 20 - small.shape[2] : width - 20] = small
    return replace(film, frames=out)


def gif(film: Film) -> Film:
    """64 colours, ten frames a second at most."""
    from PIL import Image

    step = max(round(film.fps / 10.0), 1)
    small = replace(film, frames=film.frames[::step], fps=film.fps / step)
    return each(
        small,
        lambda frame: np.asarray(
            Image.fromarray(frame).quantize(64, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
        ),
    )


def _text(frame: Frames, text: str, baseline: int) -> Frames:
    scale = frame.shape[0] / 500.0
    place = (frame.shape[1] // 6, baseline)
    for colour, thickness in (((0,) * 3, 5), ((255,) * 3, 2)):
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return frame


def _scale(film: Film, factor: float) -> Film:
    height, width = film.frames.shape[1:3]
    return resized(film, round(width * factor), round(height * factor))


def _lines(film: Film, lines: int) -> Film:
    height, width = film.frames.shape[1:3]
    return resized(film, round(width * lines / height), lines)


_STEPS: dict[str, Callable[..., Film]] = {
    "encode": encode,
    "scale": _scale,
    "lines": _lines,
    "crop": crop,
    "vertical": vertical,
    "mirror": lambda film: replace(film, frames=np.ascontiguousarray(film.frames[:, :, ::-1])),
    "rotate": rotate,
    "aspect": lambda film, factor: resized(film, round(film.frames.shape[2] * factor), film.frames.shape[1]),
    "letterbox": letterbox,
    "levels": levels,
    "blur": lambda film, sigma: each(film, lambda frame: cv2.GaussianBlur(frame, (0, 0), sigma)),
    "noise": noise,
    "denoise": lambda film: each(film, lambda frame: cv2.bilateralFilter(frame, 5, 30.0, 3.0)),
    "jpeg": jpeg,
    "logo": logo,
    "subtitles": subtitles,
    "drop": drop,
    "interpolate": interpolate,
    "speed": lambda film, factor: replace(film, fps=film.fps * factor),
    "cut": cut,
    "screen": screen,
    "inset": inset,
    "gif": gif,
}
