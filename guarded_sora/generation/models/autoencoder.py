"""A small causal video autoencoder whose decoder sees across blocks.

Frame 0 is one latent frame (a still image is a film of one frame); every four frames after it are
one more, so T = 1 + 4k pixels frames are K = 1 + k latent frames. Time only flows forward: a latent
frame knows its own four frames and the latent frame before it, hence a longer film never changes
the latents of its beginning.

The encoder looks at the film at half size (128 px), the decoder gives the full 256 px. Space is
reduced 32 times on each side: a 256x256x17 film is 8x8x5 latents of ``channels`` numbers. Unlike a
linear block transform, the decoder's convolutions overlap, so no seams show between latents.

Legend: B clips, T frames, K latent frames, C channels, H, W in pixels, h = H / 32, w = W / 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guarded_sora.generation.models.base import ModelMixin, keep_config, split

SPACE = 32
"""Pixels on a side that one latent stands for."""
TIME = 4
"""Frames that one latent frame stands for (the first stands for one)."""


def latent_frames(frames: int) -> int:
    """Latent frames of a film of ``frames`` = 1 + 4k frames; raises ValueError for other lengths."""
    if frames < 1 or (frames - 1) % TIME:
        raise ValueError(f"a film has 1 + {TIME}k frames, not {frames}")
    return 1 + (frames - 1) // TIME


def repeat_first(film: Tensor) -> Tensor:
    """(B, 3, 1 + 4k, H, W) -> (B, 3, 4 + 4k, H, W): frame 0 four times, so that it is a whole group."""
    return torch.cat([film[:, :, :1].expand(-1, -1, TIME - 1, -1, -1), film], 2)


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

    def forward(self, x: Tensor, clips: int) -> Tensor:
        """x (B*K, C, h, w) -> the same shape; ``clips`` is B."""
        y = split(self.norm(x), 0, (clips, -1))
        before = torch.cat([y[:, :1], y[:, :-1]], 1)
        change: Tensor = self.mix(torch.cat([y, before], 2).flatten(0, 1))
        return x + change


class VideoAutoencoder(ModelMixin):
    """Learned causal autoencoder; see the module's text for its geometry.

    ``encode``: (B, 3, T, H, W) in [-1, 1] -> (B, C, K, h, w), unit scale. ``decode`` is its inverse
    up to loss. H and W are multiples of 32.
    """

    latent_mean: Tensor
    latent_std: Tensor

    @keep_config
    def __init__(self, channels: int = 64, width: int = 256, grid: int = 8) -> None:
        super().__init__()
        # encoder: half-size pixels -> 16x16 -> 8x8
        self.patch = nn.Conv2d(3 * TIME * 64, 160, 1)
        self.see = nn.ModuleList([Residual(160)])
        self.reduce = nn.Conv2d(640, width, 1)
        self.encode_time = TimeMix(width)
        self.think = nn.ModuleList([Residual(width), Residual(width)])
        self.to_latent = nn.Conv2d(width, channels, 1)
        # decoder: 8x8 -> 16x16 -> four frames of 32x32 -> 64x64 -> pixels
        self.from_latent = nn.Conv2d(channels, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, width, grid, grid))
        self.decode_time = TimeMix(width)
        self.at8 = nn.ModuleList([Residual(width), Residual(width)])
        self.up16 = nn.Conv2d(width, 4 * 128, 1)
        self.at16 = nn.ModuleList([Residual(128), Residual(128)])
        self.up32 = nn.Conv2d(128, 4 * TIME * 64, 1)
        self.at32 = nn.ModuleList([Residual(64, norm=False), Residual(64, norm=False)])
        self.half_pixels = nn.Conv2d(64, 48, 1)
        self.up64 = nn.Conv2d(64, 4 * 32, 1)
        self.at64 = nn.ModuleList([Residual(32, norm=False)])
        self.pixels = nn.Conv2d(32, 48, 1)
        nn.init.zeros_(self.pixels.weight)
        nn.init.constant_(self.pixels.bias, 0.0)  # type: ignore[arg-type]
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    # -- encode ---------------------------------------------------------------------------------
    def encode_half(self, half: Tensor) -> Tensor:
        """Raw latents of a half-size film: (B, 3, T, H/2, W/2) in [-1, 1] -> (B, C, K, h, w)."""
        clips = half.shape[0]
        film = split(repeat_first(half), 2, (-1, TIME))
        film = film.permute(0, 2, 1, 3, 4, 5).flatten(0, 1).flatten(1, 2)
        x = self.patch(F.pixel_unshuffle(film, 8).contiguous(memory_format=torch.channels_last))
        for block in self.see:
            x = block(x)
        x = self.encode_time(self.reduce(F.pixel_unshuffle(x, 2)), clips)
        for block in self.think:
            x = block(x)
        z = split(self.to_latent(F.silu(x)), 0, (clips, -1)).transpose(1, 2)
        return z

    def normalise(self, z: Tensor) -> Tensor:
        mean, std = (v[:, None, None, None].to(z.dtype) for v in (self.latent_mean, self.latent_std))
        return (z - mean) / std

    def encode(self, film: Tensor) -> Tensor:
        """(B, 3, T, H, W) in [-1, 1] -> normalised latents (B, C, K, h, w)."""
        latent_frames(film.shape[2])
        half = F.avg_pool3d(film, (1, 2, 2))
        return self.normalise(self.encode_half(half))

    # -- decode ---------------------------------------------------------------------------------
    def decode_trunk(self, z: Tensor, pick: Tensor | None = None) -> Tensor:
        """Raw latents (B, C, K, h, w) -> features of each frame (B * K * 4, 64, 4h, 4w).

        ``pick`` keeps only these of the four frames of each latent frame (training decodes a few).
        """
        clips = z.shape[0]
        x = self.from_latent(z.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last))
        place: Tensor = self.place
        if x.shape[-2:] != place.shape[-2:]:
            place = F.interpolate(place, size=x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.decode_time(x + place.to(x.dtype), clips)
        for block in self.at8:
            x = block(x)
        x = F.pixel_shuffle(self.up16(x), 2)
        for block in self.at16:
            x = block(x)
        x = split(F.pixel_shuffle(self.up32(x), 2), 1, (TIME, -1))
        x = (x if pick is None else x[:, pick]).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for block in self.at32:
            x = block(x)
        features: Tensor = x
        return features

    def draw_half(self, features: Tensor, clips: int) -> Tensor:
        """Features -> frames at half size (B, 3, N, H/2, W/2), all copies of frame 0 included."""
        x = F.pixel_shuffle(self.half_pixels(F.silu(features)), 4)
        return split(x, 0, (clips, -1)).transpose(1, 2)

    def draw_full(self, features: Tensor, clips: int) -> Tensor:
        """Features -> frames (B, 3, N, H, W): the half-size frames enlarged, plus learned detail."""
        small = F.pixel_shuffle(self.half_pixels(F.silu(features)), 4)
        x = F.pixel_shuffle(self.up64(features), 2)
        for block in self.at64:
            x = block(x)
        x = F.pixel_shuffle(self.pixels(F.silu(x)), 4)
        x = x + F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
        return split(x, 0, (clips, -1)).transpose(1, 2)

    def denormalise(self, latents: Tensor) -> Tensor:
        mean, std = (v[:, None, None, None].to(latents.dtype) for v in (self.latent_mean, self.latent_std))
        return latents * std + mean

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, K, h, w) -> film (B, 3, T, H, W) clamped to [-1, 1]."""
        features = self.decode_trunk(self.denormalise(latents))
        return self.draw_full(features, len(latents))[:, :, TIME - 1 :].clamp(-1, 1)

    def preview(self, latents: Tensor) -> Tensor:
        """A cheap look: like ``decode``, at half the size and about half the cost."""
        features = self.decode_trunk(self.denormalise(latents))
        return self.draw_half(features, len(latents))[:, :, TIME - 1 :].clamp(-1, 1)
