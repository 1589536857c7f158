"""False positives: what the reader says where there is nothing to read.

Every run draws some of the windows; ``make soak`` draws a million from 520 films and 250 keys, and
``python -m benchmarks.watermark_nulls`` does the same in parts that can be interrupted.
"""

import math

import numpy as np
import pytest

from benchmarks.watermark_nulls import CALIBRATED, Tally, film_windows, key, read_film
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkState
from guarded_sora.provenance.watermark.bound import log_tail_bound, tail
from guarded_sora.provenance.watermark.decode import dimensions, read_known, soft_bits
from guarded_sora.provenance.watermark.tile import CODE, pilot_layout, word_bits
from tests.guarded_sora.provenance.watermark.films import batches, textured


def _inside(hits: int, count: int, stated: float) -> bool:
    deviation = math.sqrt(count * stated * (1 - stated))
    return abs(hits - count * stated) <= 4 * deviation + 1


def test_nothing_is_accepted_in_a_sample_of_windows() -> None:
    tally = Tally()
    for number in (0, 1, 130, 131, 260, 261):
        tally = tally.plus(read_film(number, keys=125, windows=4))
    assert tally.readings == 3000
    assert tally.accepted == 0
    assert tally.lowest > -3.0
    assert _inside(tally.hits[0], tally.readings, CALIBRATED[0])


@pytest.mark.soak
@pytest.mark.timeout(14400)
def test_nothing_is_accepted_in_a_million_windows() -> None:
    tally = Tally()
    for number in range(520):
        tally = tally.plus(read_film(number))
    assert tally.readings >= 1_000_000
    assert tally.accepted == 0
    for hits, stated in zip(tally.hits, CALIBRATED, strict=True):
        assert _inside(hits, tally.readings, stated)


def test_bound_of_a_known_word_is_never_too_small() -> None:
    spectra = [spectrum for number in range(6) for spectrum in film_windows(number, 6)]
    for number, spectrum in enumerate(spectra):
        owner = key(number)
        dims = dimensions({0: spectrum}, pilot_layout(owner), (0.0, 0.0))
        payload = MarkPayload(id=number, epoch=owner.epoch)
        reading = read_known(dims, owner, {0: 0}, (0.0, 0.0), payload)
        x = float(np.sum(soft_bits(dims, owner, {0: 0}) * CODE.encode(word_bits(payload, owner))))
        assert reading.log_p == pytest.approx(log_tail_bound(dims.weights, x))
        assert reading.log_p >= math.log(max(tail(dims.weights, x), 1e-300)) - 1e-6


def test_whole_reader_with_many_keys_on_unmarked_films() -> None:
    reader = KeyedTileMark(key(0), readers=[key(number) for number in (1, 50, 51, 200)])
    for seed in range(2):
        evidence = reader.detect(batches(textured(6, (180, 320), seed=900 + seed)))
        assert evidence.state is MarkState.ABSENT
        assert evidence.log10_p > -3.0
