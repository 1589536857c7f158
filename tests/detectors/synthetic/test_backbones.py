"""Heads on embeddings do what they say, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.backbones import Backbone, open_backbone, turning, whitening
from tests.detectors.synthetic.films import noisy
from tests.detectors.synthetic.test_calibration import GOOD

FRAMES = FrameBatch(frames=noisy(6), times=np.arange(6) / 8, fps=8.0)


def embed(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(len(frames), -1)[:, :4].astype(np.float64)


def head(**change: Any) -> dict[str, Any]:
    document = {"name": "own.probe", "version": "1", "head": "probe", "numbers": {"weights": [1.0, 0, 0, 0]}}
    return document | change


def test_a_probe_is_linear_in_the_mean_embedding() -> None:
    backbone = Backbone(embed, head(), what="head.json")
    assert backbone.score(FRAMES) == pytest.approx(embed(FRAMES.frames).mean(0)[0])
    assert backbone.card is None


def test_a_card_comes_with_the_head() -> None:
    card = Backbone(embed, head(calibration=GOOD), what="head.json").card
    assert card is not None and card.slope == 1.0


def test_a_straight_path_does_not_turn_and_a_zigzag_does() -> None:
    straight = np.outer(np.arange(8.0), np.ones(3))
    zigzag = straight.copy()
    zigzag[::2, 0] += 5
    assert turning(straight) == pytest.approx(0.0, abs=1e-4)
    assert turning(zigzag) > 90
    assert turning(straight[:2]) == 0.0


def test_whitened_distance_is_small_for_what_it_was_fitted_to() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(0, 1, (400, 4)) @ rng.normal(0, 1, (4, 4)) + 3
    mean, matrix = whitening(real)
    numbers = {"mean": mean.tolist(), "whitening": matrix.tolist()}
    inside = Backbone(lambda _: real, head(head="whitened", numbers=numbers), what="h").score(FRAMES)
    outside = Backbone(lambda _: real + 9, head(head="whitened", numbers=numbers), what="h").score(FRAMES)
    assert 0.5 < inside < 1.5 < outside


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        head(head="other"),
        head(kind="nonsense"),
        head(numbers={"weights": ["a"]}),
        head(numbers=3),
    ],
    ids=["none", "list", "empty", "head", "kind", "words", "number"],
)
def test_what_is_no_head_is_refused(document: Any) -> None:
    with pytest.raises(WeightsInvalid):
        Backbone(embed, document, what="head.json")


@pytest.mark.parametrize("numbers", [{"weights": [1.0]}, {"weights": []}], ids=["short", "missing"])
def test_a_head_that_does_not_fit_is_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(WeightsInvalid, match="does not fit"):
        Backbone(embed, head(numbers=numbers), what="head.json").score(FRAMES)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(WeightsInvalid, match="no finite score"):
        Backbone(lambda frames: embed(frames) * np.nan, head(), what="head.json").score(FRAMES)


def test_folders_without_head_or_safetensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"head\.json"):
        open_backbone(tmp_path / "nowhere")
    (tmp_path / "head.json").write_text(json.dumps(head()))
    with pytest.raises(WeightsInvalid, match="safetensors"):
        open_backbone(tmp_path)
