"""Training of the prompt head: labels, calibration and what is written."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from guarded_sora.errors import UsageError
from guarded_sora.policies.text.classify import load_head
from guarded_sora.policies.text.encoder import FEATURES, WIDTH
from guarded_sora.training import prompt_data, prompt_head
from guarded_sora.training.prompt_data import SOURCES, Example, own_examples, public_examples
from guarded_sora.training.prompt_head import (
    LEFT_OUT,
    PromptHeadConfig,
    Vectors,
    calibrate,
    calibration_error,
    platt,
    train_prompts,
    weighted_quantile,
)


def test_platt_finds_the_sigmoid_that_made_the_labels() -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(size=20_000) * 3
    truth = (draw.random(20_000) < 1 / (1 + np.exp(-(1.5 * scores - 2)))).astype(float)
    slope, offset = platt(scores, truth)
    assert slope == pytest.approx(1.5, abs=0.1) and offset == pytest.approx(-2, abs=0.1)
    probabilities = 1 / (1 + np.exp(-(slope * scores + offset)))
    assert calibration_error(probabilities, truth) < 0.01 < calibration_error(probabilities**2, truth)


def test_labels_that_cannot_be_told_apart_keep_a_rising_slope() -> None:
    slope, _ = platt(np.zeros(50), np.arange(50) % 2.0)
    assert slope > 0


def test_a_weighted_quantile_counts_weight_and_not_heads() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 98.0, 1.0])
    assert [weighted_quantile(values, weights, share) for share in (0.5, 0.985, 1.0)] == [1.0, 2.0, 3.0]


def test_one_bound_means_one_rate_of_false_alarms_in_every_category() -> None:
    """Two outputs on scales that differ a thousandfold end on the same scale."""
    draw = np.random.default_rng(1)
    benign = draw.exponential(size=(4000, 2)) * np.array([1.0, 1000.0])
    unsafe = np.array([[9.0, 0.0], [0.0, 9000.0]] * 100)
    rows = [Example(text=str(n), language="en", source="captions", unsafe=False) for n in range(4000)]
    rows += [
        Example(
            text=f"u{n}",
            language="en",
            source="corpus",
            unsafe=True,
            categories=(("hate", "self_harm")[n % 2],),
        )
        for n in range(200)
    ]
    gain, shift = calibrate(np.concatenate([benign, unsafe]), rows, ("hate", "self_harm"))
    scores = 1 / (1 + np.exp(-(benign * gain + shift)))
    rates = (scores > np.quantile(scores, 0.99)).mean(axis=0)
    assert rates[0] == pytest.approx(rates[1], abs=0.005)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of two categories, with vectors that tell them apart."""

    def examples(part: str) -> list[Example]:
        kinds = (("hate",), ("self_harm",), ("evasion",), ())
        return [
            Example(
                text=f"{part} {n} {kinds[n % 4]}",
                language="en",
                source="corpus",
                unsafe=n % 4 < 3,
                categories=kinds[n % 4],
            )
            for n in range(160)
        ]

    def vectors(self: Vectors, rows: Sequence[Example]) -> np.ndarray:
        draw = np.random.default_rng(2)
        made = np.zeros((len(rows), FEATURES), dtype=np.float32)
        # In a few places, since noise in all of them would drown three words.
        made[:, :8] = draw.normal(size=(len(rows), 8)) * 0.1
        for row, example in enumerate(rows):
            for place, category in enumerate(("hate", "self_harm", "evasion")):
                made[row, place] += category in example.categories
        return made

    monkeypatch.setattr(prompt_head, "own_examples", examples)
    monkeypatch.setattr(Vectors, "of", vectors)


def test_a_run_writes_a_head_that_loads_and_separates(small: None, tmp_path: Path) -> None:
    config = PromptHeadConfig(networks=2, hidden=8, epochs=60, batch=32)
    folder = train_prompts(tmp_path, config)
    head = load_head(folder)
    assert head.categories == ("hate", "self_harm") and not set(head.categories) & set(LEFT_OUT)
    vector = np.zeros(FEATURES, dtype=np.float32)
    calm = head.probabilities(vector)
    vector[0] = 1
    excited = head.probabilities(vector)
    assert excited[0] > 0.5 and excited[0] > 10 * calm[0] and excited[0] > 10 * excited[1]
    card = json.loads((folder / "head.json").read_text())
    assert card["sha256"] == hashlib.sha256((folder / "head.npz").read_bytes()).hexdigest()
    assert card["trained_on"] == {"corpus": {"unsafe": 120, "benign": 40}}
    again = train_prompts(tmp_path / "again", config)
    assert (again / "head.npz").read_bytes() == (folder / "head.npz").read_bytes()


def test_every_second_network_reads_the_peaks(small: None, tmp_path: Path) -> None:
    config = PromptHeadConfig(networks=2, hidden=8, epochs=2, batch=32)
    hidden, _ = load_head(train_prompts(tmp_path, config)).hidden
    assert hidden.shape == (FEATURES, 16)
    assert not hidden[WIDTH:, :8].any() and hidden[WIDTH:, 8:].any()


def test_harm_of_any_kind_counts_in_every_category(small: None, tmp_path: Path) -> None:
    """Rows of a kind that no output names teach all outputs, as far as ``any_share`` lets them."""

    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    def lift(share: float) -> float:
        config = PromptHeadConfig(networks=2, hidden=32, epochs=60, batch=32, any_share=share)
        head = load_head(train_prompts(tmp_path / str(share), config))
        calm, own, unnamed = np.zeros((3, FEATURES), dtype=np.float32)
        own[0], unnamed[2] = 1, 1
        low, high, other = (logit(head.probabilities(vector)[0]) for vector in (calm, own, unnamed))
        return (other - low) / (high - low)

    assert lift(2.0) > lift(0.0) + 0.2


def test_the_test_part_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def corpus(folder: Path, *, parts: tuple[str, ...]) -> tuple[()]:
        asked.append(parts)
        return ()

    monkeypatch.setattr(prompt_data, "load_corpus", corpus)
    for part in ("train", "validation"):
        list(own_examples(part))  # type: ignore[arg-type]
    assert asked == [("train",), ("validation",)]
    for source in SOURCES:
        assert "test" not in source.parts or source.parts == ("test",)


def test_a_public_set_must_be_the_pinned_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(public_examples(tmp_path, "validation"))
    for source in SOURCES:
        path = tmp_path / source.file
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"text": "a", "label": "safe"}\n')
    with pytest.raises(UsageError, match="not the pinned set"):
        list(public_examples(tmp_path, "validation"))
