"""A spacetime diffusion transformer over rows of text and video tokens.

One token is a patch of ``patch`` x ``patch`` latents of one latent frame. A row is [text; video];
rotary positions are (frame, row, column) in tokens, text stands at the origin. Several clips may
share a row and see only themselves (``packed``), whatever their lengths and sizes. Image and video
prompts enter as known latents with a mask (masked-latent conditioning); one forward serves all kinds
of prompt. A stage of the cascade is the same network with a ``guide``: the latents of the smaller or
slower film, enlarged. Some channels may say where things are rather than how they look (``layout``),
made together with the rest: appearance is then painted where the layout, which every token tells a
little of, already stands.

The network predicts the flow v = noise - clean at time t = 1000 sigma, where
x_t = (1 - sigma) * clean + sigma * noise: diffusers' FlowMatchEuler convention, so that any of its
flow schedulers drives it.

Sources: DiT (Peebles & Xie 2023, adaLN-zero), rectified flow (Liu et al. 2022), query-key norm
(Henry et al. 2020), rotary positions (Su et al. 2021), packing (NaViT, Dehghani et al. 2023), features
held to a teacher in training (REPA, Yu et al. 2024; our teacher is the renderer itself), appearance
and motion made jointly (VideoJAM, Chefer et al. 2025; our second signal is layout).

Legend: B rows, N tokens, D features, C latent channels, K latent frames, h, w latent sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guarded_sora.generation.models.base import ModelMixin, keep_config, split
from guarded_sora.generation.models.packing import Segments, attend, packed_attention
from guarded_sora.generation.shapes import BASE_SHAPES

LEAST_SIGMA = 0.05
"""Where the noise is less, the flow is what it would be here."""


def positions(frames: int, height: int, width: int, text: int, device: torch.device | None = None) -> Tensor:
    """(N, 3) coordinates of a row: ``text`` tokens at the origin, then the video, frame by frame."""
    axes = [torch.arange(n, device=device) for n in (frames, height, width)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return torch.cat([grid.new_zeros(text, 3), grid])


def to_patches(x: Tensor, patch: int) -> Tensor:
    """(B, C, K, h, w) -> (B, N, C * patch * patch), frame by frame, row by row."""
    frames = x.transpose(1, 2).flatten(0, 1)
    cells = split(F.pixel_unshuffle(frames, patch), 0, (x.shape[0], -1))
    return cells.permute(0, 1, 3, 4, 2).flatten(1, 3)


def from_patches(rows: Tensor, patch: int, frames: int, height: int, width: int) -> Tensor:
    """The inverse of ``to_patches`` for latents of ``frames`` x ``height`` x ``width``."""
    cells = split(rows, 1, (frames, height // patch, width // patch)).permute(0, 1, 4, 2, 3)
    return split(F.pixel_shuffle(cells.flatten(0, 1), patch), 0, (rows.shape[0], -1)).transpose(1, 2)


def rotary(place: Tensor, size: int, theta: float = 100.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (N, size / 2) of 3D rotary positions; the half is split 2:3:3 over (t, y, x)."""
    half = size // 2
    space = 3 * half // 8
    shares = (half - 2 * space, space, space)
    angles = []
    for axis, share in enumerate(shares):
        speed = theta ** (-torch.arange(share, device=place.device, dtype=torch.float32) / share)
        angles.append(place[:, axis, None].float() * speed)
    angle = torch.cat(angles, -1)
    return angle.cos(), angle.sin()


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of the last axis of x (B, heads, N, size) by (N, size / 2) angles."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class QueryKeyNorm(nn.Module):
    """Root-mean-square norm of the last axis, computed in the input's own precision."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-6)
        return normed


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedClip:
    """One clip of a packed row; what ``SpacetimeTransformer.forward`` takes, without the batch axis.

    latents, known (C, K, h, w), mask (1 or C, K, h, w), timestep () in [0, 1000], text (Nt, D), pooled
    (D,), guide (C + 1, K, h, w) or None. K, h and w differ from clip to clip.
    """

    latents: Tensor
    timestep: Tensor
    text: Tensor
    pooled: Tensor
    known: Tensor
    mask: Tensor
    guide: Tensor | None = None


def _batched(clip: PackedClip) -> PackedClip:
    """The same clip with a batch axis of one."""
    return PackedClip(
        latents=clip.latents[None],
        timestep=clip.timestep[None],
        text=clip.text[None],
        pooled=clip.pooled[None],
        known=clip.known[None],
        mask=clip.mask[None],
        guide=None if clip.guide is None else clip.guide[None],
    )


def spread(x: Tensor, segments: Segments | None) -> Tensor:
    """(1, S, D) of S clips -> (1, N, D) of their tokens; anything else stays as it is."""
    return x if segments is None else x[:, segments.owners(x.device)]


class Block(nn.Module):
    """Attention and SwiGLU, both shifted, scaled and gated by the condition (adaLN-zero)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        hidden = 64 * math.ceil(width * 8 / 3 / 64)
        self.modulate = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm_q, self.norm_k = QueryKeyNorm(width // heads), QueryKeyNorm(width // heads)
        self.out = nn.Linear(width, width, bias=False)
        self.rise = nn.Linear(width, 2 * hidden, bias=False)
        self.fall = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(
        self, x: Tensor, condition: Tensor, cos: Tensor, sin: Tensor, segments: Segments | None = None
    ) -> Tensor:
        """x (B, N, D); condition (B, 1, D), or (1, S, D) for a row of S packed clips; through SiLU."""
        shift1, scale1, gate1, shift2, scale2, gate2 = spread(self.modulate(condition), segments).chunk(6, -1)
        size = x.shape[-1]
        y = F.layer_norm(x, (size,)) * (1 + scale1) + shift1
        q, k, v = split(self.qkv(y), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        cos, sin = cos.to(v.dtype), sin.to(v.dtype)
        q, k = turn(self.norm_q(q), cos, sin), turn(self.norm_k(k), cos, sin)
        y = attend(q, k, v) if segments is None else packed_attention(q, k, v, segments)
        x = x + gate1 * self.out(y.transpose(1, 2).flatten(2))
        y = F.layer_norm(x, (size,)) * (1 + scale2) + shift2
        a, b = self.rise(y).chunk(2, -1)
        change: Tensor = gate2 * self.fall(F.silu(a) * b)
        return x + change


class SpacetimeTransformer(ModelMixin):
    """Predicts the flow of noisy latents; see the module's text."""

    _repeated_blocks = ["Block"]  # noqa: RUF012  (diffusers' own hook for regional compilation)

    @keep_config
    def __init__(
        self,
        channels: int = 16,
        width: int = 192,
        depth: int = 6,
        heads: int = 6,
        patch: int = 2,
        guide: bool = False,
        layout: int = 0,
        text_width: int = 192,
        align: int = 0,
        correct: bool = False,
        shapes: Sequence[Sequence[int]] = (BASE_SHAPES[0],),
        guidance: float = 1.0,
    ) -> None:
        """``layout``: the last so many of ``channels`` say where things are, and are known apart.

        ``align`` numbers a token are told from the middle of the network in training, see ``look``.
        ``correct``: with a guide, the network tells what to add to the guide, and the flow follows from
        that. A token of many latents holds more noise than a narrow network can pass on, but the guide
        holds most of the film (predicting the clean data: Li & He 2025, JiT). ``shapes``: (H, W) in pixels
        of the films that it learned from. ``guidance``: the scale that its flow already has, 1 for none.
        """
        super().__init__()
        inputs = 2 * channels + 1 + (layout > 0) + guide * (channels + 1)
        self.enter = nn.Linear(inputs * patch * patch, width)
        self.enter_text = nn.Linear(text_width, width)
        self.enter_pooled = nn.Linear(text_width, width)
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.time = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.modulate = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, channels * patch * patch)
        self.look = nn.Linear(width, align) if align else None
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def embed_time(self, timestep: Tensor) -> Tensor:
        """(B,) in [0, 1000] -> (B, D)."""
        speed = torch.exp(-math.log(10_000) * torch.arange(64, device=timestep.device) / 64)
        angle = timestep.float()[:, None] * speed
        embedded: Tensor = self.time(torch.cat([angle.cos(), angle.sin()], -1).to(self.enter.weight.dtype))
        return embedded

    def tokens(self, clip: PackedClip) -> Tensor:
        """The clips' patches with everything told of each, (B, Nv, inputs); here all with a batch axis."""
        told = [clip.mask[:, :1], clip.mask[:, -1:]] if self.config.layout else [clip.mask[:, :1]]
        parts = [clip.latents, clip.known * clip.mask, *told]
        return to_patches(
            torch.cat(parts if clip.guide is None else [*parts, clip.guide], 1), self.config.patch
        )

    def row(
        self,
        x: Tensor,
        condition: Tensor,
        place: Tensor,
        segments: Segments | None = None,
        *,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """The network on entered tokens x (B, N, D); returns the same shape, ready to leave.

        condition (B, 1, D), or (1, S, D) for a row of S packed clips; place (N, 3). A list ``seen``
        receives what ``look`` tells of each token, (B, N, align).
        """
        cos, sin = rotary(place, x.shape[-1] // self.config.heads)
        condition = F.silu(condition)
        for index, block in enumerate(self.blocks):
            x = block(x, condition, cos, sin, segments)
            if seen is not None and self.look is not None and index == len(self.blocks) // 2:
                seen.append(self.look(x))
        shift, scale = spread(self.modulate(condition), segments).chunk(2, -1)
        return F.layer_norm(x, (x.shape[-1],)) * (1 + scale) + shift

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        pooled: Tensor,
        known: Tensor,
        mask: Tensor,
        guide: Tensor | None = None,
        *,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """Flow of noisy ``latents`` (B, C, K, h, w) at ``timestep`` (B,) in [0, 1000].

        ``text`` (B, Nt, D) and ``pooled`` (B, D) come from the text encoder; ``known`` (B, C, K, h,
        w) holds clean latents where ``mask`` (B, 1 or C, K, h, w) is 1; ``guide``
        (B, C + 1, K, h, w) belongs to a stage of the cascade: latents and, last, the level of the noise
        on them. h and w are multiples of the patch. A list ``seen`` receives what ``look`` tells of each
        video token, (B, Nv, align).
        """
        clip = PackedClip(
            latents=latents, timestep=timestep, text=text, pooled=pooled, known=known, mask=mask, guide=guide
        )
        patch, words = self.config.patch, text.shape[1]
        frames, height, width = latents.shape[2:]
        place = positions(frames, height // patch, width // patch, words, latents.device)
        condition = (self.embed_time(timestep) + self.enter_pooled(pooled))[:, None]
        x = torch.cat([self.enter_text(text) + self.kind[0], self.enter(self.tokens(clip)) + self.kind[1]], 1)
        told: list[Tensor] | None = None if seen is None else []
        x = self.row(x, condition, place, seen=told)
        if seen is not None and told:
            seen.append(told[0][:, words:])
        out = from_patches(self.leave(x[:, words:]), patch, frames, height, width)
        return self._flow(out, clip)

    def _flow(self, out: Tensor, clip: PackedClip) -> Tensor:
        """The flow from what left the network (B, C, K, h, w)."""
        if not self.config.correct or clip.guide is None:
            return out
        sigma = (clip.timestep.to(out.dtype) / 1000).clamp_min(LEAST_SIGMA)[:, None, None, None, None]
        return (clip.latents - clip.guide[:, :-1] - out) / sigma

    def packed(self, clips: Sequence[PackedClip], *, seen: list[Tensor] | None = None) -> list[Tensor]:
        """Flows (C, K, h, w) of ``clips``, which share one row and do not see each other.

        A list ``seen`` receives, clip after clip, what ``look`` tells of each video token, (Nv, align).
        """
        patch, entered, places, lengths = self.config.patch, [], [], []
        for clip in clips:
            one = _batched(clip)
            video = self.enter(self.tokens(one)) + self.kind[1]
            text = self.enter_text(one.text) + self.kind[0]
            entered.append(torch.cat([text, video], 1))
            frames, height, width = clip.latents.shape[1:]
            place = positions(frames, height // patch, width // patch, text.shape[1], video.device)
            places.append(place)
            lengths.append(len(place))
        times = torch.stack([clip.timestep for clip in clips])
        pooled = torch.stack([clip.pooled for clip in clips])
        condition = (self.embed_time(times) + self.enter_pooled(pooled))[None]
        told: list[Tensor] | None = None if seen is None else []
        segments = Segments(tuple(lengths))
        row = self.row(torch.cat(entered, 1), condition, torch.cat(places), segments, seen=told)
        if seen is not None and told:
            parts = torch.split(told[0][0], lengths)
            seen += [part[len(clip.text) :] for clip, part in zip(clips, parts, strict=True)]
        flows = []
        for clip, part in zip(clips, torch.split(row, lengths, 1), strict=True):
            frames, height, width = clip.latents.shape[1:]
            out = from_patches(self.leave(part[:, clip.text.shape[0] :]), patch, frames, height, width)
            flows.append(self._flow(out, _batched(clip))[0])
        return flows
