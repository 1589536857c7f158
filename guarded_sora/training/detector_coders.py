"""Small autoencoders as decoders of pairs, each trained within a minute: what latent generators end in.

All layers work at the size of the latent, a quarter or an eighth of the side, and the last one deals its
channels out to pixels, so a step costs little and a thousand of them fit.

Legend: B patches, T frames, S side in pixels (a multiple of 8), P pixels a latent covers along a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from guarded_sora.training.detector_camera import Photo
from guarded_sora.training.detector_decoders import Decoder, Film
from guarded_sora.training.detector_recipes import patch

FAMILY = "coded"
_BATCH, _RATE = 8, 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``latent`` numbers are kept of P x P pixels; ``finish`` smooths the seams by a layer over pixels;
    ``edges`` rewards sharp ones; ``rounded`` rounds the latents, as a codebook does."""

    patch: int
    latent: int
    width: int
    seed: int
    finish: bool = False
    edges: bool = False
    rounded: bool = False


SHAPES = (
    Shape(patch=4, latent=12, width=64, seed=11, edges=True),
    Shape(patch=4, latent=8, width=64, seed=12, finish=True),
    Shape(patch=8, latent=40, width=96, seed=13, finish=True, edges=True),
    Shape(patch=4, latent=16, width=48, seed=14, rounded=True),
)


class Coder(nn.Module):
    """RGB float (B, 3, S, S) in [0, 1] to the same, not clipped."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        pixels, width = 3 * shape.patch**2, shape.width
        self.shape = shape
        self.enter = nn.Sequential(nn.PixelUnshuffle(shape.patch), nn.Conv2d(pixels, width, 1))
        self.look = nn.Sequential(_Layer(width), nn.Conv2d(width, shape.latent, 1))
        self.back = nn.Sequential(
            nn.Conv2d(shape.latent, width, 3, padding=1), _Layer(width), _Layer(width),
            nn.Conv2d(width, pixels, 3, padding=1), nn.PixelShuffle(shape.patch),
        )  # fmt: skip
        self.finish = (
            nn.Conv2d(3, 3, 5, padding=2, padding_mode="replicate") if shape.finish else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """The round trip."""
        z: Tensor = self.look(self.enter(x - 0.5))
        if self.shape.rounded:
            z = z + (torch.round(z * 4) / 4 - z).detach()
        made: Tensor = self.finish(self.back(z))
        return made + 0.5


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        bent: Tensor = self.second(nn.functional.silu(self.first(nn.functional.silu(x))))
        return x + bent


def coders(photos: Sequence[Photo], folder: Path, *, steps: int) -> list[Decoder]:
    """The decoders of the family, each read from ``folder`` or trained and kept there."""
    return [_decoder(shape, photos, folder / f"{FAMILY}-{shape.seed}.safetensors", steps) for shape in SHAPES]


def _decoder(shape: Shape, photos: Sequence[Photo], path: Path, steps: int) -> Decoder:
    if path.is_file():
        network = Coder(shape)
        network.load_state_dict(load_file(path))
    else:
        network = train(shape, photos, steps=steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    network.eval()

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        with torch.no_grad():
            made = network(_tensor(seen)).clamp(0, 1)
        shown = (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return np.ascontiguousarray(shown.numpy())

    return Decoder(family=FAMILY, apply=apply)


def train(shape: Shape, photos: Sequence[Photo], *, steps: int) -> Coder:
    """An autoencoder of this shape after so many steps on patches of ``photos``."""
    torch.manual_seed(shape.seed)
    rng = np.random.default_rng(shape.seed)
    network = Coder(shape)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE, betas=(0.9, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * min(1.0, step / 30 + 0.03) * (1.01 - step / steps)
        seen = _tensor(np.stack([patch(photos, rng) for _ in range(_BATCH)]))
        error = network(seen) - seen
        loss = error.abs().mean()
        if shape.edges:
            loss = loss + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return network.eval()


def _tensor(pictures: Film) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255.0


__all__ = ["FAMILY", "SHAPES", "Coder", "Shape", "coders", "train"]
