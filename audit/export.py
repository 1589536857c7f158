"""The log as files: static tiles for auditors, and lines of entries that can be checked by themselves."""

from __future__ import annotations

import base64
import csv
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from sqlalchemy import select

from guarded_sora.audit import search, tree
from guarded_sora.audit.append import read_state
from guarded_sora.audit.checkpoint import Checkpoint
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Entry, row_bytes
from guarded_sora.audit.errors import EntryInvalid, FileFailed, LogCorrupt
from guarded_sora.audit.log import AuditLog
from guarded_sora.audit.search import Moment
from guarded_sora.audit.tables import events
from guarded_sora.audit.tiles import TileCache, TileReader

Progress = Callable[[int, int], None]
FORMATS = ("jsonl", "csv")
CSV_COLUMNS = ("seq", "id", "time", "kind", "actor", "subject", "body", "entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote: ``files`` new ones, ``entries`` in all, under ``checkpoint``."""

    files: int
    entries: int
    checkpoint: Checkpoint


def export_tiles(log: AuditLog, directory: Path, progress: Progress | None = None) -> Exported:
    """Write or bring up to date a static tile tree (c2sp.org/tlog-tiles) that any web server can serve.

    Full tiles are written once; every file appears whole or not at all, the checkpoint last. Raises
    ``FileFailed``; ``LogCorrupt`` when rows are missing.
    """
    checkpoint = log.checkpoint()
    size, written = checkpoint.size, 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with reading(log.engine) as connection:
            minimum = read_state(connection).pruned
        _put(directory / "minimum", b"%d\n" % minimum)
        level = 0
        while size >> (tree.TILE_HEIGHT * level):
            hashes = size >> (tree.TILE_HEIGHT * level)
            for idx in range((hashes + tree.TILE_WIDTH - 1) >> tree.TILE_HEIGHT):
                width = min(tree.TILE_WIDTH, hashes - (idx << tree.TILE_HEIGHT))
                path = directory / tree.tile_path(level, idx, width)
                if not path.exists():
                    with reading(log.engine) as connection:
                        reader = TileReader(connection, size, TileCache(1))
                        _put(path, reader.row(level, idx, width))
                    written += 1
                if level == 0 and idx << tree.TILE_HEIGHT >= minimum:
                    written += _bundle(log, directory, idx, width)
                if level == 0 and progress is not None:
                    progress(min(size, (idx + 1) << tree.TILE_HEIGHT), size)
            level += 1
        _put(directory / "key.vkey", f"{log.vkey}\n".encode())
        _put(directory / "checkpoint", checkpoint.note.encode())
    except OSError as error:
        raise _failed(directory, error) from error
    return Exported(files=written + 2, entries=size, checkpoint=checkpoint)


def export_entries(
    log: AuditLog,
    path: Path,
    form: str = "jsonl",
    *,
    kind: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Exported:
    """Write entries to ``path``, with the checkpoint at ``path`` + ``.checkpoint`` and the key beside it.

    ``jsonl``: a line holds the entry's exact bytes, its inclusion path and its place, so that any
    selection is checked by itself: ``verifier FILE --key KEY``. ``csv``: for spreadsheets; its last
    column holds the same bytes. Payloads are never exported.
    """
    if form not in FORMATS:
        raise EntryInvalid(f"Entries are exported as {' or '.join(FORMATS)}.")
    checkpoint = log.checkpoint()
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            if form == "csv":
                file.write(_csv(CSV_COLUMNS))
            for page in _pages(log, checkpoint.size, kind, actor, subject, since, until):
                with reading(log.engine) as connection:
                    nodes = TileReader(connection, checkpoint.size, TileCache(64))
                    for entry in page:
                        if form == "csv":
                            file.write(_csv(_cells(entry)))
                        else:
                            proof = tree.inclusion_path(entry.seq, checkpoint.size, nodes)
                            file.write(_line(entry, proof))
                count += len(page)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _put(path.with_name(path.name + ".checkpoint"), checkpoint.note.encode())
        _put(path.with_name(path.name + ".vkey"), f"{log.vkey}\n".encode())
    except OSError as error:
        raise _failed(path, error) from error
    return Exported(files=3, entries=count, checkpoint=checkpoint)


def write_verifier(path: Path) -> None:
    """Write the stand-alone verifier as one file: ``python FILE.pyz PROOF --entry F --key K``.

    Whoever runs it needs Python and ``cryptography``, nothing else. Raises ``FileFailed``.
    """
    source = (Path(__file__).parent / "verifier.py").read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        # A fixed date: the same source gives the same bytes.
        file.writestr(zipfile.ZipInfo("__main__.py", (1980, 1, 1, 0, 0, 0)), source)
    try:
        _put(path, b"#!/usr/bin/env python3\n" + archive.getvalue())
    except OSError as error:
        raise _failed(path, error) from error


def _pages(
    log: AuditLog,
    size: int,
    kind: str | None,
    actor: str | None,
    subject: str | None,
    since: Moment | None,
    until: Moment | None,
) -> Iterator[list[Entry]]:
    after: int | None = None
    while True:
        with reading(log.engine) as connection:
            page = search.find(
                connection,
                kind=kind,
                actor=actor,
                subject=subject,
                since=since,
                until=until,
                after=after,
                limit=1000,
            )
        # What was appended after the checkpoint was signed is not covered by it.
        page = [entry for entry in page if entry.seq < size]
        if not page:
            return
        yield page
        after = page[-1].seq


def _line(entry: Entry, path: tuple[bytes, ...]) -> bytes:
    proof = orjson.dumps([base64.b64encode(item).decode() for item in path])
    return b'{"entry":%b,"proof":%b,"seq":%d}\n' % (entry.canonical, proof, entry.seq)


def _cells(entry: Entry) -> tuple[str, ...]:
    body = orjson.dumps(dict(entry.body), option=orjson.OPT_SORT_KEYS).decode()
    moment = datetime.fromtimestamp(entry.ts / 1000, UTC).isoformat(timespec="milliseconds")
    names = (_quiet(entry.kind), _quiet(entry.actor), _quiet(entry.subject))
    return (str(entry.seq), entry.id, moment, *names, body, entry.canonical.decode())


def _quiet(cell: str) -> str:
    """A cell that a spreadsheet does not run as a formula; the ``entry`` column keeps the exact text."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" else cell


def _csv(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _bundle(log: AuditLog, directory: Path, idx: int, width: int) -> int:
    """Entries of one tile, each behind its length in two bytes; returns how many files were written."""
    path = directory / tree.tile_path("entries", idx, width)
    if path.exists():
        return 0
    low = idx << tree.TILE_HEIGHT
    with reading(log.engine) as connection:
        query = select(events).where(events.c.seq >= low, events.c.seq < low + width)
        rows = [row_bytes(row) for row in connection.execute(query.order_by(events.c.seq))]
    if len(rows) != width:
        raise LogCorrupt(f"Rows are missing among events.seq {low} to {low + width - 1}.")
    _put(path, b"".join(len(entry).to_bytes(2) + entry for entry in rows))
    return 1


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _failed(path: Path, error: OSError) -> FileFailed:
    return FileFailed(
        f"The export to {path} failed ({error.strerror}); choose another place or free some space."
    )
