"""The built-in generator as a backend: packaged weights, no download."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import BackendUnavailable, GenerationFailed, UsageError
from guarded_sora.generation.backends.frames import Stopped, check_request
from guarded_sora.generation.contract import (
    BackendInfo,
    Clip,
    GenerationRequest,
    OnStep,
    PromptKind,
    StepEvent,
)
from guarded_sora.generation.packaged import DISTILLED, WEIGHTS, digest, facts
from guarded_sora.generation.report import compare
from guarded_sora.generation.shapes import NATIVE

if TYPE_CHECKING:
    from guarded_sora.generation.language import PromptReader
    from guarded_sora.generation.pipeline import GuardedSoraPipeline
    from guarded_sora.generation.reading import Reading

FPS, SLOW = 16.0, 8.0
"""Frames a second with and without the temporal stage of the cascade."""
STEPS, REFINE_STEPS = 12, 2
FAST_STEPS = 8
"""Steps of the distilled base model, one evaluation each; a step of the other takes two."""
MAX_SECONDS = 60.0
SHORTEST_ENDING = 2.0


class BuiltinBackend:
    """Our own small generator. Torch is imported and weights are read at the first ``generate``."""

    def __init__(
        self, folder: Path = WEIGHTS, *, reader: PromptReader | None = None, fast: bool = False
    ) -> None:
        """``reader``: reads prompts in the place of the grammar, see ``guarded_sora.generation.language``.

        ``fast``: the distilled base model makes the films: a third of its evaluations, a third less time.
        """
        self._folder, self._reader, self._fast = folder, reader, fast
        self._pipeline: GuardedSoraPipeline | None = None
        # The scheduler holds a run's state, so one run at a time.
        self._lock = threading.Lock()
        known = facts(folder)
        self._info = BackendInfo(
            name="builtin",
            version=str(known.get("version", "0")),
            licence="Apache-2.0",
            weights_sha256=digest(folder),
            data_digest=known.get("data_digest"),
            accepts=frozenset(get_args(PromptKind)),
            size_multiple=2,
            frame_step=8,
            native_fps=FPS,
            native_size=(NATIVE, NATIVE),
            max_frames=1 + round(MAX_SECONDS * FPS),
        )

    @property
    def info(self) -> BackendInfo:
        return self._info

    def load(self) -> GuardedSoraPipeline:
        """The pipeline; raises ``BackendUnavailable`` where torch, diffusers or the weights are missing."""
        if self._pipeline is None:
            if self._info.weights_sha256 is None:
                raise BackendUnavailable(
                    "The generator's weights are missing; reinstall the package or run guarded-sora train."
                )
            try:
                from diffusers.utils import logging

                from guarded_sora.generation.pipeline import GuardedSoraPipeline

                # diffusers' own bar for one small file would only clutter the terminal.
                logging.disable_progress_bar()
                try:
                    pipeline = GuardedSoraPipeline.from_pretrained(
                        str(self._folder), local_files_only=True, **_models(self._folder, fast=self._fast)
                    )
                finally:
                    logging.enable_progress_bar()
                pipeline.base_shape(NATIVE, NATIVE)
                if self._fast and pipeline.guidance() > 1:
                    raise ValueError("the distilled model has learned no guidance")
            except ImportError as error:
                raise BackendUnavailable(
                    "The generator needs torch and diffusers; install guarded-sora[generate]."
                ) from error
            except Exception as error:
                raise BackendUnavailable(
                    "The generator's weights cannot be read; reinstall the package."
                ) from error
            pipeline.set_progress_bar_config(disable=True)
            pipeline.reader = self._reader or pipeline.reader
            self._pipeline = pipeline
        return self._pipeline

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        """Make the clip; see ``VideoBackend``."""
        check_request(request, self._info.accepts)
        fps = FPS if request.fps is None or request.fps > SLOW else SLOW
        notes: list[str] = []
        if request.fps not in (None, fps):
            notes.append(f"The generator makes {SLOW:g} or {FPS:g} frames a second; the clip has {fps:g}.")
        if request.seconds > MAX_SECONDS:
            raise UsageError(f"The built-in generator makes at most {MAX_SECONDS:g} seconds; ask for less.")
        frames = whole_frames(_seconds(request, fps, notes), fps)
        usual = FAST_STEPS if self._fast else STEPS
        steps = usual if request.steps is None else request.steps
        with self._lock:
            pipeline = self.load()
            guidance = request.guidance
            if guidance is None:
                guidance = pipeline.guidance(avoid=bool(request.negative_prompt))
            height, width = _sizes(request, notes, pipeline)
            out = self._call(
                pipeline, request, on_step, frames=frames, fps=fps, height=height, width=width, steps=steps,
                guidance=guidance,
            )  # fmt: skip
        reading = out.readings[0]
        notes += _conflicts(request, reading)
        return Clip(
            frames=np.ascontiguousarray(out.frames[0]),
            fps=fps,
            info=self._info,
            in_domain=reading.in_domain,
            warnings=(*reading.warnings, *notes),
            settings={"steps": steps, "refine_steps": REFINE_STEPS, "guidance": guidance,
                      "seed": request.seed, "frames": frames, "reader": pipeline.reader.name,
                      "distilled": self._fast, "height": height, "width": width,
                      "scheduler": type(pipeline.scheduler).__name__},
        )  # fmt: skip

    def _call(
        self, pipeline: GuardedSoraPipeline, request: GenerationRequest, on_step: OnStep | None, *,
        frames: int, fps: float, height: int, width: int, steps: int, guidance: float,
    ) -> Any:  # fmt: skip
        import torch

        from guarded_sora.generation.pipeline import evaluations

        total = evaluations(
            frames, fps, steps, REFINE_STEPS, larger=(height, width) != pipeline.base_shape(height, width),
            loop=request.loop, anew=request.mask is not None, **_given(request, fps),
        )  # fmt: skip

        def step_end(_pipeline: Any, index: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            if on_step is not None:
                clean = kwargs["clean"][:1]

                def preview() -> NDArray[np.uint8]:
                    with torch.no_grad():
                        film = pipeline.autoencoder.preview(clean)[0]
                    return np.ascontiguousarray(
                        ((film + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
                    )

                if not on_step(StepEvent(step=index + 1, steps=total, preview=preview)):
                    raise Stopped
            return kwargs

        try:
            return pipeline(
                prompt=request.prompt,
                negative_prompt=request.negative_prompt or None,
                image=request.image,
                video=request.video,
                until=request.until,
                loop=request.loop,
                mask=request.mask,
                height=height,
                width=width,
                num_frames=frames,
                frame_rate=fps,
                num_inference_steps=steps,
                refine_steps=REFINE_STEPS,
                guidance_scale=guidance,
                generator=torch.Generator().manual_seed(request.seed),
                output_type="uint8",
                callback_on_step_end=step_end,
                callback_on_step_end_tensor_inputs=("latents", "clean"),
            )
        except Stopped:
            raise GenerationFailed("The generation was stopped before it ended; nothing was made.") from None
        except Exception as error:
            raise GenerationFailed(
                f"The built-in generator failed ({type(error).__name__}); try the default size and length."
            ) from error


def _conflicts(request: GenerationRequest, reading: Reading) -> tuple[str, ...]:
    """Where the picture that the film begins with, or ends with, says otherwise than the words."""
    if request.image is not None:
        picture = request.image
    elif request.video is not None:
        picture = request.video[0 if request.mask is not None else -1]
    elif request.until is not None:
        picture = request.until[0]
    else:
        return ()
    return compare(reading, picture)[1]


def _seconds(request: GenerationRequest, fps: float, notes: list[str]) -> float:
    """How long the film becomes: a masked film keeps its length, one with an end has at least 2 seconds."""
    if request.mask is not None and request.video is not None:
        return min(request.seconds, len(request.video) / fps)
    if (request.until is not None or request.loop) and request.seconds < SHORTEST_ENDING:
        notes.append(f"A film with a given end has at least {SHORTEST_ENDING:g} seconds.")
        return SHORTEST_ENDING
    return request.seconds


def _given(request: GenerationRequest, fps: float) -> dict[str, int]:
    """How many base latent frames are given at the beginning and at the end."""
    if request.mask is not None:
        return {"begin": 0, "end": 0}
    step = 1 if fps == SLOW else 2
    begin = 0 if request.image is None else 1
    if request.video is not None:
        slow = -(-len(request.video) // step)
        begin = 1 + (min(slow, 9 if request.until is None else 5) - 1) // 4
    end = int(request.loop)
    if request.until is not None:
        end = max(1, min(2, -(-len(request.until) // step) // 4))
    return {"begin": begin, "end": end}


def _models(folder: Path, *, fast: bool) -> dict[str, Any]:
    """The networks of the pipeline; those of the distilled base model if it is to be ``fast``."""
    from guarded_sora.generation.models.autoencoder import VideoAutoencoder
    from guarded_sora.generation.models.load import load_model
    from guarded_sora.generation.models.text import ConceptEncoder
    from guarded_sora.generation.models.transformer import SpacetimeTransformer

    base = folder / DISTILLED if fast else folder
    return {
        "autoencoder": load_model(VideoAutoencoder, folder / "autoencoder").float(),
        "text_encoder": load_model(ConceptEncoder, base / "text_encoder").float(),
        "transformer": load_model(SpacetimeTransformer, base / "transformer").float(),
        "temporal": load_model(SpacetimeTransformer, folder / "temporal").float(),
        "spatial": load_model(SpacetimeTransformer, folder / "spatial").float(),
    }


def whole_frames(seconds: float, fps: float) -> int:
    """Frames of a clip of at least ``seconds``: 1 + 8k at 16 a second, 1 + 4k at 8."""
    step = 8 if fps == FPS else 4
    return 1 + step * math.ceil((max(1, round(seconds * fps)) - 1) / step)


def _sizes(request: GenerationRequest, notes: list[str], pipeline: GuardedSoraPipeline) -> tuple[int, int]:
    """(height, width) that are made: even, 64 to 2048; all but the generator's own are cut and resized."""
    sides = []
    for wanted in (request.height, request.width):
        side = NATIVE if wanted is None else min(2048, max(64, wanted + wanted % 2))
        if wanted is not None and side != wanted:
            notes.append(f"A side of {wanted} pixels became {side}.")
        sides.append(side)
    height, width = sides
    small = pipeline.base_shape(height, width)
    if (height, width) not in (small, (2 * small[0], 2 * small[1])):
        notes.append(
            f"The generator makes {2 * small[1]}x{2 * small[0]} pictures of such a shape; they were cut and "
            "resized to the size asked for."
        )
    return height, width
