"""Pictures and films as prompts, steadiness in time, and what an early look saves."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.generation_films import generate, prompts, psnr, row, through_autoencoder
from benchmarks.rows import Row
from guarded_sora.errors import GenerationFailed
from guarded_sora.filming import EARLY_LOOK_AT
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.contract import GenerationRequest, StepEvent
from guarded_sora.generation.pipeline import BASE_FPS, GuardedSoraPipeline
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.training.drawing import caption
from guarded_sora.training.judge import judge
from guarded_sora.training.natural import photographs
from guarded_sora.training.world import FRAMES, Film, render

GIVEN = 9
"""Frames of a film that is given to be continued."""
_FLOW = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM


def _made(pipeline: GuardedSoraPipeline, prompt: str, seed: int, **options: Any) -> NDArray[np.uint8]:
    film: NDArray[np.uint8] = pipeline(
        prompt, generator=torch.Generator().manual_seed(seed), output_type="uint8", height=BASE_SIDE,
        width=BASE_SIDE, frame_rate=BASE_FPS, num_frames=FRAMES, **options,
    ).frames[0]  # fmt: skip
    return film


def picture_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """PSNR of the first frame to the picture that was given, beside the autoencoder's own round trip."""
    films = prompts(count, 21, held=True, known=pipeline.concepts)
    drawn = [(caption(film), render(film, side=BASE_SIDE, count=1)[0][0]) for film in films]
    size = BASE_SIDE, BASE_SIDE
    natural = [
        ("a dog standing still", np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8))
        for photo in photographs(held=True)
    ]
    rows = []
    for name, given in (("drawings", drawn), ("photographs", natural)):
        if not given:
            continue
        ours, round_trip = [], []
        for seed, (prompt, picture) in enumerate(given):
            ours.append(psnr(_made(pipeline, prompt, seed, image=picture, **options)[0], picture))
            round_trip.append(psnr(through_autoencoder(pipeline, picture[None])[0], picture))
        rows.append(row(f"image prompt, first frame, {name}", float(np.mean(ours)),
                        float(np.mean(round_trip)), "autoencoder's round trip", "higher", "dB"))  # fmt: skip
    return rows


def continuation_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """A real film's first nine frames are given; the whole is judged, and the seam beside real motion."""
    films: list[Film] = prompts(count, 22, held=True, known=pipeline.concepts)
    right, jump, usual = [], [], []
    for seed, film in enumerate(films):
        whole = render(film, side=BASE_SIDE)[0]
        made = _made(pipeline, caption(film), seed, video=whole[:GIVEN], **options)
        sight = judge(made)
        right.append((sight.object, sight.colour) == (film.subject.object, film.subject.colour))
        jump.append(_apart(made[GIVEN - 1], made[GIVEN]))
        usual.append(_apart(whole[GIVEN - 1], whole[GIVEN]))
    return [
        row("video prompt, object and colour kept", float(np.mean(right)), None, "none", "higher", "share"),
        row("video prompt, step from the last given frame to the first new one", float(np.mean(jump)),
            float(np.mean(usual)), "the same step of the real film", "near 1", "of 255"),
    ]  # fmt: skip


def _apart(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(float) - two).mean())


def steadiness(film: NDArray[np.uint8]) -> float:
    """Mean difference of each frame to the next one moved back along optical flow, 0 to 255."""
    flow = cv2.DISOpticalFlow.create(_FLOW)
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in film]
    y, x = np.mgrid[0 : film.shape[1], 0 : film.shape[2]].astype(np.float32)
    errors = []
    for t in range(len(film) - 1):
        way = flow.calc(grey[t], grey[t + 1], None)  # type: ignore[call-overload]
        back = cv2.remap(
            film[t + 1], x + way[..., 0], y + way[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        errors.append(_apart(np.asarray(back, np.uint8), film[t]))
    return float(np.mean(errors))


def steadiness_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    films: list[Film] = prompts(count, 23, held=True, known=pipeline.concepts)
    made = generate(pipeline, films, height=BASE_SIDE, width=BASE_SIDE, frame_rate=BASE_FPS,
                    num_frames=FRAMES, **options)  # fmt: skip
    real = [through_autoencoder(pipeline, render(film, side=BASE_SIDE)[0]) for film in films]
    ours, theirs = (float(np.mean([steadiness(film) for film in group])) for group in (made, real))
    return [row("change between frames that motion does not explain", ours, theirs,
                "real films through the autoencoder", "lower", "of 255")]  # fmt: skip


def early_rows() -> list[Row]:
    """CPU seconds of a film that is stopped at the early look, decoded for it, and of a whole one."""
    backend = BuiltinBackend()
    request = GenerationRequest(prompt="a red balloon rising over a sandy beach")
    backend.generate(request)

    def look(event: StepEvent) -> bool:
        if event.step < EARLY_LOOK_AT * event.steps or event.preview is None:
            return True
        event.preview()
        return False

    start = time.process_time()
    with contextlib.suppress(GenerationFailed):
        backend.generate(request, look)
    stopped = time.process_time() - start
    start = time.process_time()
    backend.generate(request)
    whole = time.process_time() - start
    return [row("cpu seconds: stopped at the early look", stopped, whole, "the whole film", "lower", "s")]


def prompt_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    return [
        *picture_rows(pipeline, count, **options),
        *continuation_rows(pipeline, count, **options),
        *steadiness_rows(pipeline, count, **options),
        *early_rows(),
    ]
