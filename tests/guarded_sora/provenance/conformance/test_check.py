"""The law as a test: a real, fully marked film passes; each piece taken away flips what rests on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import UsageError
from guarded_sora.provenance.conformance.check import LAWS, any_failed, check
from guarded_sora.provenance.conformance.clause import PIECES, Clause, ClauseState
from guarded_sora.provenance.conformance.facts import Facts, MarkFacts, Operator
from guarded_sora.provenance.credentials.certificates import issue_chain
from guarded_sora.provenance.credentials.metadata import Declared, first_label, read_declared
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.credentials.trust import Trust
from guarded_sora.provenance.labels import LabelSurvey, Stamp, plan_labels, survey_labels
from tests.guarded_sora.provenance.credentials.authority import served, timestamp_authority
from tests.guarded_sora.provenance.credentials.conftest import content_of

TODAY = date(2026, 11, 22)
LATER = date(2027, 3, 1)
FPS = 8


def batches(path: Path) -> Iterator[FrameBatch]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            yield FrameBatch(
                frames=frame.to_ndarray(format="rgb24")[None], times=np.array([index / FPS]), fps=float(FPS)
            )


def encode(path: Path, frames: np.ndarray, tags: dict[str, str]) -> Path:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags+faststart"}) as container:
        container.metadata.update(tags)
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trust]:
    """A film with every mark but the invisible one, which another package draws."""
    folder = tmp_path_factory.mktemp("law")
    chain, authority = issue_chain("Alpha Studio"), timestamp_authority()
    random = np.random.default_rng(3)
    still = cv2.resize(random.integers(0, 255, (8, 8, 3), dtype=np.uint8), (256, 256))
    frames = np.stack([np.roll(still, index * 4, axis=1) for index in range(20)])
    plan = plan_labels(LAWS)
    labelled = Stamp(plan, 256, 256).apply(frames, np.arange(20) / FPS)
    tag = first_label("911101081234567890ABCDEFGHI", "gs1:0a1b2c3d:00112233ff").to_json()
    source = encode(folder / "film.mp4", labelled, {"AIGC": tag})
    content = content_of(labels=plan.names, detector_url="https://verify.example.org/check")
    with served(authority) as host:
        signer = FileKeySigner.of(chain, timestamp_url=f"http://{host}/")
        sign(source, folder / "signed.mp4", content, signer)
    return folder / "signed.mp4", Trust(own_root_pem=chain.root_pem, tsa_anchors_pem=authority.root_pem)


def facts_of(path: Path, trust: Trust, *, marked: bool) -> Facts:
    return Facts(
        credentials=read(path, trust),
        declared=read_declared(path),
        mark=MarkFacts(present=marked, name="keyseal", log10_p=-30.0 if marked else -0.4),
        labels=survey_labels(batches(path)),
        seconds=2.5,
    )


@pytest.fixture(scope="module")
def full(made: tuple[Path, Trust]) -> Facts:
    return facts_of(*made, marked=True)


def states(facts: Facts, on: date = TODAY) -> dict[str, ClauseState]:
    found = check(LAWS, facts, on=on)
    return {
        f"{law}/{name}": result.state for law, clauses in found.items() for name, result in clauses.items()
    }


def clauses() -> dict[str, Clause]:
    return {f"{law.id}/{clause.id}": clause for law in LAWS.values() for clause in law.clauses}


def without(facts: Facts, piece: str) -> Facts:
    found = facts.credentials
    assert found is not None
    changes: dict[str, Callable[[], Facts]] = {
        "credentials": lambda: replace(facts, credentials=Credentials(state=State.NO_MANIFEST)),
        "source_type": lambda: replace(
            facts, credentials=replace(found, claims=replace(found.claims, source_type=""))
        ),
        "timestamp": lambda: replace(facts, credentials=replace(found, timestamp="")),
        "watermark": lambda: replace(facts, mark=MarkFacts(present=False)),
        "labels": lambda: replace(
            facts, labels=LabelSurvey(looked=facts.labels.looked if facts.labels else ())
        ),
        "aigc": lambda: replace(facts, declared=Declared()),
        "detector": lambda: replace(
            facts,
            operator=Operator(),
            credentials=replace(found, claims=replace(found.claims, detector_url="")),
        ),
    }
    return changes[piece]()


@pytest.mark.parametrize("day", [TODAY, LATER])
def test_a_fully_marked_film_fails_nothing(full: Facts, day: date) -> None:
    found = states(full, day)
    assert ClauseState.FAIL not in found.values()
    for name, clause in clauses().items():
        if clause.marking and clause.since <= day:
            assert found[name] is ClauseState.PASS, name
    assert not any_failed(check(LAWS, full, on=day))


@pytest.mark.parametrize("piece", PIECES)
def test_taking_one_piece_away_flips_exactly_what_rests_on_it(full: Facts, piece: str) -> None:
    before, after = states(full, LATER), states(without(full, piece), LATER)
    flipped = {name for name in before if before[name] is not after[name]}
    assert flipped == {name for name, clause in clauses().items() if piece in clause.rests_on}
    assert flipped


@pytest.mark.parametrize("day", [TODAY, LATER])
def test_a_bare_film_fails_every_marking_clause(day: date) -> None:
    bare = Facts(
        credentials=Credentials(state=State.NO_MANIFEST),
        declared=Declared(),
        mark=MarkFacts(present=False),
        labels=LabelSurvey(looked=(0.0, 1.0, 2.0)),
        seconds=2.5,
    )
    found = states(bare, day)
    marking = {name for name, clause in clauses().items() if clause.marking and clause.since <= day}
    assert {name for name, state in found.items() if state is ClauseState.FAIL} == marking
    assert ClauseState.PASS not in found.values()


def test_a_film_that_was_stripped_and_encoded_again(made: tuple[Path, Trust], tmp_path: Path) -> None:
    path, trust = made
    frames = np.concatenate([batch.frames for batch in batches(path)])
    copy = facts_of(encode(tmp_path / "copy.mp4", frames, {}), trust, marked=True)
    found = states(copy)
    failing = {name for name, state in found.items() if state is ClauseState.FAIL}
    assert failing == {"eu/E1", "us-ca/C1", "cn/G2", "cn/G3", "in/IN2"}
    assert found["eu/E2"] is found["cn/G1"] is found["kr/KR1"] is ClauseState.PASS


def test_nothing_examined_is_never_a_pass_nor_a_fail() -> None:
    found = states(Facts(seconds=2.5))
    assert ClauseState.PASS not in found.values()
    failing = {name for name, state in found.items() if state is ClauseState.FAIL}
    assert failing == set()


def test_unconfirmed_texts_never_pass(full: Facts) -> None:
    for name, clause in clauses().items():
        if clause.text_status in ("secondary", "to_confirm"):
            assert states(full, LATER)[name] is ClauseState.UNCONFIRMED, name


def test_dates_of_force(full: Facts) -> None:
    assert states(full, date(2025, 8, 31))["cn/G1"] is ClauseState.NOT_APPLICABLE
    assert states(full, date(2025, 9, 1))["cn/G1"] is ClauseState.PASS
    assert states(full, date(2026, 8, 1))["eu/E2"] is ClauseState.NOT_APPLICABLE
    assert states(full, date(2026, 9, 29))["us-ca/C2"] is ClauseState.NEEDS_HUMAN
    assert states(full, date(2026, 9, 30))["us-ca/C2"] is ClauseState.NOT_APPLICABLE
    assert states(full, date(2027, 2, 1))["eu/E4"] is ClauseState.NOT_APPLICABLE
    assert states(full, date(2027, 2, 2))["eu/E4"] is ClauseState.PASS


def test_grace_for_systems_that_were_there_before(full: Facts) -> None:
    bare = replace(without(full, "watermark"), operator=Operator(placed=date(2026, 5, 1)))
    assert states(bare, TODAY)["eu/E2"] is ClauseState.NOT_APPLICABLE
    assert states(bare, date(2026, 12, 2))["eu/E2"] is ClauseState.FAIL
    young = replace(bare, operator=Operator(placed=date(2026, 9, 1)))
    assert states(young, TODAY)["eu/E2"] is ClauseState.FAIL
    unlabelled = replace(without(full, "labels"), operator=Operator(placed=date(2026, 5, 1)))
    assert states(unlabelled, TODAY)["eu/D1"] is ClauseState.FAIL  # no grace for 50(4)


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        (State.TRUSTED, True),
        (State.VALID_UNKNOWN_SIGNER, True),
        (State.TAMPERED, False),
        (State.REVOKED, False),
        (State.EXPIRED_NO_TIMESTAMP, False),
        (State.INVALID_MANIFEST, False),
        (State.REMOTE_NOT_FETCHED, False),
        (State.REJECTED_BY_GUARD, False),
    ],
)
def test_only_a_signature_that_holds_counts(full: Facts, state: State, holds: bool) -> None:
    assert full.credentials is not None
    found = states(replace(full, credentials=replace(full.credentials, state=state)))
    assert (found["eu/E1"] is ClauseState.PASS) is holds
    assert (found["us-ca/C1"] is ClauseState.PASS) is holds


def test_california_wants_every_field(full: Facts) -> None:
    assert full.credentials is not None
    claims = full.credentials.claims
    for changes in ({"provider": ""}, {"created": ""}):
        thinner = replace(full.credentials, issuer="", timestamp="", claims=replace(claims, **changes))
        found = check(["us-ca"], replace(full, credentials=thinner), on=TODAY)["us-ca"]["C1"]
        assert found.state is ClauseState.FAIL and "lacks" in found.evidence


def test_a_label_must_stay(full: Facts) -> None:
    assert full.labels is not None
    early = tuple(item for item in full.labels.sightings if item.time < 1.0)
    brief = replace(full, labels=replace(full.labels, sightings=early))
    assert states(brief)["cn/G1"] is ClauseState.FAIL
    long_film = replace(full, seconds=120.0)
    assert states(long_film)["eu/D1"] is ClauseState.FAIL
    small = tuple(replace(item, height=0.04) for item in full.labels.sightings)
    tiny = check(["cn"], replace(full, labels=replace(full.labels, sightings=small)), on=TODAY)["cn"]["G1"]
    assert tiny.state is ClauseState.FAIL and "shorter side" in tiny.evidence


def test_the_deployers_word(full: Facts) -> None:
    bare = without(full, "labels")
    assert states(replace(bare, looks_real=False))["eu/D1"] is ClauseState.NOT_APPLICABLE
    assert states(replace(bare, looks_real=False))["cn/G1"] is ClauseState.FAIL
    assert states(replace(bare, artistic=True))["eu/D4"] is ClauseState.NEEDS_HUMAN


def test_broken_metadata_labels(full: Facts) -> None:
    assert full.declared is not None and full.declared.aigc is not None
    for declared in (
        replace(full.declared, aigc_count=2),
        replace(full.declared, aigc=replace(full.declared.aigc, label="7")),
        replace(full.declared, aigc=replace(full.declared.aigc, produce_id="")),
    ):
        assert states(replace(full, declared=declared))["cn/G2"] is ClauseState.FAIL


def test_every_clause_is_complete_and_says_why(full: Facts) -> None:
    for facts in (full, Facts()):
        for law in check(LAWS, facts, on=TODAY).values():
            for result in law.values():
                row = result.as_json()
                assert row["evidence"] and row["source"] and row["title"]
                assert set(row) == {
                    "state", "evidence", "title", "level", "since", "until", "source", "text_status",
                }  # fmt: skip
    names = [clause.id for law in LAWS.values() for clause in law.clauses]
    assert len(names) == len(set(names))


def test_unknown_laws() -> None:
    with pytest.raises(UsageError, match="'mars'"):
        check(["eu", "mars"], Facts())
