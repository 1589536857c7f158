"""ClipStore: draws ids, keeps what was released under them, and finds clips again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from guarded_sora.detectors.fingerprint import SecondHash
from guarded_sora.errors import StoreError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store.access import refused
from guarded_sora.store.bands import SEARCH_RADIUS, BandSearch, band_rows
from guarded_sora.store.tables import clip_sources, clips, fingerprint_bands, fingerprints, manifests

_DRAWS = 16  # a collision among 2**40 ids is rare; sixteen in a row mean a broken random source


class ClipState(StrEnum):
    """``RESERVED``: an id was drawn, nothing was released. ``HELD``: the film waits for a reviewer."""

    RESERVED = "reserved"
    HELD = "held"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRecord:
    """One clip as the store knows it."""

    clip_id: ClipId
    state: ClipState
    kind: str
    created_ms: int
    intent_id: str
    file_sha256: str | None
    manifest_label: str | None
    audit_seq: int | None
    size: tuple[int, int] | None = None
    """Width and height of the released film in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintHit:
    """A stored second that resembles a looked-up one."""

    clip_id: ClipId
    position: int
    distance: int


class ClipStore:
    """The store on one Engine; every method is one transaction.

    Raises (all methods): StoreError when the database refuses.
    """

    def __init__(self, engine: Engine, *, issuer: str) -> None:
        self._engine = engine
        self._bands = BandSearch(engine, fingerprint_bands)
        self.issuer = issuer

    def reserve(self, *, kind: str, intent_id: str) -> ClipId:
        """Draw a new id, unique in this store, and keep it reserved."""
        for _ in range(_DRAWS):
            clip_id = ClipId(issuer=self.issuer, id=secrets.randbits(40))
            row = {
                "clip_id": str(clip_id),
                "number": clip_id.id,
                "state": ClipState.RESERVED.value,
                "kind": kind,
                "created_ms": time.time_ns() // 1_000_000,
                "intent_id": intent_id,
            }
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(clips), row)
            except IntegrityError:
                continue
            except SQLAlchemyError as error:
                raise refused(error) from error
            return clip_id
        raise StoreError("No free clip id was found; check the random source of this machine.")

    def record(
        self,
        clip_id: ClipId,
        *,
        state: ClipState,
        file_sha256: str,
        manifest_label: str,
        manifest_store: bytes,
        fingerprint: Sequence[SecondHash],
        seconds: float,
        size: tuple[int, int],
        source_sha256: str | None = None,
    ) -> None:
        """Keep the finished film's manifest and fingerprint; the film itself is not stored here.

        ``source_sha256``: of the very file that a protected film was made from.
        """
        values = {
            "state": state.value,
            "file_sha256": file_sha256,
            "manifest_label": manifest_label,
            "seconds_ms": round(seconds * 1000),
            "width": size[0],
            "height": size[1],
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(update(clips).where(clips.c.clip_id == str(clip_id)).values(values))
                connection.execute(
                    insert(manifests),
                    {"label": manifest_label, "clip_id": str(clip_id), "store": manifest_store},
                )
                if source_sha256 is not None:
                    row = {"clip_id": str(clip_id), "file_sha256": source_sha256}
                    connection.execute(insert(clip_sources), row)
                _insert_fingerprint(connection, clip_id, fingerprint)
        except SQLAlchemyError as error:
            raise refused(error) from error

    def settle(self, clip_id: ClipId, *, state: ClipState, audit_seq: int | None = None) -> None:
        """Set the state, and the log's sequence number of the outcome where there is one."""
        values: dict[str, Any] = {"state": state.value}
        if audit_seq is not None:
            values["audit_seq"] = audit_seq
        try:
            with self._engine.begin() as connection:
                connection.execute(update(clips).where(clips.c.clip_id == str(clip_id)).values(values))
        except SQLAlchemyError as error:
            raise refused(error) from error

    def forget(self, clip_id: ClipId) -> None:
        """Drop fingerprint and manifest of a clip that was never released; its id stays used up."""
        key = str(clip_id)
        try:
            with self._engine.begin() as connection:
                for table in (fingerprint_bands, fingerprints, manifests, clip_sources):
                    connection.execute(delete(table).where(table.c.clip_id == key))
        except SQLAlchemyError as error:
            raise refused(error) from error

    def by_number(self, number: int) -> tuple[ClipRecord, ...]:
        """The clips whose mark carries ``number`` (40 bits)."""
        return self._clips(clips.c.number == number)

    def by_id(self, clip_id: ClipId) -> ClipRecord | None:
        """The clip of exactly this id."""
        found = self._clips(clips.c.clip_id == str(clip_id))
        return found[0] if found else None

    def by_sha256(self, file_sha256: str) -> tuple[ClipRecord, ...]:
        """The clips released or held as exactly this file."""
        return self._clips(clips.c.file_sha256 == file_sha256)

    def by_source(self, file_sha256: str) -> tuple[ClipRecord, ...]:
        """The clips that were made by protecting exactly this file."""
        made = select(clip_sources.c.clip_id).where(clip_sources.c.file_sha256 == file_sha256)
        return self._clips(clips.c.clip_id.in_(made))

    def manifest(self, label: str) -> bytes | None:
        """The signed manifest store kept under its active label."""
        with self._engine.connect() as connection:
            found = connection.execute(select(manifests.c.store).where(manifests.c.label == label)).scalar()
        return bytes(found) if found is not None else None

    def fingerprint(self, clip_id: ClipId) -> tuple[SecondHash, ...]:
        """The stored fingerprint, in order of time; empty when there is none."""
        query = (
            select(fingerprints)
            .where(fingerprints.c.clip_id == str(clip_id))
            .order_by(fingerprints.c.position)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return tuple(
            SecondHash(
                second=row.second_ms / 1000,
                bits=bytes(row.bits),
                cells=bytes(row.cells),
                quality=row.quality,
            )
            for row in rows
        )

    def resembling(self, bits: bytes, *, within: int = SEARCH_RADIUS) -> tuple[FingerprintHit, ...]:
        """Every stored second within ``within`` bits (at most 31) of ``bits``, nearest first."""
        return tuple(
            FingerprintHit(clip_id=ClipId.parse(row.clip_id), position=row.position, distance=distance)
            for row, distance in self._bands.near(bits, within=within)
        )

    def _clips(self, condition: Any) -> tuple[ClipRecord, ...]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(clips).where(condition).order_by(clips.c.created_ms)).all()
        return tuple(_clip_record(row) for row in rows)


def _clip_record(row: Row[Any]) -> ClipRecord:
    return ClipRecord(
        clip_id=ClipId.parse(row.clip_id),
        state=ClipState(row.state),
        kind=row.kind,
        created_ms=row.created_ms,
        intent_id=row.intent_id,
        file_sha256=row.file_sha256,
        manifest_label=row.manifest_label,
        audit_seq=row.audit_seq,
        size=None if row.width is None else (row.width, row.height),
    )


def _insert_fingerprint(connection: Connection, clip_id: ClipId, fingerprint: Sequence[SecondHash]) -> None:
    if not fingerprint:
        return
    key = str(clip_id)
    connection.execute(
        insert(fingerprints),
        [
            {
                "clip_id": key,
                "position": position,
                "second_ms": round(hashed.second * 1000),
                "bits": hashed.bits,
                "cells": hashed.cells,
                "quality": hashed.quality,
            }
            for position, hashed in enumerate(fingerprint)
        ],
    )
    connection.execute(
        insert(fingerprint_bands),
        [
            row
            for position, hashed in enumerate(fingerprint)
            for row in band_rows(hashed.bits, clip_id=key, position=position)
        ],
    )
