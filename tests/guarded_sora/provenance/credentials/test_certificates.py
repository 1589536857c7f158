from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import (
    CLAIM_SIGNING,
    Chain,
    issue_chain,
    load_certificates,
    load_key,
    renew_leaf,
)
from guarded_sora.provenance.credentials.signer import FileKeySigner, open_signer
from guarded_sora.provenance.credentials.trust import (
    CLAIM_LIST,
    OWN_LIST,
    TSA_LIST,
    RevokedCertificate,
    Trust,
    join_pem,
    revoke,
)


def test_the_chain_follows_the_profile(ours: Chain) -> None:
    (root,) = load_certificates(ours.root_pem)
    leaf, middle = load_certificates(ours.chain_pem)
    leaf.verify_directly_issued_by(middle)
    middle.verify_directly_issued_by(root)
    assert leaf.public_key() == load_key(ours.key_pem).public_key()
    assert middle.public_key() == load_key(ours.authority_key_pem).public_key()
    basic = {c: c.extensions.get_extension_for_class(x509.BasicConstraints) for c in (leaf, middle, root)}
    assert all(extension.critical for extension in basic.values())
    assert (basic[leaf].value.ca, basic[middle].value.ca, basic[middle].value.path_length) == (False, True, 0)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(purposes.value) == {ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING}
    key_id = middle.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == key_id
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=366)


def test_the_roots_key_is_not_kept(ours: Chain) -> None:
    (root,) = load_certificates(ours.root_pem)
    for pem in (ours.key_pem, ours.authority_key_pem):
        assert load_key(pem).public_key() != root.public_key()


def test_two_installations_share_nothing() -> None:
    first, second = issue_chain("Same Name"), issue_chain("Same Name")
    assert first.root_pem != second.root_pem and first.key_pem != second.key_pem


def test_a_renewed_leaf_keeps_the_root_and_changes_the_key(ours: Chain) -> None:
    later = datetime.now(UTC) + timedelta(days=300)
    renewed = renew_leaf(ours, now=later)
    assert renewed.root_pem == ours.root_pem and renewed.key_pem != ours.key_pem
    leaf, middle = load_certificates(renewed.chain_pem)
    leaf.verify_directly_issued_by(middle)
    assert leaf.subject == load_certificates(ours.chain_pem)[0].subject


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "two\x00words", "tab\x07"])
def test_names_that_no_certificate_can_hold(name: str) -> None:
    with pytest.raises(ProvenanceError, match="1 to 64"):
        issue_chain(name)


def test_a_key_of_another_chain_is_refused(ours: Chain, listed: Chain) -> None:
    with pytest.raises(ProvenanceError, match="does not belong"):
        open_signer(FileKeySigner(chain_pem=ours.chain_pem, key_pem=listed.key_pem))


@pytest.mark.parametrize(
    "pem", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_broken_key_is_refused(ours: Chain, pem: bytes) -> None:
    with pytest.raises(ProvenanceError, match="signing key"):
        open_signer(FileKeySigner(chain_pem=ours.chain_pem, key_pem=pem))


def test_a_key_is_not_in_the_text_of_its_signer(ours: Chain) -> None:
    assert "PRIVATE" not in repr(FileKeySigner.of(ours))


def test_trust_keeps_purposes_apart(ours: Chain, listed: Chain, stranger: Chain) -> None:
    trust = Trust(
        own_root_pem=ours.root_pem, claim_anchors_pem=listed.root_pem, tsa_anchors_pem=stranger.root_pem
    )
    assert [(a["trust_uri"], a["trust_kind"]) for a in trust.anchors()] == [
        (OWN_LIST, "manifest"),
        (CLAIM_LIST, "manifest"),
        (TSA_LIST, "tsa"),
    ]
    assert Trust().anchors() == []


def test_trust_reads_commented_lists(ours: Chain, listed: Chain) -> None:
    text = b"# a list with comments\n" + join_pem([ours.root_pem, listed.root_pem])
    (anchors,) = Trust(claim_anchors_pem=text).anchors()
    assert anchors["trust_anchors"].count("BEGIN CERTIFICATE") == 2
    assert "comments" not in anchors["trust_anchors"]


def test_trust_refuses_what_is_no_authority(ours: Chain) -> None:
    broken = ours.root_pem.replace(b"MII", b"AAA", 1)
    cases = {
        b"junk": "no",
        broken: "not a PEM certificate",
        ours.root_pem + broken: "not a PEM certificate",
        ours.root_pem + ours.key_pem: "not certificates",
        ours.chain_pem: "no authority",
    }
    for pem, words in cases.items():
        with pytest.raises(ProvenanceError, match=words):
            Trust(claim_anchors_pem=pem)


def test_trust_refuses_urls_as_hosts() -> None:
    assert Trust(remote_hosts=("store.example.org:8443",)).remote_hosts
    for host in ("http://store.example.org", "a/b", "", "user@host", "*"):
        with pytest.raises(ProvenanceError, match="host name"):
            Trust(ocsp_hosts=(host,))


def test_revocation_by_serial_and_issuer(ours: Chain, listed: Chain) -> None:
    entry = revoke(ours.chain_pem)
    trust = Trust(revoked=(entry,))
    assert trust.is_revoked(entry.serial, entry.issuer)
    assert trust.is_revoked("00" + entry.serial.upper(), entry.issuer)
    assert not trust.is_revoked(entry.serial, "Another Authority")
    assert not trust.is_revoked(revoke(listed.chain_pem).serial, entry.issuer)
    with pytest.raises(ProvenanceError, match="hexadecimal"):
        RevokedCertificate(serial="0xZZ")
