"""The video autoencoder of the built-in generator as a decoder of pairs.

Legend: T frames, S side in pixels (a multiple of 8).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from guarded_sora.training.detector_decoders import Decoder, Film


def own_autoencoder(folder: Path) -> Decoder:
    """The round trip through a video autoencoder of this project that was exported to ``folder``; at the
    film's own size, a multiple of 8, since a change of size would tell the pair apart."""
    from guarded_sora.generation.models.autoencoder import VideoAutoencoder

    network = VideoAutoencoder.from_pretrained(folder).eval()

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        frames = len(seen)
        rest = -(frames - 1) % 4
        whole = np.concatenate([seen, np.repeat(seen[-1:], rest, 0)]) if rest else seen
        with torch.no_grad():
            return to_film(network.decode(network.encode(to_tensor(whole)[None]))[0])[:frames]

    return Decoder(family="own", apply=apply)


def to_tensor(seen: Film) -> Tensor:
    """uint8 (T, S, S, 3) -> float (3, T, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(seen.transpose(3, 0, 1, 2))).float() / 127.5 - 1


def to_film(clip: Tensor) -> Film:
    """The inverse of :func:`to_tensor`."""
    x = ((clip.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(x.permute(1, 2, 3, 0).numpy())
