"""The packaged model: measurements bent to a normal distribution with a weight for each, and a network.

The score is a sum, so contributions are exact: one for each family of measurements and one for the
residual network as a whole, which explains itself no further. Legend: F features, Q quantiles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic.calibration import Calibration, read_card
from guarded_sora.detectors.synthetic.features import FAMILY_OF, NAMES, Block, measure
from guarded_sora.detectors.synthetic.residual import ResidualNetwork, read_network, write_network

WEIGHTS_SHA256 = "2b196ce7681902209111bfdba47c9e5e2f78a39c0dd4235aa1a4479cae1a356e"
_FORM = "guarded-sora/synthetic-triage/2"
_WITHOUT_NETWORK = "guarded-sora/synthetic-triage/1"
NETWORK = "network"
"""What the residual network is called among the families that add to a score."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TriageModel:
    """``knots`` float64 (F, Q) are quantiles of each feature, ``normal`` (Q,) what they become.

    ``weights`` (F,), ``network_weight`` and ``bias`` give the log-odds of one block at even odds. A model
    without a network measures F numbers of a block, one with a network one more.
    """

    version: str
    knots: NDArray[np.float64]
    normal: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    calibration: Calibration
    network: ResidualNetwork | None = None
    network_weight: float = 0.0
    sha256: str = ""

    def measure(self, block: Block) -> NDArray[np.float32]:
        """All that the score needs of a block: the features and, last, what the network says of it.

        Raises:
            ValueError: a block of another shape.
        """
        features = measure(block)
        if self.network is None:
            return features
        return np.append(features, np.float32(self.network.score(block)))

    def terms(self, measured: NDArray[np.float32]) -> NDArray[np.float64]:
        """What each number of :meth:`measure` adds; their sum and the bias are the score."""
        terms = self.bent(measured[: len(NAMES)]) * self.weights
        if self.network is None:
            return terms
        return np.append(terms, float(measured[len(NAMES)]) * self.network_weight)

    def bent(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Each feature by its place among those of the training films, as a normal deviate, (F,)."""
        columns = zip(features, self.knots, strict=True)
        return np.array([np.interp(value, knots, self.normal) for value, knots in columns])

    def score(self, measured: NDArray[np.float32]) -> float:
        """Log-odds of one block at even odds; a score, calibrated only by the card."""
        return float(self.terms(measured).sum() + self.bias)

    def outside(self, measured: NDArray[np.float32]) -> float:
        """The share of features beyond anything seen in training, by more than a twentieth of its range."""
        features = measured[: len(NAMES)]
        low, high = self.knots[:, 0], self.knots[:, -1]
        margin = 0.05 * (high - low)
        return float(((features < low - margin) | (features > high + margin)).mean())

    def families(self, measured: NDArray[np.float32]) -> dict[str, float]:
        """What each family of features adds, and the network."""
        summed: dict[str, float] = {}
        names = (*NAMES, NETWORK) if self.network is not None else NAMES
        for name, term in zip(names, self.terms(measured), strict=True):
            family = FAMILY_OF.get(name, NETWORK)
            summed[family] = summed.get(family, 0.0) + float(term)
        return summed


def read_model(data: bytes, *, what: str = "triage.json") -> TriageModel:
    """The model of a JSON file as ``train detector`` writes it.

    Raises:
        WeightsInvalid: not such a file, or for other features than this version measures.
    """
    try:
        document: Mapping[str, Any] = json.loads(data)
        network = document.get("network")
        model = TriageModel(
            version=str(document["version"]),
            knots=np.array(document["knots"], np.float64),
            normal=np.array(document["normal"], np.float64),
            weights=np.array(document["weights"], np.float64),
            bias=float(document["bias"]),
            calibration=read_card(document["calibration"], what=what),
            network=None if network is None else read_network(network, what=what),
            network_weight=float(document.get("network_weight", 0.0)),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        known = document["form"] in (_FORM, _WITHOUT_NETWORK) and tuple(document["features"]) == NAMES
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsInvalid(f"{what} is no model of ours; restore it or train it again.") from error
    f, q = len(NAMES), model.normal.size
    shapes = model.knots.shape == (f, q) and model.weights.shape == (f,) and q > 1
    numbers = (model.knots, model.normal, model.weights, model.bias, model.network_weight)
    if not (known and shapes and all(bool(np.isfinite(each).all()) for each in numbers)):
        raise WeightsInvalid(f"{what} is for another version of the measurements; train it again.")
    return model


def write_model(model: TriageModel, card: Mapping[str, Any]) -> bytes:
    """The JSON file of a model; ``card`` is its calibration as JSON."""
    document: dict[str, Any] = {
        "form": _FORM,
        "version": model.version,
        "features": list(NAMES),
        "normal": _rounded(model.normal),
        "weights": _rounded(model.weights),
        "bias": round(model.bias, 6),
        "knots": [_rounded(row) for row in model.knots],
        "calibration": dict(card),
    }
    if model.network is not None:
        document["network_weight"] = round(model.network_weight, 6)
        document["network"] = write_network(model.network)
    return (json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n").encode()


@cache
def packaged_model() -> TriageModel:
    """The model that comes with the package.

    Raises:
        WeightsInvalid: the file is missing or is not the pinned one.
    """
    try:
        data = files("guarded_sora.detectors.synthetic").joinpath("weights/triage.json").read_bytes()
    except OSError as error:
        raise WeightsInvalid("The packaged detector weights are missing; reinstall the package.") from error
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise WeightsInvalid("The packaged detector weights are not the pinned ones; reinstall the package.")
    return read_model(data)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]


__all__ = ["NETWORK", "WEIGHTS_SHA256", "TriageModel", "packaged_model", "read_model", "write_model"]
