"""Measurements say what they are named after, and are finite whatever they are given."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from guarded_sora.detectors.synthetic.features import FAMILIES, FRAMES, NAMES, SIDE, Block, measure
from tests.detectors.synthetic.films import noisy


def block(seed: int = 0) -> Block:
    film = noisy(FRAMES, SIDE, SIDE, seed)
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in film]).astype(np.float32)


def of(name: str, seen: Block) -> float:
    return float(measure(seen)[NAMES.index(name)])


def enlarged(seen: Block, how: int) -> Block:
    small = [cv2.resize(frame, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA) for frame in seen]
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=how) for frame in small])


@pytest.mark.parametrize(
    "seen",
    [
        np.zeros((FRAMES, SIDE, SIDE), np.float32),
        np.full((FRAMES, SIDE, SIDE), 255, np.float32),
        np.indices((FRAMES, SIDE, SIDE)).sum(0).astype(np.float32) % 2 * 255,
        np.random.default_rng(0).uniform(0, 255, (FRAMES, SIDE, SIDE)).astype(np.float32),
    ],
    ids=["black", "white", "chequered", "noise"],
)
def test_measurements_are_finite(seen: Block) -> None:
    found = measure(seen)
    assert found.shape == (len(NAMES),) and found.dtype == np.float32
    assert np.isfinite(found).all()


def test_the_same_block_measures_the_same() -> None:
    assert np.array_equal(measure(block()), measure(block()))


def test_every_name_stands_once_in_one_family() -> None:
    assert len(set(NAMES)) == len(NAMES) == sum(len(names) for names in FAMILIES.values())


@pytest.mark.parametrize("shape", [(8, SIDE, SIDE), (FRAMES, SIDE, SIDE // 2), (FRAMES, SIDE, SIDE, 3)])
def test_a_block_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a block is"):
        measure(np.zeros(shape, np.float32))


def test_doubling_by_repetition_shows_in_neighbouring_pixels() -> None:
    seen = block()
    assert of("npr_both", enlarged(seen, cv2.INTER_NEAREST)) < of("npr_both", seen) - 1


def test_smooth_enlargement_takes_the_fine_detail_away() -> None:
    seen, smooth = block(), enlarged(block(), cv2.INTER_CUBIC)
    for name in ("noise", "dct_12", "slope_5", "across_4"):
        assert of(name, smooth) < of(name, seen), name


def test_a_lattice_shows_at_its_period() -> None:
    seen = block()
    seen[:, ::4] += 12
    assert of("grid_4", seen) > of("grid_4", block()) + 0.3


def test_noise_that_stays_from_frame_to_frame_is_told_from_fresh_noise() -> None:
    rng = np.random.default_rng(1)
    ground = np.full((FRAMES, SIDE, SIDE), 120, np.float32)
    fresh = ground + rng.normal(0, 5, ground.shape).astype(np.float32)
    stuck = ground + rng.normal(0, 5, ground.shape[1:]).astype(np.float32)
    assert of("noise_still", stuck) > 0.9
    assert abs(of("noise_still", fresh)) < 0.1


def test_speed_grows_with_motion() -> None:
    still = np.repeat(block()[:1], FRAMES, 0)
    moving = np.stack([np.roll(still[0], 3 * t, 1) for t in range(FRAMES)])
    assert of("speed", moving) > of("speed", still) + 0.5


def louder(seen: Block, gain: float) -> Block:
    """The same with its fine detail stronger by ``gain``."""
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 3.0) for frame in seen])
    return soft + gain * (seen - soft)


@pytest.mark.parametrize("name", ["joint_fine", "joint_mid", "phase_fine", "tails_fine", "fresh_white"])
def test_structure_does_not_follow_the_strength_of_detail(name: str) -> None:
    seen = 64 + block() / 2
    assert of(name, louder(seen, 1.5)) == pytest.approx(of(name, seen), abs=0.12)


def test_what_a_network_deals_out_to_every_second_pixel_shows_as_a_lattice() -> None:
    seen = 64 + block() / 2
    dealt = seen.copy()
    dealt[:, ::2, ::2] += np.random.default_rng(3).normal(0, 6, dealt[:, ::2, ::2].shape)
    assert of("lattice_2", dealt) > of("lattice_2", seen) + 1.0


def test_detail_that_stands_at_edges_alone_is_told_from_detail_everywhere() -> None:
    rng = np.random.default_rng(2)
    ground = np.full((SIDE, SIDE), 80, np.float32)
    cv2.rectangle(ground, (20, 20), (90, 100), 180, -1)
    clean = np.repeat(cv2.GaussianBlur(ground, (0, 0), 0.8)[None], FRAMES, 0)
    noisy_ = clean + rng.normal(0, 4, clean.shape).astype(np.float32)
    assert of("edges_fine", clean) > of("edges_fine", noisy_) + 1.0


def test_enlargement_empties_the_corners_of_the_spectrum_first() -> None:
    rng = np.random.default_rng(4)
    white = rng.normal(128, 20, (FRAMES, SIDE, SIDE)).astype(np.float32)
    round_ = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.5) for frame in white])
    assert of("square_2", enlarged(white, cv2.INTER_CUBIC)) < of("square_2", round_) - 0.5
