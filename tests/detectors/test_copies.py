"""Copies: registered seconds are found again, strangers are not, and plain pictures say nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from guarded_sora.detectors.copies import WITHIN, WorksFrames
from guarded_sora.detectors.fingerprint import SecondHash, fingerprint, hamming
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.gallery import WorkHashes, WorkHit, WorkKeyframes, WorkReference
from guarded_sora.detectors.keyframes import Keyframe, Still, describe
from tests.detectors.test_keyframes import scenery
from tests.guarded_sora.conftest import moving_scene


class Works:
    """An index in memory; a ``large`` one is searched within 31 bits only."""

    large = False

    many = False
    stale = 0
    keyframes: tuple[Keyframe, ...] = ()

    def __init__(self, *hashes: Sequence[SecondHash]) -> None:
        self.works = [
            WorkReference(reference=number, subject=f"work-{number}", kind="clip", hashes=tuple(item))
            for number, item in enumerate(hashes)
        ]

    def registered(self) -> bool:
        return bool(self.works)

    def works_version(self) -> str:
        return "1"

    def work_hashes(self, *, most: int) -> WorkHashes | None:
        every = [
            (work.reference, place, item) for work in self.works for place, item in enumerate(work.hashes)
        ]
        if self.large or len(every) > most:
            return None
        bits = b"".join(item.bits for _, _, item in every)
        return WorkHashes(
            bits=np.frombuffer(bits, dtype=np.uint64).reshape(-1, 4),
            references=tuple(reference for reference, _, _ in every),
            positions=tuple(place for _, place, _ in every),
        )

    def work_keyframes(self, *, most: int) -> WorkKeyframes | None:
        if self.many:
            return None
        references = tuple(range(len(self.keyframes)))
        return WorkKeyframes(keyframes=self.keyframes, references=references, stale=self.stale)

    def resembling_works(self, bits: bytes, *, within: int) -> Sequence[WorkHit]:
        return [
            WorkHit(reference=work.reference, position=position, distance=hamming(bits, item.bits))
            for work in self.works
            for position, item in enumerate(work.hashes)
            if hamming(bits, item.bits) <= within
        ]

    def work(self, reference: int) -> WorkReference | None:
        return self.works[reference]


def film(seed: int, *, seconds: int = 3) -> FrameBatch:
    frames = moving_scene(seed, frames=8 * seconds)
    return FrameBatch(frames=frames, times=np.arange(len(frames)) / 8.0, fps=8.0)


def joined(*parts: FrameBatch) -> FrameBatch:
    frames = np.concatenate([part.frames for part in parts])
    return FrameBatch(frames=frames, times=np.arange(len(frames)) / 8.0, fps=8.0)


def test_a_registered_clip_is_found_inside_another_film_with_its_seconds() -> None:
    check = WorksFrames(Works(fingerprint([film(1)]), fingerprint([film(2)])))
    (finding,) = check.inspect_film([joined(film(7), film(2), film(8))]).findings
    assert (finding.category, finding.severity, finding.subject) == ("ip.work", 3, "work-1")
    assert finding.evidence.startswith("3 of 9 seconds")
    assert finding.where is not None and (finding.where.start, finding.where.end) == (3.0, 6.0)  # type: ignore[union-attr]


def test_a_mirrored_copy_is_found_and_strangers_are_not() -> None:
    check = WorksFrames(Works(fingerprint([film(1)])))
    mirror = film(1)
    flipped = FrameBatch(frames=np.ascontiguousarray(mirror.frames[:, :, ::-1]), times=mirror.times, fps=8.0)
    (finding,) = check.inspect_film([flipped]).findings
    assert "mirrored" in finding.evidence
    for seed in range(20, 32):
        assert check.inspect_film([film(seed, seconds=1)]).findings == ()


def test_a_logo_is_forgiven_where_the_register_is_small_enough_to_compare_whole() -> None:
    reference = film(3, seconds=2)
    marked = reference.frames.copy()
    marked[:, 10:24, 212:246] = 235
    logo = FrameBatch(frames=marked, times=reference.times, fps=8.0)
    distances = [
        hamming(a.bits, b.bits) for a, b in zip(fingerprint([logo]), fingerprint([reference]), strict=True)
    ]
    assert 31 < min(distances) <= 60
    works = Works(fingerprint([reference]))
    assert [item.subject for item in WorksFrames(works).inspect_film([logo]).findings] == ["work-0"]
    works.large = True
    assert WorksFrames(works).inspect_film([logo]).findings == ()
    assert WorksFrames(works).inspect_film([reference]).findings


def test_plain_pictures_match_nobody_and_the_record_says_so() -> None:
    black = FrameBatch(frames=np.zeros((8, 64, 64, 3), dtype=np.uint8), times=np.arange(8) / 8.0, fps=8.0)
    report = WorksFrames(Works(fingerprint([black]))).inspect_film([black])
    assert report.findings == ()
    assert report.result == "0 seconds compared, 1 too plain to tell"
    assert report.score is None


def test_a_picture_matches_a_second_of_a_clip() -> None:
    picture = film(3, seconds=1).frames[4:5]
    held = FrameBatch(frames=picture.repeat(8, axis=0), times=np.arange(8) / 8.0, fps=8.0)
    check = WorksFrames(Works(fingerprint([held])))
    still = FrameBatch(frames=picture, times=np.zeros(1), fps=1.0)
    found = check.inspect(still)
    assert [item.modality.value for item in found] == ["image"]
    assert WITHIN == 31


def shown(picture: np.ndarray, *, seconds: int = 1) -> FrameBatch:
    count = 8 * seconds if seconds > 1 else 1
    return FrameBatch(frames=np.repeat(picture[None], count, axis=0), times=np.arange(count) / 8.0, fps=8.0)


def registered(*pictures: np.ndarray) -> Works:
    works = Works(*(fingerprint([shown(picture)]) for picture in pictures))
    works.keyframes = tuple(describe(Still(second=0.0, luma=picture[..., 0])) for picture in pictures)
    return works


def test_a_part_of_a_registered_picture_is_found_where_no_hash_is_near() -> None:
    works = registered(scenery(1), scenery(2))
    part = np.ascontiguousarray(scenery(2)[60:200, 40:300])
    assert not works.resembling_works(fingerprint([shown(part)])[0].bits, within=60)
    report = WorksFrames(works).inspect_film([shown(part, seconds=3)])
    (finding,) = report.findings
    assert (finding.category, finding.severity, finding.subject) == ("ip.work", 3, "work-1")
    assert finding.evidence.startswith("3 of 3 seconds show a part of registered clip 1, ")
    assert finding.where is not None and (finding.where.start, finding.where.end) == (0.0, 3.0)  # type: ignore[union-attr]
    assert report.result.endswith("parts of 2 pictures looked for")
    assert WorksFrames(works).inspect(shown(part))[0].modality.value == "image"


def test_a_picture_that_its_hash_gives_away_is_one_finding() -> None:
    works = registered(scenery(1), scenery(2))
    (finding,) = WorksFrames(works).inspect(shown(scenery(1)))
    assert finding.evidence == "1 of 1 seconds are in registered clip 0"


def test_parts_that_were_not_looked_for_are_said() -> None:
    works = registered(scenery(1))
    works.stale = 3
    result = WorksFrames(works).inspect_film([shown(scenery(3))]).result
    assert result.endswith("parts of 1 pictures looked for, 3 described by an older version left out")
    works.many = True
    result = WorksFrames(works).inspect_film([shown(scenery(3))]).result
    assert result.endswith("parts not looked for, more than 5000 pictures are registered")


def test_without_a_reference_the_check_says_so() -> None:
    assert "no protected work" in WorksFrames(Works()).unavailable


def test_faiss_answers_exactly_what_comparing_everything_answers() -> None:
    pytest.importorskip("faiss", reason="pip install guarded-sora[search]")
    random = np.random.default_rng(5)
    base = random.integers(0, 2, 256, dtype=np.uint8)
    rows = []
    for number in range(200):
        other = base.copy()
        other[random.choice(256, number % 100, replace=False)] ^= 1
        rows.append(np.packbits(other).tobytes())
    plain = WorkHashes(
        bits=np.frombuffer(b"".join(rows), dtype=np.uint64).reshape(-1, 4),
        references=tuple(range(200)),
        positions=(0,) * 200,
    )
    probe = np.packbits(base).tobytes()
    for within in (0, 31, 60):
        found = plain.indexed().resembling(probe, within=within)
        assert found == plain.resembling(probe, within=within)
        assert [item.distance for item in found] == sorted(item.distance for item in found)
        assert len(found) == 2 * (within + 1)
    empty = WorkHashes(bits=np.zeros((0, 4), dtype=np.uint64), references=(), positions=())
    assert empty.indexed().resembling(probe, within=60) == []
