"""Gains: the same energy, more of it where it will be heard."""

import numpy as np
import pytest

from guarded_sora.provenance.watermark.informed import gains, whitened
from guarded_sora.provenance.watermark.receive import whiten, working_luma
from guarded_sora.provenance.watermark.tile import (
    CODE,
    data_amplitude,
    pilot_layout,
    word_bits,
)
from tests.guarded_sora.provenance.watermark.films import KEY, PAYLOAD, flat, soft, textured

CODED = CODE.encode(word_bits(PAYLOAD, KEY))


@pytest.mark.parametrize("size", [(360, 640), (257, 251), (61, 48)])
def test_the_writer_whitens_much_as_the_reader_does(size: tuple[int, int]) -> None:
    luma = working_luma(textured(1, size)[0])
    ours, readers = whitened(luma), whiten(luma)
    assert ours.shape == readers.shape
    assert np.corrcoef(ours.ravel(), readers.ravel())[0, 1] > 0.99
    assert float(np.std(ours)) == pytest.approx(float(np.std(readers)), rel=0.03)


def test_gains_spend_no_more_and_leave_the_pilots() -> None:
    lumas = [working_luma(frame) for frame in soft(3, (360, 480))]
    found = gains(KEY, 0, CODED, lumas, 42.0)
    pilots = pilot_layout(KEY)
    assert (found.factors[pilots.bins] == 1.0).all()
    energy = data_amplitude()[pilots.data] ** 2
    spent = float(np.sum(found.factors[pilots.data] ** 2 * energy))
    assert 0.9 * energy.sum() < spent <= 1.001 * energy.sum()
    assert found.factors.std() > 0.1


def test_a_quiet_picture_hears_the_mark_better() -> None:
    loud, quiet = (
        gains(KEY, 0, CODED, [working_luma(frame) for frame in film(3, (360, 480))], 42.0).loudness
        for film in (textured, flat)
    )
    assert 0.0 < loud < quiet


@pytest.mark.parametrize("level", [0, 255])
def test_a_plane_of_one_level_gives_gains(level: int) -> None:
    plane = np.full((360, 480), level, dtype=np.uint8)
    found = gains(KEY, 0, CODED, [plane], 42.0)
    assert np.isfinite(found.factors).all()
    assert np.isfinite(found.loudness)
