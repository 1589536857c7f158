"""The audit log against a plain INSERT and against other tamper-evident logs, in one run.

    python -m benchmarks.audit [--json] [--quick] [--leaves N] [--only PART ...]

CPU is the process time of this program; on PostgreSQL the server's own CPU is not in it. Repetitions
are interleaved; of CPU the least is taken, because a busy machine only ever adds to it, of wall time
the median. Peers that are not installed are named and left out. A row with a ``bar`` says what the log
has to reach, and ``met`` whether it did.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.audit_logs import (
    LedgerChain,
    Plain,
    PlainCopy,
    PlainRows,
    PyMerkle,
    databases,
    make_events,
    open_log,
    plant,
)
from benchmarks.rows import Row, print_report, ratio_of, row
from guarded_sora.audit import AuditLog, Event, migrate, tree
from guarded_sora.audit.append import read_state
from guarded_sora.audit.connections import reading
from guarded_sora.audit.tiles import TileCache, TileReader
from guarded_sora.audit.verifier import check_proof, climb

PARTS = ("proofs", "sizes", "appends", "callers")
PLAIN, LEDGER = 1.3, 1 / 20
"""How much CPU our append may cost beside a plain insert, and beside ledgerchain, batched."""


def barred(
    metric: str,
    ours: float,
    peer: float | None = None,
    peer_name: str = "",
    *,
    better: str = "lower",
    unit: str = "us/event",
    most: float | None = None,
    ratio_most: float | None = None,
) -> Row:
    """A row with its bar. ``most``: the value's; ``ratio_most``: that of its ratio to the peer."""
    ratio = ratio_of(ours, peer)
    bar, met = "", None
    if most is not None:
        bar, met = f"<= {most:g} {unit}", ours <= most
    elif ratio_most is not None and ratio is not None:
        bar, met = f"<= {ratio_most:g} x {peer_name}", ratio <= ratio_most
    return row(metric, ours, peer, peer_name, better, unit, bar=bar, met=met)


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
            writers: dict[str, Callable[[list[Event]], Any]] = {"ours": open_log(fresh()).append}
            for name, make in _peers(database, fresh, folder).items():
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
                most = None
                if batch == 1000 and name != "pymerkle":
                    most = LEDGER if name == "ledgerchain" else PLAIN
                yield barred(f"append, {database}, batch {batch}: CPU", ours[0], cpu, name, ratio_most=most)
                yield barred(f"append, {database}, batch {batch}: wall", ours[1], wall, name)


def _peers(database: str, fresh: Callable[[], Engine], folder: Path) -> dict[str, Callable[[], Any]]:
    peers: dict[str, Callable[[], Any]] = {}
    if database == "postgresql":
        peers["plain INSERT"] = lambda: PlainRows(fresh())
        peers["plain COPY by the driver"] = lambda: PlainCopy(fresh())
        peers["plain COPY by our encoder"] = lambda: Plain(fresh())
    else:
        peers["plain INSERT"] = lambda: Plain(fresh())
        peers["pymerkle"] = lambda: PyMerkle(folder)
    peers["ledgerchain"] = lambda: LedgerChain(fresh())
    return peers


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
        yield barred(
            f"64 callers, {database}, each event durable",
            ours,
            single,
            "one transaction a caller",
            better="higher",
            unit="events/s",
        )


def sizes(databases_: dict[str, Callable[[], Engine]], quick: bool) -> Iterator[Row]:
    """Bytes an event takes in the files; indexes that only searches use are also stated apart."""
    count = 10_000 if quick else 50_000
    for database, fresh in databases_.items():
        engine = fresh()
        log = open_log(engine)
        before = _bytes(engine)
        for start in range(0, count, 1000):
            log.append(make_events(1000, start))
        entry = statistics.mean(len(item.canonical) for item in log.tail(1000))
        after = _bytes(engine)
        whole, search = ((after[at] - before[at]) / count for at in (0, 1))
        unit = "bytes/event"
        yield barred(f"storage, {database}: events, tiles and all indexes", whole, unit=unit, most=850)
        yield barred(f"storage, {database}: of which indexes for searches", search, unit=unit)
        yield barred(f"storage, {database}: of which the entry itself", entry, unit=unit)


_SEARCH_INDEXES = ("events_subject", "events_kind", "events_actor")


def _bytes(engine: Engine) -> tuple[int, int]:
    """All bytes of the log's tables, and those of the indexes for searches."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            tables = " + ".join(
                f"pg_total_relation_size('{name}')" for name in ("events", "tiles", "open_leaves")
            )
            indexes = " + ".join(f"pg_relation_size('{name}')" for name in _SEARCH_INDEXES)
            return (
                int(connection.execute(text(f"SELECT {tables}")).scalar_one()),
                int(connection.execute(text(f"SELECT {indexes}")).scalar_one()),
            )
        names = ", ".join(f"'{name}'" for name in _SEARCH_INDEXES)
        search = f"SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN ({names})"
        return (
            int(connection.execute(text("SELECT sum(pgsize) FROM dbstat")).scalar_one()),
            int(connection.execute(text(search)).scalar_one()),
        )


def proofs(fresh: Callable[[], Engine], leaves: int) -> Iterator[Row]:
    """Paths in a tree of ``leaves``: tiles whole, event rows only at the right edge."""
    engine = fresh()
    migrate.upgrade(engine)
    plant(engine, leaves)
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
    yield barred(f"{name}: CPU warm", statistics.median(warm), unit="ms", most=1)
    yield barred(f"{name}: CPU cold", statistics.median(cold), unit="ms", most=5)
    leaf = bytes(32)
    used = time.process_time()
    for index, path in paths:
        climb(index, leaves, leaf, path)
    spent = (time.process_time() - used) / len(picks) * 1e3
    yield barred(f"{name}: check", spent, unit="ms", most=0.05)
    small = open_log(fresh())
    small.append(make_events(1000))
    proof = small.prove(500)
    words = proof.text()
    used = time.process_time()
    for _ in range(300):
        check_proof(words, proof.entry, proof.key)
    spent = (time.process_time() - used) / 300 * 1e3
    yield barred("proof file: check with signature", spent, unit="ms", most=0.3)


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


def run(parts: tuple[str, ...], *, quick: bool, leaves: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="gs-audit-") as name, databases(Path(name)) as makers:
        if "proofs" in parts:
            yield from proofs(makers["sqlite"], leaves)
        if "sizes" in parts:
            yield from sizes(makers, quick)
        if "appends" in parts:
            yield from appends(makers, Path(name), quick)
        if "callers" in parts:
            yield from callers(makers, quick)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--leaves", type=int, default=None, help="size of the tree proofs are made in")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    options = parser.parse_args(arguments)
    leaves = options.leaves or (300_000 if options.quick else 10_000_000)
    rows = []
    for item in run(tuple(options.only or PARTS), quick=options.quick, leaves=leaves):
        rows.append(item)
        if not options.json:
            print(item, flush=True)
    if options.json:
        print_report("audit", environment(), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
