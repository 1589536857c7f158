"""Puts the detector together: measurements, the residual network if wanted, what they are worth, the card.

Everything that is told of the scores comes from blocks whose photograph and whose kind of decoder the
scoring model had not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from guarded_sora.detectors.synthetic.model import TriageModel, read_model, write_model
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector_fit import Floats, Measured, auc, by_clip, card_of, fit, splits, stacked
from guarded_sora.training.detector_residual import Coded, coded, fit_network, scores_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unseen:
    """Scores of the blocks that were asked: by the features, by the network, and by both together."""

    data: Measured
    features: Floats
    network: Floats | None
    fused: Floats
    weights: tuple[float, float]
    bias: float

    def told(self) -> dict[str, float]:
        """Area under the curve of each and of both, over all families together."""
        each = {"features": self.features, "network": self.network, "both": self.fused}
        return {
            name: round(auc(scores, self.data.synthetic), 4)
            for name, scores in each.items()
            if scores is not None
        }


def ask_unseen(data: Measured, rows: Coded | None, config: DetectorConfig) -> Unseen:
    """Score blocks by models that saw neither their photograph nor their kind of decoder.

    ``rows`` are the coded spectra of ``data``, or None where no network is wanted.
    """
    by_features, by_network = np.full(len(data.synthetic), np.nan), np.zeros(len(data.synthetic))
    for asked, seen in splits(data, config.kin, seed=config.seed):
        by_features[asked] = fit(data.where(seen), ridge=config.ridge).scores(data.features[asked])
        if rows is not None:
            network = fit_network(rows[seen], data.synthetic[seen], epochs=config.epochs, seed=config.seed)
            by_network[asked] = scores_of(network, rows[asked])
    there = np.isfinite(by_features)
    asked_data, first, second = data.where(there), by_features[there], by_network[there]
    weights, bias = stacked(first, second, asked_data.synthetic)
    return Unseen(
        data=asked_data,
        features=first,
        network=None if rows is None else second,
        fused=weights[0] * first + weights[1] * second + bias,
        weights=weights,
        bias=bias,
    )


def put_together(data: Measured, config: DetectorConfig, *, say: Callable[[str], None] = print) -> bytes:
    """The JSON file of the model with its card."""
    rows = coded(data.blocks) if config.network else None
    unseen = ask_unseen(data, rows, config)
    say(f"photograph and kind of decoder unseen: {unseen.told()}")
    return assembled(data, rows, unseen, config)


def assembled(data: Measured, rows: Coded | None, unseen: Unseen, config: DetectorConfig) -> bytes:
    """The file of a model trained on all of ``data``, with the card of what was ``unseen``."""
    fitted = fit(data, ridge=config.ridge)
    network = None
    if rows is not None:
        network = fit_network(rows, data.synthetic, epochs=config.epochs, seed=config.seed)
    linear, residual = unseen.weights
    model = TriageModel(
        version=config.version,
        knots=fitted.knots,
        normal=fitted.normal,
        weights=fitted.weights * linear,
        bias=fitted.bias * linear + unseen.bias,
        calibration=None,  # type: ignore[arg-type]  # written from the card and read back with it
        network=network,
        network_weight=residual if network is not None else 0.0,
    )
    clips, scores = by_clip(unseen.data, unseen.fused)
    card = card_of(clips, scores, held_out_auc=config.held_out_auc) | {"withheld": config.withheld}
    data_of = write_model(model, card)
    read_model(data_of)
    return data_of


__all__ = ["Unseen", "ask_unseen", "assembled", "put_together"]
