"""Fits the triage model to measured pairs and finds out, on films it did not see, what its score is worth.

Legend: N blocks, F features, Q quantiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.synthetic.blocks import QUALITIES, quality_class
from guarded_sora.detectors.synthetic.features import NAMES

QUANTILES = 33
_FLAT = NAMES.index("noise_flat")
_CONFIDENCE = 1.96

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """``features`` float32 (N, F), ``blocks`` uint8 (N, 9, 128, 128); of each block the class (1:
    synthetic), the photograph, the family of decoders and the pair."""

    features: NDArray[np.float32]
    blocks: NDArray[np.uint8]
    synthetic: NDArray[np.int_]
    source: NDArray[np.str_]
    family: NDArray[np.str_]
    pair: NDArray[np.str_]

    def where(self, mask: NDArray[np.bool_]) -> Measured:
        """The blocks that ``mask`` names."""
        return Measured(
            features=self.features[mask],
            blocks=self.blocks[mask],
            synthetic=self.synthetic[mask],
            source=self.source[mask],
            family=self.family[mask],
            pair=self.pair[mask],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """What the model is made of, before it has a card."""

    knots: Floats
    normal: Floats
    weights: Floats
    bias: float

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """Log-odds of each block, (N,)."""
        return _bent(features, self.knots, self.normal) @ self.weights + self.bias


def fit(data: Measured, *, ridge: float) -> Fitted:
    """Quantile-normal logistic regression; a photograph or a family seen often weighs less each time."""
    levels = np.linspace(0, 1, QUANTILES)
    knots = np.quantile(data.features.astype(np.float64), levels, axis=0).T
    knots += np.arange(QUANTILES) * 1e-6  # strictly rising, also where a feature often has one value
    normal = _normal_quantile(np.clip(levels, 0.5 / len(data.features), 1 - 0.5 / len(data.features)))
    _, place, count = np.unique(data.source, return_inverse=True, return_counts=True)
    _, kind, many = np.unique(data.family, return_inverse=True, return_counts=True)
    share = 1.0 / np.sqrt(count[place] * many[kind])
    weights, bias = logistic(
        _bent(data.features, knots, normal), data.synthetic, share / share.mean(), ridge=ridge
    )
    return Fitted(knots=knots, normal=normal, weights=weights, bias=bias)


def logistic(x: Floats, y: NDArray[np.int_], share: Floats, *, ridge: float) -> tuple[Floats, float]:
    """Ridge logistic regression by Newton's method; ``ridge`` is the penalty per block, the bias is free."""
    wide = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(wide.shape[1], ridge * len(x))
    penalty[-1] = 1e-6
    beta = np.zeros(wide.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(wide @ beta, -30, 30)))
        slope = wide.T @ (share * (p - y)) + penalty * beta
        bend = (wide * (share * p * (1 - p))[:, None]).T @ wide + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
    return beta[:-1], float(beta[-1])


def splits(data: Measured, kin: Sequence[Sequence[str]], *, seed: int = 0) -> list[tuple[Mask, Mask]]:
    """Blocks that are asked and blocks to learn from: other photographs and decoders of other kin.

    ``kin`` are groups of families that are left out together, and the photographs stand in as many
    folds. Every block is asked in one split; a family of no group joins the first.
    """
    group_of = {family: number for number, group in enumerate(kin) for family in group}
    group = np.array([group_of.get(str(family), 0) for family in data.family])
    names = np.random.default_rng(seed).permutation(np.unique(data.source))
    fold_of = {name: number % len(kin) for number, name in enumerate(names)}
    fold = np.array([fold_of[name] for name in data.source])
    cells = [(n, m) for n in range(len(kin)) for m in range(len(kin))]
    both = [((fold == n) & (group == m), (fold != n) & (group != m)) for n, m in cells]
    return [(asked, seen) for asked, seen in both if asked.any() and seen.any()]


