"""Shows why: a picture with the heat map over a frame, the timeline, and what each family of traces adds.

Legend: H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from guarded_sora.detectors.synthetic.features import SIDE
from guarded_sora.detectors.synthetic.report import Moment, SyntheticReport

_WIDTH, _CHART, _EDGE = 640, 120, 10
_INK, _PAPER, _FOR, _AGAINST = (30, 30, 30), (255, 255, 255), (200, 60, 40), (50, 110, 190)


def heat_map(report: SyntheticReport) -> NDArray[np.float32]:
    """Mean score of each place over the film, float32 (H, W) in pixels; NaN where nothing was measured."""
    width, height = report.size
    total = np.zeros((height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    for moment in report.moments:
        for (top, left), score in zip(moment.places, moment.blocks, strict=True):
            total[top : top + SIDE, left : left + SIDE] += score
            count[top : top + SIDE, left : left + SIDE] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / count).astype(np.float32)


def picture(report: SyntheticReport, frame: NDArray[np.uint8]) -> Image.Image:
    """One picture: heat map over ``frame`` uint8 (H, W, 3), timeline below, contributions last."""
    shown = _overlay(report, frame)
    sheet = Image.new("RGB", (_WIDTH, shown.height + 2 * _CHART + 4 * _EDGE), _PAPER)
    sheet.paste(shown, (0, 0))
    draw = ImageDraw.Draw(sheet)
    _timeline(draw, report.moments, shown.height + _EDGE)
    _contributions(draw, report, shown.height + _CHART + 2 * _EDGE)
    return sheet


def _overlay(report: SyntheticReport, frame: NDArray[np.uint8]) -> Image.Image:
    base = Image.fromarray(frame)
    height = max(1, round(_WIDTH * base.height / base.width))
    if report.moments:
        heat = heat_map(report)
        share = np.nan_to_num(1.0 / (1.0 + np.exp(-np.clip(heat, -8, 8))), nan=0.5)
        strength = np.abs(share - 0.5)[..., None] * 1.2 * np.isfinite(heat)[..., None]
        colour = np.where(share[..., None] > 0.5, np.array(_FOR), np.array(_AGAINST))
        if heat.shape == frame.shape[:2]:
            mixed = frame * (1 - strength) + colour * strength
            base = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    return base.resize((_WIDTH, height))


def _timeline(draw: ImageDraw.ImageDraw, moments: Sequence[Moment], top: int) -> None:
    draw.text((_EDGE, top), "score over time (above the line: more synthetic)", fill=_INK)
    middle, half = top + _CHART // 2 + 8, _CHART // 2 - 12
    draw.line([(_EDGE, middle), (_WIDTH - _EDGE, middle)], fill=(180, 180, 180))
    if not moments:
        return
    end = max(moment.end for moment in moments) or 1.0
    for moment in moments:
        left = _EDGE + (_WIDTH - 2 * _EDGE) * moment.start / end
        right = max(left + 1, _EDGE + (_WIDTH - 2 * _EDGE) * moment.end / end - 1)
        reach = half * math.tanh(moment.score / 3)
        box = (left, min(middle, middle - reach), right, max(middle, middle - reach))
        draw.rectangle(box, fill=_FOR if reach > 0 else _AGAINST)


def _contributions(draw: ImageDraw.ImageDraw, report: SyntheticReport, top: int) -> None:
    draw.text((_EDGE, top), "what each family of traces adds", fill=_INK)
    terms = {**report.contributions, "bias": report.bias} if report.contributions else {}
    largest = max((abs(value) for value in terms.values()), default=1.0) or 1.0
    middle = _WIDTH // 2
    for row, (name, value) in enumerate(terms.items()):
        y = top + 18 + row * 18
        reach = (_WIDTH // 2 - 120) * value / largest
        box = (min(middle, middle + reach), y, max(middle, middle + reach), y + 12)
        draw.rectangle(box, fill=_FOR if value > 0 else _AGAINST)
        draw.text((_EDGE, y), f"{name}  {value:+.2f}", fill=_INK)


__all__ = ["heat_map", "picture"]
