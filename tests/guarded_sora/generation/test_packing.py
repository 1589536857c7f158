"""Packed clips: what shares a row gives what each gives alone, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from guarded_sora.generation.models.packing import (
    Segments,
    attend,
    by_clip,
    by_kernel,
    fill_rows,
    packed_attention,
)
from guarded_sora.generation.models.transformer import PackedClip, SpacetimeTransformer
from tests.guarded_sora.generation.tiny import tiny_transformer

SHAPES = [(1, 8, 8), (5, 8, 8), (3, 4, 12), (2, 12, 6), (9, 2, 2)]
"""Latent frames, height and width: a still, films of several lengths, wide and tall ones."""


def clips(model: SpacetimeTransformer, *, guide: bool = False, seed: int = 0) -> list[PackedClip]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    channels, found = model.config.channels, []
    for index, shape in enumerate(SHAPES):
        mask = torch.zeros(channels, *shape)
        mask[:, : index % 2] = 1
        found.append(
            PackedClip(
                latents=noise(channels, *shape), timestep=torch.tensor(100.0 + 200 * index),
                text=noise(6 - index % 2, 32), pooled=noise(32), known=noise(channels, *shape), mask=mask,
                guide=noise(channels + 1, *shape) if guide else None,
            )
        )  # fmt: skip
    return found


def alone(model: SpacetimeTransformer, clip: PackedClip) -> torch.Tensor:
    guide = None if clip.guide is None else clip.guide[None]
    parts = (clip.latents, clip.timestep, clip.text, clip.pooled, clip.known, clip.mask)
    out: torch.Tensor = model(*(part[None] for part in parts), guide)[0]
    return out


@pytest.mark.parametrize(("layout", "guide"), [(2, False), (0, True)])
@torch.no_grad()
def test_packed_clips_equal_single_ones(layout: int, guide: bool) -> None:
    model = tiny_transformer(2, layout=layout, guide=guide)
    row = clips(model, guide=guide)
    for clip, flow in zip(row, model.packed(row), strict=True):
        assert flow.shape == clip.latents.shape
        assert torch.allclose(flow, alone(model, clip), atol=1e-5)


def test_nothing_leaks_from_clip_to_clip() -> None:
    """One clip's flow depends on no number of another, forth and back."""
    model = tiny_transformer(2)
    row = clips(model)
    with torch.no_grad():
        before = model.packed(row)
        loud = replace(row[1], latents=row[1].latents * 50, text=row[1].text * -9, pooled=row[1].pooled + 30)
        after = model.packed([row[0], loud, *row[2:]])
    for index, (x, y) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(x, y) == (index != 1)
    leaf = row[1].latents.clone().requires_grad_()
    model.packed([row[0], replace(row[1], latents=leaf), *row[2:]])[2].sum().backward()
    assert leaf.grad is None or not leaf.grad.any()


def kernels() -> list[str]:
    return ["packed_attention", "by_clip", "mask"]


@pytest.mark.parametrize("kernel", kernels())
def test_every_kernel_keeps_clips_apart(kernel: str) -> None:
    segments = Segments((3, 70, 1, 30))
    q, k, v = torch.randn(3, 1, 2, segments.total, 16, generator=torch.Generator().manual_seed(0))
    owners = segments.owners()
    mask = owners[:, None] == owners
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    made = {
        "packed_attention": lambda v: packed_attention(q, k, v, segments),
        "by_clip": lambda v: by_clip(q, k, v, segments),
        "mask": lambda v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
    }[kernel]
    assert torch.allclose(made(v), wanted, atol=1e-5)
    other = v.clone()
    other[:, :, 3:73] += 100.0
    changed = (made(other) - made(v)).abs().amax((0, 1, 3)) > 0
    assert torch.equal(changed, owners == 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel for rows of varying length needs CUDA")
def test_the_cuda_kernel_keeps_clips_apart() -> None:
    segments = Segments((3, 70, 1, 30))
    q, k, v = torch.randn(3, 1, 2, segments.total, 16, device="cuda", dtype=torch.bfloat16)
    assert torch.allclose(by_kernel(q, k, v, segments), by_clip(q, k, v, segments), atol=2e-2)


def test_both_ways_to_attend_agree() -> None:
    q, k, v = torch.randn(3, 2, 4, 50, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(attend(q, k, v), F.scaled_dot_product_attention(q, k, v), atol=1e-5)


def test_segments_count_their_tokens() -> None:
    segments = Segments((2, 1, 3))
    assert segments.total == 6
    assert segments.owners().tolist() == [0, 0, 1, 2, 2, 2]
    assert segments.edges().tolist() == [0, 2, 3, 6] and segments.edges().dtype == torch.int32


@pytest.mark.parametrize("lengths", [(), (0,), (3, 0), (2, -1)])
def test_empty_clips_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Segments(lengths)


def test_a_row_of_another_length_is_refused() -> None:
    q = torch.zeros(1, 2, 5, 4)
    for segments in (Segments((2, 2)), Segments((6,))):
        with pytest.raises(ValueError, match="do not fill"):
            packed_attention(q, q, q, segments)


def test_rows_hold_every_clip_once_and_no_more_than_there_is_room() -> None:
    lengths = [320, 64, 64, 1280, 130, 70, 64, 500, 3000]
    rows = fill_rows(lengths, 1300)
    assert sorted(clip for row in rows for clip in row) == list(range(len(lengths)))
    assert all(sum(lengths[c] for c in row) <= 1300 or len(row) == 1 for row in rows)
    assert len(rows) == 3
