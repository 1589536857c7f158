"""The states of credentials, and the one table that decides between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from guarded_sora.provenance.credentials.container import ContainerReport
from guarded_sora.provenance.credentials.report import (
    Claims,
    IngredientReport,
    active_codes,
    read_claims,
    read_ingredients,
)
from guarded_sora.provenance.credentials.signatures import ManifestSigner


class State(StrEnum):
    """What the credentials of a file amount to; ``state`` of the credentials evidence."""

    TRUSTED = "trusted"
    TRUSTED_WITH_BAD_INGREDIENT = "trusted_with_bad_ingredient"
    VALID_UNKNOWN_SIGNER = "valid_unknown_signer"
    EXPIRED_NO_TIMESTAMP = "expired_no_timestamp"
    REVOKED = "revoked"
    TAMPERED = "tampered"
    INVALID_MANIFEST = "invalid_manifest"
    NO_MANIFEST = "no_manifest"
    REMOTE_NOT_FETCHED = "remote_not_fetched"
    UNSUPPORTED = "unsupported"
    REJECTED_BY_GUARD = "rejected_by_guard"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a file's credentials say and how far that can be believed. Picklable; all text is cleaned.

    ``ours``: the active manifest was signed under this installation's own root and the signature over its
    claim holds. It does not say that the content is what was signed: ``state`` does.
    ``issuer`` is empty unless the signer is trusted: anybody can write any name into a certificate of
    their own. ``says_ai`` is None when nothing is said. ``codes`` are the library's failure codes and ours
    (prefix ``guard.`` or ``trust.``). ``serial`` is the signing certificate's, hex. ``timestamp`` is the
    time of a trusted authority, or empty.
    """

    state: State
    reason: str = ""
    ours: bool = False
    label: str = ""
    claims: Claims = field(default_factory=Claims)
    says_ai: bool | None = None
    issuer: str = ""
    serial: str = ""
    timestamp: str = ""
    codes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    ingredients: tuple[IngredientReport, ...] = ()
    embedded: bool = True
    remote_url: str = ""
    container: ContainerReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the library said about a file (its two reports), or the kind of error it raised."""

    report: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    precise: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    signers: Mapping[str, ManifestSigner] = field(default_factory=lambda: MappingProxyType({}))
    embedded: bool = True
    remote_url: str = ""
    error: str = ""
    message: str = ""


MALFORMED_STORE = "MalformedStore"
"""The error of a :class:`Reading` that the store guard stopped before the library."""

_TAMPERED_ENDINGS = (
    "bmffHash.mismatch",
    "dataHash.mismatch",
    "boxesHash.mismatch",
    "hashedURI.mismatch",
    "claimSignature.mismatch",
)
_TRUSTED_STATES = (State.TRUSTED, State.TRUSTED_WITH_BAD_INGREDIENT)
_REASONS = {
    State.TRUSTED: "signed by a trusted signer and unchanged since",
    State.TRUSTED_WITH_BAD_INGREDIENT: "trusted, but one of its sources did not verify",
    State.VALID_UNKNOWN_SIGNER: "unchanged since signing, but nobody we trust vouches for the signer",
    State.EXPIRED_NO_TIMESTAMP: "the signing certificate has expired and no trusted timestamp stands in",
    State.REVOKED: "the signing certificate was revoked",
    State.TAMPERED: "the file was changed after it was signed",
    State.INVALID_MANIFEST: "the credentials are malformed or do not verify",
    State.NO_MANIFEST: "the file carries no credentials",
    State.REMOTE_NOT_FETCHED: "the credentials lie at a remote address that was not asked",
    State.UNSUPPORTED: "this kind of file cannot carry credentials",
}


def decide(reading: Reading, container: ContainerReport) -> Credentials:
    """The one state that ``reading`` amounts to; first match wins, in the order written here."""
    if reading.error:
        state = _state_of_error(reading)
        return Credentials(
            state=state,
            reason=_REASONS[state],
            codes=_error_codes(reading) if state is State.INVALID_MANIFEST else (),
            container=container,
        )
    label = str(reading.report.get("active_manifest") or "")
    signer = reading.signers.get(label)
    success, failure, notices = active_codes(reading.report)
    signed = "claimSignature.validated" in success and "claimSignature.mismatch" not in failure
    ingredients = read_ingredients(reading.report, reading.signers)
    state = _state_of_report(reading, signer, success, failure, ingredients)
    trusted = state in _TRUSTED_STATES
    claims = read_claims(reading.report, label)
    codes = tuple(dict.fromkeys((*failure, *_own_codes(signer))))
    return Credentials(
        state=state,
        reason=_REASONS[state],
        ours=signed and signer is not None and signer.anchor == "own",
        label=label,
        claims=claims,
        says_ai=_says_ai(claims, ingredients),
        issuer=signer.organisation if trusted and signer else "",
        serial=signer.serial if signer else "",
        timestamp=claims.timestamp if time_proven(signer, success) else "",
        codes=codes,
        notices=notices,
        ingredients=ingredients,
        embedded=reading.embedded,
        remote_url=reading.remote_url,
        container=container,
    )


def _error_codes(reading: Reading) -> tuple[str, ...]:
    return ("guard.malformed_store",) if reading.error == MALFORMED_STORE else (f"library.{reading.error}",)


def _state_of_error(reading: Reading) -> State:
    if reading.error == "NotSupported":
        return State.UNSUPPORTED
    if reading.error == "ManifestNotFound":
        return State.NO_MANIFEST
    if reading.error == "RemoteManifest" or reading.message.startswith("Remote"):
        return State.REMOTE_NOT_FETCHED
    return State.INVALID_MANIFEST


def _state_of_report(
    reading: Reading,
    signer: ManifestSigner | None,
    success: frozenset[str],
    failure: tuple[str, ...],
    ingredients: tuple[IngredientReport, ...],
) -> State:
    verdict = reading.report.get("validation_state")
    if any(code.endswith(_TAMPERED_ENDINGS) for code in failure):
        return State.TAMPERED
    if (signer is not None and signer.revoked) or any(code.endswith("ocsp.revoked") for code in failure):
        return State.REVOKED
    if "signingCredential.expired" in failure:
        others = set(failure) - {"signingCredential.expired", "signingCredential.untrusted"}
        return State.INVALID_MANIFEST if others else State.EXPIRED_NO_TIMESTAMP
    if verdict not in ("Valid", "Trusted"):
        return State.INVALID_MANIFEST
    if signer is not None and signer.expired and not time_proven(signer, success):
        return State.EXPIRED_NO_TIMESTAMP  # the library takes any list's word for the time
    if verdict == "Valid" or signer is None or signer.anchor == "none":
        return State.VALID_UNKNOWN_SIGNER
    if any(ingredient.failures for ingredient in ingredients):
        return State.TRUSTED_WITH_BAD_INGREDIENT
    return State.TRUSTED


def time_proven(signer: ManifestSigner | None, success: frozenset[str]) -> bool:
    """Whether the library finds the timestamp good and our timestamp list vouches for it."""
    return signer is not None and signer.time_vouched and "timeStamp.trusted" in success


def _own_codes(signer: ManifestSigner | None) -> tuple[str, ...]:
    if signer is None:
        return ("trust.signer_unreadable",)
    codes = []
    if signer.revoked:
        codes.append("trust.revoked")
    if not signer.may_sign_claims:
        codes.append("trust.wrong_purpose")
    return tuple(codes)


def _says_ai(claims: Claims, ingredients: tuple[IngredientReport, ...]) -> bool | None:
    """What the active manifest says; where it is silent, what the films it was made from say."""
    if claims.says_ai:
        return True
    inherited = [item.says_ai for item in ingredients if item.relationship in ("parentOf", "componentOf")]
    if any(inherited):
        return True
    if claims.says_ai is False or False in inherited:
        return False
    return None
