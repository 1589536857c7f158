"""Dossiers: whatever is changed in one is found, and nobody reads in one what is not for them."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora, MediaError, ReviewRequired, UsageError
from guarded_sora.audit.verifier import CheckFailed, check_dossier
from guarded_sora.audit.verifier.command import main
from guarded_sora.decisions import decide_case
from guarded_sora.dossier import Dossier, make_dossier
from guarded_sora.golden_offer import offer_golden
from guarded_sora.notices import Complaint, receive_notice
from guarded_sora.person_erasure import erase_person
from guarded_sora.policies.finding import RequestContext
from guarded_sora.provenance.clip_id import ClipId
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.test_recovery import Failing

PROMPT = "a quartz zeppelin over a beach"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GuardedSora, str, str]]:
    """An installation with one clip and one decided notice against it."""
    with GuardedSora.open(home=tmp_path_factory.mktemp("dossier") / "home", backend=Painter()) as sora:
        release = sora.generate(PROMPT, seconds=1, seed=3, context=RequestContext(actor="author"))
        complaint = Complaint(
            claim="likeness", about=str(release.clip_id), statement="<script>xylophone</script>"
        )
        case_id = receive_notice(sora.services, complaint).notice.case_id
        sora.services.cases.claim("reviewer-a", case_id=case_id)
        decide_case(
            sora.services, case_id, "block", reviewer="reviewer-a", reason_code="x", note="secret note"
        )
        yield sora, case_id, str(release.clip_id)


def make(story: tuple[GuardedSora, str, str], path: Path, **more: Any) -> Dossier:
    sora, case_id, _ = story
    return make_dossier(sora.services, more.pop("about", case_id), path, viewer="reviewer-o", **more)


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("role", "texts", "policy", "inner"),
    [
        ("regulator", (), True, True),
        ("court", ("zeppelin", "xylophone", "secret note"), True, True),
        ("complainant", ("xylophone",), False, False),
        ("author", ("zeppelin",), False, False),
        ("public", (), False, False),
    ],
)
def test_each_role_reads_what_is_theirs(
    story: tuple[GuardedSora, str, str],
    tmp_path: Path,
    role: str,
    texts: tuple[str, ...],
    policy: bool,
    inner: bool,
) -> None:
    sora, case_id, clip_id = story
    looks = sora.services.log.count("payload.viewed")
    made = make(story, tmp_path / "d.zip", role=role)
    checked = check_dossier(made.path, sora.services.log.vkey)
    assert (checked.role, checked.about) == (role, f"case {case_id}") and bool(checked.policies) is policy
    assert sora.services.log.count("payload.viewed") - looks >= checked.payloads == made.payloads
    files = read(made.path)
    kinds = {json.loads(line)["entry"]["kind"] for line in files["entries.jsonl"].splitlines()}
    assert ("case.claimed" in kinds) is inner and "request.released" in kinds
    opened = b"".join(
        base64.b64decode(item["payload"]) for item in json.loads(files.get("payloads.json", b"{}")).values()
    )
    every = b"".join(data for name, data in files.items() if name != "payloads.json") + opened
    for text in ("zeppelin", "xylophone", "secret note"):
        shown = text.encode() in opened
        assert shown is (text in texts), (text, role)
        assert shown or text.encode() not in every
    assert b"<script" not in files["page.html"] and clip_id.encode() in files["page.html"]


def change_page(files: dict[str, bytes]) -> None:
    files["page.html"] = files["page.html"].replace(b"block", b"allow")


def change_page_and_manifest(files: dict[str, bytes]) -> None:
    import hashlib

    change_page(files)
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["page.html"] = hashlib.sha256(files["page.html"]).hexdigest()
    files["manifest.json"] = json.dumps(manifest).encode()


def drop_an_entry(files: dict[str, bytes]) -> None:
    files["entries.jsonl"] = b"".join(files["entries.jsonl"].splitlines(keepends=True)[1:])


def add_a_file(files: dict[str, bytes]) -> None:
    files["more.txt"] = b"x"


def lose_a_file(files: dict[str, bytes]) -> None:
    del files["log.vkey"]


def change_the_policy(files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.startswith("policy/"))
    files[name] += b"\n"


def change_a_payload(files: dict[str, bytes]) -> None:
    opened = json.loads(files["payloads.json"])
    next(iter(opened.values()))["payload"] = base64.b64encode(b"other words").decode()
    files["payloads.json"] = json.dumps(opened).encode()


def lose_the_seal(files: dict[str, bytes]) -> None:
    del files["seal/entry.json"]


def empty_manifest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"{}"


def no_json(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"\xff"


@pytest.mark.parametrize(
    "harm",
    [
        change_page,
        change_page_and_manifest,
        drop_an_entry,
        add_a_file,
        lose_a_file,
        change_the_policy,
        change_a_payload,
        lose_the_seal,
        empty_manifest,
        no_json,
    ],
)
def test_whatever_is_changed_is_found(
    story: tuple[GuardedSora, str, str],
    court: Path,
    tmp_path: Path,
    harm: Callable[[dict[str, bytes]], None],
) -> None:
    files = read(court)
    harm(files)
    with pytest.raises(CheckFailed):
        check_dossier(write(tmp_path / "harmed.zip", files), story[0].services.log.vkey)


@pytest.fixture(scope="module")
def court(story: tuple[GuardedSora, str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(story, tmp_path_factory.mktemp("court") / "court.zip", role="court").path


def rehashed(files: dict[str, bytes]) -> dict[str, bytes]:
    """A liar's dossier: every file listed anew, so that only the deeper checks are left."""
    import hashlib

    manifest = json.loads(files["manifest.json"])
    own = {name for name in files if name != "manifest.json" and not name.startswith("seal/")}
    manifest["files"] = {name: hashlib.sha256(files[name]).hexdigest() for name in own}
    return {**files, "manifest.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (change_page, "seal is not of this dossier"),
        (drop_an_entry, "seal is not of this dossier"),
    ],
)
def test_a_manifest_made_anew_does_not_fit_the_log(
    story: tuple[GuardedSora, str, str],
    court: Path,
    tmp_path: Path,
    harm: Callable[[dict[str, bytes]], None],
    said: str,
) -> None:
    files = read(court)
    harm(files)
    with pytest.raises(CheckFailed, match=said):
        check_dossier(write(tmp_path / "h.zip", rehashed(files)), story[0].services.log.vkey)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"x" * 1000, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive(
    story: tuple[GuardedSora, str, str], tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = tmp_path / "d.zip", tmp_path / "key"
    path.write_bytes(data)
    key.write_text(story[0].services.log.vkey)
    assert main([str(path), "--key", str(key)]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_packed_data_that_was_damaged(tmp_path: Path, method: int) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("manifest.json", "{}" * 1000)
    data = bytearray(path.read_bytes())
    data[45:60] = bytes(byte ^ 0xFF for byte in data[45:60])
    path.write_bytes(data)
    with pytest.raises(CheckFailed):
        check_dossier(path, "key")


def test_another_log_s_key_opens_nothing(court: Path, tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "other", backend=Painter()) as other:
        vkey = other.services.log.vkey
    with pytest.raises(CheckFailed, match="signature"):
        check_dossier(court, vkey)


def test_clips_and_periods_have_dossiers_too(story: tuple[GuardedSora, str, str], tmp_path: Path) -> None:
    from datetime import UTC, datetime

    sora, case_id, clip_id = story
    about_clip = make(story, tmp_path / "clip.zip", about=clip_id)
    assert about_clip.entries >= 6 and case_id.encode() in read(about_clip.path)["page.html"]
    month = datetime.fromtimestamp(sora.services.log.tail(1)[0].ts / 1000, UTC).strftime("%Y-%m")
    period = make(story, tmp_path / "month.zip", about=f"{month}..{month}")
    assert check_dossier(period.path, sora.services.log.vkey).entries == period.entries > 0
    for about in ("2001-01", "gs1:00000000:0000000001", "nonsense", ""):
        with pytest.raises(UsageError):
            make(story, tmp_path / "x.zip", about=about)
    with pytest.raises(UsageError, match="one of"):
        make(story, tmp_path / "x.zip", role="king")
    with pytest.raises(UsageError, match="must end in"):
        make(story, tmp_path / "x.tar")
    with pytest.raises(MediaError, match="does not exist"):
        make(story, tmp_path / "nowhere" / "x.zip")


def test_a_policy_that_was_edited_since_is_still_told_word_for_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from guarded_sora.policies.packfiles import DEFAULT_PACK

    pack = tmp_path / "pack"
    shutil.copytree(DEFAULT_PACK, pack)
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(), pack=pack) as sora:
        digest = sora.services.policy.pack.digest
        release = sora.generate(PROMPT, seconds=1)
    with (pack / "lexicons" / "new.txt").open("w") as file:
        file.write("# nothing yet\n")
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(), pack=pack) as sora:
        assert sora.services.policy.pack.digest != digest
        made = make_dossier(sora.services, str(release.clip_id), tmp_path / "d.zip", viewer="v")
        assert made.policies == (digest,)
        assert check_dossier(made.path, sora.services.log.vkey).policies == (digest,)


