"""The one way into the log: group commit for threads, exclusive transactions, signing on a timer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from guarded_sora.audit.append import Appended, Tail, read_state, sign, write
from guarded_sora.audit.checkpoint import Checkpoint, Signer
from guarded_sora.audit.connections import corrupt_rows, writing
from guarded_sora.audit.entry import Event, Prepared, prepare
from guarded_sora.audit.errors import AuditError, EntryInvalid
from guarded_sora.audit.payloads import Vault, commit

GROUP = 1000
"""Most events one shared transaction takes from waiting callers."""


class _Request:
    """One caller's events on their way through a shared transaction."""

    __slots__ = ("done", "error", "events", "leads", "results", "wake")

    def __init__(self, events: tuple[Prepared, ...]) -> None:
        self.events = events
        self.results: tuple[Appended, ...] = ()
        self.error: BaseException | None = None
        self.done = False
        self.leads = False
        self.wake = threading.Event()


class Transaction:
    """An open, locked transaction: what is read here cannot change before what is appended here."""

    def __init__(self, writer: Writer, connection: Connection, now: int) -> None:
        self.connection = connection
        self.now = now
        self._writer = writer

    def append(self, events: Sequence[Event]) -> tuple[Appended, ...]:
        """Append; the events stand in the log once the transaction's ``with`` block ends."""
        return self._writer.write_now(self.connection, prepare_all(events), self.now)

    def write_each(self, batch: Sequence[Prepared]) -> list[Appended | EntryInvalid]:
        """Append what can be; for every event where it stands, or why the log does not take it."""
        return self._writer.write_each(self.connection, batch, self.now)


def prepare_all(events: Sequence[Event]) -> tuple[Prepared, ...]:
    """Check and encode ``events``; commitments are made for payloads. Raises ``EntryInvalid``."""
    return tuple(
        prepare(event) if event.payload is None else prepare(event, *commit(event.payload))
        for event in events
    )


