"""The lists one installation trusts: the official ones that come with the program, or what replaced them.

Each purpose has its own file under ``home/trust`` with the list and where it comes from, so that an update
is one rename and a list for time can never end up vouching for claims.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from guarded_sora.errors import ProvenanceError, StoreError
from guarded_sora.provenance.credentials.trust import RevokedCertificate
from guarded_sora.provenance.credentials.trust_list import (
    read_revocations,
    read_trust_list,
    write_revocations,
)

Purpose = Literal["claims", "time", "revoked"]
PURPOSES: tuple[Purpose, ...] = ("claims", "time", "revoked")
_ANCHORS = "guarded_sora.provenance.credentials.anchors"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldList:
    """One list in force: ``data`` is PEM, or the JSON of a revocation list.

    ``source`` says where it comes from, ``issued`` and ``next_update`` are the publisher's dates where known,
    ``installed_on`` is None for the list that came with the program. ``sha256`` is that of the file as given.
    """

    purpose: Purpose
    source: str
    count: int
    expired: int
    sha256: str
    issued: date | None
    next_update: date | None
    installed_on: date | None
    data: bytes = field(default=b"", repr=False)

    def is_stale(self, on: date) -> bool:
        """Whether the publisher promised a newer list for a day that has passed."""
        return self.next_update is not None and on > self.next_update

    def as_json(self) -> dict[str, Any]:
        """Everything but the list itself."""
        found = {name: value for name, value in asdict(self).items() if name != "data"}
        return {
            name: value.isoformat() if isinstance(value, date) else value for name, value in found.items()
        }

    @property
    def revoked(self) -> tuple[RevokedCertificate, ...]:
        """The entries of a revocation list; empty for the others."""
        return read_revocations(self.data) if self.purpose == "revoked" and self.data else ()


def held_list(folder: Path, purpose: Purpose) -> HeldList:
    """The list for ``purpose`` that is in force in the installation whose lists lie in ``folder``.

    Raises ``ProvenanceError`` when an installed list cannot be read: to fall back on another one would be
    to trust whom the operator did not choose.
    """
    path = _path(folder, purpose)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _packaged(purpose)
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path) from error
    try:
        found = json.loads(text)
        held = HeldList(
            purpose=purpose,
            source=str(found["source"]),
            count=int(found["count"]),
            expired=int(found["expired"]),
            sha256=str(found["sha256"]),
            issued=_day(found["issued"]),
            next_update=_day(found["next_update"]),
            installed_on=_day(found["installed_on"]),
            data=found["data"].encode("ascii" if purpose != "revoked" else "utf-8"),
        )
        if found["purpose"] != purpose:
            raise ValueError("a list for another purpose")
        _ = held.revoked
    except (ValueError, TypeError, KeyError, AttributeError, ProvenanceError) as error:
        raise _damaged(path) from error
    return held


def install_list(
    folder: Path,
    data: bytes,
    *,
    source: str,
    purpose: Purpose | None = None,
    issued: date | None = None,
    now: datetime | None = None,
) -> HeldList:
    """Check ``data`` and put it in force in place of the list for its purpose.

    ``purpose`` is needed for a revocation list and for a PEM bundle of timestamp authorities; ``source`` and
    ``issued`` are recorded beside the list. Raises ``ProvenanceError`` when the list does not hold and
    ``StoreError`` when it cannot be written; both change nothing.
    """
    now = now or datetime.now(UTC)
    if purpose == "revoked":
        revoked = read_revocations(data)
        held = HeldList(
            purpose="revoked",
            source=source,
            count=len(revoked),
            expired=0,
            sha256=hashlib.sha256(data).hexdigest(),
            issued=issued,
            next_update=None,
            installed_on=now.date(),
            data=write_revocations(revoked),
        )
    else:
        found = read_trust_list(data, purpose=purpose, now=now)
        held = HeldList(
            purpose=found.purpose,
            source=source,
            count=found.count,
            expired=found.expired,
            sha256=found.sha256,
            issued=issued or found.issued,
            next_update=found.next_update,
            installed_on=found.read_on,
            data=found.pem,
        )
    _write(_path(folder, held.purpose), {**held.as_json(), "data": held.data.decode()})
    return held


@lru_cache(maxsize=4)
def _packaged(purpose: Purpose) -> HeldList:
    if purpose == "revoked":
        return HeldList(
            purpose=purpose,
            source="none",
            count=0,
            expired=0,
            sha256="",
            issued=None,
            next_update=None,
            installed_on=None,
        )
    folder = resources.files(_ANCHORS)
    entry = json.loads(folder.joinpath("lists.json").read_text(encoding="utf-8"))[purpose]
    data = folder.joinpath(entry["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ProvenanceError(
            f"The packaged list {entry['file']} is not the published one; install the package again."
        )
    found = read_trust_list(data, purpose=purpose)
    return HeldList(
        purpose=purpose,
        source=entry["source"],
        count=found.count,
        expired=found.expired,
        sha256=found.sha256,
        issued=_day(entry["issued"]),
        next_update=_day(entry["next_update"]),
        installed_on=None,
        data=found.pem,
    )


def _write(path: Path, document: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise StoreError(
            f"The list could not be written to {path} ({error.strerror}); make the folder writable."
        ) from error


def _path(folder: Path, purpose: Purpose) -> Path:
    return folder / f"{purpose}.json"


def _day(text: Any) -> date | None:
    return date.fromisoformat(text) if text else None


def _damaged(path: Path) -> ProvenanceError:
    return ProvenanceError(
        f"The trust list {path} cannot be read; install it again with 'guarded-sora keys trust update', "
        "or delete it to go back to the official list."
    )
