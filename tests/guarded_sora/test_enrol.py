"""Enrolment from files, faces and works through the guard, bulk import, and the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from guarded_sora import Blocked, GuardedSora, MediaError, UsageError
from guarded_sora.cli.main import cli
from guarded_sora.consent import give_consent, issue_token, revoke_consent
from guarded_sora.detectors.likeness import LikenessFrames
from guarded_sora.enrol import (
    add_clip_reference,
    add_face_pictures,
    add_reference,
    add_subject,
    stay_down,
)
from guarded_sora.policies.finding import RequestContext
from guarded_sora.registry_files import export_subjects, import_subjects
from guarded_sora.store import Kind, Standing, SubjectName
from tests.detectors.test_keyframes import scenery
from tests.detectors.test_likeness import Painted, near, person
from tests.guarded_sora.conftest import moving_scene

PROMPT = "a red balloon rising over a sandy beach"


def picture(path: Path, value: int, *, size: tuple[int, int] = (64, 64), **save: object) -> Path:
    Image.fromarray(np.full((size[1], size[0], 3), value, dtype=np.uint8)).save(path, **save)  # type: ignore[arg-type]
    return path


def token_for(sora: GuardedSora, subject: str) -> RequestContext:
    expires = time.time_ns() // 1_000_000 + 3_600_000
    grant = give_consent(
        sora.services, subject, actor="studio", scopes=("generate",), purpose="advert", expires_ms=expires
    )
    token = issue_token(sora.services.registry_keys, sora.services.keys.issuer, grant)
    return RequestContext(actor="studio", consents=(token,))


def test_a_protected_face_as_reference_picture_is_stopped_and_passes_with_consent(
    sora: GuardedSora, tmp_path: Path
) -> None:
    model = Painted({100: person(1), 101: near(1, 0.3)})
    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    assert add_face_pictures(sora.services, subject, [picture(tmp_path / "a.png", 100)], model=model) == 1
    faced = GuardedSora(replace(sora.services, frame_checks=(LikenessFrames(model, sora.services.registry),)))
    asked = picture(tmp_path / "b.png", 101)
    with pytest.raises(Blocked) as caught:
        faced.generate(PROMPT, image=asked, seconds=1)
    assert "likeness-registered" in [rule.id for rule in caught.value.decision.rules]
    (finding,) = caught.value.decision.findings
    assert (finding.subject, finding.modality.value) == (subject, "image")
    target = tmp_path / "clip.mp4"
    context = token_for(sora, subject)
    release = faced.generate(PROMPT, image=asked, seconds=1, context=context, output=target)
    assert release.decision.action == "allow"
    (grant,) = sora.services.grants.grants()
    assert {check.name: check.result for check in release.checks}[
        "consent"
    ] == f"live, grant {grant.grant_id}"
    assert [use.clip_id for use in sora.services.grants.uses(grant.grant_id)] == [release.clip_id]
    assert b"grantSha256" in manifest_of(faced, target)
    assert faced.verify(target).notices == ()
    revoke_consent(faced.services, grant.grant_id)
    verdict = faced.verify(target)
    assert (verdict.verdict, verdict.notices) == ("ours_intact", ("consent_withdrawn",))
    with pytest.raises(Blocked):
        faced.generate(PROMPT, image=asked, seconds=1, context=context)


def manifest_of(sora: GuardedSora, path: Path) -> bytes:
    legs = {item.kind: item for item in sora.verify(path).evidence}
    return sora.services.store.manifest(str(legs["credentials"].detail["label"])) or b""


def test_what_a_person_consented_to_stands_nowhere_as_a_picture(
    sora: GuardedSora, home: Path, tmp_path: Path
) -> None:
    """Neither the picture that was given nor a still of the film made from it, in manifest or database."""
    shown = tmp_path / "shown.png"
    Image.fromarray(scenery(5)).save(shown)
    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    prompts = {"with.mp4": "Rosalind Quillfeather walks along a pier", "without.mp4": PROMPT}
    context = token_for(sora, subject)
    for name, prompt in prompts.items():
        sora.generate(prompt, image=shown, seconds=1, output=tmp_path / name, context=context)
    jpeg = b"\xff\xd8\xff"
    assert jpeg in manifest_of(sora, tmp_path / "without.mp4")
    assert jpeg not in manifest_of(sora, tmp_path / "with.mp4")
    dump = b"".join(file.read_bytes() for file in home.glob("*.db*"))
    png = shown.read_bytes()
    for secret in (b"Quillfeather", b"Rosalind", *(png[place : place + 48] for place in (60, 5000, 20_000))):
        assert secret not in dump


def test_no_embedding_and_no_picture_stand_in_a_dump(sora: GuardedSora, home: Path, tmp_path: Path) -> None:
    embedding = person(1)
    source = picture(tmp_path / "a.png", 100)
    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    add_face_pictures(sora.services, subject, [source], model=Painted({100: embedding}))
    dump = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    from guarded_sora.detectors.templates import protect_template

    template = protect_template(embedding, sora.services.registry.template_key())
    for secret in (
        embedding.tobytes()[:32],
        embedding.astype(np.float32).tobytes()[:16],
        template[:16],
        source.read_bytes()[:64],
        b"Quillfeather",
    ):
        assert secret not in dump
    kept = sora.services.registry.faces("painted-1")
    assert kept.templates.tobytes() == template


@pytest.mark.parametrize(("value", "word"), [(0, "no face was found"), (150, "2 faces were found")])
def test_a_picture_without_exactly_one_face_enrols_nobody(
    sora: GuardedSora, tmp_path: Path, value: int, word: str
) -> None:
    class Two(Painted):
        def faces(self, frame):  # type: ignore[no-untyped-def]
            return 2 * super().faces(frame)

    subject = add_subject(sora.services, Kind.PERSON, [SubjectName(text="Rosalind Quillfeather")])
    with pytest.raises(UsageError, match=word):
        add_face_pictures(
            sora.services, subject, [picture(tmp_path / "a.png", value)], model=Two({150: person(1)})
        )
    assert not sora.services.registry.enrolled()


def test_pictures_that_cannot_be_used_are_one_clear_error_each(sora: GuardedSora, tmp_path: Path) -> None:
    subject = add_subject(sora.services, Kind.WORK, [SubjectName(text="The Quiet Harbour")])
    with pytest.raises(UsageError, match="tell it from others"):
        add_reference(sora.services, subject, picture(tmp_path / "plain.png", 128))
    huge = tmp_path / "huge.png"
    Image.new("L", (12_000, 9_000)).save(huge)
    with pytest.raises(MediaError, match="more than"):
        add_reference(sora.services, subject, huge)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(MediaError):
        add_reference(sora.services, subject, broken)
    with pytest.raises(MediaError, match="is not a file"):
        add_reference(sora.services, subject, tmp_path / "none.mp4")
    moving = [Image.fromarray(frame) for frame in moving_scene(5, frames=3)]
    animated = tmp_path / "animated.gif"
    moving[0].save(animated, save_all=True, append_images=moving[1:])
    assert add_reference(sora.services, subject, animated) > 0


def test_a_registered_work_is_stopped_as_picture_and_passes_for_its_owner(
    sora: GuardedSora, tmp_path: Path
) -> None:
    still = tmp_path / "still.png"
    Image.fromarray(moving_scene(41, frames=1)[0]).save(still)
    subject = add_subject(
        sora.services, Kind.WORK, [SubjectName(text="The Quiet Harbour")], terms="all rights"
    )
    add_reference(sora.services, subject, still)
    smaller = tmp_path / "smaller.jpg"
    Image.open(still).resize((180, 180)).save(smaller, quality=60)
    with pytest.raises(Blocked) as caught:
        sora.generate(PROMPT, image=smaller, seconds=1)
    assert "ip-work" in [rule.id for rule in caught.value.decision.rules]
    context = token_for(sora, subject)
    assert sora.generate(PROMPT, image=smaller, seconds=1, context=context).path.is_file()


def test_a_part_of_a_registered_work_is_stopped_as_picture(sora: GuardedSora, tmp_path: Path) -> None:
    """A crop that no whole-frame hash recognises; the record says what was looked for."""
    still, part, other = (tmp_path / name for name in ("still.png", "part.jpg", "other.png"))
    Image.fromarray(scenery(1)).save(still)
    Image.fromarray(np.ascontiguousarray(scenery(1)[50:210, 60:290, :])).save(part, quality=70)
    Image.fromarray(scenery(2)).save(other)
    subject = add_subject(sora.services, Kind.WORK, [SubjectName(text="The Quiet Harbour")])
    add_reference(sora.services, subject, still)
    with pytest.raises(Blocked) as caught:
        sora.generate(PROMPT, image=part, seconds=1)
    assert "ip-work" in [rule.id for rule in caught.value.decision.rules]
    (finding,) = [item for item in caught.value.decision.findings if item.subject == subject]
    assert finding.evidence.startswith("1 of 1 seconds show a part of registered image 1")
    release = sora.generate(PROMPT, image=other, seconds=1)
    (run, *_) = [check for check in release.checks if check.name == "frames.works"]
    assert (run.result or "").endswith("parts of 1 pictures looked for")


def test_what_was_taken_down_stays_down(sora: GuardedSora, tmp_path: Path) -> None:
    # Where a label is drawn into the film, what is made again without one is further away.
    context = RequestContext(age_tier="adult", region="US")
    first = sora.generate(PROMPT, seconds=1, seed=9, output=tmp_path / "a.mp4", context=context)
    subject = stay_down(sora.services, first.clip_id)
    with pytest.raises(Blocked):
        sora.generate("a quiet lake", seconds=1, seed=9, output=tmp_path / "b.mp4", context=context)
    assert stay_down(sora.services, first.clip_id) == subject
    assert add_clip_reference(sora.services, subject, first.clip_id) > 0


def test_import_and_export_carry_names_both_ways(sora: GuardedSora, tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text(
        "kind,name,aliases,standing,descriptions\n"
        'person,Rosalind Quillfeather,"R. Quillfeather;ローザ・クイル",public,\n'
        "character,Captain Brambletoe,,,the hedgehog who sails the moon\n",
        encoding="utf-8",
    )
    done = import_subjects(sora.services, source)
    assert (done.added, done.known) == (2, 0)
    assert (import_subjects(sora.services, source).added) == 0
    person_found, character = sora.services.registry.subjects()
    assert [name.text for name in person_found.names][1:] == ["R. Quillfeather", "ローザ・クイル"]
    assert person_found.standing is Standing.PUBLIC and character.names[1].description
    for name in ("out.jsonl", "out.csv"):
        target = tmp_path / name
        assert export_subjects(sora.services, target) == 2
        assert target.stat().st_mode & 0o077 == 0
        assert import_subjects(sora.services, target).known == 2
        with pytest.raises(UsageError, match="cannot be written"):
            export_subjects(sora.services, target)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "kind,name\nperson,\n", "Line 2"),
        ("a.csv", "kind,name\nghost,Casper\n", "Line 2"),
        ("a.csv", "name\nx\n", "needs a first line"),
        ("a.csv", "kind,name\nperson,a,b,c\n", "Line 2"),
        ("a.csv", "", "needs a first line"),
        ("a.jsonl", '{"kind":"person","name":"Ada Lark"}\n{"kind":', "Line 2"),
        ("a.jsonl", "[1]\n", "Line 1"),
        ("a.jsonl", '{"kind":"person","name":"Ada Lark","aliases":[1]}', "Line 1"),
        ("a.jsonl", '{"kind":"person","name":3}', "Line 1"),
        ("a.txt", "x", "must end in"),
    ],
)
def test_a_file_that_cannot_be_imported_enrols_nobody(
    sora: GuardedSora, tmp_path: Path, name: str, content: str, line: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageError, match=line):
        import_subjects(sora.services, path)
    assert sora.services.registry.subjects() == ()


def test_the_command_line_registers_grants_and_revokes(home: Path, film: Callable[..., Path]) -> None:
    runner = CliRunner()

    def call(*arguments: str) -> dict[str, object]:
        result = runner.invoke(
            cli, ["registry", *arguments, "--json", "--home", str(home)], standalone_mode=False
        )
        assert result.exception is None, result.exception
        return json.loads(result.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    added = call("person", "add", "Rosalind Quillfeather", "--alias", "ローザ", "--standing", "minor")
    assert call("person", "list")["standing"] == "minor"
    subject = str(added["subject_id"])
    granted = call("consent", "grant", subject, "--to", "studio", "--purpose", "advert", "--uses", "2")
    assert str(granted["token"]).count(".") == 2
    assert str(call("consent", "token", str(granted["grant_id"]), "--hours", "1")["token"]).count(".") == 2
    assert call("consent", "revoke", str(granted["grant_id"]))["clips"] == []
    assert call("consent", "list", subject)["revoked"] == "withdrawn"
    work = call("work", "add", "The Quiet Harbour", "--reference", str(film("work.mp4", frames=16)))
    assert work["references"] == 1
    assert call("person", "remove", subject)["removed"] is True
