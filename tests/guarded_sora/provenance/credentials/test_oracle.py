"""An independent verifier, written by others in another code base, must agree with us on our own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.manifest import COMPOSITE_WITH_TRAINED, Ingredient
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.authority import served, timestamp_authority
from tests.guarded_sora.provenance.credentials.conftest import content_of, encode, flip, remux
from tests.guarded_sora.provenance.credentials.test_attacks import mutants

oracle = pytest.importorskip("encypher_c2pa", reason="the development extra brings the second verifier")


def ask(path: Path, trust: Trust, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = oracle.verify(
        str(path),
        "video/mp4",
        trust_pem=trust.own_root_pem.decode(),
        tsa_trust_pem=trust.tsa_anchors_pem.decode() or None,
        no_default_trust=True,
        telemetry=False,
        online=False,
        **options,
    )
    return found


def labels(found: dict[str, Any]) -> list[str]:
    report = found["manifest_report"]
    return [item["label"] for item in report["manifests"][report["active_manifest"]]["assertions"]]


def test_agrees_on_an_intact_film(signed: Path, trust: Trust) -> None:
    ours, theirs = read(signed, trust), ask(signed, trust)
    assert (ours.state, theirs["validation_state"]) == (State.TRUSTED, "Trusted")
    assert (theirs["integrity"], theirs["signature"], theirs["hard_binding"]) == ("valid", "valid", "match")
    assert theirs["validation_results"]["failure"] == []
    assert labels(theirs) == list(ours.claims.assertions)


def test_agrees_on_a_timestamped_edit(signed: Path, tmp_path: Path, ours: Chain) -> None:
    """In the strict posture of the conformance programme too."""
    authority = timestamp_authority()
    trust = Trust(own_root_pem=ours.root_pem, tsa_anchors_pem=authority.root_pem)
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    content = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    with served(authority) as host:
        signer = FileKeySigner.of(ours, timestamp_url=f"http://{host}/")
        sign(signed, tmp_path / "edit.mp4", content, signer, trust=trust)
    theirs = ask(tmp_path / "edit.mp4", trust)
    assert read(tmp_path / "edit.mp4", trust).state is State.TRUSTED
    assert theirs["validation_state"] == "Trusted"
    codes = {item["code"] for item in theirs["validation_results"]["success"]}
    assert "timeStamp.trusted" in codes


def test_agrees_on_other_containers(tmp_path: Path, ours: Chain, trust: Trust) -> None:
    source = encode(tmp_path / "f.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    sign(source, tmp_path / "s.mp4", content_of(), FileKeySigner.of(ours))
    assert read(tmp_path / "s.mp4", trust).state is State.TRUSTED
    assert ask(tmp_path / "s.mp4", trust)["validation_state"] == "Trusted"


def test_agrees_on_changed_and_stripped_films(signed: Path, tmp_path: Path, trust: Trust) -> None:
    changed = flip(signed, tmp_path / "t.mp4")
    assert read(changed, trust).state is State.TAMPERED
    assert ask(changed, trust)["hard_binding"] == "mismatch"
    stripped = remux(signed, tmp_path / "r.mp4")
    assert read(stripped, trust).state is State.NO_MANIFEST
    assert ask(stripped, trust)["present"] is False


def test_agrees_that_a_stranger_is_not_trusted(
    film: Path, tmp_path: Path, stranger: Chain, trust: Trust
) -> None:
    sign(film, tmp_path / "x.mp4", content_of(), FileKeySigner.of(stranger))
    theirs = ask(tmp_path / "x.mp4", trust)
    assert read(tmp_path / "x.mp4", trust).state is State.VALID_UNKNOWN_SIGNER
    assert (theirs["integrity"], theirs["validation_state"]) == ("valid", "Valid")


def test_never_trusted_where_the_oracle_sees_a_change(signed: Path, tmp_path: Path, trust: Trust) -> None:
    path, trusted = tmp_path / "m.mp4", 0
    for mutant in mutants(signed.read_bytes(), 300, seed=11):
        path.write_bytes(mutant)
        if read(path, trust).state is State.TRUSTED:
            trusted += 1
            assert ask(path, trust)["integrity"] == "valid"
    assert trusted > 0
