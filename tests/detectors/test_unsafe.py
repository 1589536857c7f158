"""Unsafe frames: cards, decoding, the packaged network, and never a silent pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guarded_sora.detectors.cards import Answer, Input, ModelCard, Network, Output, load_card, prepare
from guarded_sora.detectors.check import FilmCheck, Unequipped, default_frame_checks
from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.unsafe import UnsafeFrames, open_nsfw_card, packaged_open_nsfw


def card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": "frames.test",
        "version": "1",
        "weights": Path("none.onnx"),
        "sha256": "0" * 64,
        "licence": "test",
        "input": Input(side=8, resize=8),
        "outputs": (
            Output(index=1, category="violence.graphic", at=0.8, severity=3),
            Output(index=1, category="violence.act", at=0.5, severity=2),
        ),
    }
    return ModelCard(**{**values, **changes})  # type: ignore[arg-type]


class Brightness:
    """A classifier that takes bright pictures for gore."""

    def __init__(self) -> None:
        self.card = card()
        self.looked = 0

    def classify(self, frame: np.ndarray) -> list[Answer]:
        self.looked += 1
        bright = float(frame.mean()) / 255.0
        return [Answer(score=1.0 - bright), Answer(score=bright)]


def film(levels: list[int], fps: float = 4.0) -> FrameBatch:
    frames = np.stack([np.full((16, 24, 3), level, dtype=np.uint8) for level in levels])
    return FrameBatch(frames=frames, times=np.arange(len(levels)) / fps, fps=fps)


def test_the_gravest_reading_is_reported_with_its_seconds_and_every_second_is_told() -> None:
    check = UnsafeFrames(Brightness())
    report = check.inspect_film(
        [
            film([0] * 4),
        ]
    )
    assert report.findings == ()
    assert report.result.startswith("4 frames")
    report = check.inspect_film([film([10, 10, 10, 10, 140, 140, 250, 250])])
    (finding,) = report.findings
    assert (finding.category, finding.severity) == ("violence.graphic", 3)
    assert report.score == pytest.approx(250 / 255)
    assert report.threshold == 0.5
    assert report.result.endswith("hundredths: 4 98")


def test_an_undecided_score_is_a_milder_reading() -> None:
    (finding,) = UnsafeFrames(Brightness()).inspect(film([150] * 4))
    assert (finding.category, finding.severity) == ("violence.act", 2)


def test_a_flash_between_two_frames_of_the_grid_is_seen() -> None:
    levels = [0] * 24
    levels[5] = 255
    (finding,) = UnsafeFrames(Brightness()).inspect(film(levels, fps=24.0))
    assert finding.category == "violence.graphic"


def test_a_film_without_frames_is_no_silent_pass() -> None:
    empty = FrameBatch(frames=np.zeros((0, 4, 4, 3), dtype=np.uint8), times=np.zeros(0), fps=8.0)
    report = UnsafeFrames(Brightness()).inspect_film([empty])
    assert report.result == "no frame to look at"
    assert report.score is None


def test_channels_mean_and_layout_are_applied_in_the_stated_order() -> None:
    frame = np.zeros((10, 20, 3), dtype=np.uint8)
    frame[...] = (200, 100, 50)
    pixels, _ = prepare(
        frame, Input(side=8, resize=8, channels="bgr", layout="nchw", scale=1.0, mean=(50.0, 90.0, 190.0))
    )
    assert pixels.shape == (1, 3, 8, 8)
    assert [float(pixels[0, channel].mean()) for channel in range(3)] == [0.0, 10.0, 10.0]


def test_padding_keeps_the_proportions_and_boxes_come_back_in_frame_pixels() -> None:
    frame = np.full((100, 200, 3), 255, dtype=np.uint8)
    pixels, scale = prepare(frame, Input(side=64, resize=64, fit="pad", layout="nhwc"))
    assert scale == pytest.approx(0.32)
    assert pixels[0, 31, 63, 0] == 1.0 and pixels[0, 33:, :, 0].max() == 0.0
    network = Network(card(kind="boxes", input=Input(side=64, resize=64, fit="pad")))
    raw = np.zeros((1, 6, 3))
    raw[0, :4, 2] = (32.0, 16.0, 16.0, 8.0)
    raw[0, 5, 2] = 0.9
    answer = network._read(raw, scale)[1]
    assert answer.score == pytest.approx(0.9)
    assert answer.box == pytest.approx((75.0, 37.5, 125.0, 62.5))


@pytest.mark.parametrize(
    "raw", [np.zeros((1, 1)), np.zeros((2, 2)), np.zeros((1, 2, 2)), np.array([[0.1, np.nan]])]
)
def test_an_answer_that_is_not_what_the_card_says_is_refused(raw: np.ndarray) -> None:
    with pytest.raises(WeightsInvalid):
        Network(card())._read(raw, 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "x"},
        {"outputs": ()},
        {"outputs": (Output(index=0, category="no.such", at=0.5, severity=2),)},
        {"outputs": (Output(index=0, category="hate", at=0.0, severity=2),)},
        {"input": Input(side=9, resize=8)},
        {"input": Input(side=8, resize=8, std=(1.0, 0.0, 1.0))},
        {"kind": "boxes"},
        {"name": "Bad Name"},
    ],
)
def test_a_card_that_cannot_be_right_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WeightsInvalid, match="model card"):
        card(**change)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": "a", "input": 3}', "\x00", '{"input": {"side": "x"}}']
)
def test_a_file_that_is_no_card_is_one_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(WeightsInvalid):
        load_card(path)


def test_a_card_of_the_operator_takes_the_place_of_the_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "gore.json"
    document = {
        "name": "frames.gore",
        "version": "7",
        "weights": "gore.onnx",
        "sha256": "a" * 64,
        "licence": "ours",
        "input": {"side": 224, "resize": 256, "mean": [0.5, 0.5, 0.5]},
        "outputs": [{"index": 0, "category": "violence.graphic", "at": 0.5, "severity": 3}],
    }
    path.write_text(json.dumps(document))
    checks = {check.name: check for check in default_frame_checks(cards=[path])}
    assert isinstance(checks["frames.violence"], Unequipped)
    gore = checks["frames.gore"]
    assert isinstance(gore, FilmCheck)
    with pytest.raises(WeightsInvalid, match="cannot be read"):
        gore.inspect(film([0]))
    (tmp_path / "gore.onnx").write_bytes(b"something else")
    with pytest.raises(WeightsInvalid, match="not the pinned"):
        gore.inspect(film([0]))


def test_without_weights_every_category_is_named_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_sora.detectors.unsafe.installed_file", lambda *parts: None)
    checks = {check.name: check.unavailable for check in default_frame_checks()}
    assert set(checks) >= {"frames.unsafe", "frames.violence", "frames.gore", "frames.minor"}
    assert all(checks.values())


def test_the_packaged_network_scores_drawn_pictures_as_measured() -> None:
    weights = packaged_open_nsfw()
    if weights is None:
        pytest.skip("the extra [detect] is not installed")
    network = Network(open_nsfw_card(weights))
    flat = np.full((240, 320, 3), 128, dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 320)[None, :, None], (240, 320, 3)).astype(np.uint8)
    scores = [network.classify(picture)[1].score for picture in (flat, ramp)]
    assert scores == pytest.approx(GOLDEN, abs=0.005)
    assert not UnsafeFrames(network).inspect(film([128] * 4))


# Flat grey and a ramp, scored by the reference code of the package.
GOLDEN = [0.1976, 0.0463]
