"""What an encoder keeps of a mark, by the model: more under a finer quantiser, less where things move."""

import numpy as np
import pytest
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.encoder_model import (
    Patches,
    coded,
    marks_of,
    patches_of,
    remains,
)
from guarded_sora.provenance.watermark.mask import MOST_LEVELS, pattern
from guarded_sora.provenance.watermark.tile import CODE, synthesize, word_bits
from tests.guarded_sora.provenance.watermark.films import KEY, PAYLOAD, soft

SIZE = (360, 480)
TILE = pattern(synthesize(KEY, 0, CODE.encode(word_bits(PAYLOAD, KEY))), SIZE)


def luma(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(frame[..., 1]) for frame in frames]


@pytest.fixture(scope="module")
def moving() -> Patches:
    first, second = luma(soft(2, SIZE))
    return patches_of(first, second, TILE, 42.0)


@pytest.fixture(scope="module")
def standing() -> Patches:
    first = luma(soft(1, SIZE))[0]
    return patches_of(first, first, TILE, 42.0)


def left(patches: Patches, quality: float, cap: float = MOST_LEVELS, frames: int = 16) -> float:
    return remains(patches, marks_of(patches, cap), marks_of(patches, MOST_LEVELS), quality, frames)


def test_a_fine_quantiser_keeps_the_mark_and_a_coarse_one_drowns_it(moving: Patches) -> None:
    shares = [left(moving, quality) for quality in (5.0, 18.0, 26.0, 33.0, 45.0)]
    assert shares[0] > 0.8
    assert shares[-1] < 0.2
    assert shares == sorted(shares, reverse=True)


def test_what_stands_still_is_carried_on_and_what_moves_is_lost(moving: Patches, standing: Patches) -> None:
    assert left(standing, 33.0) > 2.0 * left(moving, 33.0)
    # Without motion the mark of the key frame stays; with it, later frames have less and less.
    assert left(standing, 33.0, frames=64) == pytest.approx(left(standing, 33.0, frames=4), abs=0.05)
    assert left(moving, 33.0, frames=64) < left(moving, 33.0, frames=4)


def test_a_weaker_mark_leaves_less(moving: Patches) -> None:
    shares = [left(moving, 30.0, cap) for cap in (MOST_LEVELS, 2.0, 1.0, 0.5)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5 * shares[0]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plane_of_one_level_gives_a_share(level: int) -> None:
    plane = np.full(SIZE, level, dtype=np.uint8)
    assert 0.0 <= left(patches_of(plane, plane, TILE, 42.0), 33.0) <= 1.0


def test_no_mark_at_all_leaves_nothing(moving: Patches) -> None:
    assert left(moving, 23.0, cap=0.0) == 0.0


def test_a_mark_costs_bits_and_quality(moving: Patches) -> None:
    bits, error = coded(moving, None, 23.0, 0.5)
    more_bits, more_error = coded(moving, marks_of(moving, MOST_LEVELS), 23.0, 0.5)
    assert more_bits > bits
    assert more_error > error
