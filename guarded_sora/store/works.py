"""The register of works: pictures and clips that somebody protects, as hashes and features.

It fulfils the protocol ``WorkIndex`` of detectors. Hashes stand in clear, because the database searches
them; features, from which a sketch of a picture could be drawn, are sealed and searched in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from sqlalchemy import Connection, Engine, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.detectors.fingerprint import SecondHash
from guarded_sora.detectors.gallery import WorkHashes, WorkHit, WorkKeyframes, WorkReference
from guarded_sora.detectors.keyframes import MODEL, Keyframe, unpacked
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.store.access import reading, refused, writing
from guarded_sora.store.bands import SEARCH_RADIUS, BandSearch, band_rows, hash_rows
from guarded_sora.store.registry_keys import RegistryKeys
from guarded_sora.store.registry_tables import (
    registry_state,
    subjects,
    work_bands,
    work_hashes,
    work_keyframes,
    work_references,
)
from guarded_sora.store.subjects import Kind

_STATE = 1


class WorkRegister:
    """References of works, characters and brands on one Engine; every method is one transaction.

    Raises (all methods): StoreError when the database refuses or a row cannot be opened.
    """

    def __init__(self, engine: Engine, keys: RegistryKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._bands = BandSearch(engine, work_bands)

    # -- change

    def add_reference(
        self, subject_id: str, kind: str, hashes: Sequence[SecondHash], keyframes: Sequence[Keyframe] = ()
    ) -> int:
        """Keep hashes and features of a picture or clip of a work, character or brand; returns its number.

        Raises:
            UsageError: no such subject, a person, or nothing in the picture to hash.
        """
        if not hashes:
            raise UsageError("There is nothing in this picture to tell it from others; use another.")
        with self._changing() as connection:
            if existing(connection, subject_id) is Kind.PERSON:
                raise UsageError(
                    "A person is known by face; register pictures for works, characters or brands."
                )
            key = connection.execute(
                insert(work_references).values(subject_id=subject_id, kind=kind, created_ms=now_ms())
            ).inserted_primary_key
            assert key is not None
            reference = int(key[0])
            connection.execute(insert(work_hashes), list(hash_rows(reference, hashes)))
            bands = [
                row
                for position, item in enumerate(hashes)
                for row in band_rows(item.bits, reference_id=reference, position=position)
            ]
            connection.execute(insert(work_bands), bands)
            sealed = [
                {
                    "reference_id": reference,
                    "position": position,
                    "model": MODEL,
                    "sealed": self._keys.seal(item.packed(), _place(reference, position)),
                }
                for position, item in enumerate(keyframes)
            ]
            if sealed:
                connection.execute(insert(work_keyframes), sealed)
        return reference

    def _forget_references(self, connection: Connection, subject_id: str) -> None:
        references = select(work_references.c.reference_id).where(work_references.c.subject_id == subject_id)
        for table in (work_bands, work_hashes, work_keyframes):
            connection.execute(delete(table).where(table.c.reference_id.in_(references)))
        connection.execute(delete(work_references).where(work_references.c.subject_id == subject_id))

    # -- WorkIndex, for copies

    def works_version(self) -> str:
        """Grows with every change."""
        with self._reading() as connection:
            return str(connection.execute(select(registry_state.c.revision)).scalar() or 0)

    def registered(self) -> bool:
        """Whether any work has a reference."""
        with self._reading() as connection:
            return connection.execute(select(work_references.c.reference_id).limit(1)).first() is not None

    def work_hashes(self, *, most: int) -> WorkHashes | None:
        """Every registered second, or None when there are more than ``most``."""
        columns = (work_hashes.c.reference_id, work_hashes.c.position, work_hashes.c.bits)
        with self._reading() as connection:
            rows = connection.execute(select(*columns).limit(most + 1)).all()
        if len(rows) > most:
            return None
        return WorkHashes(
            bits=np.frombuffer(b"".join(bytes(row.bits) for row in rows), dtype=np.uint64).reshape(-1, 4),
            references=tuple(row.reference_id for row in rows),
            positions=tuple(row.position for row in rows),
        )

    def resembling_works(self, bits: bytes, *, within: int = SEARCH_RADIUS) -> tuple[WorkHit, ...]:
        """Every registered second within ``within`` bits (at most 31), nearest first."""
        try:
            found = self._bands.near(bits, within=within)
        except SQLAlchemyError as error:
            raise refused(error, "registry") from error
        return tuple(
            WorkHit(reference=row.reference_id, position=row.position, distance=distance)
            for row, distance in found
        )

    def work(self, reference: int) -> WorkReference | None:
        """A reference with all its hashes; None when it was removed."""
        with self._reading() as connection:
            head = connection.execute(
                select(work_references).where(work_references.c.reference_id == reference)
            ).first()
            rows = connection.execute(
                select(work_hashes)
                .where(work_hashes.c.reference_id == reference)
                .order_by(work_hashes.c.position)
            ).all()
        if head is None:
            return None
        hashes = tuple(
            SecondHash(second=row.second_ms / 1000, bits=bytes(row.bits), quality=row.quality) for row in rows
        )
        return WorkReference(reference=reference, subject=head.subject_id, kind=head.kind, hashes=hashes)

    def work_keyframes(self, *, most: int) -> WorkKeyframes | None:
        """The features of every registered picture, opened, or None when there are more than ``most``."""
        current = work_keyframes.c.model == MODEL
        with self._reading() as connection:
            stale = connection.execute(select(func.count()).where(~current)).scalar() or 0
            rows = connection.execute(select(work_keyframes).where(current).limit(most + 1)).all()
        if len(rows) > most:
            return None
        try:
            keyframes = tuple(
                unpacked(self._keys.open(bytes(row.sealed), _place(row.reference_id, row.position)))
                for row in rows
            )
        except ValueError as error:
            raise StoreError(
                "Features of a registered work cannot be read; remove the work and register it again."
            ) from error
        return WorkKeyframes(
            keyframes=keyframes, references=tuple(row.reference_id for row in rows), stale=int(stale)
        )

    # -- inside

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with writing(self._engine, "registry") as connection:
            yield connection
            connection.execute(
                update(registry_state)
                .where(registry_state.c.id == _STATE)
                .values(revision=registry_state.c.revision + 1)
            )

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine, "registry")


def existing(connection: Connection, subject_id: str) -> Kind:
    """The kind of a subject that was not removed. Raises UsageError when there is none."""
    kind = connection.execute(
        select(subjects.c.kind).where(subjects.c.subject_id == subject_id, subjects.c.removed_ms.is_(None))
    ).scalar()
    if kind is None:
        raise UsageError("No such subject; 'guarded-sora registry person list' shows the ids there are.")
    return Kind(kind)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _place(reference: int, position: int) -> str:
    return f"keyframe {reference}/{position}"
