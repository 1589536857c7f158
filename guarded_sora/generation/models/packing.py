"""Packing: clips of any length, size and aspect, and still images, in one row without padding.

Attention is block-diagonal: a clip sees itself only. Where the clips end is carried as ``Segments``, not
as a mask, because masks are where leaks come from: a normaliser that reduces a square mask to a row
of valid keys lets every clip see every other. One row of packed clips gives what each clip alone gives.

Source: Patch n' Pack (NaViT, Dehghani et al. 2023).

Legend: S clips, N tokens of the row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Segments:
    """Tokens of each clip of a row, in order. Raises ValueError for none or an empty clip."""

    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError("a packed row holds at least one clip, and each clip at least one token")

    @property
    def total(self) -> int:
        return sum(self.lengths)

    def owners(self, device: torch.device | None = None) -> Tensor:
        """(N,) number of the clip that each token belongs to."""
        clips = torch.arange(len(self.lengths), device=device)
        return clips.repeat_interleave(torch.tensor(self.lengths, device=device))

    def edges(self, device: torch.device | None = None) -> Tensor:
        """(S + 1,) int32 cumulative lengths, as kernels for rows of varying length want them."""
        ends = torch.tensor(self.lengths, dtype=torch.int32).cumsum(0)
        return F.pad(ends, (1, 0)).to(device, torch.int32)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of (B, heads, N, size), every token to every other.

    On a CPU two plain matrix products are nearly twice as fast forth and back as the fused kernel at a
    few hundred tokens.
    """
    if q.device.type != "cpu" or q.shape[-2] > 1024:
        fused: Tensor = F.scaled_dot_product_attention(q, k, v)
        return fused
    plain: Tensor = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
    return plain


def by_clip(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """``packed_attention`` clip after clip: exact on every device."""
    parts = zip(*(torch.split(x, list(segments.lengths), 2) for x in (q, k, v)), strict=True)
    return torch.cat([attend(*part) for part in parts], 2)


def by_kernel(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """``packed_attention`` in one call of torch's kernel for varying lengths (CUDA, half precision)."""
    from torch.nn.attention.varlen import varlen_attn

    edges, longest = segments.edges(q.device), max(segments.lengths)
    a, b, c = (x[0].transpose(0, 1).contiguous() for x in (q, k, v))
    out = varlen_attn(a, b, c, edges, edges, longest, longest)
    assert isinstance(out, Tensor)
    return out.transpose(0, 1)[None]


def packed_attention(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attention of one packed row, each clip to itself: (1, heads, N, size), like each of q, k and v.

    Raises ValueError where the row is not as long as its clips.
    """
    if q.shape[0] != 1 or q.shape[2] != segments.total:
        raise ValueError(f"{segments.total} tokens of clips do not fill a row of shape {tuple(q.shape)}")
    if q.device.type == "cuda" and q.dtype in (torch.float16, torch.bfloat16):
        return by_kernel(q, k, v, segments)
    return by_clip(q, k, v, segments)


def fill_rows(lengths: list[int], room: int) -> list[list[int]]:
    """Clips' numbers of each row so that no row holds more than ``room`` tokens (first fit, longest first).

    A clip longer than ``room`` gets a row of its own.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for clip in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for row, left in enumerate(free):
            if lengths[clip] <= left:
                rows[row].append(clip)
                free[row] -= lengths[clip]
                break
        else:
            rows.append([clip])
            free.append(room - lengths[clip])
    return rows
