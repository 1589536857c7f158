from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import UsageError
from guarded_sora.provenance.labels import LAWS, LabelPlan, Stamp, find_labels, plan_labels

ALL = plan_labels(LAWS)


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def batch(*frames: NDArray[np.uint8]) -> FrameBatch:
    return FrameBatch(frames=np.stack(frames), times=np.arange(len(frames)) / 8.0, fps=8.0)


def names(frame: NDArray[np.uint8]) -> set[str]:
    return {sighting.name for sighting in find_labels(batch(frame))}


def stamped(plan: LabelPlan, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return Stamp(plan, *frame.shape[:2]).apply(frame[None], np.zeros(1))[0]


def test_a_profile_asks_for_its_languages() -> None:
    assert plan_labels(["eu"]).names == ("en-generated",)
    assert plan_labels(["us-ca"]).names == ()
    assert plan_labels(["cn", "kr"], kind="modified").names == ("zh-modified", "ko-modified")
    assert set(ALL.languages) == {"en", "zh", "hi", "ko"}
    assert plan_labels(["kr", "eu", "kr"]).names == plan_labels(["eu", "kr"]).names
    with pytest.raises(UsageError, match="'mars'"):
        plan_labels(["eu", "mars"])


def test_when_labels_are_shown() -> None:
    plan = LabelPlan(languages=("en",), shown=3.0, every=20.0, breaks=(31.0,))
    times = np.array([0.0, 2.9, 3.0, 19.9, 20.0, 22.9, 30.9, 31.0, 33.9, 34.0])
    assert plan.visible(times).tolist() == [True, True, False, False, True, True, False, True, True, False]
    assert plan_labels(["in"]).visible(times).all()
    assert not LabelPlan(whole=True).visible(times).any()  # no language, nothing to show
    for bad in ({"shown": 1.5}, {"shown": 5.0, "every": 4.0}):
        with pytest.raises(UsageError, match="2 seconds"):
            LabelPlan(languages=("zh",), **bad)


@pytest.mark.parametrize("size", [(256, 256), (640, 360), (720, 1280)])
@pytest.mark.parametrize("shade", ["picture", "white", "black"])
def test_every_label_is_found_on_any_background(size: tuple[int, int], shade: str) -> None:
    plain = {
        "picture": picture(*size),
        "white": np.full((*size, 3), 255, np.uint8),
        "black": np.zeros((*size, 3), np.uint8),
    }[shade]
    assert shade != "picture" or names(plain) == set()
    assert names(stamped(ALL, plain)) == set(ALL.names)


def test_the_kind_is_told_apart() -> None:
    plan = plan_labels(["eu", "cn", "kr", "in"], kind="modified")
    assert names(stamped(plan, picture(256, 256))) == set(plan.names)


def test_one_law_shows_only_its_text() -> None:
    assert names(stamped(plan_labels(["cn"]), picture(256, 256))) == {"zh-generated"}


def test_labels_survive_compression_and_scaling() -> None:
    frame = stamped(ALL, picture(360, 640))
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 25])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    for scale in (0.7, 1.5):
        resized = np.asarray(cv2.resize(decoded, None, fx=scale, fy=scale), np.uint8)
        assert names(resized) == set(ALL.names), scale
    assert {"en-generated", "zh-generated"} <= names(decoded[:-40, 60:])


def test_a_covered_label_is_not_found() -> None:
    frame = stamped(ALL, picture(256, 256))
    frame[:80] = 90
    assert names(frame) == set()


def test_the_chinese_text_is_tall_enough() -> None:
    """GB 45438-2025: text height of 5 % of the shorter side or more; capitals are 0.77 of the ink."""
    for size in ((256, 256), (720, 1280)):
        (sighting,) = find_labels(batch(stamped(plan_labels(["cn"]), picture(*size))))
        assert 0.77 * sighting.height >= 0.05, size


def test_text_contrast_on_white() -> None:
    frame = stamped(plan_labels(["eu"]), np.full((256, 256, 3), 255, np.uint8))
    rows, columns = np.nonzero(frame.min(axis=2) < 255)
    box = frame[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(float) / 255
    linear = np.where(box <= 0.04045, box / 12.92, ((box + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    assert (light.max() + 0.05) / (light.min() + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_only_visible_frames_change_and_inputs_never() -> None:
    frames = np.stack([picture(128, 128, seed) for seed in range(4)])
    before = frames.copy()
    plan = plan_labels(["eu"])
    result = Stamp(plan, 128, 128).apply(frames, np.array([0.0, 2.5, 3.5, 21.0]))
    changed = [bool((a != b).any()) for a, b in zip(result, frames, strict=True)]
    assert changed == [True, True, False, True]
    assert (frames == before).all()
    assert (result[:, 64:] == frames[:, 64:]).all()  # the lower half is never touched


def test_chunks_give_the_same_film() -> None:
    frames = np.stack([picture(64, 96, seed) for seed in range(6)])
    times = np.arange(6) * 1.0
    stamp = Stamp(plan_labels(["eu", "cn"]), 64, 96)
    parts = np.concatenate([stamp.apply(frames[i : i + 2], times[i : i + 2]) for i in (0, 2, 4)])
    assert (parts == stamp.apply(frames, times)).all()


@pytest.mark.parametrize("size", [(1, 1), (4, 200), (200, 4), (16, 16), (33, 33)])
def test_tiny_frames_are_no_accident(size: tuple[int, int]) -> None:
    frame = picture(*size)
    assert stamped(ALL, frame).shape == frame.shape
    names(frame)


def test_sizes_must_agree() -> None:
    stamp = Stamp(plan_labels(["eu"]), 64, 64)
    with pytest.raises(UsageError, match="frames of"):
        stamp.apply(np.zeros((1, 32, 64, 3), np.uint8), np.zeros(1))


def test_no_frames_no_labels() -> None:
    empty: Any = FrameBatch(frames=np.zeros((0, 64, 64, 3), np.uint8), times=np.zeros(0), fps=8.0)
    assert find_labels(empty) == ()
    assert len(Stamp(ALL, 64, 64).apply_batch(empty)) == 0


def test_other_lettering_is_not_ours() -> None:
    frame = picture(360, 640)
    cv2.putText(frame, "MADE BY PEOPLE", (200, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 3)
    cv2.putText(frame, "12:45 LIVE NEWS", (200, 90), cv2.FONT_HERSHEY_DUPLEX, 0.8, (255, 255, 255), 2)
    assert names(frame) == set()
