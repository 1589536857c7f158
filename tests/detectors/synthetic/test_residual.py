"""The residual network reads local spectra as they are, and refuses weights that are not its own."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic import Facts, HeadState, SyntheticDetector
from guarded_sora.detectors.synthetic.features import NAMES, measure
from guarded_sora.detectors.synthetic.model import NETWORK, read_model, write_model
from guarded_sora.detectors.synthetic.residual import (
    CHANNELS,
    PLACES,
    ResidualNetwork,
    read_network,
    spectra,
    write_network,
)
from tests.detectors.synthetic.films import batches, model, noisy

WIDE, HIDDEN = 6, 4
SHAPES: dict[str, tuple[int, ...]] = {
    "mean": (CHANNELS,), "scale": (CHANNELS,), "enter": (CHANNELS, WIDE), "enter_bias": (WIDE,),
    "mix": (WIDE, WIDE), "mix_bias": (WIDE,), "bend": (9 * WIDE, WIDE), "bend_bias": (WIDE,),
    "back": (9 * WIDE, WIDE), "back_bias": (WIDE,), "hide": (2 * WIDE, HIDDEN), "hide_bias": (HIDDEN,),
    "out": (HIDDEN,), "out_bias": (1,),
}  # fmt: skip


def network(seed: int = 0) -> ResidualNetwork:
    rng = np.random.default_rng(seed)
    return ResidualNetwork(
        **{name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in SHAPES.items()}
    )


def block(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (9, 128, 128)).astype(np.float32)


def test_a_still_grey_film_has_nothing_but_its_level() -> None:
    seen = spectra(np.full((9, 128, 128), 80, np.float32))
    assert seen.shape == (PLACES, PLACES, CHANNELS) and seen.dtype == np.float32
    level, spread, change, bend = np.split(seen, 4, axis=-1)
    assert level[..., 0] == pytest.approx(
        math.log2(8 * 80 + 0.5), abs=1e-3
    )  # orthonormal: eight times the mean
    assert np.allclose(level[..., 1:], -1.0, atol=1e-3)
    assert np.allclose(spread, 0.0, atol=1e-3)
    assert np.allclose(change, -1.0, atol=1e-3) and np.allclose(bend, -1.0, atol=1e-3)


@pytest.mark.parametrize(("down", "across"), [(0, 5), (7, 0), (3, 6)])
def test_a_wave_shows_at_its_own_frequency(down: int, across: int) -> None:
    n = np.arange(128) % 8
    tile = np.cos(np.pi * (2 * n + 1) * down / 16)[:, None] * np.cos(np.pi * (2 * n + 1) * across / 16)
    seen = spectra(np.repeat((100 + 40 * tile)[None], 9, 0).astype(np.float32))
    level = seen[::2, ::2, 1:64].mean((0, 1))  # the places on the lattice of the wave, without the mean
    assert int(level.argmax()) + 1 == 8 * down + across


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_extreme_films_give_finite_scores(value: float) -> None:
    assert math.isfinite(network().score(np.full((9, 128, 128), value, np.float32)))
    flicker = np.zeros((9, 128, 128), np.float32)
    flicker[::2] = 255
    assert math.isfinite(network().score(flicker))


@pytest.mark.parametrize("shape", [(0, 128, 128), (8, 128, 128), (9, 127, 128), (9, 0, 0)])
def test_blocks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a block is"):
        network().score(np.zeros(shape, np.float32))


def test_the_shortcut_passes_by_the_convolutions() -> None:
    plain = network()
    silent = replace(plain, back=np.zeros_like(plain.back), back_bias=np.zeros_like(plain.back_bias))
    other = replace(silent, bend=np.ones_like(plain.bend))
    assert silent.score(block()) == other.score(block())
    assert plain.score(block()) != silent.score(block())


def test_weights_survive_their_file() -> None:
    kept = read_network(write_network(network()), what="x")
    assert kept.parameters == sum(math.prod(shape) for shape in SHAPES.values())
    assert kept.score(block()) == pytest.approx(network().score(block()), rel=0.02, abs=0.02)
    assert write_network(kept) == write_network(network())


def spoiled(name: str, **change: Any) -> dict[str, Any]:
    document = write_network(network())
    document[name] = {**document[name], **change}
    return document


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {name: value for name, value in write_network(network()).items() if name != "back"},
        spoiled("mix", shape=[WIDE * WIDE]),
        spoiled("mix", shape=[-1, WIDE]),
        spoiled("out", shape=[]),
        spoiled("enter", data="no base64!"),
        spoiled("enter", data=""),
        spoiled("enter", data=5),
        {**write_network(network()), "hide": write_network(network())["mix"]},
        {**write_network(network()), "out_bias": {"shape": [1], "data": "AH4="}},  # not a number
        {**write_network(network()), "scale": {"shape": [CHANNELS], "data": "fAAA" * 170 + "fAA="}},
    ],
    ids=[
        "null", "list", "empty", "missing", "flat", "negative", "scalar", "not-base64", "no-data", "number",
        "other-shape", "nan", "cut",
    ],
)  # fmt: skip
def test_weights_of_another_form_are_refused(document: Any) -> None:
    with pytest.raises(WeightsInvalid, match=r"x holds (no|a) network"):
        read_network(document, what="x")


def test_a_model_with_a_network_adds_its_word_and_says_so() -> None:
    whole = replace(model(bias=0.25), network=network(), network_weight=0.5)
    measured = whole.measure(block())
    assert measured.shape == (len(NAMES) + 1,)
    assert np.array_equal(measured[: len(NAMES)], measure(block()))
    expected = 0.25 + 0.5 * network().score(block())
    assert whole.score(measured) == pytest.approx(expected, rel=1e-5)
    families = whole.families(measured)
    assert families[NETWORK] == pytest.approx(expected - 0.25, rel=1e-5)
    assert sum(families.values()) + whole.bias == pytest.approx(whole.score(measured))
    assert NETWORK not in model().families(model().measure(block()))


CARD: dict[str, Any] = {
    "set_sha256": "a" * 64, "made": "2026-01-01", "sources": ["one"], "per_generator_auc": {"some": 0.8},
    "held_out_auc": 0.8, "slope": 1.0, "offset": 0.0, "least": -1.0, "most": 1.0,
}  # fmt: skip


def test_a_model_file_keeps_its_network() -> None:
    whole = replace(model(), network=network(), network_weight=0.5)
    kept = read_model(write_model(whole, CARD))
    assert kept.network is not None and kept.network_weight == 0.5
    measured = kept.measure(block())
    assert kept.score(measured) == pytest.approx(whole.score(whole.measure(block())), abs=0.02)
    assert read_model(write_model(model(), CARD)).network is None


def test_a_model_file_with_a_broken_network_is_refused() -> None:
    data = write_model(replace(model(), network=network(), network_weight=0.5), CARD)
    with pytest.raises(WeightsInvalid):
        read_model(data.replace(b'"mix_bias"', b'"mix_boas"'))


@pytest.mark.parametrize(
    ("frames", "height", "width"), [(18, 96, 300), (4, 160, 192)], ids=["too-small", "too-short"]
)
def test_films_that_cannot_be_judged_are_not_measured(frames: int, height: int, width: int) -> None:
    detector = SyntheticDetector(replace(model(), network=network(), network_weight=0.5))
    film = noisy(frames, height, width)
    facts = Facts(width=width, height=height, fps=8.0, seconds=frames / 8)
    report = detector.inspect_film(batches(film), facts)
    assert report.main.state is HeadState.NOT_APPLICABLE and not report.moments


def test_an_empty_film_says_nothing() -> None:
    detector = SyntheticDetector(replace(model(), network=network(), network_weight=0.5))
    report = detector.inspect_film([], Facts(width=320, height=240, fps=24.0, seconds=4.0))
    assert report.main.state is HeadState.NOT_APPLICABLE


def test_a_film_is_scored_with_the_network() -> None:
    facts = Facts(width=192, height=160, fps=8.0, seconds=2.25)
    with_network = SyntheticDetector(replace(model(), network=network(), network_weight=0.5))
    report = with_network.inspect_film(batches(noisy()), facts)
    assert NETWORK in report.contributions
    total = sum(report.contributions.values()) + report.bias
    assert total == pytest.approx(np.mean([moment.score for moment in report.moments]), abs=1e-4)


def test_every_layer_is_packed() -> None:
    assert set(write_network(network())) == {each.name for each in fields(ResidualNetwork)}
