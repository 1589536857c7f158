"""GrantBook: who may depict whom, for what, until when; revocable back into the past.

A grant is signed when it is given, so a row that was changed in the database is not a consent. What
changes later (uses, revocation) stands outside the signature and can only take away.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Engine, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from guarded_sora.audit.entry import uuid7
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store.access import refused
from guarded_sora.store.registry_keys import RegistryKeys
from guarded_sora.store.registry_tables import clip_notices, consent_grants, consent_uses, subjects

CONSENT_WITHDRAWN = "consent_withdrawn"

Scope = Literal["generate", "edit", "voice"]
SCOPES: tuple[Scope, ...] = ("generate", "edit", "voice")
_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_REGION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_LONGEST_MS = 10 * 366 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One consent. ``grantee`` is an actor's pseudonym. ``territory``: ISO 3166 codes or EU, empty for
    everywhere. Times in milliseconds since 1970. ``max_uses``: films, None for any number."""

    grant_id: str
    subject_id: str
    grantee: str
    scopes: tuple[str, ...]
    purpose: str
    territory: tuple[str, ...]
    not_before_ms: int
    expires_ms: int
    max_uses: int | None
    created_ms: int
    signature: bytes
    uses: int = 0
    revoked_ms: int | None = None
    revoked_reason: str | None = None

    def statement(self) -> bytes:
        """What is signed: canonical JSON of everything that was agreed."""
        return orjson.dumps(
            {
                "v": 1,
                "grant": self.grant_id,
                "subject": self.subject_id,
                "grantee": self.grantee,
                "scopes": list(self.scopes),
                "purpose": self.purpose,
                "territory": list(self.territory),
                "not_before_ms": self.not_before_ms,
                "expires_ms": self.expires_ms,
                "max_uses": self.max_uses,
                "created_ms": self.created_ms,
            },
            option=orjson.OPT_SORT_KEYS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUse:
    """A film made under a grant."""

    grant_id: str
    clip_id: ClipId
    intent_id: str
    token_id: str
    used_ms: int


class GrantBook:
    """Grants, their uses, and the notices that a withdrawn one puts on clips.

    Raises (all methods): StoreError when the database refuses.
    """

    def __init__(self, engine: Engine, keys: RegistryKeys) -> None:
        self._engine = engine
        self._keys = keys

    def give(
        self,
        subject_id: str,
        *,
        grantee: str,
        scopes: Sequence[str],
        purpose: str,
        expires_ms: int,
        territory: Sequence[str] = (),
        not_before_ms: int | None = None,
        max_uses: int | None = None,
    ) -> Grant:
        """Write and sign a grant.

        Raises:
            UsageError: no such subject, or terms that cannot be kept.
        """
        now = now_ms()
        begin = now if not_before_ms is None else not_before_ms
        _refuse_terms(scopes, purpose, territory, begin, expires_ms, max_uses)
        unsigned = Grant(
            grant_id=uuid7(),
            subject_id=subject_id,
            grantee=grantee,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            purpose=purpose,
            territory=tuple(sorted(set(territory))),
            not_before_ms=begin,
            expires_ms=expires_ms,
            max_uses=max_uses,
            created_ms=now,
            signature=b"",
        )
        signature = self._keys.sign(unsigned.statement())
        try:
            with self._engine.begin() as connection:
                known = connection.execute(
                    select(subjects.c.subject_id).where(
                        subjects.c.subject_id == subject_id, subjects.c.removed_ms.is_(None)
                    )
                ).first()
                if known is None:
                    raise UsageError(
                        "No such subject; 'guarded-sora registry person list' shows the ids there are."
                    )
                connection.execute(insert(consent_grants), _grant_row(unsigned, signature))
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error
        found = self.grant(unsigned.grant_id)
        assert found is not None
        return found

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of this id, revoked or not."""
        found = self._grants(consent_grants.c.grant_id == grant_id)
        return found[0] if found else None

    def grants(self, subject_id: str | None = None) -> tuple[Grant, ...]:
        """All grants, or those of one subject, oldest first."""
        return self._grants(consent_grants.c.subject_id == subject_id if subject_id else None)

    def why_not(
        self, grant: Grant, *, grantee: str, scope: Scope, region: str, now: int | None = None
    ) -> str:
        """The reason code for which ``grant`` does not cover this use now; empty when it does.

        An unknown region is covered only by a grant for everywhere.
        """
        moment = now_ms() if now is None else now
        reasons = (
            ("signature", not self._keys.signed(grant.statement(), grant.signature)),
            ("revoked", grant.revoked_ms is not None),
            ("not_yet", moment < grant.not_before_ms),
            ("expired", moment >= grant.expires_ms),
            ("other_grantee", grant.grantee != grantee),
            ("other_scope", scope not in grant.scopes),
            ("other_territory", bool(grant.territory) and region.upper() not in grant.territory),
            ("used_up", grant.max_uses is not None and grant.uses >= grant.max_uses),
        )
        return next((code for code, holds in reasons if holds), "")

    def spend(self, grant_id: str, *, clip_id: ClipId, intent_id: str, token_id: str) -> bool:
        """Count a film against the grant, in one step; False when it was revoked, ran out or is used up."""
        live = (
            (consent_grants.c.grant_id == grant_id)
            & consent_grants.c.revoked_ms.is_(None)
            & (consent_grants.c.expires_ms > now_ms())
            & or_(consent_grants.c.max_uses.is_(None), consent_grants.c.uses < consent_grants.c.max_uses)
        )
        row = {
            "grant_id": grant_id,
            "clip_id": str(clip_id),
            "intent_id": intent_id,
            "token_id": token_id,
            "used_ms": now_ms(),
        }
        try:
            with self._engine.begin() as connection:
                counted = connection.execute(
                    update(consent_grants).where(live).values(uses=consent_grants.c.uses + 1)
                ).rowcount
                if counted:
                    connection.execute(insert(consent_uses), row)
        except IntegrityError as error:
            raise StoreError(
                "This film was counted against the grant before; nothing was changed."
            ) from error
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error
        return bool(counted)

    def revoke(self, grant_id: str, reason: str) -> tuple[GrantUse, ...]:
        """End the grant and put the notice on every clip made under it; returns those uses.

        Revoking again changes nothing and returns the same uses.

        Raises:
            UsageError: no such grant, or a reason that is no code.
        """
        if not _CODE.fullmatch(reason):
            raise UsageError("A reason is one lower-case word such as 'withdrawn'.")
        try:
            with self._engine.begin() as connection:
                known = connection.execute(
                    select(consent_grants.c.revoked_ms).where(consent_grants.c.grant_id == grant_id)
                ).first()
                if known is None:
                    raise UsageError(
                        "No such grant; 'guarded-sora registry consent list' shows those there are."
                    )
                if known.revoked_ms is None:
                    values = {"revoked_ms": now_ms(), "revoked_reason": reason}
                    connection.execute(
                        update(consent_grants).where(consent_grants.c.grant_id == grant_id).values(values)
                    )
                uses = _uses(connection, grant_id)
                _put_notices(connection, grant_id, uses)
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error
        return uses

    def uses(self, grant_id: str) -> tuple[GrantUse, ...]:
        """The films made under a grant, oldest first."""
        try:
            with self._engine.connect() as connection:
                return _uses(connection, grant_id)
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error

    def notices(self, clip_id: ClipId) -> tuple[str, ...]:
        """Codes of what must be said of a clip, such as ``consent_withdrawn``."""
        query = select(clip_notices.c.code).where(clip_notices.c.clip_id == str(clip_id)).distinct()
        try:
            with self._engine.connect() as connection:
                return tuple(sorted(connection.execute(query).scalars()))
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error

    def _grants(self, condition: Any) -> tuple[Grant, ...]:
        query = select(consent_grants).order_by(consent_grants.c.created_ms, consent_grants.c.grant_id)
        if condition is not None:
            query = query.where(condition)
        try:
            with self._engine.connect() as connection:
                return tuple(_grant(row) for row in connection.execute(query).all())
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _refuse_terms(
    scopes: Sequence[str],
    purpose: str,
    territory: Sequence[str],
    begin: int,
    expires: int,
    max_uses: int | None,
) -> None:
    problems = (
        (not scopes or not set(scopes) <= set(SCOPES), f"scopes of {', '.join(SCOPES)}"),
        (not _CODE.fullmatch(purpose), "a purpose in one lower-case word such as 'advert'"),
        (
            any(code != "EU" and not _REGION.fullmatch(code) for code in territory),
            "ISO 3166 codes such as DE",
        ),
        (not begin < expires <= begin + _LONGEST_MS, "an end after its beginning, ten years at most"),
        (max_uses is not None and max_uses < 1, "at least one use"),
    )
    wanted = next((what for wrong, what in problems if wrong), "")
    if wanted:
        raise UsageError(f"A consent needs {wanted}.")


def _grant_row(grant: Grant, signature: bytes) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "subject_id": grant.subject_id,
        "grantee": grant.grantee,
        "scopes": ",".join(grant.scopes),
        "purpose": grant.purpose,
        "territory": ",".join(grant.territory),
        "not_before_ms": grant.not_before_ms,
        "expires_ms": grant.expires_ms,
        "max_uses": grant.max_uses,
        "created_ms": grant.created_ms,
        "signature": signature,
        "uses": 0,
    }


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        grant_id=row.grant_id,
        subject_id=row.subject_id,
        grantee=row.grantee,
        scopes=tuple(row.scopes.split(",")),
        purpose=row.purpose,
        territory=tuple(code for code in row.territory.split(",") if code),
        not_before_ms=row.not_before_ms,
        expires_ms=row.expires_ms,
        max_uses=row.max_uses,
        created_ms=row.created_ms,
        signature=bytes(row.signature),
        uses=row.uses,
        revoked_ms=row.revoked_ms,
        revoked_reason=row.revoked_reason,
    )


def _uses(connection: Connection, grant_id: str) -> tuple[GrantUse, ...]:
    query = select(consent_uses).where(consent_uses.c.grant_id == grant_id).order_by(consent_uses.c.used_ms)
    return tuple(
        GrantUse(
            grant_id=row.grant_id,
            clip_id=ClipId.parse(row.clip_id),
            intent_id=row.intent_id,
            token_id=row.token_id,
            used_ms=row.used_ms,
        )
        for row in connection.execute(query).all()
    )


def _put_notices(connection: Connection, grant_id: str, uses: Sequence[GrantUse]) -> None:
    marked = set(
        connection.execute(
            select(clip_notices.c.clip_id).where(
                clip_notices.c.cause == grant_id, clip_notices.c.code == CONSENT_WITHDRAWN
            )
        ).scalars()
    )
    rows = [
        {"clip_id": str(use.clip_id), "code": CONSENT_WITHDRAWN, "cause": grant_id, "since_ms": now_ms()}
        for use in uses
        if str(use.clip_id) not in marked
    ]
    if rows:
        connection.execute(insert(clip_notices), rows)
