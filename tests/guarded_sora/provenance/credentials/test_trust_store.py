"""The lists in force: the official ones with their dates, updates by purpose, what may not replace them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from guarded_sora.errors import ProvenanceError, StoreError
from guarded_sora.provenance.credentials.certificates import (
    Chain,
    issue_authority,
    issue_chain,
    issue_leaf,
    key_to_pem,
    load_certificates,
    to_pem,
)
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.signatures import read_signers
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust, revoke
from guarded_sora.provenance.credentials.trust_list import read_trust_list, write_revocations
from guarded_sora.provenance.credentials.trust_store import PURPOSES, held_list, install_list
from tests.guarded_sora.provenance.credentials.authority import timestamp_authority
from tests.guarded_sora.provenance.credentials.conftest import content_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def published(name: str, authorities: list[bytes], *, status: str = "trusted") -> dict[str, Any]:
    """A list in the form in which the C2PA publishes its own."""
    services = [
        {
            "ServiceInformation": {
                "ServiceName": [{"lang": "en", "value": "x"}],
                "ServiceDigitalIdentity": {
                    "X509Certificates": [
                        {"val": base64.b64encode(item.public_bytes(Encoding.DER)).decode()}
                        for item in load_certificates(pem)
                    ]
                },
                "ServiceStatus": f"http://c2pa.org/conformance/trust-list/{status}",
            }
        }
        for pem in authorities
    ]
    return {
        "LoTE": {
            "ListAndSchemeInformation": {
                "SchemeName": [{"lang": "en", "value": name}],
                "ListIssueDateTime": "2026-11-01T00:00:00Z",
                "NextUpdate": "2027-11-01T00:00:00Z",
            },
            "TrustedEntitiesList": [{"TrustedEntityServices": services}],
        }
    }


def test_the_official_lists_are_there_with_their_dates(tmp_path: Path) -> None:
    claims, time, revoked = (held_list(tmp_path, purpose) for purpose in PURPOSES)
    assert (claims.count, time.count, revoked.count) == (30, 22, 0)
    assert claims.issued == time.issued == date(2026, 8, 5)
    assert claims.sha256.startswith("75cacc98") and time.sha256.startswith("c688d355")
    assert claims.installed_on is None and "c2pa-org" in claims.source
    assert not claims.is_stale(date(2027, 8, 5)) and claims.is_stale(date(2027, 8, 6))
    Trust(claim_anchors_pem=claims.data, tsa_anchors_pem=time.data)


def test_an_update_replaces_one_purpose_and_says_where_it_is_from(tmp_path: Path, listed: Chain) -> None:
    held = install_list(tmp_path, listed.root_pem, source="our own CA", issued=date(2026, 11, 20), now=NOW)
    assert held.as_json() == {
        "purpose": "claims",
        "source": "our own CA",
        "count": 1,
        "expired": 0,
        "sha256": held.sha256,
        "issued": "2026-11-20",
        "next_update": None,
        "installed_on": "2026-11-22",
    }
    assert held_list(tmp_path, "claims") == held
    assert held_list(tmp_path, "time").count == 22
    assert [item.name for item in tmp_path.iterdir()] == ["claims.json"]


def test_a_published_list_brings_its_purpose_and_dates(tmp_path: Path, listed: Chain) -> None:
    time = timestamp_authority()
    document = published("C2PA TSA Trust List", [time.root_pem, listed.root_pem])
    held = install_list(tmp_path, json.dumps(document).encode(), source="file", now=NOW)
    assert (held.purpose, held.count) == ("time", 2)
    assert (held.issued, held.next_update) == (date(2026, 11, 1), date(2027, 11, 1))
    with pytest.raises(ProvenanceError, match="for time, not for claims"):
        install_list(tmp_path, json.dumps(document).encode(), source="file", purpose="claims")
    withdrawn = published("C2PA Trust List", [listed.root_pem], status="withdrawn")
    with pytest.raises(ProvenanceError):
        install_list(tmp_path, json.dumps(withdrawn).encode(), source="file")


def broken(change: str) -> bytes:
    document = published("C2PA Trust List", [issue_chain("A").root_pem])
    inner = document["LoTE"]
    if change == "no scheme":
        del inner["ListAndSchemeInformation"]
    elif change == "not base64":
        service = inner["TrustedEntitiesList"][0]["TrustedEntityServices"][0]["ServiceInformation"]
        service["ServiceDigitalIdentity"]["X509Certificates"] = [{"val": "***"}]
    elif change == "no list":
        inner["TrustedEntitiesList"] = 7
    elif change == "cut":
        return json.dumps(document).encode()[:-9]
    elif change == "deep":
        return b'{"LoTE":' + b"[" * 100_000
    return json.dumps(document).encode()


@pytest.mark.parametrize("change", ["no scheme", "not base64", "no list", "cut", "deep"])
def test_a_broken_published_list_changes_nothing(tmp_path: Path, change: str) -> None:
    with pytest.raises(ProvenanceError, match="neither PEM nor"):
        install_list(tmp_path, broken(change), source="file")
    assert not list(tmp_path.iterdir())


def test_an_authority_for_one_purpose_is_refused_for_another(tmp_path: Path) -> None:
    official = held_list(tmp_path, "time").data
    with pytest.raises(ProvenanceError, match="may not vouch for claims"):
        read_trust_list(official)
    with pytest.raises(ProvenanceError, match="may not vouch for time"):
        read_trust_list(held_list(tmp_path, "claims").data, purpose="time")


def test_revocations_are_a_list_of_their_own(tmp_path: Path, signed: Path, ours: Chain, trust: Trust) -> None:
    entry = revoke(ours.chain_pem, reason="key lost")
    held = install_list(
        tmp_path, write_revocations((entry,)), source="incident 7", purpose="revoked", now=NOW
    )
    assert held_list(tmp_path, "revoked").revoked == (entry,) == held.revoked
    assert read(signed, trust).state is State.TRUSTED
    against = Trust(own_root_pem=ours.root_pem, revoked=held.revoked)
    assert read(signed, against).state is State.REVOKED


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"purpose": "time"}', "\x00"])
def test_a_damaged_list_stops_and_does_not_fall_back(tmp_path: Path, listed: Chain, text: str) -> None:
    install_list(tmp_path, listed.root_pem, source="x")
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(ProvenanceError, match="keys trust update"):
        held_list(tmp_path, "claims")


def test_a_list_under_another_name_is_not_taken(tmp_path: Path, listed: Chain) -> None:
    """Renaming the file must not turn an authority for claims into one for time."""
    install_list(tmp_path, listed.root_pem, source="x")
    (tmp_path / "claims.json").rename(tmp_path / "time.json")
    with pytest.raises(ProvenanceError):
        held_list(tmp_path, "time")


def test_a_folder_that_cannot_be_written(tmp_path: Path, listed: Chain) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="writable"):
        install_list(tmp_path / "file", listed.root_pem, source="x")


def test_a_leaf_of_a_public_authority_is_ours_only_by_itself(sign_as: Any, trust: Trust) -> None:
    """Neighbours under the same authority stay strangers; an unlisted authority makes nothing ours."""
    now = datetime.now(UTC)
    root = issue_authority("Public", "Public Root", None, path_length=1, now=now)
    middle = issue_authority("Public", "Public Issuing", root, path_length=0, now=now)
    chains = []
    for name in ("Alpha Studio", "A Neighbour"):
        leaf = issue_leaf(name, middle, now=now)
        chains.append(
            Chain(
                root_pem=to_pem(root.certificate),
                chain_pem=to_pem(leaf.certificate) + to_pem(middle.certificate),
                key_pem=key_to_pem(leaf.key),
                authority_key_pem=b"",
            )
        )
    mine, theirs = sign_as(chains[0], "mine.mp4"), sign_as(chains[1], "theirs.mp4")
    leaf_pem = to_pem(load_certificates(chains[0].chain_pem)[0])
    listed = Trust(own_leaves_pem=leaf_pem, claim_anchors_pem=chains[0].root_pem)
    assert (read(mine, listed).state, read(mine, listed).ours) == (State.TRUSTED, True)
    assert (read(theirs, listed).state, read(theirs, listed).ours) == (State.TRUSTED, False)
    unlisted = read(mine, Trust(own_leaves_pem=leaf_pem))
    assert (unlisted.state, unlisted.ours) == (State.VALID_UNKNOWN_SIGNER, False)
    assert read_signers(b"junk", listed) == {}


def test_a_film_signed_under_an_installed_list_is_trusted(
    tmp_path: Path, film: Path, listed: Chain, sign_as: Any
) -> None:
    path = sign_as(listed, "l.mp4", title=content_of().title)
    assert read(path, Trust(claim_anchors_pem=held_list(tmp_path, "claims").data)).state is not State.TRUSTED
    install_list(tmp_path, listed.root_pem, source="x")
    assert read(path, Trust(claim_anchors_pem=held_list(tmp_path, "claims").data)).state is State.TRUSTED
