"""Registry: who and what is protected. Names are sealed, faces are protected templates, works are hashes.
It fulfils the protocols ``ProtectedNames`` (of policies), ``Gallery`` and ``WorkIndex`` (of
detectors), so neither of them knows SQL. Every method is one transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from guarded_sora.detectors.gallery import ProtectedFaces
from guarded_sora.detectors.templates import TEMPLATE_BYTES, TEMPLATE_WORDS
from guarded_sora.errors import UsageError
from guarded_sora.policies.text.phonetic import name_form
from guarded_sora.policies.text.protected import ProtectedName
from guarded_sora.store.registry_tables import (
    face_templates,
    registry_state,
    subject_names,
    subjects,
    work_references,
)
from guarded_sora.store.subjects import CATEGORY, Kind, Standing, Subject, SubjectName, cleaned_names
from guarded_sora.store.works import WorkRegister, existing, now_ms

TEMPLATE_EPOCH = 0


class Registry(WorkRegister):
    """People, characters, brands and works on one Engine.

    Raises (all methods): StoreError when the database refuses or a row cannot be opened.
    """

    # -- change

    def add(
        self,
        kind: Kind,
        names: Sequence[SubjectName],
        *,
        standing: Standing = Standing.NONE,
        jurisdiction: str = "",
        terms: str = "",
    ) -> str:
        """Enrol a subject and return its id.

        A person without a standing is private: the strictest that says nothing about age.

        Raises:
            UsageError: names that cannot be looked for, or a name that is registered for this kind.
        """
        if kind is Kind.PERSON and standing is Standing.NONE:
            standing = Standing.PRIVATE
        if (kind, standing) not in CATEGORY:
            raise UsageError(
                f"A {kind} has no standing; only a person is private, public, a minor or deceased."
            )
        cleaned = cleaned_names(names)
        subject_id = f"{kind}-{secrets.token_hex(6)}"
        row = {
            "subject_id": subject_id,
            "kind": kind.value,
            "standing": standing.value,
            "jurisdiction": jurisdiction[:8],
            "created_ms": now_ms(),
            "sealed": self._keys.seal(orjson.dumps({"terms": terms[:2000]}), subject_id),
        }
        with self._changing() as connection:
            self._refuse_known(connection, kind, cleaned[0])
            connection.execute(insert(subjects), row)
            connection.execute(insert(subject_names), [self._name_row(subject_id, name) for name in cleaned])
        return subject_id

    def remove(self, subject_id: str) -> None:
        """Forget names, faces and references. The bare id stays, for old consents name it.

        Raises:
            UsageError: no such subject.
        """
        with self._changing() as connection:
            existing(connection, subject_id)
            self._forget_references(connection, subject_id)
            for table in (face_templates, subject_names):
                connection.execute(delete(table).where(table.c.subject_id == subject_id))
            gone = {"removed_ms": now_ms(), "sealed": None}
            connection.execute(update(subjects).where(subjects.c.subject_id == subject_id).values(gone))

    def add_faces(self, subject_id: str, model: str, templates: Sequence[bytes]) -> None:
        """Keep protected templates of a person.

        Raises:
            UsageError: no such subject, or it is no person.
        """
        if any(len(template) != TEMPLATE_BYTES for template in templates):
            raise ValueError(f"a template has {TEMPLATE_BYTES} bytes")
        with self._changing() as connection:
            if existing(connection, subject_id) is not Kind.PERSON:
                raise UsageError("Only a person has a face here; register pictures of a work as references.")
            place = _face_place(subject_id, model, TEMPLATE_EPOCH)
            row = {
                "subject_id": subject_id,
                "model": model,
                "key_epoch": TEMPLATE_EPOCH,
                "created_ms": now_ms(),
            }
            sealed = [{**row, "sealed": self._keys.seal(template, place)} for template in templates]
            if sealed:
                connection.execute(insert(face_templates), sealed)

    # -- read

    def subjects(self, kind: Kind | None = None) -> tuple[Subject, ...]:
        """Everybody enrolled, oldest first. Names are opened: show them to those who may see them."""
        query = select(subjects).where(subjects.c.removed_ms.is_(None)).order_by(subjects.c.created_ms)
        if kind is not None:
            query = query.where(subjects.c.kind == kind.value)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            names = self._names(connection)
            faces = _counts(connection, face_templates)
            references = _counts(connection, work_references)
        return tuple(
            Subject(
                subject_id=row.subject_id,
                kind=Kind(row.kind),
                standing=Standing(row.standing),
                jurisdiction=row.jurisdiction,
                created_ms=row.created_ms,
                names=names.get(row.subject_id, ()),
                terms=orjson.loads(self._keys.open(bytes(row.sealed), row.subject_id))["terms"],
                faces=faces.get(row.subject_id, 0),
                references=references.get(row.subject_id, 0),
            )
            for row in rows
        )

    def subject(self, subject_id: str) -> Subject:
        """One subject. Raises UsageError when there is none of this id, or it was removed."""
        found = next((item for item in self.subjects() if item.subject_id == subject_id), None)
        if found is None:
            raise UsageError("No such subject; 'guarded-sora registry person list' shows the ids there are.")
        return found

    def named(self, kind: Kind, name: str) -> str | None:
        """The id of the subject of this kind with exactly this name, however it is written."""
        query = (
            select(subjects.c.subject_id)
            .join(subject_names, subject_names.c.subject_id == subjects.c.subject_id)
            .where(
                subjects.c.kind == kind.value,
                subject_names.c.name_key == self._keys.name_key(name_form(name)),
            )
        )
        with self._reading() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else str(found)

    # -- ProtectedNames, for the prompt side

    names_version = gallery_version = WorkRegister.works_version

    def protected_names(self) -> Iterable[ProtectedName]:
        """Every name of every subject, opened."""
        for subject in self.subjects():
            category, severity = subject.category
            for name in subject.names:
                yield ProtectedName(
                    subject=subject.subject_id,
                    category=category,
                    severity=severity,
                    text=name.text,
                    weak=name.weak,
                    description=name.description,
                )

    # -- Gallery, for faces

    def enrolled(self) -> bool:
        """Whether anybody's face is."""
        with self._reading() as connection:
            return connection.execute(select(face_templates.c.template_id).limit(1)).first() is not None

    def template_key(self) -> bytes:
        """What faces are transformed with."""
        return self._keys.template_key(TEMPLATE_EPOCH)

    def faces(self, model: str) -> ProtectedFaces:
        """Everybody's templates under ``model`` and the present key, opened; others are counted stale."""
        query = (
            select(face_templates, subjects.c.kind, subjects.c.standing)
            .join(subjects, subjects.c.subject_id == face_templates.c.subject_id)
            .order_by(face_templates.c.template_id)
        )
        with self._reading() as connection:
            version = str(connection.execute(select(registry_state.c.revision)).scalar() or 0)
            rows = connection.execute(query).all()
        fresh = [row for row in rows if row.model == model and row.key_epoch == TEMPLATE_EPOCH]
        blobs = [
            self._keys.open(bytes(row.sealed), _face_place(row.subject_id, row.model, row.key_epoch))
            for row in fresh
        ]
        graded = [CATEGORY[Kind(row.kind), Standing(row.standing)] for row in fresh]
        return ProtectedFaces(
            version=version,
            templates=np.frombuffer(b"".join(blobs), dtype=np.uint64).reshape(-1, TEMPLATE_WORDS),
            subjects=tuple(row.subject_id for row in fresh),
            categories=tuple(category for category, _ in graded),
            severities=tuple(severity for _, severity in graded),
            stale=len(rows) - len(fresh),
        )

    # -- inside

    def _names(self, connection: Connection) -> dict[str, tuple[SubjectName, ...]]:
        found: dict[str, list[SubjectName]] = {}
        rows = connection.execute(select(subject_names).order_by(subject_names.c.name_id)).all()
        for row in rows:
            data = orjson.loads(self._keys.open(bytes(row.sealed), f"{row.subject_id}/{row.name_key}"))
            found.setdefault(row.subject_id, []).append(SubjectName(**data))
        return {subject_id: tuple(names) for subject_id, names in found.items()}

    def _name_row(self, subject_id: str, name: SubjectName) -> dict[str, Any]:
        key = self._keys.name_key(name_form(name.text))
        data = orjson.dumps({"text": name.text, "weak": name.weak, "description": name.description})
        return {
            "subject_id": subject_id,
            "name_key": key,
            "sealed": self._keys.seal(data, f"{subject_id}/{key}"),
        }

    def _refuse_known(self, connection: Connection, kind: Kind, name: SubjectName) -> None:
        known = connection.execute(
            select(subjects.c.subject_id)
            .join(subject_names, subject_names.c.subject_id == subjects.c.subject_id)
            .where(
                subjects.c.kind == kind.value,
                subject_names.c.name_key == self._keys.name_key(name_form(name.text)),
            )
        ).scalar()
        if known is not None:
            raise UsageError(
                f"A {kind} of this name is registered as {known}; remove it first, or add faces to it."
            )


def _counts(connection: Connection, table: Any) -> dict[str, int]:
    rows = connection.execute(select(table.c.subject_id, func.count()).group_by(table.c.subject_id)).all()
    return {row[0]: int(row[1]) for row in rows}


def _face_place(subject_id: str, model: str, epoch: int) -> str:
    return f"{subject_id}/{model}/{epoch}"
