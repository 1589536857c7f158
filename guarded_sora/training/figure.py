"""Draws the architecture of the generator from the shapes that its own code makes.

``python -m guarded_sora.training.figure docs/images/generator.svg``. Every number in the figure is read
from the packaged models or from tensors that went through them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import torch

from guarded_sora.generation.backends.builtin import REFINE_STEPS, STEPS, BuiltinBackend
from guarded_sora.generation.cascade import PIECE, slower_to_faster, smaller_to_larger
from guarded_sora.generation.models.transformer import SpacetimeTransformer, to_patches
from guarded_sora.generation.pipeline import BASE_FPS, GUIDANCE, NATIVE_FPS, GuardedSoraPipeline
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS
from guarded_sora.generation.windows import WINDOW

WIDTH, TALL, GAP, LEFT = 760, 62, 20, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One step: what it is, and what comes out of it."""

    title: str
    detail: str
    kind: str = "data"


def _millions(model: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters"


def _size(x: torch.Tensor) -> str:
    """(1, C, T, H, W) as "C x T x H x W"."""
    return " x ".join(str(n) for n in x.shape[1:])


def _network(name: str, model: SpacetimeTransformer, latents: torch.Tensor, how: str) -> Box:
    tokens = to_patches(latents, model.config.patch).shape[1]
    return Box(
        title=f"{name}: {model.config.depth} blocks, width {model.config.width}, {_millions(model)}",
        detail=f"{tokens} tokens of {model.config.patch} x {model.config.patch} latents; {how}",
        kind="network",
    )


@torch.no_grad()
def steps(pipeline: GuardedSoraPipeline) -> list[Box]:
    """The steps of a call for two seconds of film, with the shapes they really have."""
    coder, base = pipeline.autoencoder, pipeline.transformer
    small = torch.zeros(1, 3, 1 + 4 * (WINDOW - 1), BASE_SIDE, BASE_SIDE)
    latents = coder.encode(small)
    placed = torch.cat([latents, latents[:, : base.config.layout]], 1)
    (fast,) = slower_to_faster([coder.decode(latents)])
    fast_latents = coder.encode(fast)
    large = smaller_to_larger(fast)
    large_latents = coder.encode(large)
    guided = f"guidance {GUIDANCE:g}" if pipeline.guidance() > 1 else "guidance learned"
    codec = f"causal autoencoder 4 x 8 x 8, {_millions(coder)}"
    return [
        Box(title="prompt", detail=f"{len(CONCEPTS)} concepts with synonyms, {MAX_TOKENS} tokens"),
        Box(title=f"text encoder: {_millions(pipeline.text_encoder)}",
            detail=f"{MAX_TOKENS} x {pipeline.text_encoder.config.width} states and one pooled vector",
            kind="network"),
        Box(title="noise and known latents", detail=f"{_size(placed)}: {latents.shape[1]} channels of looks, "
            f"{base.config.layout} of layout; a prompt's pictures are known, by mask"),
        _network("base transformer", base, placed, f"{STEPS} Euler steps, {guided}"),
        Box(title=f"small film, {BASE_FPS:g} frames a second",
            detail=f"latents {_size(latents)} to pixels {_size(small)} by the {codec}", kind="film"),
        _network("temporal stage", pipeline.temporal, fast_latents[:, :, :PIECE],
                 f"{REFINE_STEPS} steps a piece of {PIECE}; guide: frames averaged in between"),
        Box(title=f"small film, {NATIVE_FPS:g} frames a second",
            detail=f"latents {_size(fast_latents)} to pixels {_size(fast)}", kind="film"),
        _network("spatial stage", pipeline.spatial, large_latents[:, :, :PIECE],
                 f"{REFINE_STEPS} steps a piece of {PIECE}; guide: pixels enlarged"),
        Box(title="film", detail=f"latents {_size(large_latents)} to pixels {_size(large)}", kind="film"),
    ]  # fmt: skip


COLOURS = {"data": ("#eef1f5", "#8a95a5"), "network": ("#dfe9fb", "#3c68b8"), "film": ("#e3f3e6", "#3f8a52")}


def draw(boxes: Sequence[Box]) -> str:
    """The steps from top to bottom as SVG."""
    height = len(boxes) * (TALL + GAP) + 2 * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" role="img" '
        'aria-label="The generator, step by step">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for index, box in enumerate(boxes):
        top, (fill, edge) = GAP + index * (TALL + GAP), COLOURS[box.kind]
        middle = WIDTH // 2
        if index:
            lines.append(
                f'<path d="M{middle} {top - GAP} V{top - 5} m-4 -4 l4 4 l4 -4" fill="none" '
                'stroke="#5b6573" stroke-width="1.5"/>'
            )
        lines += [
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH - 2 * LEFT}" height="{TALL}" rx="8" fill="{fill}" '
            f'stroke="{edge}"/>',
            f'<text x="{middle}" y="{top + 26}" font-size="16" font-weight="600" text-anchor="middle" '
            f'fill="#1c2430">{escape(box.title)}</text>',
            f'<text x="{middle}" y="{top + 47}" font-size="13" text-anchor="middle" '
            f'fill="#3b4554">{escape(box.detail)}</text>',
        ]
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(steps(BuiltinBackend().load())))
