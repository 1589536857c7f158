"""Pictures are read as they are seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guarded_sora.errors import MediaError
from guarded_sora.media import (
    ClipFrames,
    encode,
    read_image,
)
from guarded_sora.worker import Worker
from tests.guarded_sora.films import FPS, numbered


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(ClipFrames(numbered(30), FPS), path, fps=FPS, crf=8)
    return path


def test_pictures_are_read_as_they_are_seen(tmp_path: Path, worker: Worker) -> None:
    image = Image.fromarray(numbered(1)[0])
    for name in ("a.png", "a.webp", "a.bmp", "a.tiff"):
        image.save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        assert np.array_equal(read_image(tmp_path / name, worker), numbered(1)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png", worker), np.rot90(numbered(1)[0], -1))


def test_of_an_animation_the_first_frame(tmp_path: Path, worker: Worker) -> None:
    shades = [Image.new("RGB", (20, 10), (value, value, value)) for value in (40, 200)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:])
    assert abs(int(read_image(tmp_path / "a.gif", worker)[5, 5, 0]) - 40) <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel(tmp_path: Path, worker: Worker, mode: str) -> None:
    image = Image.fromarray(np.full((8, 8), 40_000, np.uint16)) if mode == "I;16" else Image.new(mode, (8, 8))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = read_image(path, worker)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    if mode == "RGBA":
        assert pixels.min() == 255, "what is transparent is seen on white"
    if mode == "I;16":
        assert pixels[0, 0, 0] == 40_000 >> 8


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.write_text("no picture"), "not a picture"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)), "picture"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "does not exist"),
        (lambda path: Image.new("1", (20_000, 6_000)).save(path, "PNG"), "scale it down"),
    ],
)
def test_bad_pictures(tmp_path: Path, worker: Worker, make: Any, text: str) -> None:
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(MediaError, match=text):
        read_image(path, worker)


def test_a_cut_off_picture(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match="damaged picture"):
        read_image(path, worker)
