"""The model adds up exactly, is read back as written, and is refused when it is not what was pinned."""

from __future__ import annotations

import json

import numpy as np
import pytest

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic import model as module
from guarded_sora.detectors.synthetic.features import FAMILIES, NAMES
from guarded_sora.detectors.synthetic.model import TriageModel, packaged_model, read_model, write_model
from tests.detectors.synthetic.films import card

CARD = {
    "set_sha256": "0" * 64,
    "made": "2026-01-01",
    "sources": ["a"],
    "per_generator_auc": {},
    "held_out_auc": 0.7,
    "slope": 1.0,
    "offset": 0.0,
    "least": -1.0,
    "most": 1.0,
}


def small() -> TriageModel:
    rng = np.random.default_rng(0)
    return TriageModel(
        version="7",
        knots=np.sort(rng.normal(0, 1, (len(NAMES), 5)), axis=1),
        normal=np.array([-2.0, -1.0, 0.0, 1.0, 2.0]),
        weights=rng.normal(0, 1, len(NAMES)),
        bias=0.25,
        calibration=card(),
    )


def test_contributions_add_up_to_the_score() -> None:
    model, features = small(), np.random.default_rng(1).normal(0, 1, len(NAMES)).astype(np.float32)
    families = model.families(features)
    assert set(families) == set(FAMILIES)
    assert sum(families.values()) + model.bias == pytest.approx(model.score(features))


def test_extreme_features_count_as_the_outermost_seen() -> None:
    model = small()
    far = np.full(len(NAMES), 1e9, np.float32)
    assert model.score(far) == pytest.approx(model.score(np.full(len(NAMES), 1e6, np.float32)))
    assert (model.outside(far), model.outside(model.knots[:, 2].astype(np.float32))) == (1.0, 0.0)


def test_a_model_is_read_back_as_it_was_written() -> None:
    model = small()
    again = read_model(write_model(model, CARD))
    features = np.random.default_rng(2).normal(0, 1, len(NAMES)).astype(np.float32)
    assert again.score(features) == pytest.approx(model.score(features), abs=1e-3)
    assert (again.version, len(again.sha256)) == ("7", 64)


@pytest.mark.parametrize(
    "change",
    [
        {"form": "other"},
        {"features": list(NAMES[:-1])},
        {"features": list(reversed(NAMES))},
        {"weights": [1.0]},
        {"weights": [float("inf")] * len(NAMES)},
        {"knots": [[0.0, 1.0]]},
        {"normal": []},
        {"bias": "much"},
        {"calibration": {}},
    ],
    ids=["form", "fewer", "order", "short", "infinite", "knots", "empty", "word", "card"],
)
def test_a_model_of_another_form_is_refused(change: dict[str, object]) -> None:
    document = json.loads(write_model(small(), CARD)) | change
    with pytest.raises(WeightsInvalid):
        read_model(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff\xfe", b"null"], ids=["empty", "object", "list", "bytes", "null"]
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsInvalid):
        read_model(data)


def test_the_packaged_model_is_the_pinned_one_and_claims_nothing_in_public() -> None:
    model = packaged_model()
    assert model.sha256 == module.WEIGHTS_SHA256
    assert not model.calibration.public.holds
    assert len(model.calibration.sources) >= 19


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged_model.cache_clear()
    monkeypatch.setattr(module, "WEIGHTS_SHA256", "1" * 64)
    try:
        with pytest.raises(WeightsInvalid, match="not the pinned ones"):
            packaged_model()
    finally:
        packaged_model.cache_clear()
