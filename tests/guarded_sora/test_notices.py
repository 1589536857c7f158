"""A notice from outside: its copies, what takes them down, what keeps them down, and the whole story."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import Blocked, GuardedSora, MediaError, Release, StageFailed, UsageError
from guarded_sora.audit.errors import Conflict
from guarded_sora.audit.export import write_verifier
from guarded_sora.copies import Wanted, find_copies
from guarded_sora.decisions import carry_out, decide_case
from guarded_sora.detectors.fingerprint import fingerprint
from guarded_sora.dossier import make_dossier
from guarded_sora.finish import look_at
from guarded_sora.media import ClipFrames, FrameStream, encode
from guarded_sora.notices import (
    Complaint,
    answer_notice,
    known_copies,
    look_for_copies,
    pack_hashes,
    receive_notice,
    unpack_hashes,
    wanted_of,
)
from guarded_sora.reasons import batches, reasons_for
from guarded_sora.store import ClipState
from guarded_sora.transparency_report import as_csv, transparency_report
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.store.test_clips import hashes

PROMPT = "a red balloon rising over a sandy beach"


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedSora]:
    """One installation whose films are different in every test."""
    with GuardedSora.open(home=tmp_path_factory.mktemp("notices") / "home", backend=Painter()) as opened:
        yield opened


def frames_of(sora: GuardedSora, path: Path) -> np.ndarray:
    return np.concatenate([batch.frames for batch in FrameStream(path, sora.services.worker)])


def reencoded(frames: np.ndarray) -> np.ndarray:
    return frames


def cropped(frames: np.ndarray) -> np.ndarray:
    return frames[:, 20:240, 10:230]


def flipped(frames: np.ndarray) -> np.ndarray:
    return frames[:, :, ::-1]


def shifted(frames: np.ndarray) -> np.ndarray:
    return frames[:, 10:250, 16:240]


def copy_of(
    sora: GuardedSora, release: Release, target: Path, edit: Callable[[np.ndarray], np.ndarray]
) -> Path:
    target.parent.mkdir(exist_ok=True)
    edited = np.ascontiguousarray(edit(frames_of(sora, release.path)))
    encode(ClipFrames(edited, 8.0), target, fps=8.0, crf=24)
    return target


def test_a_notice_finds_the_copies_keeps_them_down_and_tells_it_all(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    """The three copies are found, a fourth one is refused, and one dossier proves it offline."""
    services, library = sora.services, tmp_path / "library"
    release = sora.generate(PROMPT, seconds=4, seed=11)
    for edit in (reencoded, cropped, flipped):
        copy_of(sora, release, library / f"{edit.__name__}.mp4", edit)
    film("stranger.mp4", seed=5, frames=32).rename(library / "stranger.mp4")
    (library / "broken.mp4").write_bytes(b"no film")

    received = receive_notice(
        services,
        Complaint(
            claim="likeness",
            by="person",
            jurisdiction="IN",
            about=f"it is {release.clip_id}, I think",
            statement="that is me",
            contact="ann@example.org",
        ),
        folders=[library],
    )
    case_id = received.notice.case_id
    assert received.notice.clock.hours == 36
    found = {copy.path.name: copy.by for copy in received.found.copies if copy.path and copy.by != "file"}
    assert found == {"reencoded.mp4": "fingerprint", "cropped.mp4": "watermark", "flipped.mp4": "fingerprint"}
    assert [path.name for path in received.found.failed] == ["broken.mp4"]

    done = decide_case(services, case_id, "block", reviewer="reviewer-rita", reason_code="likeness")
    assert done.clips == (release.clip_id,) and len(done.elsewhere) == 3
    assert not release.path.exists(), "our own copy is out of the way"

    fourth = copy_of(sora, release_at(done.moved[0], release), tmp_path / "fourth.mp4", shifted)
    target = tmp_path / "again.mp4"
    with pytest.raises(Blocked) as refused:
        sora.protect(fourth, prompt=PROMPT, output=target)
    assert [rule.id for rule in refused.value.decision.decisive] == ["stay-down"] and not target.exists()
    with pytest.raises(Blocked):  # generated anew, without any mark
        sora.generate(PROMPT, seconds=4, seed=11, output=target)
    verdict = sora.verify(fourth)
    assert "stay_down" in verdict.notices and verdict.clip_id == release.clip_id

    statement = reasons_for(services, case_id, territories=("DE",))
    assert statement["source_type"] == "SOURCE_ARTICLE_16"
    assert "taken down" in answer_notice(services, case_id, actor="reviewer-rita")

    made = make_dossier(services, case_id, tmp_path / "story.zip", role="court", viewer="reviewer-olga")
    key = tmp_path / "key.vkey"
    key.write_text(services.log.vkey)
    verifier = tmp_path / "verifier.pyz"
    write_verifier(verifier)
    checked = subprocess.run(
        [sys.executable, str(verifier), str(made.path), "--key", str(key)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    answer = json.loads(checked.stdout)
    assert checked.returncode == 0 and answer["holds"], checked
    assert answer["about"] == f"case {case_id}" and answer["policies"] == 1 and answer["payloads"] >= 4
    with zipfile.ZipFile(made.path) as archive:
        kinds = [json.loads(line)["entry"]["kind"] for line in archive.open("entries.jsonl")]
        page = archive.read("page.html").decode()
    story = [
        "request.intent",
        "request.released",
        "case.opened",
        "notice.copies",
        "case.decided",
        "notice.taken_down",
        "stay_down.refused",
        "request.blocked",
        "case.reasons",
        "notice.answered",
    ]
    places = [kinds.index(kind) for kind in story]
    assert places == sorted(places) and kinds.count("stay_down.refused") == 2
    assert "that is me" in page and "refused, known by its" in page and "<script" not in page


def release_at(path: Path, release: Release) -> Any:
    from dataclasses import replace

    return replace(release, path=path)


def notice_about(sora: GuardedSora, release: Release, **more: Any) -> str:
    complaint = Complaint(claim="likeness", about=str(release.clip_id), statement="that is me", **more)
    return receive_notice(sora.services, complaint).notice.case_id


def test_an_appeal_lets_back_what_a_notice_took_down(sora: GuardedSora, tmp_path: Path) -> None:
    services = sora.services
    release = sora.generate(PROMPT, seconds=1, seed=21)
    case_id = notice_about(sora, release)
    with pytest.raises(UsageError, match="notice"):
        sora.release_case(case_id)
    decide_case(services, case_id, "block", reviewer="reviewer-a", reason_code="likeness")
    again = carry_out(services, services.cases.show(case_id))
    assert again.clips == (release.clip_id,) and again.moved == ()
    assert len(services.stay_downs.of_case(case_id)) == 1, "twice is once"
    record = services.store.by_id(release.clip_id)
    assert record is not None and record.state is ClipState.WITHDRAWN
    services.cases.appeal(case_id, by="actor-x")
    with pytest.raises(Conflict, match="another person"):
        decide_case(services, case_id, "allow", reviewer="reviewer-a", reason_code="consent")
    done = decide_case(services, case_id, "allow", reviewer="reviewer-b", reason_code="consent")
    assert done.clips == (release.clip_id,) and done.case.appeal_outcome == "overturn"
    assert release.path.is_file() and release.contact_sheet.is_file()
    verdict = sora.verify(release.path)
    assert verdict.verdict == "ours_intact" and "stay_down" not in verdict.notices
    assert sora.generate(PROMPT, seconds=1, seed=21, output=tmp_path / "new.mp4").path.is_file()


def test_a_later_search_elsewhere_does_not_forget_the_first(sora: GuardedSora, tmp_path: Path) -> None:
    """Searching again without the folder keeps what was found in it."""
    release = sora.generate(PROMPT, seconds=1, seed=28)
    library = tmp_path / "library"
    library.mkdir()
    (library / "copy.mp4").write_bytes(release.path.read_bytes())
    case = sora.services.cases.show(notice_about(sora, release))
    wanted = wanted_of(sora.services, case)
    look_for_copies(sora.services, case, wanted, folders=[library])
    first = known_copies(sora.services, case)
    look_for_copies(sora.services, case, wanted)
    again = known_copies(sora.services, case)
    assert first and again and [copy.path for copy in first] == [copy.path for copy in again]


def test_two_notices_about_one_clip(sora: GuardedSora) -> None:
    services = sora.services
    release = sora.generate(PROMPT, seconds=1, seed=22)
    cases = [notice_about(sora, release) for _ in range(2)]
    for case_id in cases:
        decide_case(services, case_id, "block", reviewer="reviewer-a", reason_code="likeness")
    services.cases.appeal(cases[0], by="actor-x")
    done = decide_case(services, cases[0], "allow", reviewer="reviewer-b", reason_code="consent")
    assert done.clips == () and done.moved == (), "the other notice keeps it down"
    assert not release.path.exists() and not release.contact_sheet.exists(), "and its film with it"
    assert services.stay_downs.of_clip(release.clip_id) is not None
    services.cases.appeal(cases[1], by="actor-x")
    done = decide_case(services, cases[1], "allow", reviewer="reviewer-b", reason_code="consent")
    record = services.store.by_id(release.clip_id)
    assert done.clips == (release.clip_id,) and record is not None and record.state is ClipState.RELEASED
    assert release.path.is_file() and release.contact_sheet.is_file()


def test_a_take_down_that_was_cut_off_is_done_again(
    sora: GuardedSora, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = sora.services
    release = sora.generate(PROMPT, seconds=1, seed=27)
    case_id = notice_about(sora, release)
    with monkeypatch.context() as patch:
        patch.setattr("guarded_sora.decisions._clear", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decide_case(services, case_id, "block", reviewer="reviewer-a", reason_code="likeness")
    assert services.stay_downs.of_clip(release.clip_id) and release.path.is_file()
    done = carry_out(services, services.cases.show(case_id))
    assert done.clips == (release.clip_id,) and not release.path.exists()
    services.cases.appeal(case_id, by="actor-x")
    decide_case(services, case_id, "allow", reviewer="reviewer-b", reason_code="consent")
    record = services.store.by_id(release.clip_id)
    assert record is not None and record.state is ClipState.RELEASED and release.path.is_file()


def test_a_film_that_is_none_of_ours_stays_down_too(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    services = sora.services
    upload = film("theirs.mp4", seed=301)
    received = receive_notice(services, Complaint(claim="copyright", by="rights_holder", upload=upload))
    case = services.cases.show(received.notice.case_id)
    assert case.subject == received.wanted.file_sha256 and received.found.copies == ()
    assert wanted_of(services, case).hashes == received.wanted.hashes
    held = services.settings.held / f"{case.case_id}.mp4"
    assert held.is_file(), "the reviewer can look at it"
    done = decide_case(services, case.case_id, "block", reviewer="reviewer-a", reason_code="copyright")
    assert not held.exists() and done.moved
    with pytest.raises(Blocked):
        sora.protect(film("copy.mp4", seed=301, crf=26), prompt=PROMPT, output=tmp_path / "x.mp4")
    verdict = sora.verify(upload)
    assert "stay_down" in verdict.notices and verdict.verdict == "no_evidence"
    assert sora.protect(film("other.mp4", seed=302), prompt=PROMPT, output=tmp_path / "y.mp4").path.is_file()


def test_a_copy_protected_here_before_is_found_in_the_store(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    protected = sora.protect(film("first.mp4", seed=303), prompt=PROMPT)
    upload = film("again.mp4", seed=303, crf=27)
    received = receive_notice(sora.services, Complaint(claim="copyright", upload=upload))
    assert protected.clip_id in {copy.clip_id for copy in received.found.copies} | {received.wanted.clip_id}


def test_a_film_given_as_prompt_is_refused_too(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate(PROMPT, seconds=2, seed=23, output=tmp_path / "ours.mp4")
    decide_case(
        sora.services, notice_about(sora, release), "block", reviewer="reviewer-a", reason_code="likeness"
    )
    with pytest.raises(Blocked) as refused:
        sora.generate(PROMPT, video=release.path, seed=24, output=tmp_path / "next.mp4")
    assert refused.value.decision.decisive[0].id == "stay-down"


def test_a_held_film_that_must_stay_down_is_not_released(sora: GuardedSora, tmp_path: Path) -> None:
    from dataclasses import replace

    from guarded_sora import ReviewRequired
    from tests.guarded_sora.test_recovery import Failing

    guarded = GuardedSora(replace(sora.services, frame_checks=(Failing(),)))
    with pytest.raises(ReviewRequired) as caught:
        guarded.generate(PROMPT, seconds=1, seed=26, output=tmp_path / "never.mp4")
    case_id = caught.value.case_id
    decide_case(sora.services, case_id, "allow", reviewer="reviewer-a", reason_code="looked")
    held = sora.services.settings.held / f"{case_id}.mp4"
    sora.services.stay_downs.put("another-case", hashes=fingerprint(look_at(held, sora.services.worker)))
    with pytest.raises(UsageError, match="must stay down"):
        sora.release_case(case_id, output=tmp_path / "clip.mp4")
    assert held.is_file() and not (tmp_path / "clip.mp4").exists()


def test_a_comparison_that_fails_lets_nothing_through(
    sora: GuardedSora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(type(sora.services.stay_downs), "of_picture", broken)
    with pytest.raises(StageFailed, match="stay_down"):
        sora.generate(PROMPT, seconds=1, seed=25, output=tmp_path / "never.mp4")
    assert not (tmp_path / "never.mp4").exists()
    failed = sora.services.log.tail(1)[0]
    states = {check["name"]: check["state"] for check in failed.body["checks"]}
    assert failed.kind == "request.failed" and states["stay_down"] == "failed"


@pytest.mark.parametrize(
    ("complaint", "error"),
    [
        (Complaint(claim="nonsense", about="x"), UsageError),
        (Complaint(claim="likeness", by="nobody", about="x"), UsageError),
        (Complaint(claim="likeness"), UsageError),
        (Complaint(claim="likeness", about=" \n "), UsageError),
        (Complaint(claim="likeness", upload=Path("/nonexistent.mp4")), UsageError),
    ],
    ids=["claim", "by", "nothing", "blank", "upload"],
)
def test_complaints_that_name_nothing(sora: GuardedSora, complaint: Complaint, error: type) -> None:
    before = sora.services.log.size
    with pytest.raises(error):
        receive_notice(sora.services, complaint)
    assert sora.services.log.size == before


def test_what_is_no_film_is_no_complaint(sora: GuardedSora, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(MediaError, match="no film"):
        receive_notice(sora.services, Complaint(claim="likeness", upload=tmp_path / "text.mp4"))


def test_a_link_alone_is_a_case_without_copies(sora: GuardedSora) -> None:
    hostile = "https://example.org/\ud800" + "x" * 5000
    received = receive_notice(sora.services, Complaint(claim="other", link=hostile, statement="\ud800"))
    case = sora.services.cases.show(received.notice.case_id)
    assert case.subject == "elsewhere" and known_copies(sora.services, case) is None
    assert b"example.org" not in sora.services.log.read(case.opened_seq).canonical
    with pytest.raises(UsageError, match="not decided"):
        answer_notice(sora.services, case.case_id, actor="reviewer-a")
    with pytest.raises(UsageError, match="no decision"):
        reasons_for(sora.services, case.case_id)
    decide_case(sora.services, case.case_id, "allow", reviewer="reviewer-a", reason_code="fine")
    assert "did not find" in answer_notice(sora.services, case.case_id, actor="reviewer-a")
    with pytest.raises(UsageError, match="restriction"):
        reasons_for(sora.services, case.case_id)


def test_a_folder_of_films_is_searched_once_and_in_bounds(sora: GuardedSora, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        find_copies(sora.services, Wanted(), [tmp_path / "text.txt"])
    assert find_copies(sora.services, Wanted(file_sha256="0" * 64), [tmp_path]).failed == ()


def test_fingerprints_survive_their_way_through_a_case() -> None:
    film = hashes(4, 5)
    assert unpack_hashes(pack_hashes(film)) == film and unpack_hashes("") == ()


def test_statements_come_in_batches_of_a_hundred() -> None:
    made = list(batches({"puid": str(number)} for number in range(250)))
    assert [len(item["statements"]) for item in made] == [100, 100, 50]


def test_the_report_counts_what_happened(sora: GuardedSora) -> None:
    from guarded_sora.dossier import parse_about

    month = sora.services.log.tail(1)[0].ts
    from datetime import UTC, datetime

    about = parse_about(sora.services, datetime.fromtimestamp(month / 1000, UTC).strftime("%Y-%m"))
    report = transparency_report(sora.services, about)
    assert report["notices"]["opened"] >= 1 and report["notices"]["by_kind"]
    assert report["requests"]["asked"] >= report["requests"]["released"]
    lines = as_csv(report).splitlines()
    assert lines[0] == "name,value" and any(line.startswith("notices.opened,") for line in lines)
    for wrong in ("2026-13", "2026-11-30..2026-11-01", "gs1:0badcafe:0000000001", "nonsense", ""):
        with pytest.raises(UsageError):
            parse_about(sora.services, wrong)
