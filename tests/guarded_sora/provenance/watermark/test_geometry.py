import cv2
import numpy as np
import pytest

from guarded_sora.provenance.watermark import KeyedTileMark, MarkState
from tests.guarded_sora.provenance.watermark.films import (
    KEY,
    PAYLOAD,
    Frames,
    batches,
    flat,
    marked,
    recoded,
    textured,
)

MARK = KeyedTileMark(KEY)
FILM = marked(textured(count=8, size=(360, 640), seed=21))
SMALL = marked(flat(seed=5))


def _each(film: Frames, change) -> Frames:  # type: ignore[no-untyped-def]
    return np.stack([change(frame) for frame in film])


def _turned(frame: Frames) -> Frames:
    height, width = frame.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 5, 1)
    return np.asarray(cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_CUBIC))


CHANGES = {
    "half size": lambda frame: cv2.resize(frame, (320, 180), interpolation=cv2.INTER_AREA),
    "crop": lambda frame: frame[30:340, 50:600],
    "crop and enlarge": lambda frame: cv2.resize(frame[50:300, 100:540], (640, 360)),
    "mirror": lambda frame: frame[:, ::-1],
    "crop and mirror": lambda frame: frame[20:320, 30:610][:, ::-1],
    "turn": _turned,
    "squeeze": lambda frame: cv2.resize(frame, (608, 360), interpolation=cv2.INTER_AREA),
    "letterbox": lambda frame: np.pad(frame, ((60, 60), (0, 0), (0, 0))),
    "upright cut": lambda frame: frame[:, 200:402],
}


@pytest.mark.parametrize("name", CHANGES)
def test_distorted_film_is_read(name: str) -> None:
    evidence = MARK.detect(batches(recoded(_each(FILM, CHANGES[name]), 20)))
    assert evidence.state is MarkState.PRESENT
    assert evidence.payload == PAYLOAD
    assert evidence.geometry is not None
    assert evidence.geometry.flip == ("mirror" in name)
    if name == "turn":
        assert evidence.geometry.angle == pytest.approx(5, abs=0.4)
    if name == "squeeze":
        assert evidence.geometry.aspect == pytest.approx(0.95, abs=0.01)
    if name == "letterbox":
        assert evidence.geometry.scale == pytest.approx(0.75, abs=0.01)


def test_small_flat_clip_is_read_after_crop_rescale_and_encoding() -> None:
    film = _each(SMALL, lambda frame: cv2.resize(frame[16:240, 10:234], (200, 200)))
    evidence = MARK.detect(batches(recoded(film, 23)))
    assert evidence.payload == PAYLOAD
    assert evidence.geometry is not None
    assert evidence.geometry.scale == pytest.approx(256 / 224, rel=0.02)


def test_unmarked_film_costs_a_search_and_stays_absent() -> None:
    evidence = MARK.detect(batches(textured(count=8, size=(360, 640), seed=40)))
    assert evidence.state is MarkState.ABSENT
    assert evidence.pilot < 0.75