def held(sora: GuardedSora, tmp_path: Path, *, words: bool = False) -> str:
    checks = {"prompt_checks": (Failing(),)} if words else {"frame_checks": (Failing(),)}
    with pytest.raises(ReviewRequired) as caught:
        GuardedSora(replace(sora.services, **checks)).generate(
            PROMPT, seconds=1, context=RequestContext(actor="ann"), output=tmp_path / "never.mp4"
        )
    return caught.value.case_id


def test_held_films_go_when_their_person_is_erased(sora: GuardedSora, tmp_path: Path) -> None:
    services = sora.services
    film_case, word_case = held(sora, tmp_path), held(sora, tmp_path, words=True)
    waiting = services.settings.held / f"{film_case}.mp4"
    assert waiting.is_file()
    owner = services.keys.pseudonym("actor", "ann")
    services.log.hold(owner, "court_order", actor="officer")
    from guarded_sora.audit.errors import ErasureRefused

    with pytest.raises(ErasureRefused):
        erase_person(services, owner, actor="operator", reason="request")
    assert waiting.is_file(), "a hold keeps the film as well"
    services.log.lift_hold(owner, "court_order", actor="officer")
    gone = erase_person(services, owner, actor="operator", reason="request")
    assert gone.films == 1 and set(gone.cases) == {film_case, word_case}
    assert list(services.settings.held.iterdir()) == []
    assert [services.cases.show(case).action for case in gone.cases] == ["dropped", "dropped"]
    with pytest.raises(UsageError, match="dropped"):
        sora.release_case(film_case, output=tmp_path / "clip.mp4")
    again = erase_person(services, owner, actor="operator", reason="request")
    assert (again.films, again.cases) == (0, ()) and services.log.verify().ok


