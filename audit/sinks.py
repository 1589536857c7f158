"""The forms entries are exported in. Others come as plug-ins: entry points of ``guarded_sora.sinks``.

A sink that is not built in may drop the proofs: then only the checkpoint beside its file says which
log it was taken from.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

import orjson

from guarded_sora.audit.entry import Entry
from guarded_sora.audit.errors import EntryInvalid

COLUMNS = ("seq", "id", "time", "kind", "actor", "subject", "body", "entry", "proof")


class ExportRow(NamedTuple):
    """One entry and the hashes that lead from it to the root of the export's checkpoint."""

    entry: Entry
    proof: tuple[bytes, ...]


class SinkWriter(Protocol):
    """Takes the rows of one export, in the order of the log."""

    def write(self, rows: Sequence[ExportRow]) -> None: ...

    def close(self) -> None:
        """Write what is left; the file itself is closed by whoever opened it."""


@runtime_checkable
class Sink(Protocol):
    """A form of export. An entry point of ``guarded_sora.sinks`` names a callable that makes one."""

    name: str

    def open(self, file: BinaryIO) -> SinkWriter: ...


class JsonLines:
    """A line an entry: ``{"entry":<its exact bytes>,"proof":[base64, ...],"seq":N}``."""

    name = "jsonl"

    def open(self, file: BinaryIO) -> SinkWriter:
        return _JsonLinesWriter(file)


class Csv:
    """A table for spreadsheets; the column ``entry`` holds the exact bytes, ``proof`` the path."""

    name = "csv"

    def open(self, file: BinaryIO) -> SinkWriter:
        return _CsvWriter(file)


class Parquet:
    """The same table for data tools; needs ``pyarrow``."""

    name = "parquet"

    def open(self, file: BinaryIO) -> SinkWriter:
        return _ParquetWriter(file)


BUILT_IN: dict[str, Sink] = {sink.name: sink for sink in (JsonLines(), Csv(), Parquet())}


def built_in(name: str) -> Sink:
    """The built-in sink of this name. Raises ``EntryInvalid``."""
    if name not in BUILT_IN:
        raise EntryInvalid(
            f"Entries are exported as {', '.join(BUILT_IN)}, or by a plug-in the settings name."
        )
    return BUILT_IN[name]


class _JsonLinesWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Sequence[ExportRow]) -> None:
        for entry, proof in rows:
            path = orjson.dumps([base64.b64encode(item).decode() for item in proof])
            self._file.write(b'{"entry":%b,"proof":%b,"seq":%d}\n' % (entry.canonical, path, entry.seq))

    def close(self) -> None:
        pass


class _CsvWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._table = csv.writer(self._text, lineterminator="\n")
        self._table.writerow(COLUMNS)

    def write(self, rows: Sequence[ExportRow]) -> None:
        for entry, proof in rows:
            moment = _moment(entry).isoformat(timespec="milliseconds")
            names = (_quiet(entry.kind), _quiet(entry.actor), _quiet(entry.subject))
            path = " ".join(base64.b64encode(item).decode() for item in proof)
            self._table.writerow(
                (entry.seq, entry.id, moment, *names, _body(entry), entry.canonical.decode(), path)
            )

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _ParquetWriter:
    def __init__(self, file: BinaryIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise EntryInvalid(
                "Parquet needs pyarrow; install guarded-sora[export], or export as jsonl or csv."
            ) from error
        text = pyarrow.string()
        kinds: dict[str, Any] = dict.fromkeys(COLUMNS, text)
        kinds |= {"seq": pyarrow.int64(), "time": pyarrow.timestamp("ms", tz="UTC")}
        kinds["proof"] = pyarrow.list_(pyarrow.binary(32))
        self._arrow = pyarrow
        self._schema = pyarrow.schema(
            [pyarrow.field(name, kind, nullable=False) for name, kind in kinds.items()]
        )
        self._table = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Sequence[ExportRow]) -> None:
        columns = zip(*(self._cells(row) for row in rows), strict=True)
        arrays = [
            self._arrow.array(list(column), kind)
            for column, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._table.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def _cells(self, row: ExportRow) -> tuple[Any, ...]:
        entry = row.entry
        names = (entry.kind, entry.actor, entry.subject)
        return (
            entry.seq,
            entry.id,
            _moment(entry),
            *names,
            _body(entry),
            entry.canonical.decode(),
            list(row.proof),
        )

    def close(self) -> None:
        self._table.close()


def _moment(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.ts / 1000, UTC)


def _body(entry: Entry) -> str:
    return orjson.dumps(dict(entry.body), option=orjson.OPT_SORT_KEYS).decode()


def _quiet(cell: str) -> str:
    """A cell that a spreadsheet does not run as a formula; the ``entry`` column keeps the exact text."""
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r") else cell
