"""Where in the picture a mark stands: pasted parts are told from marked ones."""

import numpy as np
import pytest

from guarded_sora.provenance.watermark import KeyedTileMark, MarkState
from tests.guarded_sora.provenance.watermark.films import KEY, PAYLOAD, batches, marked, textured

SIZE = (360, 640)


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    return marked(textured(count=16, size=SIZE))


def _states(film: np.ndarray) -> list[list[str]]:
    evidence = KeyedTileMark(KEY).detect(batches(film))
    assert evidence.payload == PAYLOAD
    assert len(evidence.blocks) == 6
    states = [block.state.value for block in evidence.blocks]
    return [states[:3], states[3:]]


def test_whole_film_carries_it_everywhere(film: np.ndarray) -> None:
    evidence = KeyedTileMark(KEY).detect(batches(film))
    assert {block.state for block in evidence.blocks} == {MarkState.PRESENT}
    assert max(block.log10_p for block in evidence.blocks) < -8
    first, last = evidence.blocks[0], evidence.blocks[-1]
    assert (first.left, first.top, last.right, last.bottom) == (0.0, 0.0, 1.0, 1.0)
    assert (first.start, first.end) == (0.0, pytest.approx(2.0))


def test_pasted_third_carries_nothing(film: np.ndarray) -> None:
    foreign = textured(count=16, size=SIZE, seed=77)
    mixed = film.copy()
    mixed[:, :, 430:] = foreign[:, :, 430:]
    assert _states(mixed) == [["present", "present", "absent"]] * 2


def test_black_part_is_left_open(film: np.ndarray) -> None:
    dark = film.copy()
    dark[:, :180, :213] = 0
    states = _states(dark)
    assert states[0][0] == "inconclusive"
    assert states[1] == ["present"] * 3


def test_small_pictures_are_not_divided() -> None:
    evidence = KeyedTileMark(KEY).detect(batches(marked(textured(count=8, size=(256, 256)))))
    assert evidence.state is MarkState.PRESENT
    assert evidence.blocks == ()
