"""Takes the easy answers away from a pair: how much fine detail there is, and cameras that clean up.

Decoders trained for a short while give back less fine detail than the camera had, those that others
trained for weeks often more. A model that learns from the former alone takes the latter for cameras. So
the decoded film of many pairs is given the detail of the real one, or more, by a zero-phase gain: then
only the way in which the detail is built can tell them apart. And networks trained long enough clean what
is flat and draw what is an edge; those trained here for seconds hardly do, so each decoded block is seen
once more after that was done to it.

Legend: T frames, S side in pixels (even).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.synthetic.features import Block, measure
from guarded_sora.media.recompress import recompress
from guarded_sora.training.detector_decoders import Film
from guarded_sora.training.detector_fit import Measured

MATCHED = 0.5
"""Share of pairs whose decoded film is given detail of another strength."""
PROCESSED = 0.35
"""Share of pairs whose real film comes from a camera that cleans and sharpens."""
_RINGS = 24
_FROM, _FULL = 0.12, 0.3  # of the highest frequency along an axis: where the drawn factor sets in
_LEAST, _MOST = 0.25, 4.0


def matched(made: Film, real: Film, rng: np.random.Generator) -> Film:
    """``made`` with the strength of ``real`` at every frequency, times a drawn factor at the fine ones."""
    factor = float(np.exp(rng.uniform(np.log(0.7), np.log(1.5))))
    light = [np.stack([_light(frame) for frame in film]) for film in (made, real)]
    waves = [np.stack([cv2.dct(frame) for frame in film]) for film in light]
    ring = _ring(made.shape[1])
    count = np.bincount(ring.ravel(), minlength=_RINGS)
    power = [np.bincount(ring.ravel(), (wave**2).mean(0).ravel(), _RINGS) / count for wave in waves]
    gain = np.clip(np.sqrt((power[1] + 0.02) / (power[0] + 0.02)), _LEAST, _MOST)
    at = (np.arange(_RINGS) + 0.5) / _RINGS * np.sqrt(2)
    gain = gain * factor ** np.clip((at - _FROM) / (_FULL - _FROM), 0, 1)
    gain[0] = 1.0
    shown = np.interp(_radius(made.shape[1]), at, gain).astype(np.float32)
    out = []
    for frame, bright, wave in zip(made, light[0], waves[0], strict=True):
        out.append(frame + (cv2.idct(wave * shown) - bright)[..., None])
    return np.clip(np.stack(out) + 0.5, 0, 255).astype(np.uint8)


def _light(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)


@cache
def _radius(side: int) -> NDArray[np.float64]:
    k = np.arange(side) / side
    radius: NDArray[np.float64] = np.hypot(k[:, None], k[None, :])
    return radius


@cache
def _ring(side: int) -> NDArray[np.int_]:
    rings: NDArray[np.int_] = np.minimum(_radius(side) / np.sqrt(2) * _RINGS, _RINGS - 1).astype(np.int_)
    return rings


def processed(real: Film, rng: np.random.Generator) -> Film:
    """What a telephone makes of its pictures: noise taken out between edges, in space and in time, and edges
    sharpened."""
    reach, gain = float(rng.uniform(4, 30)), max(0.0, float(rng.normal(0.4, 0.5)))
    stay, wide = float(rng.uniform(0, 0.5)) * (rng.random() < 0.5), float(rng.uniform(0.7, 1.6))
    shown, before = [], real[0].astype(np.float32)
    for frame in real:
        flat = np.asarray(cv2.bilateralFilter(frame, 5, reach, 1.5), np.float32)
        # Only where hardly anything moved, as a camera does it: elsewhere it would leave a shadow.
        near = stay * np.exp(-((cv2.GaussianBlur(np.abs(flat - before), (0, 0), 1.5) / 6.0) ** 2))
        before = flat + near * (before - flat)
        shown.append(before + gain * (before - cv2.GaussianBlur(before, (0, 0), wide)))
    return np.clip(np.stack(shown) + 0.5, 0, 255).astype(np.uint8)


def cored(block: Block, rng: np.random.Generator) -> Block:
    """Fine detail weaker where there is no edge and stronger where there is one, float32 (9, S, S)."""
    wide, level = float(rng.uniform(0.8, 1.6)), float(np.exp(rng.uniform(0.0, np.log(6.0))))
    low, high = float(rng.uniform(0.0, 0.6)), float(rng.uniform(1.0, 1.7))
    made = []
    for frame in block:
        soft = cv2.GaussianBlur(frame, (0, 0), wide)
        edge = cv2.blur(np.abs(soft - cv2.GaussianBlur(frame, (0, 0), 2.5 * wide)), (5, 5))
        gate = edge * edge / (edge * edge + level * level)
        made.append(soft + (frame - soft) * (low + (high - low) * gate))
    shown: Block = np.clip(np.stack(made), 0, 255).astype(np.float32)
    return shown


def seen_once_more(data: Measured, *, seed: int) -> Measured:
    """``data`` and each of its pairs of blocks a second time: the decoded one :func:`cored`, both through
    H.264 of one quality."""
    again = []
    for row, (block, synthetic) in enumerate(zip(data.blocks, data.synthetic, strict=True)):
        rng = np.random.default_rng([seed, row // 2])
        quality = int(rng.integers(16, 31))
        shown = cored(block.astype(np.float32), rng) if synthetic else block
        grey = np.repeat((shown + 0.5 * synthetic).astype(np.uint8)[..., None], 3, axis=-1)
        film = recompress(grey, fps=8.0, codec="h264", quality=quality).frames
        again.append(np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in film]))
    fresh = np.stack(again).astype(np.uint8)
    return Measured(
        features=np.concatenate(
            [data.features, np.stack([measure(block.astype(np.float32)) for block in fresh])]
        ),
        blocks=np.concatenate([data.blocks, fresh]),
        synthetic=np.concatenate([data.synthetic] * 2),
        source=np.concatenate([data.source] * 2),
        family=np.concatenate([data.family] * 2),
        pair=np.concatenate([data.pair, np.char.add(data.pair.astype(str), "-again")]),
    )


__all__ = ["MATCHED", "PROCESSED", "cored", "matched", "processed", "seen_once_more"]
