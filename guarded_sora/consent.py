"""Consent: tokens that name a person, a grantee and a purpose; what they cover; what a withdrawal reaches.

A grant is the consent, kept in the store. A token is short-lived proof that its holder may use it: a
compact JWS (RFC 7515) signed with Ed25519 (RFC 8037). Without a token of a live grant, what the
registry protects stays protected: the finding stands, and the policy refuses it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import AuditError
from guarded_sora.errors import StageFailed, StoreError, UsageError
from guarded_sora.policies.finding import CheckRun, CheckState, Finding, RequestContext
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store.grants import SCOPES, Grant, GrantBook, GrantUse, Scope, now_ms
from guarded_sora.store.registry_keys import RegistryKeys

if TYPE_CHECKING:
    from guarded_sora.passage import Passage
    from guarded_sora.services import Services

LONGEST_TOKEN_S = 24 * 3600
MOST_TOKENS = 16
CHECK = "consent"
_VERSION = "1"
_SKEW_S = 60
_HEADER = {"alg": "EdDSA", "typ": "gs-consent+jwt"}
_PART = re.compile(r"[A-Za-z0-9_-]{2,4096}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The claims of a consent token. ``token_id`` is its ``jti``; times in seconds since 1970."""

    token_id: str
    grant_id: str
    subject_id: str
    grantee: str
    purpose: str
    issued: int
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentProof:
    """What the manifest says of a consent: SHA-256 of the signed grant, and the token's id. No person."""

    grant_sha256: str
    token_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    token: Token
    grant: Grant
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consents:
    """The live consents a request brings, by subject, and the record of what became of its tokens."""

    by_subject: Mapping[str, _Held] = field(default_factory=lambda: MappingProxyType({}))
    runs: tuple[CheckRun, ...] = ()

    def cover(self, findings: Iterable[Finding], scope: Scope) -> list[Finding]:
        """``findings``, with severity 0 where the subject's consent covers ``scope``: seen, and allowed."""
        return [self._cover(finding, scope) for finding in findings]

    def _cover(self, finding: Finding, scope: Scope) -> Finding:
        held = self.by_subject.get(finding.subject) if finding.subject else None
        if held is None or scope not in held.scopes:
            return finding
        return replace(finding, severity=0, evidence=f"covered by consent {held.grant.grant_id}")

    def used(self, findings: Iterable[Finding]) -> list[_Held]:
        """The consents that covered something among ``findings``."""
        covered = {item.subject for item in findings if item.subject and item.severity == 0}
        return [held for subject, held in self.by_subject.items() if subject in covered]


