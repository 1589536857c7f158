"""Faces: templates that can be compared and not looked at, bounds, and one clear outcome each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.faces import DlibFaces, Face, turned
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.gallery import ProtectedFaces
from guarded_sora.detectors.likeness import SAME_PERSON, LikenessFrames, TemplatesStale, bound
from guarded_sora.detectors.templates import (
    TEMPLATE_BYTES,
    TEMPLATE_WORDS,
    angle_share,
    protect_template,
    template_distances,
)
from guarded_sora.policies.finding import Box, Modality

KEY = bytes(range(32))


def person(number: int) -> np.ndarray:
    """An embedding of the length that the packaged model gives."""
    vector = np.random.default_rng(number).normal(size=128)
    return vector / np.linalg.norm(vector) * 1.4


def near(number: int, distance: float) -> np.ndarray:
    """Another picture of the same person: at this Euclidean distance, on the same sphere."""
    base, other = person(number), person(number + 10_000)
    other -= other @ base / (base @ base) * base
    angle = 2 * np.arcsin(distance / 2.8)
    return base * np.cos(angle) + other / np.linalg.norm(other) * 1.4 * np.sin(angle)


class Painted:
    """A face model that takes a coloured square for a face: the colour says whose."""

    name = "painted-1"
    unavailable = ""
    weights_sha256 = "0" * 64

    def __init__(self, people: dict[int, np.ndarray]) -> None:
        self.people = people

    def faces(self, frame: np.ndarray) -> Sequence[Face]:
        seen = [int(value) for value in np.unique(frame[..., 0]) if int(value) in self.people]
        box = Box(left=1.0, top=2.0, right=3.0, bottom=4.0)
        return [Face(box=box, embedding=self.people[value]) for value in seen]


class Enrolled:
    """A gallery in memory."""

    def __init__(self, people: dict[str, np.ndarray], *, stale: int = 0) -> None:
        self.people = people
        self.stale = stale
        self.version = "1"

    def enrolled(self) -> bool:
        return bool(self.people)

    def gallery_version(self) -> str:
        return self.version

    def template_key(self) -> bytes:
        return KEY

    def faces(self, model: str) -> ProtectedFaces:
        blobs = b"".join(protect_template(item, KEY) for item in self.people.values())
        return ProtectedFaces(
            version=self.version,
            templates=np.frombuffer(blobs, dtype=np.uint64).reshape(-1, TEMPLATE_WORDS),
            subjects=tuple(self.people),
            categories=("likeness.private",) * len(self.people),
            severities=(3,) * len(self.people),
            stale=self.stale,
        )


def film(*values: int) -> FrameBatch:
    frames = np.stack([np.full((40, 40, 3), value, dtype=np.uint8) for value in values])
    return FrameBatch(frames=frames, times=np.arange(len(values), dtype=np.float64), fps=1.0)


def test_template_distance_is_the_angle_and_another_key_makes_it_worthless() -> None:
    a, b = person(1), near(1, 0.5)
    kept = np.frombuffer(protect_template(a, KEY), dtype=np.uint64)[None]
    distance = float(template_distances(protect_template(b, KEY), kept)[0])
    assert distance == pytest.approx(angle_share(0.5, 1.4), abs=0.03)
    other = float(template_distances(protect_template(a, b"\x01" * 32), kept)[0])
    assert other == pytest.approx(0.5, abs=0.05)
    assert len(protect_template(a, KEY)) == TEMPLATE_BYTES


def test_a_template_holds_no_plain_number_of_the_embedding() -> None:
    embedding = person(2)
    template = protect_template(embedding, KEY)
    assert embedding.astype(np.float32).tobytes()[:8] not in template
    assert protect_template(embedding * 3.0, KEY) == template


def test_templates_are_the_same_on_every_machine() -> None:
    import hashlib

    digest = hashlib.sha256(protect_template(np.arange(1.0, 129.0), KEY)).hexdigest()
    assert digest == GOLDEN


GOLDEN = "4ab25ba7d0a42bd72f949d6f5d4967c64c527f75ed52540ed0f93cd78a78f1ec"


@pytest.mark.parametrize("bad", [np.zeros(128), np.zeros(0), np.full(128, np.nan), np.full(128, np.inf)])
def test_an_embedding_without_a_direction_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="embedding"):
        protect_template(bad, KEY)


def test_the_bound_tightens_with_the_gallery_and_is_never_looser_than_the_model() -> None:
    bounds = [bound(people) for people in (1, 10, 1000, 100_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] <= SAME_PERSON
    assert 0.0 < bounds[-1] < bounds[1]
    with pytest.raises(ValueError, match="rate"):
        bound(10, rate=0.0)


def test_an_enrolled_person_is_found_and_a_stranger_is_not() -> None:
    model = Painted({100: near(1, 0.35), 200: person(7)})
    check = LikenessFrames(model, Enrolled({"person-a": person(1), "person-b": person(2)}))
    report = check.inspect_film([film(0, 0, 100, 200)])
    (finding,) = report.findings
    assert (finding.subject, finding.severity, finding.modality) == ("person-a", 3, Modality.VIDEO)
    assert isinstance(finding.where, Box) and finding.where.time == 2.0
    assert report.result == "4 frames, 2 faces, 2 people enrolled"
    assert check.inspect(film(200)) == ()


def test_a_face_just_beyond_the_bound_asks_for_a_look() -> None:
    limit = bound(1)
    distance = 2.8 * np.sin(np.pi * limit * 1.05 / 2)
    report = LikenessFrames(Painted({9: near(1, distance)}), Enrolled({"p": person(1)})).inspect(film(9))
    assert [(item.subject, item.severity, item.modality) for item in report] == [("p", 1, Modality.IMAGE)]


def test_forty_faces_are_all_compared() -> None:
    people = {number: person(number) for number in range(1, 41)}
    frame = (
        np.repeat(np.arange(1, 41, dtype=np.uint8), 40)[None, :, None].repeat(40, axis=0).repeat(3, axis=2)
    )
    batch = FrameBatch(frames=frame[None], times=np.zeros(1), fps=1.0)
    report = LikenessFrames(Painted(people), Enrolled({"p": person(40)})).inspect_film([batch])
    assert [item.subject for item in report.findings] == ["p"]
    assert "40 faces" in report.result


def test_templates_of_an_older_model_are_no_silent_pass() -> None:
    check = LikenessFrames(Painted({}), Enrolled({"p": person(1)}, stale=2))
    with pytest.raises(TemplatesStale, match="enrol those people again"):
        check.inspect(film(0))


def test_the_gallery_is_read_again_when_it_changes() -> None:
    gallery = Enrolled({"p": person(1)})
    check = LikenessFrames(Painted({5: person(2)}), gallery)
    assert not check.inspect(film(5))
    gallery.people["q"] = person(2)
    assert not check.inspect(film(5))
    gallery.version = "2"
    assert [item.subject for item in check.inspect(film(5))] == ["q"]


def test_without_anybody_enrolled_the_check_says_so() -> None:
    assert LikenessFrames(Painted({}), Enrolled({})).unavailable == "nobody is enrolled"


def test_wrong_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    pytest.importorskip("dlib", reason="pip install 'guarded-sora[faces]'")
    from pathlib import Path

    bad = Path(str(tmp_path)) / "weights.dat"
    bad.write_bytes(b"not the weights")
    monkeypatch.setattr("guarded_sora.detectors.faces.installed_file", lambda *parts: bad)
    with pytest.raises(WeightsInvalid, match="not the pinned"):
        DlibFaces().faces(np.zeros((64, 64, 3), dtype=np.uint8))


@pytest.mark.slow
def test_the_packaged_model_knows_a_face_again_turned_and_small() -> None:
    model = DlibFaces()
    if model.unavailable:
        pytest.skip("the extra [faces] is not installed: pip install 'guarded-sora[faces]'")
    data = pytest.importorskip("skimage.data")
    picture = np.ascontiguousarray(data.astronaut())
    kept = np.frombuffer(protect_template(model.faces(picture)[0].embedding, KEY), dtype=np.uint64)[None]
    sideways = turned(model, np.ascontiguousarray(np.rot90(picture)))
    mirrored = model.faces(np.ascontiguousarray(picture[:, ::-1]))
    for faces in (sideways, mirrored):
        assert float(template_distances(protect_template(faces[0].embedding, KEY), kept)[0]) < SAME_PERSON
    assert not model.faces(np.ascontiguousarray(data.coffee()))
    assert not model.faces(np.zeros((3, 5000, 3), dtype=np.uint8))
