"""A small causal video autoencoder, 4x8x8: a linear block transform and what convolutions add to it.

Frame 0 is one latent frame (a still image is a film of one frame); every four frames after it are
one more, so T = 1 + 4k frames of pixels are K = 1 + k latent frames of (H / 8) x (W / 8) places with
``channels`` numbers each. Time only flows forward: a latent frame knows its own four frames and the
latent frame before it, hence a longer film never changes the latents of its beginning, and a film
may be encoded or decoded piece by piece with a ``Cache`` and gives the same numbers as in one piece.

Both ways are the sum of two paths. The linear path is the principal-component transform of 4x8x8
blocks, which can be fitted in closed form in seconds and is the best any linear code of this size
can do. The convolutional path starts at zero and learns what lies across blocks: straight edges,
seams, texture. So training starts from the linear baseline instead of working its way up to it.

Two kinds share the class: ``levels = 0`` is a variational autoencoder (Kingma & Welling 2014) whose
encoder also gives a variance for each number; ``levels = L`` rounds each number to L steps (finite
scalar quantisation, Mentzer et al. 2023), so that a latent is one of L^channels codes.

Legend: B clips, T frames, K latent frames, C channels, H, W in pixels, h = H / 8, w = W / 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guarded_sora.generation.models.base import ModelMixin, keep_config, split

SPACE = 8
"""Pixels on a side that one latent stands for."""
TIME = 4
"""Frames that one latent frame stands for (the first stands for one)."""
BLOCK = 3 * TIME * SPACE * SPACE
"""Numbers of one block of pixels."""


def latent_frames(frames: int) -> int:
    """Latent frames of a film of ``frames`` = 1 + 4k frames; raises ValueError for other lengths."""
    if frames < 1 or (frames - 1) % TIME:
        raise ValueError(f"a film has 1 + {TIME}k frames, not {frames}")
    return 1 + (frames - 1) // TIME


def repeat_first(film: Tensor) -> Tensor:
    """(B, 3, 1 + 4k, H, W) -> (B, 3, 4 + 4k, H, W): frame 0 four times, so that it is a whole group."""
    return torch.cat([film[:, :, :1].expand(-1, -1, TIME - 1, -1, -1), film], 2)


def to_blocks(film: Tensor) -> Tensor:
    """Whole groups of four frames (B, 3, 4K, H, W) -> blocks (B * K, BLOCK, h, w)."""
    groups = split(film, 2, (-1, TIME)).permute(0, 2, 1, 3, 4, 5).flatten(0, 1).flatten(1, 2)
    return F.pixel_unshuffle(groups, SPACE)


def from_blocks(blocks: Tensor, clips: int) -> Tensor:
    """The inverse of ``to_blocks``: (B * K, BLOCK, h, w) -> (B, 3, 4K, H, W)."""
    groups = split(split(F.pixel_shuffle(blocks, SPACE), 1, (3, TIME)), 0, (clips, -1))
    return groups.transpose(1, 2).flatten(2, 3)


@dataclass(slots=True)
class Cache:
    """What a piece of film hands to the next: the last latent frame at each step in time."""

    last: dict[int, Tensor] = field(default_factory=dict)


class ChannelNorm(nn.Module):
    """Root-mean-square norm over channels at each place, with a learned gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-6).to(x.dtype)
        return x * scale * self.gain.to(x.dtype)[:, None, None]


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity; starts as the identity."""

    def __init__(self, channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels) if norm else nn.Identity()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.02 / channels**0.5)
        nn.init.constant_(self.second.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.silu(self.first(self.norm(x))))
        return x + change


class TimeMix(nn.Module):
    """Adds what the latent frame before says (frame 0 sees itself): a causal step of two frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor, clips: int, cache: Cache | None) -> Tensor:
        """x (B * K, C, h, w) -> the same shape; ``clips`` is B."""
        y = split(self.norm(x), 0, (clips, -1))
        first = y[:, :1] if cache is None else cache.last.get(id(self), y[:, :1])
        if cache is not None:
            cache.last[id(self)] = y[:, -1:]
        change: Tensor = self.mix(torch.cat([y, torch.cat([first, y[:, :-1]], 1)], 2).flatten(0, 1))
        return x + change


