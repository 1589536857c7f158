"""A whole installation in a temporary folder: real keys, real SQLite, real worker, real signing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from guarded_sora import GenerationFailed, GuardedSora
from guarded_sora.generation.contract import BackendInfo, Clip, GenerationRequest, OnStep, StepEvent
from guarded_sora.media import ClipFrames, encode


def moving_scene(seed: int, *, frames: int = 17, size: tuple[int, int] = (256, 256)) -> NDArray[np.uint8]:
    """A film uint8 (T, H, W, 3) that no other seed resembles: soft shapes drifting over a soft ground."""
    random = np.random.default_rng(seed)
    width, height = size
    ground = cv2.resize(random.uniform(40, 215, (4, 4, 3)), size, interpolation=cv2.INTER_CUBIC)
    shapes = [
        (
            random.uniform(0, 1, 2),
            random.uniform(-0.25, 0.25, 2),
            random.uniform(0.08, 0.2),
            random.uniform(0, 255, 3),
        )
        for _ in range(5)
    ]
    film = []
    for index in range(frames):
        picture = ground.copy()
        for place, speed, radius, colour in shapes:
            centre = (place + speed * index / frames) * (width, height)
            cv2.circle(
                picture,
                tuple(int(v) for v in centre),
                int(radius * min(size)),
                tuple(float(c) for c in colour),
                -1,
                cv2.LINE_AA,
            )
        film.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(film)


def paint(request: GenerationRequest) -> NDArray[np.uint8]:
    """A quick generator for tests of the guard itself: the seed decides the film."""
    return moving_scene(request.seed, frames=max(1, round(request.seconds * 8) + 1))


class Painter:
    """A backend as others would write one: no model, the whole contract."""

    info = BackendInfo(name="painter", version="1", licence="Apache-2.0")

    def __init__(self, draw: Callable[[GenerationRequest], NDArray[np.uint8]] = paint) -> None:
        self._draw = draw

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        frames = self._draw(request)
        if on_step is not None:
            for step in range(1, 11):
                if not on_step(StepEvent(step=step, steps=10, preview=lambda: frames)):
                    raise GenerationFailed("The generation was stopped.")
        return Clip(frames=frames, fps=8.0, info=self.info)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def sora(home: Path) -> Iterator[GuardedSora]:
    """An installation around a quick generator."""
    with GuardedSora.open(home=home, backend=Painter()) as opened:
        yield opened


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Writes a film of somebody else's: ``film(name, seed=..., frames=...)``."""

    def write(name: str = "foreign.mp4", *, seed: int = 99, frames: int = 24, crf: int = 18) -> Path:
        path = tmp_path / name
        encode(ClipFrames(moving_scene(seed, frames=frames), 8.0), path, fps=8.0, crf=crf)
        return path

    return write
