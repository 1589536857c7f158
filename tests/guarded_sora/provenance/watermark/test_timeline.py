import numpy as np
import pytest

from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkSegment, MarkState
from guarded_sora.provenance.watermark.timeline import joined, label
from tests.guarded_sora.provenance.watermark.films import KEY, PAYLOAD, batches, marked, recoded, textured

MARK = KeyedTileMark(KEY)
SIZE = (180, 320)


def test_inserted_seconds_are_found_within_half_a_second() -> None:
    before = textured(count=20, size=SIZE, seed=31)
    inserted = marked(textured(count=22, size=SIZE, seed=32))
    after = textured(count=14, size=SIZE, seed=33)
    evidence = MARK.detect(batches(recoded(np.concatenate([before, inserted, after]), 18)))
    (found,) = [item for item in evidence.segments if item.state is MarkState.PRESENT]
    assert found.id == PAYLOAD.id
    assert found.start == pytest.approx(20 / 8, abs=0.5)
    assert found.end == pytest.approx(42 / 8, abs=0.5)
    assert evidence.segments[0].start == 0.0
    assert evidence.segments[-1].end == pytest.approx(56 / 8)


def test_two_clips_joined_are_told_apart() -> None:
    other = MarkPayload(id=0x55AA55AA55, epoch=3)
    first = marked(textured(count=20, size=SIZE, seed=34))
    second = marked(textured(count=24, size=SIZE, seed=35), payload=other)
    evidence = MARK.detect(batches(recoded(np.concatenate([first, second]), 20)))
    ids = [item.id for item in evidence.segments if item.id is not None]
    assert ids == [PAYLOAD.id, other.id]
    assert evidence.segments[0].end == pytest.approx(20 / 8, abs=0.5)


def test_data_class_changes_inside_a_long_film_are_followed() -> None:
    film = marked(textured(count=96, size=(96, 160), seed=36, pan=1), fps=4.0)
    evidence = MARK.detect(batches(film, fps=4.0))
    assert evidence.payload == PAYLOAD
    assert [item.id for item in evidence.segments] == [PAYLOAD.id]
    assert evidence.segments[0].end == pytest.approx(24.0)


def test_noise_is_not_labelled() -> None:
    rng = np.random.default_rng(3)
    pairs = np.stack([np.stack([rng.standard_normal(64), np.ones(64)], axis=1) for _ in range(8)])
    assert np.mean(label(pairs, ids=[1] * 4 + [2] * 4) >= 0) < 0.2


def test_slots_without_frames_take_their_neighbours_label() -> None:
    pairs = np.zeros((1, 9, 2))
    pairs[0, ::2] = (9.0, 1.0)
    assert label(pairs, ids=[7]).tolist() == [0] * 9


def test_equal_neighbours_are_joined_and_empty_ones_dropped() -> None:
    def segment(start: float, end: float, number: int | None) -> MarkSegment:
        state = MarkState.PRESENT if number else MarkState.ABSENT
        return MarkSegment(start=start, end=end, id=number, state=state)

    parts = [segment(0, 1, 5), segment(1, 1, None), segment(1, 2, 5), segment(2, 3, None)]
    assert joined(parts) == (segment(0, 2, 5), segment(2, 3, None))
