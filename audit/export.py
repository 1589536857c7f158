"""The log as files: static tiles for auditors, and lines of entries that can be checked by themselves."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from guarded_sora.audit import search, tree
from guarded_sora.audit.append import read_state
from guarded_sora.audit.checkpoint import Checkpoint
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Entry, row_bytes
from guarded_sora.audit.errors import FileFailed, LogCorrupt
from guarded_sora.audit.log import AuditLog
from guarded_sora.audit.search import Moment
from guarded_sora.audit.sinks import ExportRow, Sink, built_in
from guarded_sora.audit.tables import events
from guarded_sora.audit.tiles import TileCache, TileReader

Progress = Callable[[int, int], None]


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
    form: str | Sink = "jsonl",
    *,
    kind: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write entries to ``path``, with the checkpoint at ``path`` + ``.checkpoint`` and the key beside it.

    ``form``: one of ``guarded_sora.audit.sinks.BUILT_IN`` or a sink of one's own. Every row of the
    built-in ones holds the entry's exact bytes, its place and its inclusion path, so that any selection
    is checked by itself: ``python -m guarded_sora.audit.verifier FILE --key KEY``. Payloads are never
    exported. Raises ``EntryInvalid`` for an unknown format, ``FileFailed``.
    """
    sink = built_in(form) if isinstance(form, str) else form
    checkpoint = log.checkpoint()
    cache, count = TileCache(64), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            with closing(sink.open(file)) as writer:
                for page in _pages(log, checkpoint.size, kind, actor, subject, since, until):
                    with reading(log.engine) as connection:
                        nodes = TileReader(connection, checkpoint.size, cache)
                        writer.write(
                            [
                                ExportRow(entry, tree.inclusion_path(entry.seq, checkpoint.size, nodes))
                                for entry in page
                            ]
                        )
                    count += len(page)
                    if progress is not None:
                        progress(page[-1].seq + 1, checkpoint.size)
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
    files = {
        f"verifier/{source.name}": source.read_bytes()
        for source in sorted((Path(__file__).parent / "verifier").glob("*.py"))
    }
    files["__main__.py"] = b"import runpy\nrunpy.run_module('verifier', run_name='__main__')\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            # A fixed date: the same source gives the same bytes.
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
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
