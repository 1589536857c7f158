"""Faces that cannot be compared end in one clear outcome each, and never in a silent pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text, update

from guarded_sora import Blocked, GuardedSora, MediaError, ReviewRequired, UsageError
from guarded_sora.detectors.faces import DlibFaces
from guarded_sora.detectors.likeness import LikenessFrames
from guarded_sora.enrol import add_face_pictures, add_subject
from guarded_sora.generation.contract import Clip, GenerationRequest, OnStep
from guarded_sora.store import Kind, SubjectName
from guarded_sora.store.registry_tables import face_templates
from tests.detectors.test_likeness import Painted, person
from tests.guarded_sora.conftest import Painter

PROMPT = "a red balloon rising over a sandy beach"
_SIDEWAYS = 6  # EXIF orientation: turn a quarter clockwise to see it upright


class Upright(Painted):
    """Sees a face only over a black lower half: a drawn film, whose colours are chance, never has one."""

    def faces(self, frame: np.ndarray) -> list:  # type: ignore[type-arg]
        half = len(frame) // 2
        return list(super().faces(frame)) if frame[:half].any() and not frame[half:].any() else []


def shown(path: Path, *, quarter: int = 0, orientation: int = 1, people: int = 1) -> Path:
    """A picture of one or more people, colours from 100 on, over a black half before it is turned."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    for number in range(people):
        pixels[:32, number * 64 // people : (number + 1) * 64 // people] = 100 + number
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels, quarter))).save(path, exif=exif)
    return path


@pytest.fixture
def enrolled(sora: GuardedSora, tmp_path: Path) -> tuple[GuardedSora, str]:
    """A house with one person enrolled, whose face has the colour 100."""
    model = Upright({100 + number: person(1 + number) for number in range(40)})
    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    add_face_pictures(sora.services, subject, [shown(tmp_path / "enrol.png")], model=model)
    check = LikenessFrames(model, sora.services.registry)
    return GuardedSora(replace(sora.services, frame_checks=(check,))), subject


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("upright", {}),
        ("on its side", {"quarter": 1}),
        ("on its head", {"quarter": 2}),
        ("sideways, and EXIF says so", {"quarter": 1, "orientation": _SIDEWAYS}),
        ("one of forty", {"people": 40}),
    ],
)
def test_a_protected_face_is_stopped_however_the_picture_lies(
    enrolled: tuple[GuardedSora, str], tmp_path: Path, name: str, given: dict[str, int]
) -> None:
    sora, subject = enrolled
    with pytest.raises(Blocked) as caught:
        sora.generate(PROMPT, image=shown(tmp_path / "asked.png", **given), seconds=1)
    assert subject in {item.subject for item in caught.value.decision.findings}
    assert "likeness-registered" in [rule.id for rule in caught.value.decision.rules]


def test_a_picture_without_a_face_passes_and_the_record_says_none(
    enrolled: tuple[GuardedSora, str], tmp_path: Path
) -> None:
    sora, _ = enrolled
    plain = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), (30, 30, 30)).save(plain)
    release = sora.generate(PROMPT, image=plain, seconds=1)
    (first, *_) = [run for run in release.checks if run.name == "frames.likeness"]
    assert "0 faces" in (first.result or "")


def test_pictures_that_no_face_can_be_read_from_are_refused_at_both_doors(
    enrolled: tuple[GuardedSora, str], tmp_path: Path
) -> None:
    sora, subject = enrolled
    huge, broken = tmp_path / "huge.png", tmp_path / "broken.png"
    Image.new("L", (12_000, 9_000)).save(huge)
    broken.write_bytes(shown(tmp_path / "whole.png").read_bytes()[:60])
    for bad, words in ((huge, "more than"), (broken, "picture|image|read")):
        with pytest.raises(MediaError, match=words):
            sora.generate(PROMPT, image=bad, seconds=1)
        with pytest.raises(MediaError, match=words):
            add_face_pictures(sora.services, subject, [bad], model=Upright({}))


def test_of_an_animated_picture_the_first_frame_counts_for_check_and_film_alike(
    enrolled: tuple[GuardedSora, str], tmp_path: Path
) -> None:
    sora, subject = enrolled
    face, plain = Image.open(shown(tmp_path / "face.png")), Image.new("RGB", (64, 64), (30, 30, 30))
    first, later = tmp_path / "first.webp", tmp_path / "later.webp"
    face.save(first, save_all=True, append_images=[plain], lossless=True)
    plain.save(later, save_all=True, append_images=[face], lossless=True)
    with pytest.raises(Blocked) as caught:
        sora.generate(PROMPT, image=first, seconds=1)
    assert subject in {item.subject for item in caught.value.decision.findings}
    given: list[np.ndarray] = []

    class Remembering(Painter):
        def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
            assert request.image is not None
            given.append(request.image)
            return super().generate(request, on_step)

    GuardedSora(replace(sora.services, backend=Remembering)).generate(PROMPT, image=later, seconds=1)
    assert given and int(given[0].max()) == 30


def _older(sora: GuardedSora) -> None:
    with sora.services.engine.begin() as connection:
        connection.execute(update(face_templates).values(model="painted-0"))
        connection.execute(text("UPDATE registry_state SET revision = revision + 1"))


def _corrupt(sora: GuardedSora) -> None:
    with sora.services.engine.begin() as connection:
        connection.execute(update(face_templates).values(sealed=b"no template at all"))
        connection.execute(text("UPDATE registry_state SET revision = revision + 1"))


@pytest.mark.parametrize("harm", [_older, _corrupt])
def test_templates_that_cannot_be_compared_fail_the_check_and_a_person_decides(
    enrolled: tuple[GuardedSora, str], tmp_path: Path, harm: Callable[[GuardedSora], None]
) -> None:
    sora, _ = enrolled
    harm(sora)
    with pytest.raises(ReviewRequired) as caught:
        sora.generate(PROMPT, image=shown(tmp_path / "asked.png"), seconds=1)
    (run,) = [item for item in caught.value.decision.checks if item.name == "frames.likeness"]
    assert run.state == "failed"


@pytest.mark.slow
def test_a_real_face_is_known_again_and_another_picture_is_not(sora: GuardedSora, tmp_path: Path) -> None:
    """With the packaged model: the portrait mirrored, small and compressed; and a picture of nobody."""
    if DlibFaces().unavailable:
        pytest.skip("the extra [faces] is not installed: pip install 'guarded-sora[faces]'")
    data = pytest.importorskip("skimage.data", reason="pip install 'guarded-sora[dev]'")
    portrait, asked, nobody = (tmp_path / name for name in ("portrait.png", "asked.jpg", "nobody.png"))
    Image.fromarray(data.astronaut()).save(portrait)
    Image.fromarray(np.ascontiguousarray(data.astronaut()[:, ::-1])).resize((360, 360)).save(
        asked, quality=60
    )
    Image.fromarray(data.coffee()).save(nobody)
    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    assert add_face_pictures(sora.services, subject, [portrait]) == 1
    with pytest.raises(UsageError, match="no face was found"):
        add_face_pictures(sora.services, subject, [nobody])
    with pytest.raises(Blocked) as caught:
        sora.generate(PROMPT, image=asked, seconds=1)
    assert "likeness-registered" in [rule.id for rule in caught.value.decision.rules]
    (finding,) = [item for item in caught.value.decision.findings if item.subject == subject]
    assert finding.modality.value == "image"
    release = sora.generate(PROMPT, image=nobody, seconds=1)
    (first, *_) = [run for run in release.checks if run.name == "frames.likeness"]
    assert "0 faces" in (first.result or "")