class Writer:
    """Serialises the writers of one process; the database's own lock serialises processes.

    Threads that append at the same moment share one transaction: one of them leads and writes for
    everybody who waits, the others sleep until their part is done or the lead is passed on to them.
    """

    def __init__(
        self,
        engine: Engine,
        signer: Signer,
        vault: Vault,
        *,
        checkpoint_seconds: float,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._signer = signer
        self._vault = vault
        self._interval = checkpoint_seconds
        self._clock = clock
        self._turn = threading.RLock()
        self._in_transaction = 0
        self._queue = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._led = False
        self._signed_at = float("-inf")
        self._tail = Tail()

    def append(self, events: Sequence[Event]) -> tuple[Appended, ...]:
        """Append in a transaction shared with whoever else waits. Raises as ``AuditLog.append``."""
        request = _Request(prepare_all(events))
        if not request.events:
            return ()
        if self._in_transaction == threading.get_ident():
            self._refuse_nesting()
        try:
            with self._queue:
                self._waiting.append(request)
                request.leads = not self._led
                self._led = True
            if not request.leads:
                request.wake.wait()
            if request.leads:
                with self._turn:
                    self._commit(self._drain())
        finally:
            self._pass_on(request)
        if request.error is not None:
            raise request.error
        return request.results

    def _pass_on(self, request: _Request) -> None:
        """Let the next caller who waits write for the others. A caller that was interrupted while it
        waited takes its events back, unless they are being written already."""
        with self._queue:
            if not request.done and request in self._waiting:
                self._waiting.remove(request)
            if not request.leads:
                return
            request.leads = False
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].wake.set()
            else:
                self._led = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A locked transaction for the caller alone."""
        with self._turn:
            self._refuse_nesting()
            self._in_transaction = threading.get_ident()
            try:
                with writing(self._engine) as connection:
                    read_state(connection, lock=True)
                    yield Transaction(self, connection, self._clock())
                    self._sign_when_due(connection)
            except IntegrityError as error:
                raise corrupt_rows(error) from error
            finally:
                self._in_transaction = 0

    def checkpoint(self) -> Checkpoint:
        """Sign the tree as it is now, unless that was done before."""
        with self._turn:
            self._refuse_nesting()
            try:
                with writing(self._engine) as connection:
                    checkpoint = sign(connection, self._signer, self._clock())
            except IntegrityError as error:
                raise corrupt_rows(error) from error
            self._signed_at = time.monotonic()
        return checkpoint

    def _refuse_nesting(self) -> None:
        if self._in_transaction:
            raise AuditError("A transaction of this log is open in this thread; append through it.")

    def _drain(self) -> list[_Request]:
        with self._queue:
            group = [self._waiting.popleft()]
            count = len(group[0].events)
            while self._waiting and count + len(self._waiting[0].events) <= GROUP:
                group.append(self._waiting.popleft())
                count += len(group[-1].events)
        return group

    def _commit(self, group: list[_Request]) -> None:
        """Write ``group`` in one transaction and tell every caller in it what became of it."""
        known_ids = False
        callers = group
        try:
            while group:
                try:
                    results = self._try(group, known_ids)
                except IntegrityError as error:
                    # Ids are new almost always, so they are looked up only after the database said no.
                    if known_ids:
                        raise corrupt_rows(error) from error
                    known_ids = True
                    continue
                if results is None:
                    group = [request for request in group if not request.done]
                    continue
                for request, answer in zip(group, results, strict=True):
                    request.results, request.done = answer, True
                return
        except BaseException as error:
            for request in group:
                request.error, request.done = error, True
            if not isinstance(error, Exception):
                raise
        finally:
            for request in callers:
                if not request.leads:
                    request.wake.set()

    def _try(self, group: list[_Request], known_ids: bool) -> list[tuple[Appended, ...]] | None:
        """One attempt; None when requests had to be turned away and the rest must be tried again."""
        batch = [prepared for request in group for prepared in request.events]
        answers: list[tuple[Appended, ...]] = []
        try:
            with writing(self._engine) as connection:
                written = write(
                    connection,
                    batch,
                    now=self._clock(),
                    vault=self._vault,
                    known_ids=known_ids,
                    tail=self._tail,
                )
                at = 0
                for request in group:
                    until = at + len(request.events)
                    if written.refused:
                        wrong = next(
                            (written.refused[item] for item in range(at, until) if item in written.refused),
                            None,
                        )
                        if wrong is not None:
                            request.error, request.done = wrong, True
                    else:
                        answers.append(tuple(written.places[at:until]))
                    at = until
                if written.refused:
                    raise _Refused
                self._sign_when_due(connection)
        except _Refused:
            return None
        return answers

    def write_now(
        self, connection: Connection, batch: tuple[Prepared, ...], now: int
    ) -> tuple[Appended, ...]:
        """Append inside an open transaction of :meth:`transaction`."""
        written = write(connection, batch, now=now, vault=self._vault, known_ids=True, tail=self._tail)
        for wrong in written.refused.values():
            raise wrong
        return tuple(written.places)

    def write_each(
        self, connection: Connection, batch: Sequence[Prepared], now: int
    ) -> list[Appended | EntryInvalid]:
        """Append inside an open transaction; an event that is refused does not stop the others."""
        written = write(connection, batch, now=now, vault=self._vault, known_ids=True, tail=self._tail)
        refused = written.refused
        if refused:
            # Nothing was written: a second try without them.
            fit = [item for at, item in enumerate(batch) if at not in refused]
            written = write(connection, fit, now=now, vault=self._vault, known_ids=True, tail=self._tail)
        places = iter(written.places)
        return [refused[at] if at in refused else next(places) for at in range(len(batch))]

    def _sign_when_due(self, connection: Connection) -> None:
        if time.monotonic() - self._signed_at >= self._interval:
            sign(connection, self._signer, self._clock())
            self._signed_at = time.monotonic()


class _Refused(Exception):
    """Rolls a shared transaction back so that it can be repeated without the refused callers."""