def by_clip(data: Measured, scores: Floats) -> tuple[Measured, Floats]:
    """One row for each film: the mean over its blocks, as the detector scores a film."""
    _, first, clip = np.unique(
        np.char.add(data.pair.astype(str), np.where(data.synthetic == 1, "+", "-")),
        return_index=True,
        return_inverse=True,
    )
    count = np.bincount(clip)
    features = np.stack([np.bincount(clip, column) / count for column in data.features.T], axis=1)
    rows = data.where(np.isin(np.arange(len(clip)), first))
    order = np.argsort(np.argsort(first))  # ``where`` keeps the order of the rows
    place = np.empty(len(first), int)
    place[order] = np.arange(len(first))
    means = np.bincount(clip, scores) / count
    return replace(rows, features=features[place].astype(np.float32)), means[place]


def stacked(
    features: Floats, network: Floats, synthetic: NDArray[np.int_]
) -> tuple[tuple[float, float], float]:
    """Weights of both scores and a bias, from scores of blocks that neither had seen; none is negative."""
    both, even = np.column_stack([features, network]), np.ones(len(features))
    weights, bias = logistic(both, synthetic, even, ridge=1e-3)
    if weights.min() >= 0:
        return (float(weights[0]), float(weights[1])), bias
    better = int(weights[1] >= weights[0])
    one, bias = logistic(both[:, better : better + 1], synthetic, even, ridge=1e-3)
    alone = max(0.0, float(one[0]))
    return ((0.0, alone) if better else (alone, 0.0)), bias


def card_of(data: Measured, scores: Floats, *, held_out_auc: float) -> dict[str, Any]:
    """The calibration of out-of-source scores, as JSON; no public threshold is ever claimed here."""
    slope, offset = logistic(scores[:, None], data.synthetic, np.ones(len(scores)), ridge=1e-6)
    least, most = bounds(scores, data.synthetic, sources=len(np.unique(data.source)))
    real = data.synthetic == 0
    classes = np.array([quality_class(float(value)) for value in data.features[:, _FLAT]])
    reals = {
        quality: [
            [round(float(s), 4) for s in scores[real & (classes == quality) & (data.source == source)]]
            for source in np.unique(data.source[real & (classes == quality)])
        ]
        for quality in QUALITIES
    }
    return {
        "set_sha256": hashlib.sha256(np.ascontiguousarray(data.features).tobytes()).hexdigest(),
        "made": date.today().isoformat(),
        "sources": sorted(set(map(str, data.source))),
        "per_generator_auc": {
            str(family): round(auc(scores[data.family == family], data.synthetic[data.family == family]), 4)
            for family in np.unique(data.family)
        },
        "held_out_auc": held_out_auc,
        "slope": round(float(slope[0]), 5),
        "offset": round(offset, 5),
        "least": round(least, 4),
        "most": round(most, 4),
        "reals": reals,
        "public": {"real_clips": 0, "above": 0},
    }


def bounds(scores: Floats, synthetic: NDArray[np.int_], *, sources: int) -> tuple[float, float]:
    """The largest log-likelihood ratios that ``sources`` independent sources support, for and against.

    At each threshold the lower end of the Wilson interval of one rate stands over the upper end of
    the other's; what is best over all thresholds bounds every film's ratio.
    """
    most, least = 0.0, 0.0
    for threshold in np.quantile(scores, np.linspace(0.02, 0.98, 49)):
        hit = float((scores[synthetic == 1] >= threshold).mean())
        false = float((scores[synthetic == 0] >= threshold).mean())
        most = max(most, np.log(_wilson(hit, sources)[0] / _wilson(false, sources)[1]))
        least = min(least, -np.log(_wilson(1 - false, sources)[0] / _wilson(1 - hit, sources)[1]))
    return float(least), float(most)


def auc(scores: Floats, synthetic: NDArray[np.int_]) -> float:
    """Area under the ROC curve: the chance that a synthetic film scores above a real one; ties count half."""
    order = np.concatenate([scores[synthetic == 0], scores[synthetic == 1]])
    _, place, count = np.unique(order, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n, m = int((synthetic == 0).sum()), int((synthetic == 1).sum())
    if not n or not m:
        return 0.5
    return float((rank[n:].sum() - m * (m + 1) / 2) / (n * m))


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = _CONFIDENCE
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(1e-9, middle - half), min(1.0, middle + half)


def _bent(features: NDArray[np.float32], knots: Floats, normal: Floats) -> Floats:
    columns = [np.interp(features[:, i], knots[i], normal) for i in range(features.shape[1])]
    return np.column_stack(columns)


def _normal_quantile(levels: Floats) -> Floats:
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(float(level)) for level in levels])
