"""Parts of pictures: cropped, turned, mirrored and set into others they are found; strangers are not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.keyframes import (
    LEAST_AGREEING,
    LONGEST_SIDE,
    KeyframeIndex,
    Still,
    Stills,
    _placed,
    describe,
    telling_stills,
    unpacked,
)

SIZE = (320, 240)


def scenery(seed: int) -> np.ndarray:
    """A picture uint8 (240, 320, 3) with things of many sizes in it, unlike that of any other seed."""
    random = np.random.default_rng(seed)
    picture = np.zeros((SIZE[1], SIZE[0]), dtype=np.float32)
    for cells, weight in ((4, 70.0), (12, 45.0), (36, 25.0)):
        noise = random.normal(size=(cells * 3 // 4, cells)).astype(np.float32)
        picture += weight * cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)
    grey = np.clip(picture + 128, 0, 255).astype(np.uint8)
    for _ in range(40):
        x, y = random.integers(0, SIZE[0]), random.integers(0, SIZE[1])
        corner = (int(x + random.integers(6, 40)), int(y + random.integers(6, 40)))
        cv2.rectangle(grey, (int(x), int(y)), corner, int(random.integers(0, 255)), -1)
    return np.repeat(grey[..., None], 3, axis=2)


def still(picture: np.ndarray, second: float = 0.0) -> Still:
    return Still(second=second, luma=np.ascontiguousarray(picture[..., 0]))


def crop(share: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(picture: np.ndarray) -> np.ndarray:
        top, left = (round(side * (1 - share) / 2) for side in picture.shape[:2])
        part = np.ascontiguousarray(picture[top : SIZE[1] - top, left : SIZE[0] - left])
        return cv2.resize(part, SIZE, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]

    return change


def turn(picture: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(picture, cv2.getRotationMatrix2D((160, 120), 15.0, 1.0), SIZE)  # type: ignore[return-value]


def inset(picture: np.ndarray) -> np.ndarray:
    whole = scenery(99)
    whole[60:180, 80:240] = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
    return whole


def labelled(picture: np.ndarray) -> np.ndarray:
    """The same words over the whole width, large, and a box in the corner."""
    marked = picture.copy()
    for line, words in enumerate(("MADE WITH CARE AND", "RIGHTS RESERVED 2026")):
        place = (4, 170 + 40 * line)
        cv2.putText(marked, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.85, (255, 255, 255), 2)
    cv2.putText(marked, "TV8", (240, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (255, 255, 255), 3)
    return marked


EDITS = {
    "the same": (lambda picture: picture, 1.0, False),
    "crop 80 %": (crop(0.8), 1.25, False),
    "crop 50 %": (crop(0.5), 2.0, False),
    "turned": (turn, 1.0, False),
    "mirrored": (lambda picture: picture[:, ::-1], 1.0, True),
    "mirrored and cropped": (lambda picture: crop(0.7)(picture)[:, ::-1], 1.43, True),
    "inset": (inset, 0.5, False),
    "labelled": (labelled, 1.0, False),
}


@pytest.fixture(scope="module")
def index() -> KeyframeIndex:
    """Six pictures, of owners 10 to 15."""
    return KeyframeIndex([describe(still(scenery(seed))) for seed in range(6)], range(10, 16))


@pytest.mark.parametrize("name", EDITS)
def test_a_part_is_found_with_its_scale_and_nobody_else_is(index: KeyframeIndex, name: str) -> None:
    change, scale, mirrored = EDITS[name]
    found = index.shown(still(change(scenery(3))))
    assert {item.owner for item in found} == {13}
    assert found[0].scale == pytest.approx(scale, rel=0.05)
    assert found[0].mirrored is mirrored
    assert found[0].agreeing >= LEAST_AGREEING


def test_strangers_are_not_found(index: KeyframeIndex) -> None:
    assert [item for seed in range(20, 28) for item in index.shown(still(scenery(seed)))] == []


def test_a_label_that_two_pictures_share_makes_them_no_copies() -> None:
    kept = describe(still(labelled(scenery(1))))
    other = labelled(scenery(2))
    placed = _placed(kept, describe(still(other), features=800))
    assert placed is not None and placed[1] >= 2 * LEAST_AGREEING  # the words do agree on a map
    assert KeyframeIndex([kept], [0]).shown(still(other)) == []
    assert KeyframeIndex([kept], [0]).shown(still(scenery(1)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 384), (240, 320)])
def test_pictures_without_features_are_found_nowhere(index: KeyframeIndex, shape: tuple[int, int]) -> None:
    plain = Still(second=0.0, luma=np.full(shape, 90, dtype=np.uint8))
    kept = describe(plain)
    assert len(kept.points) == 0
    assert index.shown(plain) == []
    assert KeyframeIndex([kept], [1]).shown(still(scenery(1))) == []
    assert KeyframeIndex([], []).shown(still(scenery(1))) == []


def test_what_is_stored_comes_back_and_nothing_else_is_read() -> None:
    kept = describe(still(scenery(1), second=2.5))
    data = kept.packed()
    again = unpacked(data)
    assert (again.second, again.width, again.height, again.cells) == (2.5, 320, 240, kept.cells)
    assert np.array_equal(again.bits, kept.bits) and np.abs(again.points - kept.points).max() <= 1 / 64
    assert len(data) < 8_000
    for bad in (b"", data[:20], data[:-1], data + b"x"):
        with pytest.raises(ValueError, match="no features"):
            unpacked(bad)


def test_one_picture_of_each_second_is_kept_and_no_more_than_asked() -> None:
    def film(seconds: int) -> list[FrameBatch]:
        frames = np.zeros((8, 40, 800, 3), dtype=np.uint8)
        return [
            FrameBatch(frames=frames, times=second + np.arange(8) / 8.0, fps=8.0) for second in range(seconds)
        ]

    stills = Stills(most=10)
    assert sum(len(batch) for batch in stills.watching(film(4))) == 32
    assert [item.second for item in stills.taken()] == [0.0, 0.5, 1.5, 2.5, 3.5]
    assert max(stills.taken()[0].luma.shape) == LONGEST_SIDE
    stills = Stills(most=10)
    list(stills.watching(film(60)))
    times = [item.second for item in stills.taken()]
    assert 5 <= len(times) <= 10 and times[-1] > 50
    stills = Stills(most=10)
    lost = FrameBatch(frames=film(1)[0].frames[:2], times=np.array([np.nan, np.inf]), fps=8.0)
    list(stills.watching([lost]))
    assert stills.taken() == []


def test_a_reference_keeps_what_changes_and_what_can_be_told() -> None:
    same = [still(scenery(1), second=0.5 + number) for number in range(8)]
    assert [item.second for item in telling_stills(same)] == [0.5, 4.5]
    cuts = [still(scenery(number), second=0.5 + number) for number in range(3)]
    assert len(telling_stills(cuts)) == 3
    black = [Still(second=0.0, luma=np.zeros((240, 320), dtype=np.uint8))]
    assert telling_stills(black) == []
