"""The built-in generator as a diffusers pipeline: text, image and video prompts, films of any length.

Legend: B clips, T frames, H, W pixels, C latent channels, K latent frames.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from guarded_sora.generation.conditioning import solve
from guarded_sora.generation.models.autoencoder import SPACE, TIME, VideoAutoencoder, latent_frames
from guarded_sora.generation.models.base import Output, Pipeline, split
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.vocabulary import Reading, read_prompt

NATIVE = 256
"""Side of the pictures that the model was trained on, pixels."""
WINDOW = 5
"""Latent frames of one window: 17 frames."""
OVERLAP = 2
"""Latent frames that a following window takes over from the one before."""

StepEnd = Callable[["GuardedSoraPipeline", int, Any, dict[str, Any]], dict[str, Any]]


def passes(total: int, known: int = 0) -> int:
    """How often the network solves the flow for ``total`` latent frames of which ``known`` are given."""
    count = 0
    if not known:
        count, known = 1, 1
    while known < total:
        known += WINDOW - (known if known < WINDOW else OVERLAP)
        count += 1
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What stays the same over the passes of one call."""

    tokens: Tensor
    avoid: Tensor | None
    noise: Tensor | None
    generator: torch.Generator | None
    steps: int
    guidance: float
    callback: StepEnd | None
    inputs: tuple[str, ...]


@dataclass
class VideoOutput(Output):
    """``frames`` in the asked-for type; ``readings``: what was understood of each prompt."""

    frames: Any
    readings: tuple[Reading, ...]