@pytest.mark.parametrize(("claim", "kept"), [("likeness", 0), ("child_safety", 1)])
def test_a_held_film_that_a_notice_moved_aside_is_erased_unless_it_is_evidence(
    sora: GuardedSora, tmp_path: Path, claim: str, kept: int
) -> None:
    services = sora.services
    film_case = held(sora, tmp_path)
    about = services.cases.show(film_case).subject
    case_id = receive_notice(services, Complaint(claim=claim, about=about)).notice.case_id
    for reviewer in ("reviewer-a", "reviewer-b")[: 1 + kept]:  # what is critical takes two
        services.cases.claim(reviewer, case_id=case_id)
        decide_case(services, case_id, "block", reviewer=reviewer, reason_code="x")
    aside = services.settings.home / "withdrawn" / case_id / "held"
    assert (aside / f"{film_case}.mp4").is_file()
    owner = services.keys.pseudonym("actor", "ann")
    assert erase_person(services, owner, actor="operator", reason="request").films == 1 - kept
    assert len(list(aside.glob("*.mp4"))) == kept
    assert bool(services.store.fingerprint(ClipId.parse(about))) is bool(kept)


def test_an_overturned_refusal_offers_a_golden_test(sora: GuardedSora, tmp_path: Path) -> None:
    import yaml

    case_id = held(sora, tmp_path, words=True)
    services = sora.services
    decide_case(services, case_id, "block", reviewer="reviewer-a", reason_code="x")
    with pytest.raises(UsageError, match="not overturned"):
        offer_golden(services, case_id)
    services.cases.appeal(case_id, by=services.cases.show(case_id).owner)
    decide_case(services, case_id, "allow", reviewer="reviewer-b", reason_code="y")
    offer = offer_golden(services, case_id)
    document = yaml.safe_load(offer.text)
    assert offer.rules == (("check-failed", "rules/system.golden.yaml"),)
    assert document == {"golden": {"check-failed": {"pass": [PROMPT]}}}
    erase_person(services, services.cases.show(case_id).owner, actor="o", reason="request")
    with pytest.raises(UsageError, match="gone"):
        offer_golden(services, case_id)


