"""Learned decoders: small networks of the classes that generators use, trained within minutes.

``tiny`` is among the families the detector is trained on, the others stand for decoders it has not
seen and belong to the benchmark.

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

FAMILIES = ("kl", "vq", "tiny", "dc", "ltx", "transposed")

_KINDS_2D = "DownEncoderBlock2D", "UpDecoderBlock2D"
_STEP_FRAMES = 5


# -- networks


class Transposed(nn.Module):
    """Half size by averaging, back by a strided transposed convolution: a super-resolution network."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.up = nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> the same shape."""
        small = nn.functional.avg_pool2d(x, 2)
        base = nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        restored: Tensor = base + self.up(self.see(small))
        return restored


def build(family: str) -> nn.Module:
    """A fresh network of ``family``; small, but of the architecture its class is known for."""
    import diffusers  # late: it takes seconds

    down, up = _KINDS_2D
    match family:
        case "kl":
            return diffusers.AutoencoderKL(
                block_out_channels=(24, 32, 48),
                down_block_types=(down,) * 3,
                up_block_types=(up,) * 3,
                latent_channels=8,
                norm_num_groups=8,
                mid_block_add_attention=False,
            )
        case "vq":
            return diffusers.VQModel(
                block_out_channels=(24, 32, 48),
                down_block_types=(down,) * 3,
                up_block_types=(up,) * 3,
                latent_channels=6,
                num_vq_embeddings=4096,
                norm_num_groups=8,
                mid_block_add_attention=False,
            )
        case "tiny":
            return diffusers.AutoencoderTiny(
                encoder_block_out_channels=(32, 32, 32),
                decoder_block_out_channels=(32, 32, 32),
                num_encoder_blocks=(1, 1, 1),
                num_decoder_blocks=(1, 1, 1),
                latent_channels=12,
            )
        case "dc":
            return diffusers.AutoencoderDC(
                latent_channels=16,
                encoder_block_types=("ResBlock",) * 3,
                decoder_block_types=("ResBlock",) * 3,
                encoder_block_out_channels=(32, 32, 64),
                decoder_block_out_channels=(32, 32, 64),
                encoder_layers_per_block=(1, 1, 1),
                decoder_layers_per_block=(1, 1, 1),
                encoder_qkv_multiscales=((), (), ()),
                decoder_qkv_multiscales=((), (), ()),
            )
        case "ltx":
            return diffusers.AutoencoderKLLTXVideo(
                latent_channels=32,
                block_out_channels=(32, 48, 64),
                decoder_block_out_channels=(32, 48, 64),
                layers_per_block=(1, 1, 1, 1),
                decoder_layers_per_block=(1, 1, 1, 1),
                spatio_temporal_scaling=(True, True, False),
                decoder_spatio_temporal_scaling=(True, True, False),
                decoder_inject_noise=(False,) * 4,
                upsample_residual=(False,) * 3,
                upsample_factor=(1,) * 3,
                patch_size=2,
            )
        case "transposed":
            return Transposed()
    raise UsageError(f"There is no decoder family {family[:40]!r}.")


def round_trip(family: str, network: Any, clip: Tensor) -> Tensor:
    """(3, T, S, S) in [-1, 1] through encoder and decoder, the same shape."""
    if family == "ltx":
        frames = clip.shape[1]
        rest = -(frames - 1) % 4  # films of 1 + 4k frames
        whole = torch.cat([clip, clip[:, -1:].expand(-1, rest, -1, -1)], 1) if rest else clip
        decoded: Tensor = network.decode(network.encode(whole[None]).latent_dist.mode()).sample[0]
        return decoded[:, :frames]
    pictures = clip.transpose(0, 1)
    if family == "transposed":
        shown: Tensor = network(pictures)
    elif family == "kl":
        shown = network.decode(network.encode(pictures).latent_dist.mode()).sample
    elif family == "vq":
        shown = network.decode(network.encode(pictures).latents).sample
    elif family == "dc":
        shown = network.decode(network.encode(pictures).latent).sample
    else:
        shown = network.decode(network.encode(pictures).latents).sample
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
            made = round_trip(family, network, clip)
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
            return to_film(round_trip(family, network, to_tensor(seen)))

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
