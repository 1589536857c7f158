"""Exports of entries: lines of JSON, tables for spreadsheets, Parquet.

Every row carries the entry's exact bytes and its inclusion path; what a table shows in columns of its
own must be what those bytes say. A selection cannot show that nothing was left out of it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .signed import MAX_ENTRY, NUMBER, CheckFailed, SignedTree, check_checkpoint, climb, hash_of

COLUMNS = ("seq", "id", "time", "kind", "actor", "subject", "body", "entry", "proof")
_LINE = re.compile(rb'\{"entry":(\{.*\}),"proof":(\[[A-Za-z0-9+/=",]*\]),"seq":(0|[1-9][0-9]{0,18})\}\n')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_export(lines: Iterable[bytes], note: str, vkey: str) -> tuple[SignedTree, int]:
    """Check every line of a JSONL export against its checkpoint; returns the tree and how many lines."""
    rows = _Rows(note, vkey, "Line {} of the export")
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise CheckFailed(f"{rows.where()} is no exported entry.")
        rows.add(int(found[3]), found[1], json.loads(found[2]))
    return rows.tree, rows.count


def check_csv(lines: Iterable[str], note: str, vkey: str) -> tuple[SignedTree, int]:
    """Check a CSV export: every row's entry against the checkpoint, every other cell against the entry."""
    rows = _Rows(note, vkey, "Row {} of the export")
    try:
        table = csv.reader(lines, strict=True)
        if tuple(next(table, ())) != COLUMNS:
            raise CheckFailed(f"This is no export of entries: its columns must be {', '.join(COLUMNS)}.")
        for cells in table:
            row = dict(zip(COLUMNS, cells, strict=False))
            if len(cells) != len(COLUMNS) or not NUMBER.fullmatch(row["seq"]):
                raise CheckFailed(f"{rows.where()} is no exported entry.")
            rows.add(int(row["seq"]), row["entry"].encode(), row["proof"].split(), row)
    except csv.Error as error:
        raise CheckFailed(f"{rows.where()} is not a row of a table ({error}).") from error
    return rows.tree, rows.count


def check_parquet(path: Path, note: str, vkey: str) -> tuple[SignedTree, int]:
    """Check a Parquet export as :func:`check_csv` does. Raises ``ImportError`` without ``pyarrow``."""
    import pyarrow
    import pyarrow.parquet

    rows = _Rows(note, vkey, "Row {} of the export")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if tuple(file.schema_arrow.names) != COLUMNS:
                raise CheckFailed(f"This is no export of entries: its columns must be {', '.join(COLUMNS)}.")
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    shown = {
                        **row,
                        "seq": str(row["seq"]),
                        "time": row["time"].isoformat("T", "milliseconds"),
                    }
                    rows.add(row["seq"], row["entry"].encode(), row["proof"], shown)
    except (pyarrow.ArrowException, ValueError, TypeError, AttributeError) as error:
        raise CheckFailed(
            f"{rows.where()} cannot be read from the Parquet file ({type(error).__name__})."
        ) from error
    return rows.tree, rows.count


class _Rows:
    """Rows in the order of the log, each led up to the signed root."""

    def __init__(self, note: str, vkey: str, name: str) -> None:
        self.tree = check_checkpoint(note, vkey)
        self.count = 0
        self._name = name
        self._last = -1

    def where(self) -> str:
        return self._name.format(self.count + 1)

    def add(
        self, index: int, entry: bytes, path: Sequence[str | bytes], shown: Mapping[str, Any] | None = None
    ) -> None:
        """Raises ``CheckFailed`` unless the row follows the one before and belongs to the log."""
        leaf = hashlib.sha256(b"\x00" + entry).digest()
        try:
            steps = [hash_of(item) if isinstance(item, str) else item for item in path]
            root = climb(index, self.tree.size, leaf, steps)
        except CheckFailed as error:
            raise CheckFailed(f"{self.where()} has no proof that fits it: {error}") from error
        if len(entry) > MAX_ENTRY or index <= self._last or root != self.tree.root:
            raise CheckFailed(
                f"{self.where()} is not in this log: its hash does not lead to the signed root."
            )
        if shown is not None:
            for name, value in _columns(index, entry).items():
                # A spreadsheet would run such a cell as a formula, so it stands behind an apostrophe.
                quiet = f"'{value}" if value[:1] in tuple("=+-@\t\r") else value
                if shown[name] not in (value, quiet):
                    raise CheckFailed(f"{self.where()} shows another {name} than its entry holds.")
        self.count, self._last = self.count + 1, index


def _columns(index: int, entry: bytes) -> dict[str, str]:
    """What the columns beside the exact entry must say."""
    document = json.loads(entry)
    moment = _EPOCH + timedelta(milliseconds=document["ts"])
    return {
        "seq": str(index),
        "id": document["id"],
        "time": moment.isoformat("T", "milliseconds"),
        "kind": document["kind"],
        "actor": document["actor"],
        "subject": document["subject"],
        "body": json.dumps(document["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    }
