"""StayDownBook: films that a notice took down and that must not come back.

A film is known again by its clip id, by its exact bytes, or by its fingerprint, mirrored or not. All
fingerprints are compared whole (256 bits, 32 bytes a second of film), so that nothing depends on which
seconds a look-up happens to sample; a million seconds are 32 MB.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from guarded_sora.detectors.fingerprint import MIN_QUALITY, SAME, SecondHash, match, mirrored
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store.access import reading, writing
from guarded_sora.store.registry_tables import clip_notices
from guarded_sora.store.stay_down_tables import stay_down_hashes, stay_downs

STAY_DOWN = "stay_down"
"""The notice that ``verify`` tells on a clip that must stay down."""

LEAST_SHARE = 0.5
"""Of the film that stays down, or of the film under examination: the share that must be the other's."""

_BLOCK = 4096  # registered seconds compared at once


@dataclass(frozen=True, slots=True, kw_only=True)
class StayDown:
    """One film that must stay down. ``by`` says how it was known: clip, file or fingerprint."""

    stay_down_id: int
    case_id: str
    clip_id: ClipId | None
    file_sha256: str | None
    since_ms: int
    by: str = ""


class StayDownBook:
    """What must stay down, on one Engine. Raises (all methods): StoreError when the database refuses."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._index: tuple[tuple[int, int], NDArray[np.uint64], NDArray[np.int64]] | None = None

    def put(
        self,
        case_id: str,
        *,
        clip_id: ClipId | None = None,
        file_sha256: str | None = None,
        hashes: Sequence[SecondHash] = (),
    ) -> None:
        """Keep a film down because of ``case_id``; a second call for the same film changes nothing."""
        now = time.time_ns() // 1_000_000
        with writing(self._engine) as connection:
            same = select(stay_downs.c.stay_down_id).where(
                stay_downs.c.case_id == case_id,
                stay_downs.c.clip_id == (None if clip_id is None else str(clip_id)),
                stay_downs.c.file_sha256 == file_sha256,
                stay_downs.c.lifted_ms.is_(None),
            )
            if connection.execute(same).first() is not None:
                return
            key = connection.execute(
                insert(stay_downs).values(
                    case_id=case_id,
                    clip_id=None if clip_id is None else str(clip_id),
                    file_sha256=file_sha256,
                    since_ms=now,
                )
            ).inserted_primary_key
            assert key is not None
            if hashes:
                connection.execute(
                    insert(stay_down_hashes),
                    [
                        {
                            "stay_down_id": int(key[0]),
                            "position": position,
                            "second_ms": round(item.second * 1000),
                            "bits": item.bits,
                            "cells": item.cells,
                            "quality": item.quality,
                        }
                        for position, item in enumerate(hashes)
                    ],
                )
            if clip_id is not None:
                _put_notice(connection, clip_id, case_id, now)

    def lift(self, case_id: str) -> int:
        """Let what ``case_id`` kept down come back; returns how many films."""
        now = time.time_ns() // 1_000_000
        with writing(self._engine) as connection:
            connection.execute(
                delete(clip_notices).where(clip_notices.c.cause == case_id, clip_notices.c.code == STAY_DOWN)
            )
            return connection.execute(
                update(stay_downs)
                .where(stay_downs.c.case_id == case_id, stay_downs.c.lifted_ms.is_(None))
                .values(lifted_ms=now)
            ).rowcount

    def of_case(self, case_id: str) -> tuple[StayDown, ...]:
        """What ``case_id`` keeps down now."""
        return self._find(stay_downs.c.case_id == case_id, by="case")

    def of_clip(self, clip_id: ClipId) -> StayDown | None:
        """What keeps this clip of ours down, or None."""
        return next(iter(self._find(stay_downs.c.clip_id == str(clip_id), by="clip")), None)

    def of_file(self, file_sha256: str) -> StayDown | None:
        """What keeps exactly this file down, or None."""
        return next(iter(self._find(stay_downs.c.file_sha256 == file_sha256, by="file")), None)

    def known(self, file_sha256: str, hashes: Sequence[SecondHash]) -> StayDown | None:
        """What keeps this file, or a film of this fingerprint, down, or None."""
        return self.of_file(file_sha256) or self.of_picture(hashes)

    def of_picture(self, hashes: Sequence[SecondHash]) -> StayDown | None:
        """What keeps a film of this fingerprint down, or None.

        Half of the film must be the one that stays down, or hold half of it. Seconds in which nothing
        happens (black, a bare gradient) tell no film from another and are not compared.
        """
        telling = [item for item in hashes if item.quality >= MIN_QUALITY]
        if not telling:
            return None
        for stay_down_id in self._near(telling):
            kept = self._hashes(stay_down_id)
            there, back = match(telling, kept), match(kept, telling)
            if not there.flat and max(there.similarity, back.similarity) >= LEAST_SHARE:
                found = self._find(stay_downs.c.stay_down_id == stay_down_id, by="fingerprint")
                if found:
                    return found[0]
        return None

    # -- inside

    def _near(self, hashes: Sequence[SecondHash]) -> list[int]:
        """Ids with a second within ``SAME`` bits of one of ``hashes``, in order."""
        bits, owners = self._matrix()
        wanted = np.frombuffer(
            b"".join(form for item in hashes for form in (item.bits, mirrored(item.bits))), dtype=np.uint64
        ).reshape(-1, 4)
        found: set[int] = set()
        for start in range(0, len(bits), _BLOCK):
            block = bits[start : start + _BLOCK]
            for row in wanted:
                near = np.bitwise_count(block ^ row).sum(axis=1) <= SAME
                found.update(int(owner) for owner in owners[start : start + _BLOCK][near])
        return sorted(found)

    def _matrix(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Every hash that stays down, uint64 (N, 4), and whose it is; read anew when the book changed."""
        state = select(
            func.coalesce(func.max(stay_downs.c.stay_down_id), 0), func.count(stay_downs.c.lifted_ms)
        )
        rows = (
            select(stay_down_hashes.c.bits, stay_down_hashes.c.stay_down_id)
            .join(stay_downs, stay_downs.c.stay_down_id == stay_down_hashes.c.stay_down_id)
            .where(stay_downs.c.lifted_ms.is_(None), stay_down_hashes.c.quality >= MIN_QUALITY)
        )
        with self._lock, reading(self._engine) as connection:
            newest, lifted = connection.execute(state).one()
            if self._index is None or self._index[0] != (newest, lifted):
                found = connection.execute(rows).all()
                bits = np.frombuffer(b"".join(bytes(row.bits) for row in found), dtype=np.uint64)
                owners = np.array([row.stay_down_id for row in found], dtype=np.int64)
                self._index = (newest, lifted), bits.reshape(-1, 4), owners
            return self._index[1], self._index[2]

    def _hashes(self, stay_down_id: int) -> list[SecondHash]:
        query = (
            select(stay_down_hashes)
            .where(stay_down_hashes.c.stay_down_id == stay_down_id)
            .order_by(stay_down_hashes.c.position)
        )
        with reading(self._engine) as connection:
            return [
                SecondHash(
                    second=row.second_ms / 1000,
                    bits=bytes(row.bits),
                    cells=bytes(row.cells),
                    quality=row.quality,
                )
                for row in connection.execute(query)
            ]

    def _find(self, condition: object, *, by: str) -> tuple[StayDown, ...]:
        query = (
            select(stay_downs)
            .where(condition, stay_downs.c.lifted_ms.is_(None))  # type: ignore[arg-type]
            .order_by(stay_downs.c.stay_down_id)
        )
        with reading(self._engine) as connection:
            return tuple(
                StayDown(
                    stay_down_id=row.stay_down_id,
                    case_id=row.case_id,
                    clip_id=None if row.clip_id is None else ClipId.parse(row.clip_id),
                    file_sha256=row.file_sha256,
                    since_ms=row.since_ms,
                    by=by,
                )
                for row in connection.execute(query)
            )


def _put_notice(connection: Connection, clip_id: ClipId, case_id: str, now: int) -> None:
    row = {"clip_id": str(clip_id), "code": STAY_DOWN, "cause": case_id}
    known = select(clip_notices.c.since_ms).where(
        *(clip_notices.c[name] == value for name, value in row.items())
    )
    if connection.execute(known).first() is None:
        connection.execute(insert(clip_notices).values(**row, since_ms=now))
