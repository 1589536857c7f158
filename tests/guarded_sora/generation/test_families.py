"""Other families keep the contract: real classes of diffusers with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from guarded_sora.errors import GenerationFailed, UsageError
from guarded_sora.generation import GenerationRequest
from guarded_sora.generation.backends.diffusers import DiffusersBackend
from tests.guarded_sora.generation.tiny_families import tiny_cogvideox, tiny_hunyuan, tiny_ltx, tiny_mochi
from tests.guarded_sora.generation.tiny_wan import tiny_wan

WORDS = {"max_sequence_length": 16}
FAMILIES: dict[str, tuple[Callable[[], Any], dict[str, int], int]] = {
    "ltx": (tiny_ltx, {**WORDS, "height": 32, "width": 32}, 8),
    "cogvideox": (tiny_cogvideox, {**WORDS, "height": 16, "width": 16}, 1),  # so small, it gives eight frames
    "mochi": (tiny_mochi, {**WORDS, "height": 16, "width": 16}, 6),
    "hunyuan": (tiny_hunyuan, {"height": 16, "width": 16, "num_frames": 5}, 4),
}
SECRET = "a red balloon over the zzyzx"


def request(**options: Any) -> GenerationRequest:
    return GenerationRequest(**({"prompt": SECRET, "seconds": 0.3, "steps": 2} | options))


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> tuple[DiffusersBackend, int]:
    make, options, step = FAMILIES[request.param]
    return DiffusersBackend(make(), options=options), step


def test_frames_come_out_and_every_step_is_told(family: tuple[DiffusersBackend, int]) -> None:
    backend, step = family
    steps: list[int] = []
    clip = backend.generate(request(), lambda event: steps.append(event.step) is None)
    assert clip.frames.dtype == np.uint8 and clip.frames.shape[-1] == 3
    assert (len(clip.frames) - 1) % step == 0
    assert steps == [1, 2]
    assert clip.fps == backend.info.native_fps
    assert (clip.settings["height"], clip.settings["width"]) == clip.frames.shape[1:3]


def test_same_seed_same_frames(family: tuple[DiffusersBackend, int]) -> None:
    backend, _ = family
    assert np.array_equal(backend.generate(request()).frames, backend.generate(request()).frames)


def test_it_stops_when_told_to_and_works_again(family: tuple[DiffusersBackend, int]) -> None:
    backend, _ = family
    with pytest.raises(GenerationFailed, match="stopped"):
        backend.generate(request(), lambda _: False)
    assert backend.generate(request()).frames.size


def test_what_a_family_cannot_start_from_is_refused(family: tuple[DiffusersBackend, int]) -> None:
    backend, _ = family
    starts = {"image": np.zeros((32, 32, 3), np.uint8), "video": np.zeros((9, 32, 32, 3), np.uint8)}
    for kind, picture in starts.items():
        if kind not in backend.info.accepts:
            with pytest.raises(UsageError, match=kind):
                backend.generate(request(**{kind: picture}))


SCENE = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "options", "start", "sibling"),
    [
        (tiny_ltx, {**WORDS, "height": 32, "width": 32}, {"image": SCENE[0]}, "LTXImageToVideoPipeline"),
        (tiny_ltx, {**WORDS, "height": 32, "width": 32}, {"video": SCENE}, "LTXConditionPipeline"),
        (tiny_cogvideox, {**WORDS, "height": 16, "width": 16}, {"video": SCENE},
         "CogVideoXVideoToVideoPipeline"),
        (tiny_wan, {**WORDS, "height": 16, "width": 16}, {"video": SCENE}, "WanVideoToVideoPipeline"),
    ],
    ids=["ltx-image", "ltx-video", "cogvideox-video", "wan-video"],
)  # fmt: skip
def test_a_picture_or_film_goes_to_the_sibling_around_the_same_weights(
    make: Callable[[], Any], options: dict[str, int], start: dict[str, np.ndarray], sibling: str
) -> None:
    backend = DiffusersBackend(make(), options=options)
    (kind,) = start
    assert kind in backend.info.accepts
    from_start = backend.generate(request(**start))
    assert from_start.frames.size
    other = backend._others[kind]
    assert type(other).__name__ == sibling
    assert other.transformer is backend.pipeline.transformer
    assert not np.array_equal(from_start.frames, backend.generate(request()).frames)
