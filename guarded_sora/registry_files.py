"""Carry the registry's names in and out: CSV or JSON lines, in bulk, with progress.

Faces and references do not travel: templates are bound to one installation's key, and hashes are
made from pictures. An export holds names in clear; it is for the operator's own backup.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.enrol import add_subject
from guarded_sora.errors import UsageError
from guarded_sora.progress import Progress, Silent
from guarded_sora.services import Services
from guarded_sora.store import Kind, Standing, Subject, SubjectName

FIELDS = ("kind", "name", "aliases", "weak", "descriptions", "standing", "jurisdiction", "terms")
LARGEST_FILE = 256 * 1024 * 1024
MOST_ROWS = 1_000_000
_LISTS = ("aliases", "weak", "descriptions")
_SEPARATOR = ";"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """``added`` subjects are new; ``known`` ones were registered under that name before."""

    added: int
    known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    kind: Kind
    names: tuple[SubjectName, ...]
    standing: Standing
    jurisdiction: str
    terms: str


def import_subjects(services: Services, path: Path, *, progress: Progress | None = None) -> Imported:
    """Enrol everybody in ``path`` (.csv or .jsonl). Every row is read before the first is enrolled.

    Raises:
        UsageError: not such a file, or a row that cannot be used; the message names its line.
    """
    shown = progress or Silent()
    shown.stage("read_file")
    entries = list(_read(path))
    shown.stage("enrol")
    added = known = 0
    for number, entry in enumerate(entries, start=1):
        if services.registry.named(entry.kind, entry.names[0].text) is not None:
            known += 1
        else:
            add_subject(
                services,
                entry.kind,
                entry.names,
                standing=entry.standing,
                jurisdiction=entry.jurisdiction,
                terms=entry.terms,
            )
            added += 1
        shown.step(number, len(entries))
    return Imported(added=added, known=known)


def export_subjects(services: Services, path: Path, *, progress: Progress | None = None) -> int:
    """Write everybody's names to ``path`` (.csv or .jsonl), readable by this user only; returns how many.

    Raises:
        UsageError: another ending, or the file cannot be written or exists.
    """
    form = _form(path)
    found = services.registry.subjects()
    shown = progress or Silent()
    shown.stage("write_file")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, FIELDS)
    if form == ".csv":
        writer.writeheader()
    for number, subject in enumerate(found, start=1):
        row = _row(subject)
        if form == ".csv":
            writer.writerow({key: _joined(value) for key, value in row.items()})
        else:
            text.write(orjson.dumps(row).decode() + "\n")
        shown.step(number, len(found))
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(text.getvalue())
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose a new name.") from error
    return len(found)


def _row(subject: Subject) -> dict[str, Any]:
    first, *others = subject.names
    return {
        "kind": subject.kind.value,
        "name": first.text,
        "aliases": [name.text for name in others if not name.weak and not name.description],
        "weak": [name.text for name in subject.names if name.weak],
        "descriptions": [name.text for name in others if name.description],
        "standing": subject.standing.value,
        "jurisdiction": subject.jurisdiction,
        "terms": subject.terms,
    }


def _joined(value: Any) -> str:
    return _SEPARATOR.join(value) if isinstance(value, list) else str(value)


def text_of(path: Path) -> str:
    """A list that somebody handed in, as text.

    Raises:
        UsageError: it is too large, or no UTF-8 text.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path.name} is larger than {LARGEST_FILE // 2**20} MiB; split it.")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read as UTF-8 text; check path and encoding.") from error


def _form(path: Path) -> str:
    form = path.suffix.lower()
    if form not in (".csv", ".jsonl"):
        raise UsageError("The file must end in .csv or .jsonl.")
    return form


def _read(path: Path) -> Iterator[_Entry]:
    form = _form(path)
    text = text_of(path)
    rows = _csv_rows(path, text) if form == ".csv" else _json_rows(path, text)
    for count, (line, row) in enumerate(rows):
        if count >= MOST_ROWS:
            raise UsageError(f"{path.name} has more than {MOST_ROWS:,} rows; split it.")
        yield _entry(path, line, row)


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        unknown = [name for name in reader.fieldnames or () if name not in FIELDS]
        if unknown or not {"kind", "name"} <= set(reader.fieldnames or ()):
            raise UsageError(f"{path.name} needs a first line with columns of: {', '.join(FIELDS)}.")
        for row in reader:
            line = reader.line_num
            if None in row:
                raise UsageError(f"Line {line} of {path.name} has more cells than the first line.")
            yield line, {key: value for key, value in row.items() if value}
    except csv.Error as error:
        raise UsageError(f"Line {reader.line_num} of {path.name} is no CSV; check its quotes.") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, piece in enumerate(text.splitlines(), start=1):
        if not piece.strip():
            continue
        try:
            row = orjson.loads(piece)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"Line {line} of {path.name} is no JSON object.") from error
        if not isinstance(row, dict) or not set(row) <= set(FIELDS):
            raise UsageError(f"Line {line} of {path.name} must be an object with: {', '.join(FIELDS)}.")
        yield line, row


def _entry(path: Path, line: int, row: Mapping[str, Any]) -> _Entry:
    try:
        kind = Kind(row["kind"])
        standing = Standing(row.get("standing", ""))
        lists = {name: _texts(row.get(name, [])) for name in _LISTS}
        plain = {name: row.get(name, "") for name in ("name", "jurisdiction", "terms")}
        if not all(isinstance(value, str) for value in plain.values()) or not plain["name"].strip():
            raise ValueError
    except (KeyError, ValueError, TypeError):
        raise UsageError(
            f"Line {line} of {path.name} needs a kind ({', '.join(Kind)}), a name, and texts in every cell."
        ) from None
    weak = set(lists["weak"])
    names = [plain["name"], *lists["aliases"], *lists["weak"]]
    return _Entry(
        kind=kind,
        names=(
            *(SubjectName(text=name, weak=name in weak) for name in names),
            *(SubjectName(text=text, description=True) for text in lists["descriptions"]),
        ),
        standing=standing,
        jurisdiction=plain["jurisdiction"],
        terms=plain["terms"],
    )


def _texts(value: Any) -> list[str]:
    pieces = value.split(_SEPARATOR) if isinstance(value, str) else value
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise ValueError("not a list of texts")
    return [piece.strip() for piece in pieces if piece.strip()]