def issue_token(keys: RegistryKeys, issuer: str, grant: Grant, *, seconds: int = LONGEST_TOKEN_S) -> str:
    """A token of ``grant`` for at most a day, and never beyond the grant's own end.

    Raises:
        UsageError: a life that is no use, or a grant that was revoked or ran out.
    """
    if not 1 <= seconds <= LONGEST_TOKEN_S:
        raise UsageError("A token lives 1 second to 24 hours.")
    now = now_ms() // 1000
    expires = min(now + seconds, grant.expires_ms // 1000)
    if grant.revoked_ms is not None or expires <= now:
        raise UsageError("This grant was revoked or has run out; ask the person for a new one.")
    claims = {
        "iss": issuer,
        "sub": grant.subject_id,
        "grantee": grant.grantee,
        "grant": grant.grant_id,
        "purpose": grant.purpose,
        "jti": uuid7(),
        "iat": now,
        "exp": expires,
    }
    signed = f"{_encode(orjson.dumps(_HEADER))}.{_encode(orjson.dumps(claims))}"
    return f"{signed}.{_encode(keys.sign(b'consent token' + signed.encode()))}"


def read_token(keys: RegistryKeys, issuer: str, text: str, *, now: int | None = None) -> Token | str:
    """The token's claims, or the reason code for which it is none: malformed, signature, expired, ..."""
    moment = now_ms() // 1000 if now is None else now
    parts = text.strip().split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        return "malformed"
    try:
        header, claims = (orjson.loads(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
    except (ValueError, binascii.Error):
        return "malformed"
    # The algorithm is ours, never the token's choice.
    if header != _HEADER or not isinstance(claims, dict):
        return "malformed"
    if not keys.signed(b"consent token" + f"{parts[0]}.{parts[1]}".encode(), signature):
        return "signature"
    try:
        token = Token(
            token_id=str(claims["jti"]),
            grant_id=str(claims["grant"]),
            subject_id=str(claims["sub"]),
            grantee=str(claims["grantee"]),
            purpose=str(claims["purpose"]),
            issued=int(claims["iat"]),
            expires=int(claims["exp"]),
        )
    except (KeyError, TypeError, ValueError):
        return "malformed"
    if claims.get("iss") != issuer:
        return "other_issuer"
    if token.expires - token.issued > LONGEST_TOKEN_S or token.issued > moment + _SKEW_S:
        return "malformed"
    return "expired" if moment >= token.expires else token


def read_consents(
    keys: RegistryKeys, grants: GrantBook, issuer: str, context: RequestContext, grantee: str
) -> Consents:
    """The live consents among the request's tokens, with one record for each token that was given.

    Raises:
        StoreError: the database refused; without an answer nothing is covered.
    """
    held: dict[str, _Held] = {}
    runs: list[CheckRun] = []
    for text in context.consents[:MOST_TOKENS]:
        found = _hold(keys, grants, issuer, text, grantee, context.region)
        if isinstance(found, str):
            runs.append(_run(f"refused, {found}"))
        else:
            held[found.grant.subject_id] = found
            runs.append(_run(f"live, grant {found.grant.grant_id}"))
    if len(context.consents) > MOST_TOKENS:
        runs.append(_run(f"refused, more than {MOST_TOKENS} tokens"))
    return Consents(by_subject=MappingProxyType(held), runs=tuple(runs))


def _hold(
    keys: RegistryKeys, grants: GrantBook, issuer: str, text: str, grantee: str, region: str
) -> _Held | str:
    token = read_token(keys, issuer, text)
    if isinstance(token, str):
        return token
    grant = grants.grant(token.grant_id)
    if grant is None or grant.subject_id != token.subject_id:
        return "no_grant"
    reasons = {scope: grants.why_not(grant, grantee=grantee, scope=scope, region=region) for scope in SCOPES}
    live = frozenset(scope for scope, reason in reasons.items() if not reason)
    if not live:
        # What is wrong with every scope says more than that one of them was not granted.
        return min(reasons.values(), key=lambda reason: reason == "other_scope")
    return _Held(token=token, grant=grant, scopes=live)


def spend_consents(passage: Passage, clip_id: ClipId) -> tuple[ConsentProof, ...]:
    """Count this film against every consent that covered something in it; each use is an event.

    Raises:
        StageFailed: a consent was withdrawn or used up since the request was decided.
        StoreError: database or log refused; nothing may be released.
    """
    proofs: list[ConsentProof] = []
    for held in passage.consents.used(passage.findings):
        counted = passage.services.grants.spend(
            held.grant.grant_id, clip_id=clip_id, intent_id=passage.intent_id, token_id=held.token.token_id
        )
        if not counted:
            raise StageFailed("consent", "a consent was withdrawn or used up while the film was made")
        proof = ConsentProof(
            grant_sha256=hashlib.sha256(held.grant.statement()).hexdigest(), token_id=held.token.token_id
        )
        passage.write(
            "consent.used",
            {
                "grant": held.grant.grant_id,
                "grant_sha256": proof.grant_sha256,
                "registered": held.grant.subject_id,
                "token": held.token.token_id,
                "purpose": held.grant.purpose,
                "clip_id": str(clip_id),
            },
        )
        proofs.append(proof)
    return tuple(proofs)


def give_consent(
    services: Services,
    subject_id: str,
    *,
    actor: str,
    scopes: Sequence[str],
    purpose: str,
    expires_ms: int,
    territory: Sequence[str] = (),
    max_uses: int | None = None,
) -> Grant:
    """Write down a consent for ``actor`` and log it. Raises UsageError for terms that cannot be kept."""
    grant = services.grants.give(
        subject_id,
        grantee=services.keys.pseudonym("actor", actor),
        scopes=scopes,
        purpose=purpose,
        territory=territory,
        expires_ms=expires_ms,
        max_uses=max_uses,
    )
    body = {
        "grant": grant.grant_id,
        "grant_sha256": hashlib.sha256(grant.statement()).hexdigest(),
        "grantee": grant.grantee,
        "scopes": list(grant.scopes),
        "purpose": grant.purpose,
        "territory": list(grant.territory),
        "expires_ms": grant.expires_ms,
        "max_uses": grant.max_uses,
    }
    log_change(services, "consent.granted", subject_id, body)
    return grant


def revoke_consent(services: Services, grant_id: str, *, reason: str = "withdrawn") -> tuple[GrantUse, ...]:
    """End a consent, mark every clip made under it, and log both; returns those uses.

    Raises:
        UsageError: no such grant.
    """
    uses = services.grants.revoke(grant_id, reason)
    grant = services.grants.grant(grant_id)
    subject = grant.subject_id if grant is not None else grant_id
    # An entry of the log has room for some hundred ids; a hundred a line is safely below.
    for start in range(0, max(len(uses), 1), 100):
        part = uses[start : start + 100]
        body = {
            "grant": grant_id,
            "reason": reason,
            "clips": [str(use.clip_id) for use in part],
            "of": len(uses),
        }
        log_change(services, "consent.revoked", subject, body)
    return uses


def log_change(services: Services, kind: str, subject: str, body: Mapping[str, Any]) -> int:
    """Append an event about the registry; ids and codes only, never a name.

    Raises:
        StoreError: the log did not take it.
    """
    try:
        return services.log.append([Event(kind=kind, actor="operator", subject=subject, body=body)])[0].seq
    except AuditError as error:
        raise StoreError(f"The change was made, but the log did not take the record: {error}") from error


def _run(result: str) -> CheckRun:
    return CheckRun(name=CHECK, version=_VERSION, state=CheckState.RAN, result=result)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
