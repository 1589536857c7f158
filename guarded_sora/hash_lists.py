"""Hash lists in the forms that ThreatExchange tools write: PDQ hashes of works in, and ours out.

Read are the CSV of ``threatexchange dataset --csv`` (columns ``signal_type`` and ``signal_str``), and
ThreatExchange's own JSON, a page of descriptors (``{"data": [...]}``) or one of them a line. Hashes of
other kinds (MD5, TMK) are counted and left out: nothing here compares them.

Our hash is of the same class and order, not the same program: on five photographs it was 10 to 14 of 256
bits from pdqhash 0.2.8. A listed picture is found within 60 bits of that in a small register and
within 31 in a large one, so foreign hashes forgive that much less editing than our own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.consent import log_change
from guarded_sora.detectors.fingerprint import SecondHash, from_pdq, to_pdq
from guarded_sora.errors import UsageError
from guarded_sora.progress import Progress, Silent
from guarded_sora.registry_files import MOST_ROWS, text_of
from guarded_sora.services import Services

CSV_FIELDS = ("signal_type", "signal_str", "collab", "category", "tags")
TOGETHER = 1_000
"""Hashes of a list that are one reference: a hit compares all of one reference."""

_PDQ = frozenset({"pdq", "hash_pdq"})
_FEWEST_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HashesImported:
    """``added`` hashes are new in this list, ``repeated`` stood in it twice, ``other`` are of kinds that
    are not compared here, ``plain`` are hashes of pictures too plain to tell from others."""

    added: int
    repeated: int
    other: int
    plain: int


def import_hashes(
    services: Services, subject_id: str, path: Path, *, progress: Progress | None = None
) -> HashesImported:
    """Register every PDQ hash in ``path`` (.csv, .json or .jsonl) as a picture of ``subject_id``.

    The whole list is read before the first is registered.

    Raises:
        UsageError: no such list, a hash that is none (the message names its line), no such subject, or
            a person.
    """
    shown = progress or Silent()
    shown.stage("read_file")
    found: dict[bytes, None] = {}
    repeated = other = plain = 0
    for count, (line, kind, text) in enumerate(_read(path)):
        if count >= MOST_ROWS:
            raise UsageError(f"{path.name} has more than {MOST_ROWS:,} rows; split it.")
        if kind.lower() not in _PDQ:
            other += 1
            continue
        try:
            bits = from_pdq(text)
        except ValueError:
            raise UsageError(
                f"Entry {line} of {path.name} is no PDQ hash; it has 64 hexadecimal digits."
            ) from None
        # Half of a hash's bits are set by construction; a picture of one colour gives all or none.
        if not _FEWEST_BITS <= int.from_bytes(bits).bit_count() <= 256 - _FEWEST_BITS:
            plain += 1
        elif bits in found:
            repeated += 1
        else:
            found[bits] = None
    hashes = [SecondHash(second=0.0, bits=bits, quality=100) for bits in found]
    shown.stage("enrol")
    for start in range(0, len(hashes), TOGETHER):
        services.registry.add_reference(subject_id, "list", hashes[start : start + TOGETHER])
        shown.step(min(start + TOGETHER, len(hashes)), len(hashes))
    if hashes:
        log_change(services, "registry.hashes", subject_id, {"hashes": len(hashes)})
    return HashesImported(added=len(hashes), repeated=repeated, other=other, plain=plain)


def export_hashes(services: Services, path: Path, *, progress: Progress | None = None) -> int:
    """Write every registered hash to a new ``path`` (.csv, .json or .jsonl); returns how many.

    Names are left out: an entry is tagged with the subject's id.

    Raises:
        UsageError: another ending, or the file cannot be written or exists.
    """
    form = _form(path)
    shown = progress or Silent()
    shown.stage("write_file")
    stored = services.registry.work_hashes(most=MOST_ROWS)
    if stored is None:
        raise UsageError(f"More than {MOST_ROWS:,} hashes are registered; copy the database instead.")
    subjects = {
        reference: work.subject
        for reference in set(stored.references)
        if (work := services.registry.work(reference)) is not None
    }
    entries = [
        (to_pdq(bits.tobytes()), subjects[reference])
        for bits, reference in zip(stored.bits, stored.references, strict=True)
        if reference in subjects
    ]
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(_written(form, entries))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose a new name.") from error
    shown.step(len(entries), len(entries))
    return len(entries)


def _written(form: str, entries: list[tuple[str, str]]) -> str:
    if form == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(CSV_FIELDS)
        writer.writerows(("pdq", bits, "", "", subject) for bits, subject in entries)
        return text.getvalue()
    rows = [{"type": "HASH_PDQ", "indicator": bits, "tags": [subject]} for bits, subject in entries]
    if form == ".json":
        return orjson.dumps({"data": rows}).decode() + "\n"
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def _form(path: Path) -> str:
    form = path.suffix.lower()
    if form not in (".csv", ".json", ".jsonl"):
        raise UsageError("The hash list must end in .csv, .json or .jsonl.")
    return form


def _read(path: Path) -> Iterator[tuple[int, str, str]]:
    """Entry, kind and hash of everything in the list."""
    form = _form(path)
    text = text_of(path)
    if form == ".csv":
        yield from _csv_entries(path, text)
        return
    try:
        if form == ".jsonl":
            rows = [orjson.loads(line) for line in text.splitlines() if line.strip()]
        else:
            page = orjson.loads(text)
            rows = page["data"] if isinstance(page, dict) else page
    except (orjson.JSONDecodeError, KeyError) as error:
        raise UsageError(f"{path.name} is no ThreatExchange page; it needs a list 'data'.") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path.name} is no ThreatExchange page; it needs a list 'data'.")
    for number, row in enumerate(rows, start=1):
        yield (number, *_descriptor(path, number, row))


def _descriptor(path: Path, number: int, row: Any) -> tuple[str, str]:
    """Kind and hash of one descriptor, whose text may be nested as an indicator of its own."""
    if isinstance(row, dict):
        kind = row.get("type", row.get("signal_type"))
        text = row.get("raw_indicator", row.get("indicator", row.get("signal_str")))
        if isinstance(text, dict):
            kind, text = text.get("type", kind), text.get("indicator")
        if isinstance(kind, str) and isinstance(text, str):
            return kind, text
    raise UsageError(f"Entry {number} of {path.name} needs a 'type' and an 'indicator'.")


def _csv_entries(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if not {"signal_type", "signal_str"} <= set(reader.fieldnames or ()):
            raise UsageError(f"{path.name} needs a first line with signal_type and signal_str.")
        for row in reader:
            yield reader.line_num, row["signal_type"] or "", row["signal_str"] or ""
    except csv.Error as error:
        raise UsageError(f"Line {reader.line_num} of {path.name} is no CSV; check its quotes.") from error


__all__ = ["HashesImported", "export_hashes", "import_hashes"]
