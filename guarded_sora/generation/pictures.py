"""Films as tensors: brought to a shape, shown as pictures, and put back around what was made anew.

Legend: B clips, T frames, H, W pixels, h, w latent sides.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from guarded_sora.generation.models.autoencoder import SPACE
from guarded_sora.generation.models.base import split


def shown(part: Tensor, height: int, width: int, output_type: str) -> Tensor:
    """A decoded part (B, 3, T, H, W) in [-1, 1] as (B, T, height, width, 3), float in [0, 1] or uint8."""
    if (height, width) != tuple(part.shape[-2:]):
        part = fit(part, height, width)
    frames = ((part.float().cpu() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 4, 1)
    return (frames * 255).round().to(torch.uint8) if output_type == "uint8" else frames


def cells(mask: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """The latent cells (h, w), bool, that touch a place to be made anew, and their neighbours."""
    wanted = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None, None]
    sized = fit(wanted, *shape)[:, 0]
    cells = F.max_pool2d(F.max_pool2d(sized, SPACE), 3, stride=1, padding=1)
    return cells[0, 0] > 0


def paste(made: Tensor, film: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Tensor:
    """``made`` (B, T, H, W, 3) inside ``mask``, ``film`` (t, h, w, 3) outside.

    Its last frame lasts to the end; the seam is blended over a few pixels.
    """
    height, width = made.shape[2:4]
    wanted = fit(torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None, None], height, width)
    blur = max(1, round(min(height, width) / 64)) | 1
    soft = F.avg_pool2d(F.max_pool2d(wanted[:, 0], blur, 1, blur // 2), blur, 1, blur // 2)[0, 0]
    share = soft.clamp(0, 1)[None, None, :, :, None]
    frames = [film[min(t, len(film) - 1)] for t in range(made.shape[1])]
    kept = fit(torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 255, height, width)
    kept = kept.clamp(0, 1).permute(0, 2, 3, 4, 1)
    if made.dtype == torch.uint8:
        return ((made / 255 * share + kept * (1 - share)) * 255).round().to(torch.uint8)
    return made * share + kept * (1 - share)


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
