"""Pairs differ in nothing but the decoder, the fit finds what is there, and a run goes on where it was."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from guarded_sora.detectors.synthetic.calibration import read_card
from guarded_sora.detectors.synthetic.features import NAMES, measure
from guarded_sora.detectors.synthetic.model import read_model
from guarded_sora.errors import UsageError
from guarded_sora.media.recompress import Codec
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector import gather, members, train_detector
from guarded_sora.training.detector_camera import Photo, film, load_photos
from guarded_sora.training.detector_decoders import CLOSED_FORM, Decoder, interpolate, linear, resample
from guarded_sora.training.detector_detail import matched, processed, seen_once_more
from guarded_sora.training.detector_fit import (
    Measured,
    auc,
    bounds,
    by_clip,
    card_of,
    fit,
    logistic,
    splits,
    stacked,
)
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
EDGES = NAMES.index("edges_fine")
PLAIN = Law(side=160, fps=8.0, scale=1.0, resize=1, noise=0.0, sharpen=0.0, codecs=(("h264", 24),))
SAME = Decoder(family="same", apply=lambda seen, rng: seen.copy())


def test_a_film_can_be_made_again_and_moves() -> None:
    one, other = (film(PHOTOS, 0, np.random.default_rng(5), frames=9, side=96) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == (9, 96, 96, 3) and one.dtype == np.uint8
    assert float(np.abs(np.diff(one.astype(int), axis=0)).mean()) > 0.3


def test_going_near_leaves_less_fine_detail() -> None:
    def fine(near: bool) -> float:
        shown = [
            film([photo(4, 900)], 0, np.random.default_rng(seed), frames=2, side=96, near=near)[0]
            for seed in range(6)
        ]
        soft = [np.asarray(cv2.GaussianBlur(picture, (0, 0), 4.0), int) for picture in shown]
        return float(np.mean([np.abs(one - two).mean() for one, two in zip(shown, soft, strict=True)]))

    assert fine(True) < 0.8 * fine(False)


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


def fine(seen: np.ndarray) -> float:
    return float(np.mean([cv2.Laplacian(frame, cv2.CV_32F).std() for frame in seen]))


def test_matching_gives_a_film_the_detail_of_the_other_times_a_factor() -> None:
    real = film(PHOTOS, 0, np.random.default_rng(3), frames=4, side=128)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.6) for frame in real])
    found = [fine(matched(soft, real, np.random.default_rng(seed))) / fine(real) for seed in range(8)]
    assert fine(soft) < 0.7 * fine(real)
    assert max(found) > 0.9 and min(found) < max(found) - 0.2


def test_a_camera_that_cleans_leaves_less_noise_and_the_content() -> None:
    rng = np.random.default_rng(0)
    ground = film(PHOTOS, 1, rng, frames=4, side=96)
    ground = np.stack([cv2.GaussianBlur(frame, (0, 0), 2.0) for frame in ground])
    noisy = np.clip(ground + rng.normal(0, 4, ground.shape), 0, 255).astype(np.uint8)
    shown = [processed(noisy, np.random.default_rng(seed)) for seed in range(6)]
    assert all(each.shape == noisy.shape and each.dtype == np.uint8 for each in shown)
    assert np.mean([fine(each) for each in shown]) < fine(noisy)
    assert all(float(np.abs(each.astype(int) - ground).mean()) < 12 for each in shown)


def test_each_block_is_seen_once_more_with_its_flat_parts_cleaned() -> None:
    ground = np.full((128, 128), 80, np.float32)
    cv2.rectangle(ground, (20, 20), (90, 100), 180, -1)
    noisy = ground + np.random.default_rng(1).normal(0, 4, (9, 128, 128))
    data = replace(
        measured(0.0, sources=2, per=1),
        features=np.stack([measure(noisy.astype(np.uint8).astype(np.float32))] * 2),
        blocks=np.stack([noisy.astype(np.uint8)] * 2),
    )
    twice = seen_once_more(data, seed=0)
    assert len(twice.pair) == 4 and len(set(twice.pair)) == 2
    assert np.array_equal(twice.synthetic, [0, 1, 0, 1])
    assert np.array_equal(twice.blocks[:2], data.blocks)
    assert twice.features[3, EDGES] > twice.features[2, EDGES]
    assert np.array_equal(seen_once_more(data, seed=0).blocks, twice.blocks)


def measured(shift: float, *, sources: int = 24, per: int = 8) -> Measured:
    rng = np.random.default_rng(0)
    rows = sources * per
    synthetic = np.arange(rows) % 2
    features = rng.normal(0, 1, (rows, len(NAMES))).astype(np.float32)
    features[:, 0] += shift * synthetic
    return Measured(
        features=features,
        blocks=np.zeros((rows, 1), np.uint8),
        synthetic=synthetic,
        source=np.array([f"s{row // per}" for row in range(rows)]),
        family=np.array([CLOSED_FORM[row // 2 % 2] for row in range(rows)]),
        pair=np.array([f"p{row // 2}" for row in range(rows)]),
    )


KIN = (("linear",), ("resample",))


def unseen_scores(data: Measured) -> tuple[np.ndarray, np.ndarray]:
    asked_scores, classes = [], []
    for asked, seen in splits(data, KIN):
        asked_scores.append(fit(data.where(seen), ridge=0.05).scores(data.features[asked]))
        classes.append(data.synthetic[asked])
    return np.concatenate(asked_scores), np.concatenate(classes)


def test_what_is_asked_shares_neither_photograph_nor_kin_with_what_is_seen() -> None:
    data = measured(0.0)
    found = splits(data, KIN)
    assert len(found) == 4
    for asked, seen in found:
        assert asked.any() and not (asked & seen).any()
        assert not set(data.source[asked]) & set(data.source[seen])
        assert not set(data.family[asked]) & set(data.family[seen])
    assert (np.sum([asked for asked, _ in found], axis=0) == 1).all()


def test_a_family_of_no_kin_joins_the_first_and_one_group_leaves_nothing_to_learn_from() -> None:
    data = measured(0.0)
    assert len(splits(data, (("other",), ("resample",)))) == 4
    assert splits(data, (("linear", "resample"),)) == []
    assert splits(data, (("linear", "resample"), ("other",))) == []


def test_a_score_that_says_nothing_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    good, poor = 2.0 * y + rng.normal(0, 1, 400), -y + rng.normal(0, 1, 400)
    for number, pair in enumerate([(good, poor), (poor, good)]):
        weights, _ = stacked(*pair, y)
        assert weights[number] > 0.5 and weights[1 - number] >= 0
    weights, _ = stacked(poor, poor, y)
    assert weights == (0.0, 0.0)
    both, _ = stacked(good, y + rng.normal(0, 0.5, 400), y)
    assert min(both) > 0


def test_the_fit_finds_what_is_there_and_nothing_where_nothing_is() -> None:
    there, nothing = measured(3.0), measured(0.0)
    assert auc(*unseen_scores(there)) > 0.75
    assert 0.3 < auc(*unseen_scores(nothing)) < 0.7
    weights = fit(there, ridge=0.05).weights
    assert int(np.argmax(np.abs(weights))) == 0 and weights[0] > 0


def test_a_film_scores_the_mean_of_its_blocks() -> None:
    data = measured(0.0, sources=2, per=8)
    data = replace(data, pair=np.array([f"p{row // 4}" for row in range(16)]))
    scores = np.arange(16.0)
    clips, means = by_clip(data, scores)
    assert len(means) == 8
    for row in range(8):
        same = (data.pair == clips.pair[row]) & (data.synthetic == clips.synthetic[row])
        assert means[row] == scores[same].mean()
        assert clips.features[row] == pytest.approx(data.features[same].mean(0), abs=1e-5)
        assert set(data.source[same]) == {clips.source[row]}


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
    card = read_card(card_of(data, data.features[:, 0].astype(float), held_out_auc=0.5), what="x")
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


def test_a_family_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match="no decoder family"):
        members("up-nothing", PHOTOS, tmp_path, DetectorConfig())


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_ends_in_a_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, picture in enumerate([*PHOTOS, *(photo(seed) for seed in (7, 8, 9))]):
        cv2.imwrite(str(folder / f"p{number}.png"), picture)
    config = DetectorConfig(
        photos=str(folder),
        decoders=(("resample", 21), ("up-shuffle", 5)),
        kin=(("resample",), ("up-shuffle",)),
        network_steps=2,
        epochs=1,
    )
    run = tmp_path / "run"
    first = (train_detector(run, config) / "triage.json").read_bytes()
    made = read_model(first)
    assert made.version == config.version and made.network is None and made.network_weight == 0.0
    whole = gather(run)
    assert len(set(whole.pair)) == 26
    assert whole.blocks.shape == (len(whole.pair), 9, 128, 128) and len(whole.pair) > 52  # clips have more
    assert np.array_equal(whole.pair[::2], whole.pair[1::2])
    assert (whole.synthetic[::2] == 0).all() and (whole.synthetic[1::2] == 1).all()
    assert math.isfinite(made.score(made.measure(whole.blocks[0].astype(np.float32))))
    (run / "pairs-resample-00020.npz").unlink()
    assert (train_detector(run, config) / "triage.json").read_bytes() == first
    more = read_model((train_detector(run, replace(config, network=True)) / "triage.json").read_bytes())
    assert more.network is not None
