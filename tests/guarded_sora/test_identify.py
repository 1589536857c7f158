"""When a film that carries our mark is said to be another film, and when that cannot be told."""

from __future__ import annotations

import pytest

from guarded_sora.detectors.fingerprint import BITS, FingerprintMatch, SecondHash
from guarded_sora.identify import _content
from guarded_sora.verdicts import ContentSign


def hashes(count: int) -> list[SecondHash]:
    return [SecondHash(second=float(n), bits=bytes([n] * (BITS // 8)), quality=80) for n in range(count)]


@pytest.mark.parametrize(
    ("seconds", "distance", "sign"),
    [
        (1, 70.0, ContentSign.NONE),  # half a second cut out of ours, between two of its seconds
        (3, 96.0, ContentSign.NONE),
        (1, 120.0, ContentSign.OTHER),  # a picture that is far from all of ours
        (4, 70.0, ContentSign.OTHER),  # of four seconds one had to match
    ],
)
def test_a_short_cut_is_another_film_only_where_it_is_far_from_every_second(
    seconds: int, distance: float, sign: ContentSign
) -> None:
    compared = FingerprintMatch(matched_seconds=0, usable_seconds=seconds, similarity=0.0, distance=distance)
    assert _content(compared, hashes(seconds), hashes(30), moved=False) is sign