class GuardedSoraPipeline(Pipeline):
    """Text-to-video over the package's small learned world.

    Any of diffusers' flow-matching schedulers may drive it. The model makes square films of 256
    pixels: first the first frame, then the window of 17 frames that it begins. Longer films are made
    window after window, each taking over the last two latent frames of the one before, so the
    network's memory does not grow with length.
    """

    model_cpu_offload_seq = "text_encoder->transformer->autoencoder"
    autoencoder: VideoAutoencoder
    text_encoder: ConceptEncoder
    transformer: SpacetimeTransformer
    scheduler: Any
    _callback_tensor_inputs = ["latents", "clean"]  # noqa: RUF012  (read by diffusers)

    def __init__(
        self,
        autoencoder: VideoAutoencoder,
        text_encoder: ConceptEncoder,
        transformer: SpacetimeTransformer,
        scheduler: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            autoencoder=autoencoder, text_encoder=text_encoder, transformer=transformer, scheduler=scheduler
        )

    # -- pictures and latents -------------------------------------------------------------------
    def encode_film(self, film: NDArray[np.uint8]) -> Tensor:
        """Latents (1, C, K, 8, 8) of a film uint8 (T, H, W, 3), cut to 1 + 4k frames, made square 256."""
        keep = 1 + (len(film) - 1) // TIME * TIME
        x = torch.from_numpy(np.ascontiguousarray(film[:keep])).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        if x.shape[-2:] != (NATIVE, NATIVE):
            x = fit(x, NATIVE, NATIVE)
        latents: Tensor = self.autoencoder.encode(x.to(self.autoencoder.device, self.autoencoder.dtype))
        return latents

    def decode_latents(self, latents: Tensor) -> Tensor:
        """(1, C, K, h, w) -> (T, H, W, 3) float32 in [0, 1]; one latent frame at a time."""
        frames = []
        for k in range(latents.shape[2]):
            part = self.autoencoder.decode(latents[:, :, max(0, k - 1) : k + 1])
            frames.append(part[:, :, -TIME:] if k else part)
        film = torch.cat(frames, 2)[0].permute(1, 2, 3, 0)
        return (film.float().cpu() + 1) / 2

    # -- the call -------------------------------------------------------------------------------
    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | None = None,
        image: NDArray[np.uint8] | None = None,
        video: NDArray[np.uint8] | None = None,
        height: int = NATIVE,
        width: int = NATIVE,
        num_frames: int = 17,
        num_inference_steps: int = 12,
        guidance_scale: float = 6.0,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        callback_on_step_end_tensor_inputs: tuple[str, ...] = ("latents",),
    ) -> VideoOutput | tuple[Any, tuple[Reading, ...]]:
        """Make one clip a prompt.

        ``image`` uint8 (H, W, 3) becomes the first frame; ``video`` uint8 (T, H, W, 3) becomes the
        beginning, of which at most nine frames are taken over. ``num_frames`` is 1 + 4k; other
        lengths are rounded up. ``guidance_scale`` holds for the first frame; what goes on from given
        frames gets half of its excess over 1. ``latents`` (B, C, 5, 8, 8) replaces the first window's noise.
        ``output_type``: "np" float (B, T, H, W, 3) and "pt" (B, T, 3, H, W) in [0, 1], "uint8"
        (B, T, H, W, 3), "latent". Raises ValueError for arguments that cannot be used.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts or num_frames < 1 or num_inference_steps < 1:
            raise ValueError("prompt, num_frames and num_inference_steps must not be empty or zero")
        if image is not None and video is not None:
            raise ValueError("give an image or a video, not both")
        if output_type not in ("np", "pt", "uint8", "latent"):
            raise ValueError(f"output_type {output_type!r} is none of np, pt, uint8, latent")
        frames = 1 + -(-(num_frames - 1) // TIME) * TIME
        if frames != num_frames:
            warnings.warn(f"{num_frames} frames were rounded up to {frames}", stacklevel=2)
        readings = tuple(read_prompt(text) for text in prompts)
        tokens = torch.tensor([reading.tokens for reading in readings], device=self._execution_device)
        avoid = None
        if negative_prompt:
            row = read_prompt(negative_prompt).tokens
            avoid = torch.tensor([row] * len(prompts), device=tokens.device)
        known = None
        if image is not None or video is not None:
            film = image[None] if image is not None else video
            assert film is not None
            known = self.encode_film(film[-(1 + 2 * TIME) :]).expand(len(prompts), -1, -1, -1, -1)
        request = _Run(
            tokens=tokens, avoid=avoid, generator=generator, steps=num_inference_steps,
            guidance=guidance_scale,
            callback=callback_on_step_end, inputs=tuple(callback_on_step_end_tensor_inputs), noise=latents,
        )  # fmt: skip
        made = self._passes(request, known, latent_frames(frames))
        self.maybe_free_model_hooks()
        out: Any = made if output_type == "latent" else self._pictures(made, height, width, output_type)
        return VideoOutput(frames=out, readings=readings) if return_dict else (out, readings)

    def _passes(self, run: _Run, known: Tensor | None, total: int) -> Tensor:
        """Latents (B, C, total, 8, 8): the first frame, then window after window."""
        side = NATIVE // SPACE
        shape = (len(run.tokens), self.autoencoder.config.channels, WINDOW, side, side)
        if run.noise is not None and tuple(run.noise.shape) != shape:
            raise ValueError(f"latents must have the shape {shape}")
        made, noise = known, run.noise
        for index in range(passes(total, 0 if known is None else known.shape[2])):
            if noise is None:
                device = torch.device("cpu") if run.generator is None else run.generator.device
                noise = torch.randn(shape, generator=run.generator, device=device)
            start = noise.to(self._execution_device, self.transformer.dtype)
            if made is None:
                made = self._solve(run, start[:, :, :1], None, index)
                continue  # the first window starts from the same noise
            given = made if made.shape[2] < WINDOW else made[:, :, -OVERLAP:]
            window = self._solve(run, start, given, index)
            made = torch.cat([made, window[:, :, given.shape[2] :]], 2)
            noise = None
        assert made is not None
        return made[:, :, :total]

    def _solve(self, run: _Run, start: Tensor, given: Tensor | None, index: int) -> Tensor:
        """One pass: latents from noise ``start``, whose beginning is ``given``."""
        known, mask = torch.zeros_like(start), torch.zeros_like(start[:, :1])
        if given is not None:
            known[:, :, : given.shape[2]] = given
            mask[:, :, : given.shape[2]] = 1

        # The first frame settles what the thing is; going on from it needs half the push.
        guidance = run.guidance if given is None else 1 + (run.guidance - 1) / 2

        def report(step: int, latents: Tensor, clean: Tensor) -> Tensor | None:
            if run.callback is None:
                return None
            offered = {"latents": latents, "clean": clean}
            kwargs = {name: offered[name] for name in run.inputs if name in offered}
            timestep = self.scheduler.timesteps[step]
            changed = run.callback(self, index * run.steps + step, timestep, kwargs) or {}
            return changed.get("latents")

        return solve(
            self.transformer, self.text_encoder, self.scheduler, run.tokens, start, steps=run.steps,
            guidance=guidance, known=known, mask=mask, avoid=run.avoid, on_step=report,
        )  # fmt: skip

    def _pictures(self, latents: Tensor, height: int, width: int, output_type: str) -> Any:
        clips = []
        for row in latents:
            film = self.decode_latents(row[None])
            if (height, width) != (NATIVE, NATIVE):
                film = fit(film.permute(3, 0, 1, 2)[None], height, width)[0].permute(1, 2, 3, 0)
            if output_type == "uint8":
                film = (film.clamp(0, 1) * 255).round().to(torch.uint8)
            clips.append(film)
        stacked = torch.stack(clips)
        if output_type == "pt":
            return stacked.permute(0, 1, 4, 2, 3)
        return stacked.numpy()


def fit(film: Tensor, height: int, width: int) -> Tensor:
    """Cut (B, 3, T, H, W) centrally to the aspect height:width, then resize it; range is kept."""
    from_height, from_width = film.shape[-2:]
    scale = min(from_height / height, from_width / width)
    cut_height, cut_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (from_height - cut_height) // 2, (from_width - cut_width) // 2
    film = film[..., top : top + cut_height, left : left + cut_width]
    flat = film.transpose(1, 2).flatten(0, 1)
    sized = F.interpolate(flat, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return split(sized, 0, (film.shape[0], -1)).transpose(1, 2)
