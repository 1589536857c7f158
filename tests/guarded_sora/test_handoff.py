"""A child-safety case leaves sealed: for its recipient alone, hashed, and nobody looks again.

The films here show balloons; only the kind of the case makes them what they are for this test.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from guarded_sora import GuardedSora, UsageError
from guarded_sora.audit.errors import ErasureRefused
from guarded_sora.audit.verifier import check_dossier
from guarded_sora.decisions import decide_case
from guarded_sora.dossier import make_dossier
from guarded_sora.handoff import hand_off, handed_off
from guarded_sora.notices import Complaint, receive_notice

PROMPT = "a red balloon rising over a sandy beach"


def certificate(path: Path, key: Any, *, days: int = 30) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def decided(sora: GuardedSora, *, claim: str = "child_safety", seed: int = 3) -> tuple[str, Path, str]:
    release = sora.generate(PROMPT, seconds=1, seed=seed)
    complaint = Complaint(claim=claim, about=str(release.clip_id), statement="please look")
    case_id = receive_notice(sora.services, complaint).notice.case_id
    for reviewer in ("reviewer-a", "reviewer-b"):
        if sora.services.cases.show(case_id).state in ("open", "second"):
            decide_case(sora.services, case_id, "block", reviewer=reviewer, reason_code="harm")
    return case_id, release.path, release.sha256


def test_the_package_opens_for_its_recipient_alone(
    sora: GuardedSora, key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    services = sora.services
    case_id, film, sha256 = decided(sora)
    assert services.cases.show(case_id).action == "block" and not film.exists()
    looks = services.log.count("payload.viewed")
    to = certificate(tmp_path / "to.pem", key)
    done = hand_off(services, case_id, [tmp_path / "to.pem"], by="reviewer-a")
    assert services.log.count("payload.viewed") == looks, "sealing is no look"
    sealed = done.path.read_bytes()
    assert done.sha256 == hashlib.sha256(sealed).hexdigest() and done.path.stat().st_mode & 0o077 == 0
    assert b"please look" not in sealed and b"mdat" not in sealed
    opened = pkcs7.pkcs7_decrypt_der(sealed, to, key, [])
    with zipfile.ZipFile(io.BytesIO(opened)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert done.parts == {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    assert hashlib.sha256(parts["film-1.mp4"]).hexdigest() == sha256
    assert json.loads(parts["notice.json"])["statement"] == "please look"
    report = json.loads(parts["report.json"])
    assert report["looks"] == 0 and len(report["decisions"]) == 2
    (tmp_path / "inner.zip").write_bytes(parts["dossier.zip"])
    assert check_dossier(tmp_path / "inner.zip", report["key"]).payloads == 0
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(ValueError):
        pkcs7.pkcs7_decrypt_der(sealed, certificate(tmp_path / "s.pem", stranger), stranger, [])
    entry = services.log.read(done.seq)
    assert (entry.kind, entry.body["sealed_sha256"]) == ("case.handed_off", done.sha256)
    assert entry.body["recipients"] == [to.fingerprint(hashes.SHA256()).hex()]

    left = [path for path in services.settings.home.rglob("*") if path.suffix in (".mp4", ".png", ".jpg")]
    assert left == [] and done.deleted == 1 and handed_off(services, case_id)
    with pytest.raises(UsageError, match="before"):
        hand_off(services, case_id, [tmp_path / "to.pem"], by="reviewer-a")
    with pytest.raises(ErasureRefused):
        services.log.erase(services.cases.show(case_id).owner, actor="o", reason="request")
    made = make_dossier(services, case_id, tmp_path / "court.zip", role="court", viewer="v")
    assert made.payloads == 0, "no words leave but sealed"


def test_what_cannot_be_handed_off(sora: GuardedSora, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    services = sora.services
    certificate(tmp_path / "to.pem", key)
    certificate(tmp_path / "old.pem", key, days=-1)
    certificate(tmp_path / "ec.pem", ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "text.pem").write_text("no certificate")
    other, _, _ = decided(sora, claim="likeness", seed=4)
    with pytest.raises(UsageError, match="no notice of child safety"):
        hand_off(services, other, [tmp_path / "to.pem"], by="reviewer-a")
    case_id, _, _ = decided(sora, seed=5)
    for name, said in (("old", "not valid"), ("ec", "RSA"), ("text", "PEM"), ("missing", "PEM")):
        with pytest.raises(UsageError, match=said):
            hand_off(services, case_id, [tmp_path / f"{name}.pem"], by="reviewer-a")
    with pytest.raises(UsageError, match="at least one"):
        hand_off(services, case_id, [], by="reviewer-a")
    with pytest.raises(UsageError, match="no case"):
        hand_off(services, "nonsense", [tmp_path / "to.pem"], by="reviewer-a")
    release = sora.generate(PROMPT, seconds=1, seed=6)
    waiting = receive_notice(services, Complaint(claim="child_safety", about=str(release.clip_id)))
    with pytest.raises(UsageError, match="once it was decided"):
        hand_off(services, waiting.notice.case_id, [tmp_path / "to.pem"], by="reviewer-a")
    assert release.path.is_file() and not (services.settings.home / "handoff").exists()
