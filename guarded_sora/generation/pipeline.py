"""The built-in generator as a diffusers pipeline: text, image and video prompts, films of any length.

The base model makes 128x128, or as many pixels in another shape, at 8 frames a second, window by
window; the cascade makes that twice as fast and twice as large (``guarded_sora.generation.cascade``).

Legend: B clips, T frames, H, W pixels, C latent channels, K latent frames.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guarded_sora.generation.cascade import pieces, refine, slower_to_faster, smaller_to_larger
from guarded_sora.generation.conditioning import StepCall, eased, solve
from guarded_sora.generation.given import Canvas, Given, planned
from guarded_sora.generation.language import GrammarReader, PromptReader
from guarded_sora.generation.models.autoencoder import SPACE, TIME, Cache, VideoAutoencoder, latent_frames
from guarded_sora.generation.models.base import Output, Pipeline
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.pictures import cells, fit, paste, shown
from guarded_sora.generation.reading import Reading
from guarded_sora.generation.shapes import BASE_SHAPES, NATIVE, base_shape
from guarded_sora.generation.vocabulary import CONCEPTS
from guarded_sora.generation.windows import WINDOW

BASE_FPS, NATIVE_FPS = 8.0, 16.0
"""Frames a second of what the base model makes, and of what comes out of the cascade."""
CHUNK = 4
"""Latent frames that the autoencoder works on at once; the result does not depend on it."""

GUIDANCE = 4.0
"""Scale of classifier-free guidance for a network that has learned none."""
AVOIDING = 2.0
"""Scale away from a negative prompt for a network whose flow is guided already."""
StepEnd = Callable[["GuardedSoraPipeline", int, Any, dict[str, Any]], dict[str, Any]]


def base_frames(frames: int, fps: float) -> int:
    """Frames of the base film, 1 + 4k, from which at least ``frames`` at ``fps`` (8 or 16) come."""
    slow = frames if fps == BASE_FPS else 1 + -(-(frames - 1) // 2)
    return 1 + -(-(slow - 1) // TIME) * TIME


def evaluations(
    frames: int,
    fps: float,
    steps: int,
    refine_steps: int,
    *,
    larger: bool = True,
    begin: int = 0,
    end: int = 0,
    loop: bool = False,
    anew: bool = False,
) -> int:
    """Solver steps of a whole call for ``frames`` frames at ``fps``.

    ``begin`` and ``end`` base latent frames are given; see :mod:`guarded_sora.generation.given`.
    """
    slow = base_frames(frames, fps)
    total = steps * len(planned(latent_frames(slow), begin=begin, end=end, loop=loop, anew=anew))
    fast = latent_frames(slow if fps == BASE_FPS else 2 * slow - 1)
    stages = (fps != BASE_FPS) + larger
    return total + stages * refine_steps * sum(1 for _ in pieces(fast))


@dataclass(slots=True, kw_only=True)
class _Run:
    """What stays the same over the passes of one call, and how many solver steps are done."""

    tokens: Tensor
    avoid: Tensor | None
    noise: Tensor | None
    generator: torch.Generator | None
    steps: int
    refine_steps: int
    guidance: float
    guided_steps: int | None
    callback: StepEnd | None
    inputs: tuple[str, ...]
    shape: tuple[int, int]
    done: int = 0


@dataclass
class VideoOutput(Output):
    """``frames`` in the asked-for type; ``readings``: what was understood of each prompt."""

    frames: Any
    readings: tuple[Reading, ...]


class GuardedSoraPipeline(Pipeline):
    """Text-to-video over the package's small learned world.

    Any of diffusers' flow-matching schedulers may drive it. First the first frame, then the window of
    17 frames that it begins; longer films are made window after window, each taking over the last two
    latent frames of the one before. The cascade then works piece by piece, so the networks' memory
    does not grow with length.
    """

    model_cpu_offload_seq = "text_encoder->transformer->temporal->spatial->autoencoder"
    autoencoder: VideoAutoencoder
    text_encoder: ConceptEncoder
    transformer: SpacetimeTransformer
    temporal: SpacetimeTransformer
    spatial: SpacetimeTransformer
    scheduler: Any
    reader: PromptReader = GrammarReader()
    """Turns prompts into concepts; another one may be set."""
    _callback_tensor_inputs = ["latents", "clean"]  # noqa: RUF012  (read by diffusers)

    def __init__(
        self,
        autoencoder: VideoAutoencoder,
        text_encoder: ConceptEncoder,
        transformer: SpacetimeTransformer,
        temporal: SpacetimeTransformer,
        spatial: SpacetimeTransformer,
        scheduler: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            autoencoder=autoencoder, text_encoder=text_encoder, transformer=transformer, temporal=temporal,
            spatial=spatial, scheduler=scheduler,
        )  # fmt: skip

    # -- what the weights know --------------------------------------------------------------------
    @property
    def concepts(self) -> int:
        """How many of ``vocabulary.CONCEPTS`` the text encoder knows; the others are unknown words to it."""
        return min(len(CONCEPTS), int(self.text_encoder.config.concepts))

    def read(self, prompt: str) -> Reading:
        """What these weights understand of a prompt."""
        return self.reader.read(prompt, known=self.concepts)

    def base_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (H, W) of the base film from which a film of that size is made."""
        return base_shape(height, width, self.transformer.config.shapes)

    # -- pictures and latents -------------------------------------------------------------------
    def encode_film(self, film: NDArray[np.uint8], shape: tuple[int, int] = BASE_SHAPES[0]) -> Tensor:
        """Latents (1, C, K, h, w) of a film uint8 (T, H, W, 3), cut to 1 + 4k frames, at ``shape``."""
        keep = 1 + (len(film) - 1) // TIME * TIME
        x = torch.from_numpy(np.ascontiguousarray(film[:keep])).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        if x.shape[-2:] != shape:
            x = fit(x, *shape)
        latents: Tensor = self.autoencoder.encode(x.to(self.autoencoder.device, self.autoencoder.dtype))
        return latents

    def _encode(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """``autoencoder.encode`` of a film that comes in parts."""
        cache = Cache()
        for part in parts:
            yield self.autoencoder.encode(part, cache)

    def _decode(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """``autoencoder.decode`` of latents that come in parts."""
        cache = Cache()
        for part in parts:
            for k in range(0, part.shape[2], CHUNK):
                yield self.autoencoder.decode(part[:, :, k : k + CHUNK], cache)

    # -- the call -------------------------------------------------------------------------------
    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | None = None,
        image: NDArray[np.uint8] | None = None,
        video: NDArray[np.uint8] | None = None,
        until: NDArray[np.uint8] | None = None,
        loop: bool = False,
        mask: NDArray[np.bool_] | None = None,
        height: int = NATIVE,
        width: int = NATIVE,
        num_frames: int = 33,
        frame_rate: float = NATIVE_FPS,
        num_inference_steps: int = 12,
        refine_steps: int = 2,
        guidance_scale: float | None = None,
        guided_steps: int | None = None,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        callback_on_step_end_tensor_inputs: tuple[str, ...] = ("latents",),
    ) -> VideoOutput | tuple[Any, tuple[Reading, ...]]:
        """Make one clip a prompt.

        ``image`` uint8 (H, W, 3) becomes the first frame; ``video`` uint8 (T, H, W, 3) at ``frame_rate``
        becomes the beginning, of which at most the last nine frames at 8 a second are taken over.
        ``until`` uint8 (T, H, W, 3) is what the film ends with: of a film the first eight frames at 8 a
        second, of a picture (T = 1) half a second. ``loop`` makes it come back to its first picture instead.
        ``mask`` bool (H, W): where ``video``, from its first frame on, is made anew; the rest stays.
        ``frame_rate`` is 16, or 8 for a film without the temporal stage; a film of a shape of the base
        model (``BASE_SHAPES``) goes without the spatial one; other sizes are cut from the nearest shape.
        ``num_frames`` is 1 + 8k (1 + 4k at 8 a second); other lengths are rounded up.
        ``guidance_scale`` holds for the first frame (None: what suits the network, see ``guidance``); what
        goes on from given frames gets half of its excess over 1; only the first ``guided_steps`` of each
        pass have it (None: all).
        ``latents`` (B, C + layout, 5, h, w) replaces the first window's noise.
        ``output_type``: "np" float (B, T, H, W, 3) and "pt" (B, T, 3, H, W) in [0, 1], "uint8"
        (B, T, H, W, 3), "latent"
        (of the last stage). Raises ValueError for arguments that cannot be used.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts or min(num_frames, num_inference_steps, refine_steps) < 1:
            raise ValueError("prompt, num_frames and the numbers of steps must not be empty or zero")
        if frame_rate not in (BASE_FPS, NATIVE_FPS):
            raise ValueError(f"frame_rate must be {BASE_FPS:g} or {NATIVE_FPS:g}")
        if image is not None and video is not None:
            raise ValueError("give an image or a video, not both")
        if mask is not None and (video is None or until is not None or loop):
            raise ValueError("a mask goes with a video, and with nothing that the film should end with")
        if loop and (until is not None or video is not None):
            raise ValueError("a loop ends as it begins: give it a picture to begin with, or nothing")
        if output_type not in ("np", "pt", "uint8", "latent"):
            raise ValueError(f"output_type {output_type!r} is none of np, pt, uint8, latent")
        frames = base_frames(num_frames, frame_rate)
        fast = frame_rate != BASE_FPS
        if (whole := 2 * frames - 1 if fast else frames) != num_frames:
            warnings.warn(f"{num_frames} frames were rounded up to {whole}", stacklevel=2)
        readings = tuple(self.read(text) for text in prompts)
        tokens = torch.tensor([reading.tokens for reading in readings], device=self._execution_device)
        avoid = None
        if negative_prompt:
            row = self.read(negative_prompt).tokens
            avoid = torch.tensor([row] * len(prompts), device=tokens.device)
        if until is not None or loop:
            frames = max(frames, 1 + (WINDOW - 1) * TIME)
            num_frames = 2 * frames - 1 if fast else frames
        shape = self.base_shape(height, width)
        given = self._given(image, video, until, mask, shape, fast=fast, loop=loop)
        request = _Run(
            tokens=tokens, avoid=avoid, generator=generator, steps=num_inference_steps,
            refine_steps=refine_steps, guided_steps=guided_steps,
            guidance=self.guidance(avoid=avoid is not None) if guidance_scale is None else guidance_scale,
            callback=callback_on_step_end, inputs=tuple(callback_on_step_end_tensor_inputs), noise=latents,
            shape=shape,
        )  # fmt: skip
        made: Iterator[Tensor] = iter((self._passes(request, given, latent_frames(frames)),))
        if fast:
            faster = slower_to_faster(self._decode(made))
            made = self._refine(request, self.temporal, self._encode(faster))
        if (height, width) != shape:
            larger = (smaller_to_larger(part) for part in self._decode(made))
            made = self._refine(request, self.spatial, self._encode(larger))
        out: Any
        if output_type == "latent":
            out = torch.cat(list(made), 2)
        else:
            pictures = [shown(part, height, width, output_type) for part in self._decode(made)]
            out = torch.cat(pictures, 1)
            if mask is not None and video is not None:
                out = paste(out, video, mask)
            out = out.permute(0, 1, 4, 2, 3) if output_type == "pt" else out.numpy()
        self.maybe_free_model_hooks()
        return VideoOutput(frames=out, readings=readings) if return_dict else (out, readings)

    def guidance(self, *, avoid: bool = False) -> float:
        """The scale of guidance that suits the base model: 1, none, where it was trained to need none.

        ``avoid``: something is to be kept out of the film, which only guidance can do.
        """
        learned = self.transformer.config.guidance > 1
        return (AVOIDING if avoid else 1.0) if learned else GUIDANCE

    def _given(
        self,
        image: NDArray[np.uint8] | None,
        video: NDArray[np.uint8] | None,
        until: NDArray[np.uint8] | None,
        mask: NDArray[np.bool_] | None,
        shape: tuple[int, int],
        *,
        fast: bool,
        loop: bool,
    ) -> Given:
        """Pictures and films as base latents. The base model sees every second frame of a ``fast`` film."""
        step = 2 if fast else 1
        if mask is not None and video is not None:
            whole = self.encode_film(video[::step], shape)
            return Given(whole=whole, anew=cells(mask, shape).to(whole.device))
        begin = end = None
        if image is not None:
            begin = self.encode_film(image[None], shape)
        elif video is not None:  # the last frame stays
            film = video[(len(video) - 1) % step :: step]
            begin = self.encode_film(film[-(1 + (2 if until is None else 1) * TIME) :], shape)
        if until is not None:
            end = self._encode_end(until[::step], shape)
        return Given(begin=begin, end=end, loop=loop)

    def _encode_end(self, film: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
        """The beginning of ``film`` as it is inside a film: one or two latents (1, C, 1 or 2, h, w)."""
        groups = min(2, len(film) // TIME)
        frames = film[: groups * TIME] if groups else np.repeat(film[:1], TIME, 0)
        return self.encode_film(np.concatenate([frames[:1], frames]), shape)[:, :, 1:]

    def _passes(self, run: _Run, given: Given, total: int) -> Tensor:
        """Base latents (B, C, total, h, w) of how things look, window by window.

        The layout is made along with them and carried from window to window; what is given comes without.
        """
        sides = [side // SPACE for side in run.shape]
        looks, places = self.autoencoder.config.channels, self.transformer.config.layout
        shape = (len(run.tokens), looks + places, WINDOW, *sides)
        if run.noise is not None and tuple(run.noise.shape) != shape:
            raise ValueError(f"latents must have the shape {shape}")
        noise = None if run.noise is None else run.noise.to(self._execution_device)
        like = torch.empty(shape, device=self._execution_device, dtype=self.transformer.dtype)
        canvas = Canvas(given, total, like, looks)
        for window in given.plan(total):
            noise = self._draw(run, shape) if noise is None else noise
            known, mask = canvas.open(window)
            made = self._solve(run, noise[:, :, : window.length], known, mask)
            canvas.close(window, made)
            if window.length == 1 and given.loop:
                picture = self.autoencoder.decode(made[:, :looks])
                still = self.autoencoder.encode(picture.expand(-1, -1, 1 + TIME, -1, -1))
                canvas.lay_end(still[:, :, 1:])
            # The first window starts from the same noise as the first frame.
            noise = noise if window.length == 1 else None
        return canvas.looks

    def _draw(self, run: _Run, shape: tuple[int, ...]) -> Tensor:
        """Noise of a shape from the run's generator, wherever that lives."""
        device = torch.device("cpu") if run.generator is None else run.generator.device
        noise = torch.randn(shape, generator=run.generator, device=device)
        return noise.to(self._execution_device, self.transformer.dtype)

    def _reporter(self, run: _Run) -> StepCall:
        """Tells the caller of each solver step."""

        def report(step: int, latents: Tensor, clean: Tensor) -> Tensor | None:
            run.done += 1
            if run.callback is None:
                return None
            offered = {"latents": latents, "clean": clean[:, : self.autoencoder.config.channels]}
            kwargs = {name: offered[name] for name in run.inputs if name in offered}
            timestep = self.scheduler.timesteps[step]
            changed = run.callback(self, run.done - 1, timestep, kwargs) or {}
            return changed.get("latents")

        return report

    def _solve(self, run: _Run, start: Tensor, known: Tensor, mask: Tensor) -> Tensor:
        """One pass of the base model: latents from noise ``start``, ``known`` where ``mask`` is 1."""
        return solve(
            self.transformer, self.text_encoder, self.scheduler, run.tokens, start, steps=run.steps,
            guidance=eased(run.guidance, mask), guided_steps=run.guided_steps, known=known, mask=mask,
            avoid=run.avoid, on_step=self._reporter(run),
        )  # fmt: skip

    def _refine(
        self, run: _Run, network: SpacetimeTransformer, enlarged: Iterator[Tensor]
    ) -> Iterator[Tensor]:
        """One stage of the cascade on the enlarged film's latents, part by part."""
        return refine(
            network, self.text_encoder, self.scheduler, run.tokens, enlarged, steps=run.refine_steps,
            draw=lambda shape: self._draw(run, shape), on_step=self._reporter(run),
        )  # fmt: skip
