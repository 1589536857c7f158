"""A small residual network on local spectra of a block, in plain matrix products.

Its first layer is high-pass by nature: the 8 x 8 cosine spectra of every place, their changes from
frame to frame and the changes of those, as logarithms of their strength. A decoder or an up-sampler
gives itself away by what is missing or repeated in the fine bands, given the coarse ones beside them,
and by how fine detail lives on in time. The layers after it are learned from pairs.

Source of the layout: residual networks (He et al., CVPR 2016); local cosine spectra of generated
pictures (Frank et al., ICML 2020). Run by numpy: four matrix products and two small convolutions need no
engine, and no parser of a network format ever sees the weights.

Legend: T = 9 frames, S = 128 pixels, n = 31 places a side, C = 256 numbers of a place, W width.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE, Block

PLACES = 31
CHANNELS = 256
POOLED = 15
_TILE, _STEP, _FLOOR = 8, 4, 0.5
_MOST_BYTES = 20_000_000

Floats = NDArray[np.float32]


def spectra(block: Block) -> Floats:
    """Strength of local cosine spectra in time, float32 (n, n, C), in octaves.

    Of each of the 64 frequencies: the mean over the frames, the spread over the frames, the mean of the
    change to the next frame and of the change of that change.

    Raises:
        ValueError: a block of another shape.
    """
    if block.shape != (FRAMES, SIDE, SIDE):
        raise ValueError(f"a block is ({FRAMES}, {SIDE}, {SIDE}), not {block.shape}")
    tiles = sliding_window_view(block, (_TILE, _TILE), axis=(1, 2))[:, ::_STEP, ::_STEP]
    rows = tiles.reshape(FRAMES * PLACES * PLACES, _TILE * _TILE)
    waves = (rows @ _cosines()).reshape(FRAMES, PLACES, PLACES, _TILE * _TILE)
    level = _octaves(waves)
    first = np.diff(waves, axis=0)
    parts = (level.mean(0), level.std(0), _octaves(first).mean(0), _octaves(np.diff(first, axis=0)).mean(0))
    return np.concatenate(parts, axis=-1)


def _octaves(waves: Floats) -> Floats:
    strength: Floats = np.log2(np.abs(waves) + np.float32(_FLOOR))
    return strength


@cache
def _cosines() -> Floats:
    """Orthonormal 8 x 8 cosine transform of a flattened tile, (64 pixels, 64 frequencies)."""
    k, n = np.mgrid[0:_TILE, 0:_TILE]
    one = np.cos(np.pi * (2 * n + 1) * k / 16) * np.sqrt(np.where(k == 0, 1, 2) / _TILE)
    return np.kron(one, one).T.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualNetwork:
    """The learned layers; every array float32.

    ``mean`` and ``scale`` (C,) bring the spectra to unit size; ``enter`` (C, W) and ``mix`` (W, W) act
    on each place; ``bend`` and ``back`` (9 W, W), rows by neighbour and then channel, are the two 3 x 3
    convolutions that a shortcut passes by; ``hide`` (2 W, H) and ``out`` (H,) read mean and spread over
    the places. Each has its bias.
    """

    mean: Floats
    scale: Floats
    enter: Floats
    enter_bias: Floats
    mix: Floats
    mix_bias: Floats
    bend: Floats
    bend_bias: Floats
    back: Floats
    back_bias: Floats
    hide: Floats
    hide_bias: Floats
    out: Floats
    out_bias: Floats

    def score(self, block: Block) -> float:
        """Log-odds of one block at even odds, before any calibration.

        Raises:
            ValueError: a block of another shape.
        """
        return self.judge(spectra(block))

    def judge(self, seen: Floats) -> float:
        """The same from the spectra (n, n, C)."""
        x = (seen.reshape(-1, CHANNELS) - self.mean) * self.scale
        x = _positive(x @ self.enter + self.enter_bias)
        x = _positive(x @ self.mix + self.mix_bias)
        wide = x.shape[1]
        even = x.reshape(PLACES, PLACES, wide)[: 2 * POOLED, : 2 * POOLED]
        near: Floats = even.reshape(POOLED, 2, POOLED, 2, wide).mean((1, 3))
        turned = _positive(_convolved(near, self.bend) + self.bend_bias)
        near = _positive(near + _convolved(turned, self.back) + self.back_bias)
        flat: Floats = near.reshape(-1, wide)
        read: Floats = np.concatenate([flat.mean(0), flat.std(0)]).astype(np.float32)
        hidden = _positive(read @ self.hide + self.hide_bias)
        return float(hidden @ self.out + self.out_bias[0])

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(int(getattr(self, each.name).size) for each in fields(self))


def _positive(x: NDArray[Any]) -> Floats:
    made: Floats = np.maximum(x, np.float32(0), out=x)
    return made


def _convolved(x: Floats, weights: Floats) -> Floats:
    """3 x 3 convolution of (P, P, W) with zeros around it."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    side = x.shape[0]
    parts = [padded[i : i + side, j : j + side] for i in range(3) for j in range(3)]
    made: Floats = np.concatenate(parts, axis=-1) @ weights
    return made


def read_network(document: Any, *, what: str) -> ResidualNetwork:
    """The network of a JSON object: by name, a ``shape`` and base64 of little-endian float16.

    Raises:
        WeightsInvalid: an array is missing, of another shape or not finite; ``what`` names the file.
    """
    try:
        arrays = {each.name: _array(document[each.name]) for each in fields(ResidualNetwork)}
        network = ResidualNetwork(**arrays)
        wide, hidden = network.mix.shape[0], network.out.shape[0]
        wanted = {
            "mean": (CHANNELS,), "scale": (CHANNELS,),
            "enter": (CHANNELS, wide), "enter_bias": (wide,), "mix": (wide, wide), "mix_bias": (wide,),
            "bend": (9 * wide, wide), "bend_bias": (wide,), "back": (9 * wide, wide), "back_bias": (wide,),
            "hide": (2 * wide, hidden), "hide_bias": (hidden,), "out": (hidden,), "out_bias": (1,),
        }  # fmt: skip
        sound = all(arrays[name].shape == shape for name, shape in wanted.items())
        sound = sound and all(bool(np.isfinite(array).all()) for array in arrays.values())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, binascii.Error) as error:
        raise WeightsInvalid(f"{what} holds no network of ours; restore it or train it again.") from error
    if not sound:
        raise WeightsInvalid(f"{what} holds a network of another form; train it again.")
    return network


def write_network(network: ResidualNetwork) -> dict[str, Any]:
    """The JSON object that :func:`read_network` reads; numbers are rounded to float16."""
    return {each.name: _packed(getattr(network, each.name)) for each in fields(ResidualNetwork)}


def _array(document: Mapping[str, Any]) -> Floats:
    shape = tuple(int(side) for side in document["shape"])
    text = document["data"]
    if len(text) > _MOST_BYTES or any(side < 1 for side in shape):
        raise ValueError("too large")
    data = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
    return data.reshape(shape).astype(np.float32)


def _packed(array: Floats) -> dict[str, Any]:
    data = np.ascontiguousarray(array, "<f2").tobytes()
    return {"shape": list(array.shape), "data": base64.b64encode(data).decode()}


__all__ = ["CHANNELS", "PLACES", "ResidualNetwork", "read_network", "spectra", "write_network"]
