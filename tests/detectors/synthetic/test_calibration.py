"""A score is worth what its card supports and no more."""

from __future__ import annotations

import dataclasses
import math

import pytest

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic.calibration import PublicTest, posterior, read_card
from tests.detectors.synthetic.films import card

GOOD = {
    "set_sha256": "0" * 64,
    "made": "2026-01-01",
    "sources": ["a"],
    "per_generator_auc": {"x": 0.7},
    "held_out_auc": 0.7,
    "slope": 1.0,
    "offset": 0.0,
    "least": -1.0,
    "most": 1.0,
}


def test_likelihood_ratios_are_held_within_what_is_supported() -> None:
    assert (card().llr(100), card().llr(-100), card().llr(0.5)) == (3.0, -2.0, 0.5)


def test_p_values_count_sources_and_not_films() -> None:
    many = dataclasses.replace(card(), reals={"fine": ((0.0, 0.0, 0.0, 5.0), (0.0,), (0.0,))})
    assert many.p_value(1.0, "fine") == pytest.approx((1 + 0.25) / 4)
    assert many.p_value(9.0, "fine") == pytest.approx(1 / 4)
    assert many.p_value(9.0, "unknown class") == 1.0


@pytest.mark.parametrize(
    ("sources", "alpha", "may"), [(18, 0.05, False), (19, 0.05, True), (40, 0.01, False)]
)
def test_too_few_sources_cannot_hold_alpha(sources: int, alpha: float, may: bool) -> None:
    assert card(sources=sources).may_flag("fine", alpha) is may


@pytest.mark.parametrize(
    ("clips", "above", "threshold", "holds"),
    [
        (299, 0, 1.0, True),
        (298, 0, 1.0, False),
        (299, 1, 1.0, False),
        (0, 0, math.inf, False),
        (999, 0, math.inf, False),
    ],
)
def test_a_public_claim_needs_299_real_films_and_none_above(
    clips: int, above: int, threshold: float, holds: bool
) -> None:
    assert PublicTest(real_clips=clips, above=above, threshold=threshold).holds is holds


def test_a_posterior_needs_a_prior() -> None:
    assert posterior(0.0, 0.1) == pytest.approx(0.1)
    assert posterior(math.log(9), 0.1) == pytest.approx(0.5)
    assert 0.0 <= posterior(-1e9, 0.5) <= posterior(1e9, 0.5) <= 1.0
    for wrong in (0.0, 1.0, -1.0, 2.0, math.nan):
        with pytest.raises(ValueError, match="prior"):
            posterior(0.0, wrong)


@pytest.mark.parametrize(("held_out", "supported"), [(0.0, False), (0.69, False), (0.7, True)])
def test_a_head_must_beat_its_bar_on_generators_it_never_saw(held_out: float, supported: bool) -> None:
    assert card(held_out=held_out).supported is supported


def test_a_good_card_is_read() -> None:
    assert read_card(GOOD, what="x").public.holds is False


@pytest.mark.parametrize(
    "change",
    [
        {"slope": -1.0},
        {"slope": math.nan},
        {"least": 0.5},
        {"most": math.inf},
        {"set_sha256": "short"},
        {"sources": []},
        {"per_generator_auc": {"x": 1.5}},
        {"per_generator_auc": None},
        {"held_out_auc": 1.2},
        {"made": "yesterday"},
        {"reals": {"fine": [[]]}},
        {"reals": {"fine": [[math.nan]]}},
        {"public": {"real_clips": 300, "above": -1, "threshold": 1.0}},
        {"public": {"real_clips": 300, "above": 0, "threshold": math.nan}},
    ],
    ids=lambda change: next(iter(change)) + str(len(str(change))),
)
def test_a_card_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WeightsInvalid, match="calibration card of x"):
        read_card(GOOD | change, what="x")


@pytest.mark.parametrize(
    "document", [None, [], "card", 3, {}], ids=["none", "list", "text", "number", "empty"]
)
def test_what_is_no_card_is_refused(document: object) -> None:
    with pytest.raises(WeightsInvalid):
        read_card(document, what="x")


def test_a_card_can_withhold_a_head_that_passed() -> None:
    assert read_card(GOOD | {"held_out_auc": 0.9}, what="x").supported
    held = read_card(GOOD | {"held_out_auc": 0.9, "withheld": "it errs elsewhere"}, what="x")
    assert not held.supported and held.withheld == "it errs elsewhere"
