"""False positives: what the reader says where there is nothing to read.

Every run draws some of the windows; ``make soak`` draws a million from over 500 films and 250 keys.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import Geometry, KeyedTileMark, MarkKey, MarkState
from guarded_sora.provenance.watermark.bound import LOG10, tail
from guarded_sora.provenance.watermark.decode import (
    WORDS_LOG2,
    dimensions,
    read_known,
    read_word,
    shift_of,
    soft_bits,
)
from guarded_sora.provenance.watermark.receive import fold, whiten, working_luma
from guarded_sora.provenance.watermark.tile import CODE, pilot_layout, word_bits
from tests.guarded_sora.provenance.watermark.films import batches, flat, marked, textured

SCALES = (1.0, 0.75, 1.16, 1.41)


def _key(number: int) -> MarkKey:
    return MarkKey(secret=number.to_bytes(32), epoch=number % 32, tenant=f"tenant {number % 7}")


def _windows(films: int, per_film: int) -> Iterator[np.ndarray]:
    """Bins of windows of unmarked films and of films under a key that no reader here has."""
    for film in range(films):
        size = (144 + 8 * (film % 9), 256)
        frames = flat(4, size, seed=film) if film % 4 == 0 else textured(4, size, seed=film, pan=film % 5)
        if film % 2:
            frames = marked(frames, key=MarkKey(secret=b"\xee" * 32, epoch=3))
        planes = [whiten(working_luma(frame)) for frame in frames]
        for window in range(per_film):
            plane = planes[window % len(planes)]
            yield fold(plane, Geometry(scale=SCALES[window // 4 % 4], flip=window % 3 == 0))


def _lowest(films: int, per_film: int, keys: int) -> tuple[float, int]:
    """The least log10 p of one word, and the number of readings."""
    lowest, count = 0.0, 0
    for number, spectrum in enumerate(_windows(films, per_film)):
        for turn in range(keys):
            key = _key(1 + (number * keys + turn) % 250)
            pilots = pilot_layout(key)
            shift, _ = shift_of(spectrum, pilots)
            dims = dimensions({0: spectrum}, pilots, shift)
            reading = read_word(dims, key, {0: number % 4}, shift)
            count += 1
            if reading is not None:
                lowest = min(lowest, (reading.log_p + WORDS_LOG2 * math.log(2.0)) / LOG10)
    return lowest, count


def test_nothing_is_accepted_in_a_sample_of_windows() -> None:
    lowest, count = _lowest(films=12, per_film=10, keys=5)
    assert count == 600
    assert lowest > -3.0


@pytest.mark.soak
@pytest.mark.timeout(14400)
def test_nothing_is_accepted_in_a_million_windows() -> None:
    lowest, count = _lowest(films=520, per_film=80, keys=25)
    assert count >= 1_000_000
    assert lowest > -9.0


@pytest.mark.parametrize("stated", [1e-1, 1e-2])
def test_p_of_a_known_word_is_calibrated(stated: float) -> None:
    """As many readings at or below a stated p as it says, within four binomial deviations."""
    hits, count = 0, 0
    for number, spectrum in enumerate(_windows(films=10, per_film=8)):
        for turn in range(8):
            key = _key(1 + (number * 8 + turn) % 60)
            dims = dimensions({0: spectrum}, pilot_layout(key), (float(turn), 3.0))
            payload = MarkPayload(id=number * 977 + turn, epoch=key.epoch)
            coded = CODE.encode(word_bits(payload, key))
            x = float(np.sum(soft_bits(dims, key, {0: turn % 4}) * coded))
            hits += tail(dims.weights, x) <= stated
            count += 1
    deviation = math.sqrt(count * stated * (1 - stated))
    assert abs(hits - count * stated) <= 4 * deviation + 1


def test_bound_of_a_known_word_is_never_too_small() -> None:
    for number, spectrum in enumerate(_windows(films=6, per_film=6)):
        key = _key(number + 1)
        dims = dimensions({0: spectrum}, pilot_layout(key), (0.0, 0.0))
        payload = MarkPayload(id=number, epoch=key.epoch)
        reading = read_known(dims, key, {0: 0}, (0.0, 0.0), payload)
        x = float(np.sum(soft_bits(dims, key, {0: 0}) * CODE.encode(word_bits(payload, key))))
        assert reading.log_p >= math.log(max(tail(dims.weights, x), 1e-300)) - 1e-6


def test_whole_reader_with_many_keys_on_unmarked_films() -> None:
    reader = KeyedTileMark(_key(1), readers=[_key(number) for number in (1, 33, 65, 97)])
    for seed in range(2):
        evidence = reader.detect(batches(textured(6, (180, 320), seed=900 + seed)))
        assert evidence.state is MarkState.ABSENT
        assert evidence.log10_p > -3.0
