import cv2
import numpy as np
import pytest

from guarded_sora.detectors.fingerprint import (
    SecondHash,
    fingerprint,
    hamming,
    hash_picture,
    match,
    mirrored,
)
from tests.guarded_sora.provenance.watermark.films import batches, flat, recoded, textured

FILM = textured(count=24, size=(180, 320), seed=4)
HASHES = fingerprint(batches(FILM))


def test_one_hash_a_second() -> None:
    assert [item.second for item in HASHES] == [0.0, 1.0, 2.0]
    assert all(len(item.bits) == len(item.cells) == 32 for item in HASHES)
    assert all(item.quality > 20 for item in HASHES)


def test_half_the_bits_are_set() -> None:
    assert all(int.from_bytes(item.bits).bit_count() == 128 for item in HASHES)


@pytest.mark.parametrize("sizes", [[1], [24], [5, 2]])
def test_batch_sizes_change_nothing(sizes: list[int]) -> None:
    assert fingerprint(batches(FILM, sizes=sizes)) == HASHES


def test_late_start_keeps_its_second() -> None:
    assert [item.second for item in fingerprint(batches(FILM[:8], start=7.0))] == [7.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda film: recoded(film, 35),
        lambda film: np.stack([cv2.resize(frame, (160, 90), interpolation=cv2.INTER_AREA) for frame in film]),
        lambda film: np.stack([cv2.resize(frame, (640, 360)) for frame in film]),
        lambda film: np.clip(film.astype(int) + 40, 0, 255).astype(np.uint8),
        lambda film: np.clip((film - 128.0) * 0.6 + 128, 0, 255).astype(np.uint8),
        lambda film: cv2.GaussianBlur(film.reshape(-1, 320, 3), (0, 0), 1.5).reshape(film.shape),
        lambda film: film[::2],
    ],
    ids=["crf35", "half", "double", "brighter", "paler", "blurred", "fewer frames"],
)
def test_changed_film_matches(change) -> None:  # type: ignore[no-untyped-def]
    film = change(FILM)
    found = match(fingerprint(batches(film, fps=8.0 * len(film) / len(FILM))), HASHES)
    assert found.similarity == 1.0
    assert found.matched_seconds == found.usable_seconds == 3
    assert found.offset == 0.0
    assert not found.flipped
    assert not found.flat


def test_mirrored_film_matches_and_says_so() -> None:
    found = match(fingerprint(batches(FILM[:, :, ::-1])), HASHES)
    assert found.similarity == 1.0
    assert found.flipped


def test_other_films_do_not_match() -> None:
    for seed in range(10, 30):
        found = match(fingerprint(batches(textured(count=8, size=(180, 320), seed=seed))), HASHES)
        assert found.matched_seconds == 0
        assert found.distance > 80


def test_part_of_a_film_is_found_with_its_offset() -> None:
    film = textured(count=48, size=(180, 320), seed=5, pan=12)
    whole = fingerprint(batches(film))
    part = fingerprint(batches(np.concatenate([film[24:40], textured(count=8, size=(180, 320), seed=77)])))
    found = match(part, whole)
    assert (found.matched_seconds, found.usable_seconds) == (2, 3)
    assert found.offset == 3.0


def test_static_and_short_films() -> None:
    still = np.repeat(FILM[:1], 20, axis=0)
    hashes = fingerprint(batches(still))
    assert len({item.bits for item in hashes}) == 1
    assert match(hashes, hashes).similarity == 1.0
    assert match(hashes, hashes).offset == 0.0
    assert len(fingerprint(batches(FILM[:1]))) == 1


def test_flat_film_is_said_to_be_flat() -> None:
    black = np.zeros((9, 64, 64, 3), dtype=np.uint8)
    hashes = fingerprint(batches(black))
    assert all(item.quality == 0 for item in hashes)
    assert match(hashes, HASHES).flat
    cartoon = fingerprint(batches(flat()))
    assert match(cartoon, cartoon).similarity == 1.0


def test_empty_and_broken_input() -> None:
    assert fingerprint([]) == ()
    assert match((), HASHES).similarity == 0.0
    assert match(HASHES, ()).similarity == 0.0
    film = batches(FILM[:3])
    film[0].times[1] = np.nan
    assert len(fingerprint(film)) == 1
    one_pixel = np.zeros((1, 1, 1, 3), dtype=np.uint8)
    assert fingerprint(batches(one_pixel))[0].quality == 0


def test_hamming() -> None:
    assert hamming(bytes(32), b"\xff" * 32) == 256
    assert hamming(bytes(32), bytes(31) + b"\x01") == 1
    with pytest.raises(ValueError, match="32 bytes"):
        hamming(b"", bytes(32))
    with pytest.raises(ValueError, match="bytes"):
        SecondHash(second=0.0, bits=b"short", quality=1)


def test_mirrored_hash_is_the_hash_of_the_mirrored_picture() -> None:
    frame = FILM[0]
    there = hash_picture(np.ascontiguousarray(frame[:, ::-1]))
    assert hamming(mirrored(hash_picture(frame).bits), there.bits) < 20
    assert mirrored(mirrored(there.bits)) == there.bits
