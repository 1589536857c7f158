"""Hand a child-safety case to an authority: sealed for it alone, hashed, and never looked at again.

The film is packed as bytes; nothing decodes it, makes a picture of it or shows it. The package is a CMS
enveloped message (RFC 5652): AES-256, the key wrapped for each recipient's certificate, so that
``openssl cms -decrypt`` opens it and this installation cannot. Its SHA-256 and those of its parts stand
in the log; then our own copies of the film are deleted. The sealed package stays, for preservation.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import pkcs7

from guarded_sora.audit.case import Case
from guarded_sora.audit.entry import Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.copies import SUFFIXES
from guarded_sora.dossier import make_dossier
from guarded_sora.errors import MediaError, StoreError, UsageError
from guarded_sora.media.files import write_private
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.recovery import default_place, held_film, pictures_of
from guarded_sora.services import Services
from guarded_sora.work_folders import WorkFolder

HANDED_OFF = "case.handed_off"
KIND = "notice.child_safety"
LARGEST = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """The sealed package. ``parts``: SHA-256 of what is in it. ``deleted``: films of ours that are gone."""

    case_id: str
    path: Path
    sha256: str
    parts: dict[str, str]
    recipients: tuple[str, ...]
    deleted: int
    seq: int


def hand_off(
    services: Services, case_id: str, certificates: Sequence[Path], *, by: str, film: Path | None = None
) -> HandOff:
    """Seal a decided child-safety case for the holders of ``certificates`` (PEM, RSA).

    Args:
        by: pseudonym of whoever hands it over.
        film: where the film lies when it is none of this installation's own folders.

    Raises:
        UsageError: no such case, not of child safety, not decided, handed off before, no usable certificate.
        MediaError: the film or the package cannot be read or written.
        StoreError: the log refused; nothing was deleted.
    """
    case = _case(services, case_id)
    recipients = [_certificate(path) for path in certificates]
    if not recipients:
        raise UsageError("Name at least one certificate of an authority to seal the package for.")
    films = _films(services, case, film)
    parts = _parts(services, case, films, by)
    sealed = _seal(parts, recipients)
    path = services.settings.home / "handoff" / f"{case_id}.p7m"
    _write(path, sealed)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    names = tuple(certificate.fingerprint(hashes.SHA256()).hex() for certificate in recipients)
    body = {
        "about": case.subject,
        "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
        "parts": digests,
        "recipients": list(names),
        "looks": looks(services, case),
    }
    try:
        seq = services.log.append([Event(kind=HANDED_OFF, actor=by, subject=case_id, body=body)])[0].seq
        services.log.hold(case.owner, "child_safety", actor=by)
    except AuditError as error:
        raise StoreError(f"The hand-off could not be logged, so nothing was deleted: {error}") from error
    return HandOff(
        case_id=case_id,
        path=path,
        sha256=str(body["sealed_sha256"]),
        parts=digests,
        recipients=names,
        deleted=_delete(services, [item for item in films if item != film]),
        seq=seq,
    )


def handed_off(services: Services, case_id: str) -> bool:
    """Whether a case left for an authority: then nobody here looks at it again."""
    return services.log.count(HANDED_OFF, subject=case_id) > 0


def looks(services: Services, case: Case) -> int:
    """How often people looked at the words of a case."""
    return services.log.count("payload.viewed", subject=case.case_id)


def _case(services: Services, case_id: str) -> Case:
    try:
        case = services.cases.show(case_id)
        before = handed_off(services, case_id)
    except AuditError as error:
        raise UsageError(str(error)) from error
    if case.kind != KIND:
        raise UsageError(f"Case {case_id} is no notice of child safety; only such a case is handed off.")
    if case.action != "block":
        raise UsageError(f"Case {case_id} is {case.state}; it is handed off once it was decided 'block'.")
    if before:
        raise UsageError(f"Case {case_id} was handed off before; the package lies under home/handoff.")
    return case


def _certificate(path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} holds no certificate in PEM form; ask the authority for its own."
        ) from error
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise UsageError(f"The certificate in {path} has no RSA key; CMS needs one here.")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise UsageError(f"The certificate in {path} is not valid today; ask the authority for a newer one.")
    return certificate


def _films(services: Services, case: Case, film: Path | None) -> list[Path]:
    """Every copy of the film in our own folders, and the one that was named."""
    found = [held_film(services, case.case_id)]
    try:
        clip_id = ClipId.parse(case.subject)
    except UsageError:
        pass
    else:
        found.append(default_place(services, clip_id))
    aside = services.settings.home / "withdrawn" / case.case_id
    found += sorted(path for path in aside.rglob("*") if path.suffix.lower() in SUFFIXES)
    if film is not None:
        if not film.is_file():
            raise MediaError(f"{film} is not a file; check the path.")
        found.insert(0, film)
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _parts(services: Services, case: Case, films: Sequence[Path], by: str) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    seen: set[str] = set()
    for path in films:
        if sum(map(len, parts.values())) + path.stat().st_size > LARGEST:
            raise MediaError(f"The films of case {case.case_id} are too large for one package.")
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest not in seen:
            seen.add(digest)
            parts[f"film-{len(seen)}{path.suffix}"] = data
    words = services.cases.payload(case.case_id)
    if words is not None:
        parts["notice.json"] = words
    folder = WorkFolder.make(services.settings.work, "handoff-")
    try:
        made = make_dossier(services, case.case_id, folder.path / "dossier.zip", role="regulator", viewer=by)
        parts["dossier.zip"] = made.path.read_bytes()
    finally:
        folder.close()
    report = {
        "form": "guarded-sora hand-off 1",
        "case": case.case_id,
        "about": case.subject,
        "received": datetime.fromtimestamp(case.opened_ts / 1000, UTC).isoformat(timespec="seconds"),
        "sealed": datetime.now(UTC).isoformat(timespec="seconds"),
        "log": services.log.origin,
        "key": services.log.vkey,
        "decisions": [
            {"action": item.action, "reason": item.reason_code, "by": item.reviewer}
            for item in case.decisions
        ],
        "looks": looks(services, case),
        "parts": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
    }
    return {"report.json": orjson.dumps(report, option=orjson.OPT_INDENT_2), **parts}


def _seal(parts: dict[str, bytes], recipients: Sequence[x509.Certificate]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(out.getvalue()).set_content_encryption_algorithm(AES256)
    for certificate in recipients:
        builder = builder.add_recipient(certificate)
    return builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, data)
    except OSError as error:
        raise MediaError(f"{path} cannot be written ({error.strerror}); free some space.") from error


def _delete(services: Services, films: Sequence[Path]) -> int:
    """Our own copies go, with every picture made of them."""
    for path in films:
        for name in (path, *pictures_of(services, path)):
            try:
                name.unlink(missing_ok=True)
            except OSError as error:
                raise MediaError(
                    f"{name} was sealed and handed off but cannot be deleted ({error.strerror}); delete it."
                ) from error
    return len(films)
