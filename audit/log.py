"""The log: append events, read them back, prove that they stand there.

One process may hold many threads, and several processes may hold the same database: every append
is one transaction under the database's own lock. Threads that append at the same moment share one
transaction (group commit), so that many callers pay for one sync to the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, func, select

from guarded_sora.audit import erasure, pending, retention, search, tree, words
from guarded_sora.audit.append import Appended, read_state
from guarded_sora.audit.checkpoint import Checkpoint, Signer, open_note
from guarded_sora.audit.connections import check_schema, reading
from guarded_sora.audit.entry import Entry, Event
from guarded_sora.audit.errors import LogCorrupt, ProofInvalid
from guarded_sora.audit.payloads import Vault
from guarded_sora.audit.proof import ConsistencyProof, Proof
from guarded_sora.audit.rehash import Progress, Rehash, VerifyReport
from guarded_sora.audit.search import Moment
from guarded_sora.audit.tables import checkpoints, cosignatures
from guarded_sora.audit.tiles import TileCache, TileReader
from guarded_sora.audit.writer import Transaction, Writer


class AuditLog:
    """An append-only log over ``engine``, which :func:`guarded_sora.audit.sqlite.prepare` set up.

    ``signing_key`` signs checkpoints of ``origin`` (printable ASCII, scheme-less URL prefix);
    ``payload_key`` (32 bytes) wraps the keys of personal data. A checkpoint is signed with an append
    when the last one is ``checkpoint_seconds`` old, and by :meth:`checkpoint`, :meth:`prove` and
    :meth:`close`. ``clock`` returns milliseconds since 1970.

    Raises:
        SchemaMismatch: the database is not migrated, or newer than this program.
        LogCorrupt: the newest checkpoint contradicts the tree or was signed by another key.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        signing_key: Ed25519PrivateKey,
        origin: str,
        payload_key: bytes,
        checkpoint_seconds: float = 1.0,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.engine = engine
        self._signer = Signer(origin, signing_key)
        self._vault = Vault(payload_key)
        self._cache = TileCache()
        self._writer = Writer(
            engine,
            self._signer,
            self._vault,
            checkpoint_seconds=checkpoint_seconds,
            clock=clock or (lambda: time.time_ns() // 1_000_000),
        )
        self._check_open()

    @property
    def origin(self) -> str:
        return self._signer.origin

    @property
    def vkey(self) -> str:
        """The verification key as text: give it to whoever checks proofs."""
        return self._signer.vkey

    @property
    def vault(self) -> Vault:
        return self._vault

    # Writing

    def append(self, events: Sequence[Event]) -> tuple[Appended, ...]:
        """Append ``events`` in order; returns once they are safe on disk.

        An id that stands in the log already is not written again: its first place is returned.

        Raises:
            EntryInvalid: an event the log does not take; none of this call's events is written.
            WriteFailed: the database refused or was lost. Nothing is half-written; when the
                connection broke at the very end the events may stand there, and repeating the call
                with the same ids is safe.
        """
        return self._writer.append(events)

    def submit(self, events: Sequence[Event]) -> tuple[str, ...]:
        """Hand ``events`` in for a :class:`~guarded_sora.audit.pending.Sequencer`; returns their ids.

        They are safe on disk, wait for nobody's lock, and stand in the log a little later. Raises as
        :meth:`append`.
        """
        return pending.submit(self.engine, self._vault, events)

    def wait(self, ids: Sequence[str], seconds: float = 10.0) -> tuple[Appended, ...]:
        """Where submitted events stand. Raises ``EntryInvalid`` for one the log would not take,
        ``NotFound`` when a sequencer has not moved them within ``seconds``."""
        return pending.wait(self, ids, seconds)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction of one's own: check, append and update projections, all or nothing."""
        return self._writer.transaction()

    def checkpoint(self, force: bool = True) -> Checkpoint:
        """The signed size and root. ``force``: of the log as it is now; else the newest signed one."""
        if not force:
            newest = self._newest()
            if newest is not None:
                return newest
        return self._writer.checkpoint()

    def close(self) -> None:
        """Sign what was not signed yet. The engine stays open: it belongs to the caller."""
        newest = self._newest()
        if newest is None or newest.size != self.size:
            self.checkpoint()

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    @property
    def size(self) -> int:
        """How many events the log holds."""
        with reading(self.engine) as connection:
            return read_state(connection).frontier.size

    def read(self, seq: int) -> Entry:
        """The entry at ``seq``. Raises ``NotFound``, ``LogCorrupt``."""
        with reading(self.engine) as connection:
            return search.read(connection, seq)

    def read_id(self, identity: str) -> Entry:
        """The entry of the event with this id. Raises ``NotFound``, ``LogCorrupt``."""
        with reading(self.engine) as connection:
            return search.read_id(connection, identity)

    def payload(self, seq: int) -> bytes | None:
        """The decrypted payload of event ``seq``; None when it has none or it was erased."""
        with reading(self.engine) as connection:
            return self._vault.open(connection, search.read(connection, seq))

    def view(self, seq: int, *, viewer: str, reason: str = "") -> bytes | None:
        """:meth:`payload` for a person: the look is logged first, or nothing is shown."""
        entry = self.read(seq)
        body = {"event": seq, "reason": reason}
        self.append([Event(kind="payload.viewed", actor=viewer, subject=entry.subject, body=body)])
        return self.payload(seq)

    def disclose(self, seq: int, *, viewer: str, reason: str = "") -> tuple[bytes, bytes] | None:
        """Salt and payload of event ``seq``, for a dossier; the look is logged first, as by :meth:`view`."""
        if self.view(seq, viewer=viewer, reason=reason) is None:
            return None
        with reading(self.engine) as connection:
            return self._vault.disclose(connection, search.read(connection, seq))

    def tail(self, count: int = 10) -> list[Entry]:
        """The newest ``count`` entries, oldest of them first."""
        with reading(self.engine) as connection:
            return search.tail(connection, count)

    def search(
        self,
        *,
        kind: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        text: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Entries that match every filter, oldest first; the last one's ``seq`` is the next ``after``.

        ``kind`` may end in ``.*``. ``since`` is included, ``until`` is not. ``text``: words of
        searchable payloads, as in :meth:`search_text`.
        """
        with reading(self.engine) as connection:
            return search.find(
                connection,
                kind=kind,
                actor=actor,
                subject=subject,
                text=text,
                since=since,
                until=until,
                after=after,
                limit=limit,
            )

    def search_text(self, query: str, *, after: int | None = None, limit: int = 100) -> list[Entry]:
        """Entries whose searchable payload holds every word of ``query``; ``"in quotes"``: a phrase."""
        with reading(self.engine) as connection:
            found = words.find(connection, query, after=after, limit=limit)
            return [search.read(connection, seq) for seq in found]

    def count(
        self,
        kind: str | None = None,
        actor: str | None = None,
        since: Moment | None = None,
        *,
        subject: str | None = None,
        until: Moment | None = None,
    ) -> int:
        """How many entries match: for counters such as an actor's blocks of the last 24 hours."""
        with reading(self.engine) as connection:
            return search.count(connection, kind=kind, actor=actor, subject=subject, since=since, until=until)

    # Personal data

    def erase(self, owner: str, *, actor: str, reason: str) -> erasure.Erased:
        """Erase every payload of ``owner``. Proofs go on holding. Raises ``ErasureRefused`` under a hold."""
        return erasure.erase(self.engine, self._writer, self._vault, owner, actor=actor, reason=reason)

    def expire(self, kind: str, before: Moment, *, actor: str) -> erasure.Erased:
        """Erase payloads of ``kind`` (may end in ``.*``) that are older than ``before``; holds win."""
        end = search.milliseconds(before)
        return erasure.expire(self.engine, self._writer, self._vault, kind, end, actor=actor)

    def prune(self, before: int, *, actor: str, reason: str) -> retention.Pruned:
        """Drop entries below ``before``; later proofs go on holding. Raises ``ErasureRefused``."""
        return retention.prune(self._writer, self._vault, before, actor=actor, reason=reason)

    def hold(self, owner: str, reason: str, *, actor: str, until: Moment | None = None) -> erasure.Hold:
        """Keep ``owner``'s data from erasure; ``child_safety`` holds for a year at least."""
        end = None if until is None else search.milliseconds(until)
        return erasure.hold(self._writer, owner, reason, actor=actor, until=end)

    def lift_hold(self, owner: str, reason: str, *, actor: str) -> None:
        """End a hold. Raises ``NotFound``, ``ErasureRefused``."""
        erasure.lift(self._writer, owner, reason, actor=actor)

    def holds(self, owner: str | None = None) -> list[erasure.Hold]:
        """The holds on ``owner``'s data, or on anybody's."""
        return erasure.list_holds(self.engine, owner)

    def rewrap(self, new_payload_key: bytes, *, actor: str) -> int:
        """Wrap every owner key under a new payload key, and log it; returns how many keys.

        Destroy the old payload key afterwards: only then are erased people's keys dead in old
        backups too.
        """
        with self._writer.transaction() as tx:
            keys = self._vault.rewrap(tx.connection, new_payload_key)
            body = {"keys": keys}
            tx.append([Event(kind="payload.rewrapped", actor=actor, subject=self.origin, body=body)])
        self._vault.use(new_payload_key)
        return keys

    # Proving

    def prove(self, seq: int) -> Proof:
        """That event ``seq`` stands in the log, against the newest checkpoint that covers it; what
        witnesses signed of it goes along."""
        with reading(self.engine) as connection:
            entry = search.read(connection, seq)
            checkpoint = self._newest_in(connection)
        if checkpoint is None or checkpoint.size <= seq:
            checkpoint = self.checkpoint()
        with reading(self.engine) as connection:
            edge = read_state(connection).frontier
            nodes = TileReader(connection, checkpoint.size, self._cache, edge)
            nodes.preload(seq)
            path = tree.inclusion_path(seq, checkpoint.size, nodes)
            witnessed = select(cosignatures.c.line).where(cosignatures.c.size == checkpoint.size)
            lines = connection.execute(witnessed.order_by(cosignatures.c.name)).scalars().all()
        note = checkpoint.note + "".join(f"{line}\n" for line in lines)
        return Proof(seq=seq, entry=entry.canonical, path=path, checkpoint=note, key=self.vkey)

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        """That the log of ``old`` entries is the beginning of the log of ``new`` entries."""
        with reading(self.engine) as connection:
            size = read_state(connection).frontier.size
            if not 0 <= old <= new <= size:
                raise ProofInvalid(f"Give two sizes in order, at most {size}.")
            path = tree.consistency_path(old, new, TileReader(connection, new, self._cache))
        return ConsistencyProof(old=old, new=new, path=path)

    def verify(
        self,
        progress: Progress | None = None,
        *,
        published: Sequence[str] = (),
        with_payloads: bool = True,
        resume: Path | None = None,
    ) -> VerifyReport:
        """Re-hash everything; every row that was changed is named in the report.

        ``published``: checkpoints that were kept outside this database. Only they can show that the
        log was rolled back to an older copy. ``resume``: a file that keeps the place reached, so that
        a run that was stopped goes on there; it must lie where nobody who could change the log writes.
        """
        return Rehash(self.engine, self.vkey, self._vault if with_payloads else None).run(
            progress, published, resume
        )

    # Inside

    def _newest(self) -> Checkpoint | None:
        with reading(self.engine) as connection:
            return self._newest_in(connection)

    def _newest_in(self, connection: Connection) -> Checkpoint | None:
        newest = select(func.max(checkpoints.c.size)).scalar_subquery()
        note = connection.execute(select(checkpoints.c.note).where(checkpoints.c.size == newest)).scalar()
        return None if note is None else open_note(note, self.vkey)

    def _check_open(self) -> None:
        with reading(self.engine) as connection:
            check_schema(connection)
            try:
                newest = self._newest_in(connection)
            except ProofInvalid as error:
                raise LogCorrupt(
                    "The newest checkpoint of this log was not signed by this key for this origin; "
                    "open the log with the key it was made with."
                ) from error
            # Read after the checkpoint: on PostgreSQL another writer may commit between the two reads,
            # and a log may be ahead of its newest checkpoint but never behind it.
            frontier = read_state(connection).frontier
        if newest is None:
            return
        if newest.size > frontier.size or (newest.size == frontier.size and newest.root != frontier.root()):
            raise LogCorrupt(
                f"The log holds {frontier.size} entries but its newest checkpoint signs others; "
                "run 'guarded-sora audit verify'."
            )