def opened(path: Path) -> bytes:
    payloads = json.loads(read(path).get("payloads.json", b"{}")).values()
    return b"".join(base64.b64decode(item["payload"]) for item in payloads)


def test_nobody_reads_in_their_dossier_what_another_wrote(sora: GuardedSora, tmp_path: Path) -> None:
    services = sora.services
    clips = [
        sora.generate(f"a {word} boat", seconds=1, seed=seed, context=RequestContext(actor=word)).clip_id
        for seed, word in enumerate(("turquoise", "vermilion"))
    ]
    first, second = (
        receive_notice(services, Complaint(claim="likeness", about=str(clips[0]), statement=words))
        for words in ("wrote marmalade", "wrote peppercorn")
    )
    day = "2000-01-01..2100-01-01"

    def words(about: str, role: str) -> bytes:
        path = tmp_path / "own.zip"
        return opened(make_dossier(services, about, path, role=role, viewer="reviewer-o").path)

    assert b"marmalade" in (own := words(first.notice.case_id, "complainant")) and b"peppercorn" not in own
    assert b"peppercorn" in (own := words(second.notice.case_id, "complainant")) and b"marmalade" not in own
    assert words(str(clips[0]), "complainant") == b"", "two complained, so it is not known who reads"
    assert b"turquoise" in (own := words(str(clips[0]), "author")) and b"vermilion" not in own
    assert words(day, "author") == b"" == words(day, "complainant")
    court = words(day, "court")
    assert all(word in court for word in (b"marmalade", b"peppercorn", b"turquoise", b"vermilion"))


def test_a_period_opens_no_words_of_a_child_safety_case(sora: GuardedSora, tmp_path: Path) -> None:
    services = sora.services
    clips = [sora.generate(f"a {word} kite", seconds=1, seed=9).clip_id for word in ("saffron", "umber")]
    complaint = Complaint(claim="child_safety", about=str(clips[0]), statement="wrote bergamot")
    case_id = receive_notice(services, complaint).notice.case_id
    services.cases.claim("reviewer-a", case_id=case_id)
    decide_case(services, case_id, "block", reviewer="reviewer-a", reason_code="x", note="noted cardamom")
    path = tmp_path / "court.zip"
    court = opened(
        make_dossier(services, "2000-01-01..2100-01-01", path, role="court", viewer="reviewer-o").path
    )
    assert b"umber" in court
    assert not [word for word in (b"saffron", b"bergamot", b"cardamom") if word in court]
