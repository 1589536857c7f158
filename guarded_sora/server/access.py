"""Who may do what: API keys with scopes, the first administrator's link, console sessions.

A key reads ``gs_live_<id>_<secret>``. The secret has 256 random bits, so a plain SHA-256 of it is
enough to store: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select, update

from guarded_sora.audit.connections import reading
from guarded_sora.errors import UsageError
from guarded_sora.server.tables import admin_links, api_keys, console_sessions

SCOPES = ("generate", "verify", "audit.read", "review", "admin")
PREFIX = "gs_live_"

LINK_SECONDS = 3600
SESSION_SECONDS = 12 * 3600
KEY_DAYS = 90
_USED_EVERY_MS = 60_000  # a note of last use a minute is enough, and spares a write a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who stands behind a request: one API key, or a console session opened with it."""

    key_id: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether this key carries ``scope``; ``admin`` carries them all."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def reviewer(self) -> str:
        """The name whose pseudonym stands in the log for decisions of this person."""
        return f"key:{self.key_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A key as a list shows it; the secret is gone. Times are milliseconds since 1970."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None


class Access:
    """Keys, links and sessions in the database behind ``engine``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- keys

    def issue(self, name: str, scopes: Iterable[str], *, days: float | None = KEY_DAYS) -> str:
        """Make a key and return its text; it can never be shown again.

        Raises:
            UsageError: an unknown scope, no scope, or a name that is none.
        """
        wanted = sorted(set(scopes))
        if not wanted or not set(wanted) <= set(SCOPES):
            raise UsageError(f"Give a key one or more of these scopes: {', '.join(SCOPES)}.")
        label = " ".join(name.split())
        if not 1 <= len(label) <= 100 or not label.isprintable():
            raise UsageError("Give the key a name of 1 to 100 printable characters.")
        if days is not None and not 0 < days <= 3660:
            raise UsageError("A key lives for 1 to 3660 days.")
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        now = _now()
        row = {
            "key_id": key_id,
            "name": label,
            "digest": _digest(secret),
            "scopes": " ".join(wanted),
            "created_ms": now,
            "expires_ms": None if days is None else now + int(days * 86_400_000),
        }
        with self._engine.begin() as connection:
            connection.execute(insert(api_keys), row)
        return f"{PREFIX}{key_id}_{secret}"

    def authenticate(self, text: str) -> Principal | None:
        """Who holds the key ``text``; None when it is unknown, wrong, expired or revoked."""
        key_id, _, secret = text.removeprefix(PREFIX).partition("_")
        if not text.startswith(PREFIX) or not secret or len(text) > 200 or not text.isascii():
            return None
        row = self._row(key_id)
        # Hash and compare also where there is no such key, so that both take the same time.
        stored = bytes(row.digest) if row is not None else bytes(32)
        if not hmac.compare_digest(stored, _digest(secret)) or row is None:
            return None
        return self._alive(row)

    def revoke(self, key_id: str) -> None:
        """End a key and every session opened with it, at once."""
        with self._engine.begin() as connection:
            connection.execute(
                update(api_keys)
                .where(api_keys.c.key_id == key_id, api_keys.c.revoked_ms.is_(None))
                .values(revoked_ms=_now())
            )
            connection.execute(delete(console_sessions).where(console_sessions.c.key_id == key_id))

    def list(self) -> list[KeyInfo]:
        """All keys, newest first."""
        columns = [column for column in api_keys.c if column.name != "digest"]
        query = select(*columns).order_by(api_keys.c.created_ms.desc(), api_keys.c.key_id)
        with reading(self._engine) as connection:
            return [
                KeyInfo(**{**row._mapping, "scopes": tuple(row.scopes.split())})
                for row in connection.execute(query)
            ]

    # -- the first start

    def first_link(self) -> str | None:
        """The token of a new one-time link, or None when a usable administrator's key exists.

        Earlier links stop working: there is one at a time.
        """
        with self._engine.begin() as connection:
            alive = select(func.count()).where(
                api_keys.c.revoked_ms.is_(None),
                api_keys.c.scopes.contains("admin"),
                api_keys.c.expires_ms.is_(None) | (api_keys.c.expires_ms > _now()),
            )
            if connection.execute(alive).scalar():
                return None
            token = secrets.token_urlsafe(32)
            connection.execute(delete(admin_links))
            connection.execute(
                insert(admin_links), {"digest": _digest(token), "expires_ms": _now() + LINK_SECONDS * 1000}
            )
        return token

    def redeem(self, token: str) -> str | None:
        """The first administrator's key for a one-time token; None when it is spent or wrong."""
        with self._engine.begin() as connection:
            spent = connection.execute(
                delete(admin_links).where(
                    admin_links.c.digest == _digest(token), admin_links.c.expires_ms > _now()
                )
            )
        return self.issue("first administrator", ["admin"]) if spent.rowcount == 1 else None

    # -- console sessions

    def open_session(self, principal: Principal) -> str:
        """A new session's secret, for a cookie; only its hash is stored."""
        secret = secrets.token_urlsafe(32)
        now = _now()
        with self._engine.begin() as connection:
            connection.execute(delete(console_sessions).where(console_sessions.c.expires_ms <= now))
            connection.execute(
                insert(console_sessions),
                {
                    "digest": _digest(secret),
                    "key_id": principal.key_id,
                    "expires_ms": now + SESSION_SECONDS * 1000,
                },
            )
        return secret

    def session(self, secret: str) -> Principal | None:
        """Whose session this is; None when it is over or its key has ended."""
        query = select(console_sessions.c.key_id).where(
            console_sessions.c.digest == _digest(secret), console_sessions.c.expires_ms > _now()
        )
        with reading(self._engine) as connection:
            key_id = connection.execute(query).scalar()
        row = self._row(key_id) if key_id is not None else None
        return None if row is None else self._alive(row)

    def close_session(self, secret: str) -> None:
        """End one session."""
        with self._engine.begin() as connection:
            connection.execute(delete(console_sessions).where(console_sessions.c.digest == _digest(secret)))

    # -- inside

    def _row(self, key_id: str) -> Any:
        with reading(self._engine) as connection:
            return connection.execute(select(api_keys).where(api_keys.c.key_id == key_id[:16])).first()

    def _alive(self, row: Any) -> Principal | None:
        now = _now()
        if row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now):
            return None
        if row.used_ms is None or now - row.used_ms > _USED_EVERY_MS:
            with self._engine.begin() as connection:
                connection.execute(
                    update(api_keys).where(api_keys.c.key_id == row.key_id).values(used_ms=now)
                )
        return Principal(key_id=row.key_id, name=row.name, scopes=frozenset(row.scopes.split()))


def form_token(session: str) -> str:
    """The token a form of this session carries; another site can neither read nor compute it."""
    return hmac.new(session.encode(), b"guarded-sora form", hashlib.sha256).hexdigest()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _now() -> int:
    return time.time_ns() // 1_000_000
