"""How likely a reading is without a mark.

A reading is x = sum of a_d * e_d * c_d over the dimensions of the tile: a_d what the picture
gives, c_d the word, e_d = +-1 keyed signs. Without the mark the signs are independent of the
picture, whatever the picture is, so x is a Rademacher sum with known weights and its tail has an
exact exponential bound (Chernoff). Nothing is assumed about pictures. The bound does not hold for
material on which a mark of the same key was copied: copying is found by fingerprints.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LOG10 = math.log(10.0)


def log_tail_bound(weights: NDArray[np.float32], x: float) -> float:
    """Natural logarithm of an upper bound of P(sum of +-``weights`` >= ``x``); never above 0."""
    sizes = _normalised(weights)
    if sizes is None or x <= 0:
        return 0.0
    values, scale = sizes
    tilt = _saddle(values, x / scale)
    return min(0.0, _cumulant(values, tilt) - tilt * x / scale)


def least_x(weights: NDArray[np.float32], log_p: float) -> float:
    """The smallest x at which ``log_tail_bound`` is at most ``log_p`` (below 0); inf where none is.

    The weights are the same for every key that looks at the same dimensions, so one call stands for many.
    """
    sizes = _normalised(weights)
    if sizes is None or -len(sizes[0]) * math.log(2.0) >= log_p:
        return math.inf
    values, scale = sizes
    low, high = 0.0, 1.0
    while _exponent(values, high)[1] > log_p:
        high *= 2.0
        if high > 1e6:
            return math.inf
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _exponent(values, middle)[1] > log_p:
            low = middle
        else:
            high = middle
    # The lower end: a reading just at the bound must not be lost to rounding.
    return _exponent(values, low)[0] * scale


def tail(weights: NDArray[np.float32], x: float) -> float:
    """P(sum of +-``weights`` >= ``x``) by the Lugannani-Rice saddle point: calibrated, not a bound."""
    sizes = _normalised(weights)
    if sizes is None:
        return 1.0
    values, scale = sizes
    target = x / scale
    if abs(target) < 1e-3:
        return 0.5
    upper = _tail_at(values, _saddle(values, abs(target)), abs(target))
    return upper if target > 0 else 1.0 - upper


def quantile(weights: NDArray[np.float32], p: float) -> float:
    """The x whose ``tail`` is ``p`` (0 < p < 0.4); inf where the weights cannot reach it."""
    sizes = _normalised(weights)
    if sizes is None:
        return math.inf
    values, scale = sizes
    low, high = 1e-2, 1.0
    while _tail_at(values, high) > p:
        high *= 2.0
        if high > 1e6:
            return math.inf
    for _ in range(30):
        middle = 0.5 * (low + high)
        if _tail_at(values, middle) > p:
            low = middle
        else:
            high = middle
    return float(np.sum(values * np.tanh(high * values))) * scale


def _tail_at(values: NDArray[np.float64], tilt: float, mean: float | None = None) -> float:
    """Lugannani-Rice where the tilted mean is ``mean``."""
    if mean is None:
        mean = float(np.sum(values * np.tanh(tilt * values)))
    gap = max(tilt * mean - _cumulant(values, tilt), 0.0)
    root = math.sqrt(2.0 * gap)
    curvature = float(np.sum(values**2 / np.cosh(np.minimum(tilt * values, 300.0)) ** 2))
    if root < 1e-6 or curvature <= 0.0:
        return 0.5
    slope = tilt * math.sqrt(curvature)
    density = math.exp(-0.5 * root * root) / math.sqrt(2.0 * math.pi)
    upper = 0.5 * math.erfc(root / math.sqrt(2.0)) + density * (1.0 / slope - 1.0 / root)
    return min(max(upper, 0.0), 1.0)


def log10_p(weights: NDArray[np.float32], x: float, log2_words: float) -> float:
    """Decimal logarithm of the bound over 2 ** ``log2_words`` words, all of which might have been read."""
    return min(0.0, (log_tail_bound(weights, x) + log2_words * math.log(2.0)) / LOG10)


def _normalised(weights: NDArray[np.float32]) -> tuple[NDArray[np.float64], float] | None:
    values = np.abs(np.asarray(weights, dtype=np.float64))
    scale = float(np.sqrt(np.sum(values**2)))
    if not math.isfinite(scale) or scale <= 0.0:
        return None
    return values / scale, scale


def _cumulant(values: NDArray[np.float64], tilt: float) -> float:
    arguments = tilt * values
    # log cosh without overflow
    return float(np.sum(arguments + np.log1p(np.exp(-2.0 * arguments)) - math.log(2.0)))


def _exponent(values: NDArray[np.float64], tilt: float) -> tuple[float, float]:
    """The tilted mean, and the exponent of the bound there."""
    mean = float(np.sum(values * np.tanh(tilt * values)))
    return mean, _cumulant(values, tilt) - tilt * mean


def _saddle(values: NDArray[np.float64], x: float) -> float:
    """Tilt at which the tilted mean is ``x``; the largest useful one where ``x`` cannot be reached."""
    low, high = 0.0, 1.0
    while float(np.sum(values * np.tanh(high * values))) < x:
        high *= 2.0
        if high > 1e6:
            return high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if float(np.sum(values * np.tanh(middle * values))) < x:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