class VideoAutoencoder(ModelMixin):
    """Causal autoencoder; see the module's text. H and W are multiples of 8."""

    latent_mean: Tensor
    latent_std: Tensor

    @keep_config
    def __init__(
        self, channels: int = 16, width: int = 128, detail: int = 64, depth: int = 2, levels: int = 0
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(BLOCK, channels, 1)
        self.expand = nn.Conv2d(channels, BLOCK, 1)
        # what the encoder adds
        self.see = nn.Conv2d(BLOCK, width, 1)
        self.encode_time = TimeMix(width)
        self.think = nn.ModuleList([Residual(width) for _ in range(depth)])
        self.to_latent = nn.Conv2d(width, channels, 1)
        self.to_variance = nn.Conv2d(width, channels, 1)
        # what the decoder adds: at the latents' grid, then at twice the grid for each of the four frames
        self.from_latent = nn.Conv2d(channels, width, 3, padding=1)
        self.decode_time = TimeMix(width)
        self.at_latent = nn.ModuleList([Residual(width) for _ in range(depth)])
        self.up = nn.Conv2d(width, 4 * TIME * detail, 1)
        self.at_frame = nn.ModuleList([Residual(detail, norm=False) for _ in range(depth)])
        self.pixels = nn.Conv2d(detail, 3 * 16, 1)
        for layer in (self.to_latent, self.to_variance, self.pixels):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, 0.0)  # type: ignore[arg-type]
        nn.init.constant_(self.to_variance.bias, -6.0)  # type: ignore[arg-type]
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    @torch.no_grad()
    def fit_linear(self, blocks: Tensor) -> None:
        """Set the linear path to the principal components of blocks (N, BLOCK) in [-1, 1].

        Each number is divided by the root of its own deviation times the mean deviation: strong
        components stay larger, so that noise hides fine detail first, but no longer a hundred times.
        """
        mean = blocks.mean(0)
        _, _, basis = torch.svd_lowrank(blocks - mean, q=self.config.channels, niter=6)
        deviation = ((blocks - mean) @ basis).std(0)
        scale = (deviation * deviation.mean()).sqrt().clamp_min(1e-6)
        scale = scale * (deviation / scale).square().mean().sqrt()
        weight = (basis / scale).T
        self.project.weight.copy_(weight[..., None, None])
        self.project.bias.copy_(-(weight @ mean))  # type: ignore[union-attr]
        self.expand.weight.copy_((basis * scale)[..., None, None])
        self.expand.bias.copy_(mean)  # type: ignore[union-attr]

    # -- encode ---------------------------------------------------------------------------------
    def posterior(self, film: Tensor, cache: Cache | None = None) -> tuple[Tensor, Tensor]:
        """Raw mean and log variance (B, C, K, h, w) of a film's latents.

        ``film`` (B, 3, T, H, W) in [-1, 1] has 1 + 4k frames, or 4k where ``cache`` holds what came before.
        """
        clips, begins = film.shape[0], cache is None or not cache.last
        if begins:
            latent_frames(film.shape[2])
        elif film.shape[2] % TIME:
            raise ValueError(f"a further piece of film has {TIME}k frames, not {film.shape[2]}")
        blocks = to_blocks(repeat_first(film) if begins else film).contiguous(
            memory_format=torch.channels_last
        )
        x = self.encode_time(F.silu(self.see(blocks)), clips, cache)
        for block in self.think:
            x = block(x)
        x = F.silu(x)
        both = (self.project(blocks) + self.to_latent(x), self.to_variance(x))
        mean, variance = (split(y, 0, (clips, -1)).transpose(1, 2) for y in both)
        return mean, variance.clamp(-12, 4)

    def quantise(self, z: Tensor) -> Tensor:
        """Each number to one of ``levels`` steps in (-3, 3); the gradient passes straight through."""
        steps = (self.config.levels - 1) / 2
        bounded = torch.tanh(z / 3) * steps
        # an even number of levels has no step at zero: shift by half a step and back
        shift = 0.5 if self.config.levels % 2 == 0 else 0.0
        rounded = bounded + ((bounded + shift).round() - shift - bounded).detach()
        codes: Tensor = rounded.clamp(-steps, steps) * (3 / steps)
        return codes

    def normalise(self, z: Tensor) -> Tensor:
        mean, std = (v[:, None, None, None].to(z.dtype) for v in (self.latent_mean, self.latent_std))
        return (z - mean) / std

    def denormalise(self, latents: Tensor) -> Tensor:
        mean, std = (v[:, None, None, None].to(latents.dtype) for v in (self.latent_mean, self.latent_std))
        return latents * std + mean

    def encode(self, film: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, 3, T, H, W) in [-1, 1] -> normalised latents (B, C, K, h, w); see ``posterior``."""
        mean, _ = self.posterior(film, cache)
        return self.normalise(self.quantise(mean) if self.config.levels else mean)

    # -- decode ---------------------------------------------------------------------------------
    def decode_raw(self, z: Tensor, cache: Cache | None = None, pick: Tensor | None = None) -> Tensor:
        """Raw latents (B, C, K, h, w) -> frames (B, 3, 4K, H, W), all four copies of frame 0 included.

        ``pick`` keeps only these of the four frames of each latent frame (training decodes a few).
        """
        clips = z.shape[0]
        flat = z.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        plain = from_blocks(self.expand(flat), clips)
        x = self.decode_time(self.from_latent(flat), clips, cache)
        for block in self.at_latent:
            x = block(x)
        x = split(F.pixel_shuffle(self.up(x), 2), 1, (TIME, -1))
        if pick is not None:
            x = x[:, pick]
            plain = split(plain, 2, (-1, TIME))[:, :, :, pick].flatten(2, 3)
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for block in self.at_frame:
            x = block(x)
        fine = split(F.pixel_shuffle(self.pixels(F.silu(x)), 4), 0, (clips, -1)).transpose(1, 2)
        return plain + fine

    def decode(self, latents: Tensor, cache: Cache | None = None) -> Tensor:
        """Normalised latents (B, C, K, h, w) -> film (B, 3, T, H, W) clamped to [-1, 1].

        T is 1 + 4(K - 1), or 4K where ``cache`` holds what came before.
        """
        begins = cache is None or not cache.last
        frames = self.decode_raw(self.denormalise(latents), cache)
        return frames[:, :, TIME - 1 if begins else 0 :].clamp(-1, 1)

    def preview(self, latents: Tensor) -> Tensor:
        """A cheap look: the linear path alone, (B, 3, T, H, W) clamped to [-1, 1]."""
        z = self.denormalise(latents).transpose(1, 2).flatten(0, 1)
        return from_blocks(self.expand(z), len(latents))[:, :, TIME - 1 :].clamp(-1, 1)
