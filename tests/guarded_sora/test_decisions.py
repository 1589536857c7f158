"""What a blocked notice takes down: the film, what shows it, and not every part of a compilation."""

from __future__ import annotations

import pytest

from guarded_sora.copies import Copy, Wanted, alike
from guarded_sora.decisions import _films_of
from guarded_sora.provenance.clip_id import ClipId
from tests.guarded_sora.store.test_clips import hashes

CLIP = ClipId.parse("gs1:0a1b2c3d:0000000001")
SHORT, OTHER = hashes(1, seconds=5), hashes(2, seconds=100)


def in_store(found: tuple[object, ...]) -> Copy:
    return Copy(place="store", by="fingerprint", clip_id=CLIP, file_sha256="1" * 64, hashes=found)


@pytest.mark.parametrize(
    ("uploaded", "ours", "goes_down"),
    [
        ((*SHORT, *OTHER), SHORT, False),  # a compilation that holds our clip
        (SHORT, SHORT, True),
        (SHORT, (*SHORT, *OTHER), True),  # our film holds what was complained of
        (SHORT[:4], SHORT, True),
    ],
    ids=["compilation", "same", "held inside", "cut"],
)
def test_a_part_of_an_upload_does_not_go_down_with_it(
    uploaded: tuple[object, ...], ours: tuple[object, ...], goes_down: bool
) -> None:
    assert alike(ours, uploaded)  # the search lists it either way
    films = _films_of(Wanted(file_sha256="0" * 64, hashes=uploaded), [in_store(ours)])
    assert (CLIP in [film.clip_id for film in films]) == goes_down


def test_copies_of_a_clip_of_ours_go_down_whatever_their_length() -> None:
    wanted = Wanted(clip_id=CLIP, file_sha256="0" * 64, hashes=(*SHORT, *OTHER))
    cut = Copy(place="file", by="watermark", clip_id=CLIP, file_sha256="2" * 64, hashes=SHORT)
    assert cut in _films_of(wanted, [cut])
