"""The packaged model: forty measurements, each bent to a normal distribution, and one weight for each.

A linear model gives exact additive contributions, so what it says can be explained without a second
model. Legend: F features, Q quantiles.
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
from guarded_sora.detectors.synthetic.features import FAMILY_OF, NAMES

WEIGHTS_SHA256 = "44b60959d9a697aadf89ff8f0ffbefcdafff75d9089e2a1031644214dd41a4ae"
_FORM = "guarded-sora/synthetic-triage/1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TriageModel:
    """``knots`` float64 (F, Q) are quantiles of each feature, ``normal`` (Q,) what they become.

    ``weights`` (F,) and ``bias`` give the log-odds of one block at even odds.
    """

    version: str
    knots: NDArray[np.float64]
    normal: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    calibration: Calibration
    sha256: str = ""

    def terms(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What each feature adds, (F,); their sum and the bias are the score."""
        return self.bent(features) * self.weights

    def bent(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Each feature by its place among those of the training films, as a normal deviate, (F,)."""
        columns = zip(features, self.knots, strict=True)
        return np.array([np.interp(value, knots, self.normal) for value, knots in columns])

    def score(self, features: NDArray[np.float32]) -> float:
        """Log-odds of one block at even odds; a score, calibrated only by the card."""
        return float(self.terms(features).sum() + self.bias)

    def outside(self, features: NDArray[np.float32]) -> float:
        """The share of features beyond anything seen in training, by more than a twentieth of its range."""
        low, high = self.knots[:, 0], self.knots[:, -1]
        margin = 0.05 * (high - low)
        return float(((features < low - margin) | (features > high + margin)).mean())

    def families(self, features: NDArray[np.float32]) -> dict[str, float]:
        """What each family of features adds."""
        summed: dict[str, float] = {}
        for name, term in zip(NAMES, self.terms(features), strict=True):
            summed[FAMILY_OF[name]] = summed.get(FAMILY_OF[name], 0.0) + float(term)
        return summed


def read_model(data: bytes, *, what: str = "triage.json") -> TriageModel:
    """The model of a JSON file as ``train detector`` writes it.

    Raises:
        WeightsInvalid: not such a file, or for other features than this version measures.
    """
    try:
        document: Mapping[str, Any] = json.loads(data)
        model = TriageModel(
            version=str(document["version"]),
            knots=np.array(document["knots"], np.float64),
            normal=np.array(document["normal"], np.float64),
            weights=np.array(document["weights"], np.float64),
            bias=float(document["bias"]),
            calibration=read_card(document["calibration"], what=what),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        known = document["form"] == _FORM and tuple(document["features"]) == NAMES
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsInvalid(f"{what} is no model of ours; restore it or train it again.") from error
    f, q = len(NAMES), model.normal.size
    shapes = model.knots.shape == (f, q) and model.weights.shape == (f,) and q > 1
    if not (known and shapes and np.isfinite(model.knots).all() and np.isfinite(model.weights).all()):
        raise WeightsInvalid(f"{what} is for another version of the measurements; train it again.")
    return model


def write_model(model: TriageModel, card: Mapping[str, Any]) -> bytes:
    """The JSON file of a model; ``card`` is its calibration as JSON."""
    document = {
        "form": _FORM,
        "version": model.version,
        "features": list(NAMES),
        "normal": _rounded(model.normal),
        "weights": _rounded(model.weights),
        "bias": round(model.bias, 6),
        "knots": [_rounded(row) for row in model.knots],
        "calibration": dict(card),
    }
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


__all__ = ["WEIGHTS_SHA256", "TriageModel", "packaged_model", "read_model", "write_model"]
