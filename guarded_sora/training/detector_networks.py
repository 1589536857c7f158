"""Learned decoders: small networks of the classes that generators use, trained within minutes.

Legend: B pictures, T frames, S side in pixels (a multiple of 32).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from guarded_sora.errors import UsageError
from guarded_sora.training.detector_camera import Photo, film
from guarded_sora.training.detector_decoders import Decoder, Film

_STEP_FRAMES = 5


def build(family: str) -> nn.Module:
    """A fresh network of ``family``; small, but of the architecture its class is known for."""
    import diffusers as library  # late: it takes seconds

    diffusers: Any = library  # its classes are not typed

    match family:
        case "tiny":
            made = diffusers.AutoencoderTiny(
                encoder_block_out_channels=(32, 32, 32),
                decoder_block_out_channels=(32, 32, 32),
                num_encoder_blocks=(1, 1, 1),
                num_decoder_blocks=(1, 1, 1),
                latent_channels=12,
            )
        case _:
            raise UsageError(f"There is no decoder family {family[:40]!r}.")
    network: nn.Module = made
    return network


def round_trip(network: Any, clip: Tensor) -> Tensor:
    """(3, T, S, S) in [-1, 1] through encoder and decoder frame by frame, the same shape."""
    shown: Tensor = network.decode(network.encode(clip.transpose(0, 1)).latents).sample
    return shown.transpose(0, 1)


def train_network(
    family: str, photos: Sequence[Photo], *, seconds: float, seed: int, side: int = 64
) -> tuple[nn.Module, float]:
    """A network of ``family`` trained for so many CPU seconds on films of ``photos``; its last PSNR in dB."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build(family)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3, betas=(0.9, 0.98))
    start, psnr = time.process_time(), 0.0
    while (spent := (time.process_time() - start) / seconds) < 1.0:
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, 10 * spent + 0.05) * (1.02 - spent) ** 0.7
        index = int(rng.integers(len(photos)))
        clip = to_tensor(film(photos, index, rng, frames=_STEP_FRAMES, side=side))
        with torch.autocast("cpu", torch.bfloat16):
            made = round_trip(network, clip)
        made = made.float()
        error = made - clip
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        loss = error.abs().mean() + edges
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        mean_square = float(error.detach().square().mean()) / 4
        psnr = 0.95 * psnr + 0.05 * -10 * float(np.log10(max(mean_square, 1e-9)))
    return network.eval(), psnr


def learned(
    family: str, photos: Sequence[Photo], folder: Path, *, seconds: float = 100.0, seed: int = 0
) -> Decoder:
    """The decoder of ``family``: read from ``folder`` if it was trained before, else trained and kept."""
    path = folder / f"{family}.safetensors"
    if path.is_file():
        network = build(family)
        network.load_state_dict(load_file(path))
    else:
        network, _ = train_network(family, photos, seconds=seconds, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    network.eval()

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return to_film(round_trip(network, to_tensor(seen)))

    return Decoder(family=family, apply=apply)


def own_autoencoder(folder: Path) -> Decoder:
    """The round trip through a video autoencoder of this project that was exported to ``folder``."""
    from guarded_sora.generation.models.autoencoder import VideoAutoencoder

    network = VideoAutoencoder.from_pretrained(folder).eval()

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        frames, side = seen.shape[0], seen.shape[1]
        rest = -(frames - 1) % 4
        whole = np.concatenate([seen, np.repeat(seen[-1:], rest, 0)]) if rest else seen
        large = np.stack([cv2.resize(f, (256, 256), interpolation=cv2.INTER_AREA) for f in whole])
        with torch.no_grad():
            made = to_film(network.decode(network.encode(to_tensor(large)[None]))[0])[:frames]
        if side == 256:
            return made
        top = (256 - side) // 2
        return np.ascontiguousarray(made[:, top : top + side, top : top + side])

    return Decoder(family="own", apply=apply)


def to_tensor(seen: Film) -> Tensor:
    """uint8 (T, S, S, 3) -> float (3, T, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(seen.transpose(3, 0, 1, 2))).float() / 127.5 - 1


def to_film(clip: Tensor) -> Film:
    """The inverse of :func:`to_tensor`."""
    x = ((clip.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(x.permute(1, 2, 3, 0).numpy())
