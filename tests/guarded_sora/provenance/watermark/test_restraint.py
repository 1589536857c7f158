"""The mark is held back where an encoder would pay too much for it, and only there."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.attacks import Film
from benchmarks.watermark_quality import equal_size
from guarded_sora.provenance.watermark import KeyedTileMark, MarkState, embed
from guarded_sora.provenance.watermark.encoder_model import patches_of
from guarded_sora.provenance.watermark.mask import (
    MOST_LEVELS,
    delta,
    fixed_point,
    luma_of,
    pattern,
    strength,
    visibility,
)
from guarded_sora.provenance.watermark.restraint import ENOUGH, MOST, Heard, evidence, restrained
from guarded_sora.provenance.watermark.tile import CODE, synthesize, word_bits
from tests.guarded_sora.provenance.watermark.films import (
    KEY,
    PAYLOAD,
    batches,
    joined,
    marked,
    psnr,
    recoded,
    soft,
    textured,
)

Luma = NDArray[np.uint8]
SIZE = (480, 640)
KEYED = pattern(synthesize(KEY, 0, CODE.encode(word_bits(PAYLOAD, KEY))), SIZE)
TILE = pattern(np.random.default_rng(3).standard_normal((128, 128)).astype(np.float32), SIZE)


def smooth(count: int = 12, size: tuple[int, int] = SIZE, pan: float = 1.5) -> NDArray[np.uint8]:
    """Soft shapes that drift slowly: what an encoder copies almost exactly. uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(8)
    coarse = rng.integers(50, 210, (size[0] // 30, size[1] // 30 + 4)).astype(np.float32)
    scene = cv2.resize(coarse, (size[1] + 120, size[0]), interpolation=cv2.INTER_CUBIC)
    frames = []
    for index in range(count):
        matrix = np.array([[1, 0, -20 - pan * index], [0, 1, 0]], dtype=np.float64)
        grey = cv2.warpAffine(scene, matrix, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        frames.append(np.clip(grey, 0, 255).astype(np.uint8))
    return np.repeat(np.stack(frames)[..., None], 3, axis=3)


def noisy(seed: int) -> Luma:
    return np.clip(128 + 30 * np.random.default_rng(seed).standard_normal(SIZE), 0, 255).astype(np.uint8)


def cap_of(frames: NDArray[np.uint8]) -> float:
    return restrained(luma_of(frames[0]), luma_of(frames[1]), TILE, 42.0)


def test_a_smooth_film_is_held_back_and_texture_and_noise_are_not() -> None:
    assert cap_of(smooth()) < 2.0
    assert cap_of(textured(count=2, size=SIZE)) == MOST_LEVELS
    assert restrained(noisy(1), noisy(2), TILE, 42.0) == MOST_LEVELS


def test_the_cap_takes_no_more_than_it_may() -> None:
    luma = luma_of(smooth(1)[0])
    mask = visibility(luma)
    factor = strength(mask, 42.0)
    levels = np.minimum(mask * factor, restrained(luma, luma, TILE, 42.0))
    assert 20 * np.log10(np.sqrt(np.mean((mask * factor) ** 2) / np.mean(levels**2))) <= MOST + 0.1


def test_a_film_that_stands_still_is_judged_too() -> None:
    still = luma_of(smooth(1)[0])
    cap = restrained(still, still, TILE, 42.0)
    assert 0.3 < cap <= MOST_LEVELS
    assert restrained(still, still.copy(), TILE, 42.0) == cap


def test_evidence_that_can_be_spared_is_given_away_and_no_other() -> None:
    first, second = (luma_of(frame) for frame in soft(2, SIZE))
    caps = [
        restrained(first, second, KEYED, 42.0, 0.0, Heard(loudness=loudness)) for loudness in (0.05, 2.0, 8.0)
    ]
    # Not smooth enough to be held back unasked, and a mark that is hardly heard keeps what it has.
    assert restrained(first, second, KEYED, 42.0) == caps[0] == MOST_LEVELS
    assert caps[0] > caps[1] >= caps[2] > 0.3
    patches = patches_of(first, second, KEYED, 42.0)
    assert evidence(patches, caps[1], Heard(loudness=2.0)) <= ENOUGH
    assert evidence(patches, MOST_LEVELS, Heard(loudness=0.05)) > ENOUGH


def test_a_smooth_film_is_held_back_whatever_its_evidence() -> None:
    first, second = (luma_of(frame) for frame in smooth(2))
    unasked = restrained(first, second, KEYED, 42.0)
    assert unasked < 3.0
    assert restrained(first, second, KEYED, 42.0, 0.0, Heard(loudness=0.0)) == unasked
    assert restrained(first, second, KEYED, 42.0, 0.0, Heard(loudness=9.0)) <= unasked


def test_evidence_falls_with_the_mark_and_rises_with_its_loudness() -> None:
    first, second = (luma_of(frame) for frame in soft(2, SIZE))
    patches = patches_of(first, second, KEYED, 42.0)
    by_cap = [evidence(patches, cap, Heard(loudness=2.0)) for cap in (MOST_LEVELS, 2.0, 1.0, 0.3)]
    assert by_cap == sorted(by_cap)
    by_loudness = [evidence(patches, 2.0, Heard(loudness=loudness)) for loudness in (0.0, 1.0, 3.0, 99.0)]
    assert by_loudness == sorted(by_loudness, reverse=True)
    assert by_loudness[0] == 0.0
    assert by_loudness[-1] < by_loudness[0]


@pytest.mark.parametrize("gap", [-1.0, 0.0, 1e-9, 0.04, 0.125, 5.0, 1e9])
def test_evidence_at_any_rate_of_frames_is_a_number(gap: float) -> None:
    first, second = (luma_of(frame) for frame in soft(2, SIZE))
    found = evidence(patches_of(first, second, KEYED, 42.0), 2.0, Heard(loudness=1.0, gap=gap))
    assert np.isfinite(found)
    assert found <= 0.0


def test_small_films_keep_their_strength() -> None:
    small = smooth(2, (256, 256))
    tile = pattern(np.ones((128, 128), dtype=np.float32), (256, 256))
    assert restrained(luma_of(small[0]), luma_of(small[1]), tile, 42.0) == MOST_LEVELS


@pytest.mark.parametrize("level", [0, 255])
def test_a_plane_of_one_level_gives_a_number(level: int) -> None:
    plane = np.full(SIZE, level, dtype=np.uint8)
    assert 0.0 < restrained(plane, plane, TILE, 42.0) <= MOST_LEVELS


def test_the_mark_is_nowhere_stronger_under_a_cap() -> None:
    luma = luma_of(textured(count=1, size=SIZE)[0])
    mask = visibility(luma)
    factor = strength(mask, 42.0)
    free, capped = (np.abs(delta(fixed_point(mask, factor, SIZE, cap), TILE)) for cap in (MOST_LEVELS, 1.6))
    assert (capped <= free).all()
    assert capped.sum() < 0.9 * free.sum()


@pytest.mark.slow
def test_held_back_film_is_read_and_is_better_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    film = smooth(8, (360, 480))
    result = marked(film)
    assert 43.0 < psnr(film, result) < 49.0
    monkeypatch.setattr(embed, "restrained", lambda *_: MOST_LEVELS)
    earlier = marked(film)
    assert psnr(film, earlier) < 42.6
    both = (result, earlier)
    for frames in both:
        evidence = KeyedTileMark(KEY).detect(batches(frames))
        assert (evidence.state, evidence.payload) == (MarkState.PRESENT, PAYLOAD)
        assert evidence.log10_p < -100
    gained, lost = (equal_size(Film(frames=film, fps=8.0), Film(frames=f, fps=8.0)) for f in both)
    assert gained["psnr dB"] > lost["psnr dB"] + 2.0
    assert gained["ssim"] > -0.02
    assert gained["size"] < lost["size"]


@pytest.mark.slow
def test_a_slow_pan_costs_no_more_than_it_must_and_is_read_after_compression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = soft(8, (480, 640), contrast=28.0)
    result = marked(film)
    monkeypatch.setattr(embed, "restrained", lambda *_: MOST_LEVELS)
    full = marked(film)
    kept, lost = (equal_size(Film(frames=film, fps=8.0), Film(frames=f, fps=8.0)) for f in (result, full))
    assert kept["psnr dB"] > lost["psnr dB"] + 0.3
    assert kept["size"] < lost["size"]
    evidence = KeyedTileMark(KEY).detect(batches(recoded(result, 28)))
    assert (evidence.state, evidence.payload) == (MarkState.PRESENT, PAYLOAD)
    assert evidence.log10_p < -20


def test_how_a_film_is_cut_into_batches_changes_no_cap() -> None:
    film = smooth(6, (360, 480))
    one, all_at_once = (
        joined(KeyedTileMark(KEY).embed(batches(film, sizes=[size]), PAYLOAD)) for size in (1, 6)
    )
    assert np.array_equal(one, all_at_once)


def test_a_pattern_at_360_lines_is_the_tile_itself() -> None:
    tile = np.random.default_rng(5).standard_normal((128, 128)).astype(np.float32)
    laid = pattern(tile, (360, 500))
    assert np.array_equal(laid, np.rint(np.tile(tile * np.float32(32), (3, 4))[:360, :500]).astype(np.int16))
    near = pattern(tile, (361, 500))
    assert np.abs(laid[:20, :20].astype(int) - near[:20, :20]).max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 4), (5, 7), (48, 50)])
def test_visibility_of_any_size(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)
    mask = visibility(luma)
    assert mask.shape == (max(size[0] // 4, 1), max(size[1] // 4, 1))
    assert np.isfinite(mask).all() and (mask > 0).all()
