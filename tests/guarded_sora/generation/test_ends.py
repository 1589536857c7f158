"""Films with a given end, loops, and films changed inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from guarded_sora.errors import UsageError
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.backends.callable import CallableBackend
from guarded_sora.generation.backends.frames import check_request
from guarded_sora.generation.contract import GenerationRequest, StepEvent
from guarded_sora.generation.pictures import paste
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from tests.guarded_sora.generation.tiny import tiny_pipeline

PROMPT = "a red balloon rising over a sandy beach"
SMALL: dict[str, Any] = {
    "prompt": PROMPT, "num_inference_steps": 1, "refine_steps": 1, "height": 128, "width": 128,
    "frame_rate": 8, "output_type": "latent",
}  # fmt: skip
DRAWN = np.random.default_rng(0).integers(0, 255, (24, 128, 128, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def pipeline() -> GuardedSoraPipeline:
    return tiny_pipeline()


def made(pipeline: GuardedSoraPipeline, **options: Any) -> torch.Tensor:
    latents: torch.Tensor = pipeline(
        **{**SMALL, "generator": torch.Generator().manual_seed(3), **options}
    ).frames
    return latents


@torch.no_grad()
def test_a_film_ends_with_the_picture(pipeline: GuardedSoraPipeline) -> None:
    still = pipeline.encode_film(np.repeat(DRAWN[:1], 5, 0))
    film = made(pipeline, until=DRAWN[:1], num_frames=17)
    assert film.shape[2] == 5
    assert torch.equal(film[:, :, -1:], still[:, :, -1:])


@torch.no_grad()
def test_a_film_leads_up_to_another(pipeline: GuardedSoraPipeline) -> None:
    """Longer than a window: it is made from its end to its beginning."""
    end = pipeline.encode_film(np.concatenate([DRAWN[:1], DRAWN[:8]]))[:, :, 1:]
    film = made(pipeline, until=DRAWN, num_frames=29)
    assert film.shape[2] == 8 and torch.equal(film[:, :, -2:], end)
    assert film.isfinite().all() and (film.std((0, 1, 3, 4)) > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("frames", [17, 29, 45])
def test_two_films_are_joined(pipeline: GuardedSoraPipeline, frames: int) -> None:
    begin = pipeline.encode_film(DRAWN[-5:])
    film = made(pipeline, video=DRAWN, until=DRAWN[:4], num_frames=frames)
    assert torch.equal(film[:, :, :2], begin)
    assert not torch.equal(film[:, :, -1:], made(pipeline, video=DRAWN, num_frames=frames)[:, :, -1:])


@torch.no_grad()
def test_a_loop_comes_back_to_its_first_picture(pipeline: GuardedSoraPipeline) -> None:
    film = made(pipeline, loop=True, num_frames=17)
    first = pipeline.autoencoder.decode(film[:, :, :1])
    still = pipeline.autoencoder.encode(first.expand(-1, -1, 5, -1, -1))
    assert torch.allclose(film[:, :, -1:], still[:, :, 1:], atol=1e-5)


def test_an_end_makes_a_short_film_longer(pipeline: GuardedSoraPipeline) -> None:
    assert made(pipeline, until=DRAWN[:1], num_frames=1).shape[2] == 5


def test_outside_the_mask_the_film_stays(pipeline: GuardedSoraPipeline) -> None:
    mask = np.zeros((128, 128), dtype=bool)
    mask[40:80, 50:90] = True
    frames = made(pipeline, video=DRAWN, mask=mask, num_frames=21, output_type="uint8")[0]
    far = np.ones_like(mask)
    far[30:90, 40:100] = False
    assert np.array_equal(np.asarray(frames)[:, far], DRAWN[:21][:, far])
    inside = np.asarray(frames)[:, 50:70, 60:80].astype(int)
    assert np.abs(inside - DRAWN[:21, 50:70, 60:80]).mean() > 5


def test_pasting_blends_over_a_few_pixels() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, 32:] = True
    out = paste(torch.ones(1, 2, 64, 64, 3), np.zeros((1, 64, 64, 3), np.uint8), mask)
    row = out[0, 1, 10, :, 0]
    assert row[:28].eq(0).all() and row[36:].eq(1).all() and (row.diff() >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"mask": np.ones((8, 8), bool)},
        {"mask": np.ones((8, 8), bool), "video": DRAWN, "loop": True},
        {"loop": True, "video": DRAWN},
        {"loop": True, "until": DRAWN},
    ],
)
def test_what_contradicts_itself_is_refused(pipeline: GuardedSoraPipeline, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mask|loop"):
        made(pipeline, **options)
    with pytest.raises(UsageError, match=r"mask|loop"):
        BuiltinBackend().generate(GenerationRequest(prompt=PROMPT, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"until": DRAWN[0]},
        {"until": DRAWN.astype(float)},
        {"until": DRAWN[:0]},
        {"video": DRAWN, "mask": np.ones((8, 8))},
        {"video": DRAWN, "mask": np.ones((8, 8, 3), bool)},
    ],
)
def test_senseless_ends_and_masks_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BuiltinBackend().generate(GenerationRequest(prompt=PROMPT, **options))


@pytest.mark.parametrize("kind", ["until", "loop", "mask"])
def test_a_generator_that_cannot_says_so(kind: str) -> None:
    more = {"until": DRAWN, "loop": True, "mask": np.ones((128, 128), bool)}[kind]
    request = GenerationRequest(prompt=PROMPT, **{kind: more})
    with pytest.raises(UsageError, match=f"takes no {kind} prompt"):
        check_request(request, frozenset({"text", "image", "video"}))


def test_a_function_is_given_all_of_it() -> None:
    seen: list[GenerationRequest] = []

    def draw(request: GenerationRequest) -> np.ndarray:
        seen.append(request)
        return DRAWN

    CallableBackend(draw).generate(GenerationRequest(prompt=PROMPT, until=DRAWN[:1], image=DRAWN[0]))
    assert seen[0].until is not None and seen[0].until.shape == (1, 128, 128, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"until": DRAWN[:1]},
        {"until": DRAWN, "seconds": 3.0},
        {"video": DRAWN, "until": DRAWN, "seconds": 3.0},
        {"loop": True},
        {"image": DRAWN[0], "loop": True},
        {"video": DRAWN, "mask": np.eye(128, dtype=bool)},
    ],
    ids=["picture", "film", "joined", "loop", "loop from a picture", "masked"],
)
def test_the_packaged_generator_counts_its_steps_right(options: dict[str, Any]) -> None:
    events: list[StepEvent] = []

    def told(event: StepEvent) -> bool:
        events.append(event)
        return True

    request = GenerationRequest(prompt=PROMPT, steps=1, width=128, height=128, fps=8, **options)
    clip = BuiltinBackend().generate(request, told)
    assert [event.step for event in events] == list(range(1, events[0].steps + 1))
    assert len(clip.frames) >= 17
