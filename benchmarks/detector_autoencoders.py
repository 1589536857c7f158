"""An autoencoder of a generator's kind that measures the detector and never trains it.

A small AutoencoderDC (diffusers; its shortcuts make it learn within minutes, which others of these classes
do not), trained here on the photographs of the model card by seed and number of steps, so that a
repetition makes it again.

Legend: B patches, T frames, S side in pixels (a multiple of 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guarded_sora.training.detector_camera import Photo, film
from guarded_sora.training.detector_decoders import Decoder, Film
from guarded_sora.training.detector_networks import to_film, to_tensor

_POOL, _POOL_SIDE, _SIDE = 160, 96, 32
_STEPS, _BATCH, _RATE, _SEED = 700, 8, 2e-3, 101
_SHAPE: dict[str, Any] = {
    "latent_channels": 16,
    "encoder_block_out_channels": (24, 48, 64),
    "decoder_block_out_channels": (24, 48, 64),
    "encoder_layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1),
    "encoder_qkv_multiscales": ((), (), ()),
    "decoder_qkv_multiscales": ((), (), ()),
}
"""A quarter of the side, 16 numbers for 4 x 4 pixels."""


def autoencoder(photos: Sequence[Photo], path: Path, *, steps: int = _STEPS) -> Decoder:
    """Its round trip: read from ``path``, else trained and kept."""
    from safetensors.torch import load_file, save_file

    if path.is_file():
        network = _built()
        network.load_state_dict(load_file(path))
    else:
        network = train(photos, steps=steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    network.eval()

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        with torch.no_grad():
            frames = [_round_trip(network, to_tensor(seen[t : t + 1])[:, 0][None]) for t in range(len(seen))]
        return to_film(torch.cat(frames).transpose(0, 1))

    return Decoder(family="dc", apply=apply)


def train(photos: Sequence[Photo], *, steps: int) -> nn.Module:
    """The autoencoder after so many steps on pieces of films made from ``photos``."""
    torch.manual_seed(_SEED)
    rng = np.random.default_rng(_SEED)
    pool = [
        film(photos, int(rng.integers(len(photos))), rng, frames=1, side=_POOL_SIDE)[0] for _ in range(_POOL)
    ]
    network = _built().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE, betas=(0.9, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * min(1.0, step / 30 + 0.03) * (1.01 - step / steps)
        seen = _batch(pool, rng)
        error = _round_trip(network, seen) - seen
        loss = error.abs().mean() + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return network


def _built() -> nn.Module:
    from diffusers import AutoencoderDC

    network: nn.Module = AutoencoderDC(**_SHAPE)
    return network


def _batch(pool: Sequence[Photo], rng: np.random.Generator) -> Tensor:
    patches = []
    for _ in range(_BATCH):
        whole = pool[int(rng.integers(len(pool)))]
        top, left = (int(v) for v in rng.integers(_POOL_SIDE - _SIDE + 1, size=2))
        patches.append(to_tensor(whole[None, top : top + _SIDE, left : left + _SIDE])[:, 0])
    return torch.stack(patches)


def _round_trip(network: Any, seen: Tensor) -> Tensor:
    """(B, 3, S, S) in [-1, 1] to the same."""
    made: Tensor = network.decode(network.encode(seen).latent).sample
    return made
