"""Pairs differ in nothing but the decoder, the fit finds what is there, and a run goes on where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from guarded_sora.detectors.synthetic.calibration import read_card
from guarded_sora.detectors.synthetic.features import NAMES
from guarded_sora.detectors.synthetic.model import read_model
from guarded_sora.errors import UsageError
from guarded_sora.media.recompress import Codec
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector import gather, train_detector
from guarded_sora.training.detector_camera import Photo, film, load_photos
from guarded_sora.training.detector_decoders import CLOSED_FORM, Decoder, interpolate, linear, resample
from guarded_sora.training.detector_fit import Measured, auc, bounds, card_of, fit, logistic, out_of_source
from guarded_sora.training.detector_pairs import Law, as_large, blocks, draw_law, make_pair


def photo(seed: int, side: int = 420) -> Photo:
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(
            rng.normal(0, 40, (n, n, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
        )
        for n in (4, 16, 64, 200)
    ]
    return np.clip(sum(layers) + 120, 0, 255).astype(np.uint8)


PHOTOS = [photo(seed) for seed in range(3)]
CODECS: tuple[tuple[Codec, int], ...] = (("h264", 26), ("vp9", 40), ("mpeg4", 5), ("mjpeg", 6))
PLAIN = Law(side=160, fps=8.0, scale=1.0, resize=1, noise=0.0, sharpen=0.0, codecs=(("h264", 24),))
SAME = Decoder(family="same", apply=lambda seen, rng: seen.copy())


def test_a_film_can_be_made_again_and_moves() -> None:
    one, other = (film(PHOTOS, 0, np.random.default_rng(5), frames=9, side=96) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == (9, 96, 96, 3) and one.dtype == np.uint8
    assert float(np.abs(np.diff(one.astype(int), axis=0)).mean()) > 0.3


def test_a_pair_without_a_decoder_is_twice_the_same_film() -> None:
    rng = np.random.default_rng(1)
    real, made = make_pair(PHOTOS, 0, SAME, rng, pair=0, law=PLAIN)
    assert (real.synthetic, made.synthetic) == (False, True)
    assert np.array_equal(real.frames, made.frames)
    assert real.bytes == made.bytes


@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_the_decoder_tells_a_pair_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = replace(draw_law(rng), codecs=(CODECS[seed],))
    decoder = Decoder(family="resample", apply=resample)
    real, made = make_pair(PHOTOS, seed % 3, decoder, rng, pair=seed, law=law)
    assert real.frames.shape == made.frames.shape == (9, *real.frames.shape[1:])
    assert real.law == made.law
    assert not np.array_equal(real.frames, made.frames)
    if law.codecs[-1][0] in ("h264", "vp9"):  # codecs with steps fine enough to meet the size
        assert 0.7 < made.bytes / real.bytes < 1.4
    assert all(block.shape == (9, 128, 128) for block in blocks(made.frames))


def test_the_wanted_size_is_met() -> None:
    seen = film(PHOTOS, 1, np.random.default_rng(2), frames=9, side=128)
    wanted = as_large(seen, 8.0, "h264", 40, 0).bytes * 2
    assert as_large(seen, 8.0, "h264", 18, wanted).bytes == pytest.approx(wanted, rel=0.15)


def test_decoders_keep_the_content_and_change_the_pixels() -> None:
    seen = film(PHOTOS, 0, np.random.default_rng(3), frames=9, side=128)
    rng = np.random.default_rng(0)
    trained = linear(PHOTOS, patch=8, frames=4, kept=24, seed=0)
    for made in (trained.apply(seen, rng), resample(seen, rng), interpolate(seen, rng)):
        assert made.shape == seen.shape and made.dtype == np.uint8
        assert 0.1 < float(np.abs(made.astype(int) - seen).mean()) < 60
    kept = interpolate(seen, rng)
    assert np.array_equal(kept[::2], seen[::2]) and not np.array_equal(kept[1], seen[1])


def measured(shift: float, *, sources: int = 24, per: int = 8) -> Measured:
    rng = np.random.default_rng(0)
    rows = sources * per
    synthetic = np.arange(rows) % 2
    features = rng.normal(0, 1, (rows, len(NAMES))).astype(np.float32)
    features[:, 0] += shift * synthetic
    return Measured(
        features=features,
        synthetic=synthetic,
        source=np.array([f"s{row // per}" for row in range(rows)]),
        family=np.array([CLOSED_FORM[row // 2 % 2] for row in range(rows)]),
    )


def test_the_fit_finds_what_is_there_and_nothing_where_nothing_is() -> None:
    there, nothing = measured(3.0), measured(0.0)
    assert auc(out_of_source(there, ridge=0.05), there.synthetic) > 0.75
    assert 0.3 < auc(out_of_source(nothing, ridge=0.05), nothing.synthetic) < 0.7
    weights = fit(there, ridge=0.05).weights
    assert int(np.argmax(np.abs(weights))) == 0 and weights[0] > 0


def test_newton_agrees_with_the_closed_form_of_one_binary_feature() -> None:
    x = np.array([0.0] * 40 + [1.0] * 40)[:, None]
    y = np.array([1] * 10 + [0] * 30 + [1] * 30 + [0] * 10)
    weights, bias = logistic(x, y, np.ones(80), ridge=1e-9)
    assert bias == pytest.approx(np.log(10 / 30), abs=1e-3)
    assert weights[0] == pytest.approx(2 * np.log(3), abs=1e-3)


def test_area_under_the_curve_counts_ties_half() -> None:
    y = np.array([0, 0, 1, 1])
    assert auc(np.array([0.0, 1.0, 2.0, 3.0]), y) == 1.0
    assert auc(np.array([3.0, 2.0, 1.0, 0.0]), y) == 0.0
    assert auc(np.zeros(4), y) == 0.5
    assert auc(np.array([0.0, 1.0, 1.0, 2.0]), y) == 0.875
    assert auc(np.zeros(2), np.zeros(2, int)) == 0.5


def test_few_sources_support_small_ratios() -> None:
    data = measured(3.0)
    scores = data.features[:, 0].astype(float)
    few, many = (bounds(scores, data.synthetic, sources=n) for n in (10, 1000))
    assert many[0] < few[0] <= 0 <= few[1] < many[1]


def test_the_card_of_a_fit_can_be_read_and_claims_nothing_in_public() -> None:
    data = measured(2.0)
    card = read_card(card_of(data, out_of_source(data, ridge=0.05), held_out_auc=0.5), what="x")
    assert not card.public.holds
    assert len(card.sources) == 24
    assert sum(len(source) for sources in card.reals.values() for source in sources) == 24 * 4


def test_photographs_must_be_there_and_large_enough(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no PNG"):
        load_photos(tmp_path)
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((100, 300, 3), np.uint8))
    with pytest.raises(UsageError, match="small"):
        load_photos(tmp_path)
    (tmp_path / "small.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="small"):
        load_photos(tmp_path)


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_ends_in_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, picture in enumerate([*PHOTOS, *(photo(seed) for seed in (7, 8, 9))]):
        cv2.imwrite(str(folder / f"p{number}.png"), picture)
    config = DetectorConfig(photos=str(folder), pairs=24, textured_pairs=4, networks=())
    export = train_detector(tmp_path / "run", config)
    first = (export / "triage.json").read_bytes()
    assert read_model(first).version == config.version
    whole = len(gather(tmp_path / "run").synthetic)
    (tmp_path / "run" / "pairs-00020.npz").unlink()
    again = train_detector(tmp_path / "run", config)
    assert len(gather(tmp_path / "run").synthetic) == whole
    assert (again / "triage.json").read_bytes() == first
