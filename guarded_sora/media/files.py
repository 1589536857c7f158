"""Files: a first look at one without a decoder, and how one is written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from guarded_sora.errors import MediaError

READABLE = "mp4, mov, webm, mkv or gif"

_PICTURES: tuple[tuple[int, bytes], ...] = (
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),
    (0, b"BM"),
    (0, b"II*\x00"),
    (0, b"MM\x00*"),
    (8, b"WEBP"),
    (4, b"ftypheic"),
    (4, b"ftypheix"),
    (4, b"ftypmif1"),
    (4, b"ftypavif"),
    (0, b"\x00\x00\x00\x0cJXL "),
)
WRITE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EISDIR}
)
"""Error numbers that speak of the place written to, not of what was read."""

_ISO_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot", b"uuid")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MAX_BOXES = 100_000


def check_file(path: Path, *, max_bytes: int) -> int:
    """The size in bytes of a regular, readable, non-empty file. Raises MediaError with the reason."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise MediaError(f"{path} does not exist; check the name.") from None
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "not a usable name"
        raise MediaError(f"{path!s:.200} cannot be opened ({what}); check the name.") from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{path} is a folder; give the name of a file.")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path} is not a regular file; copy its content into one first.")
    if status.st_size == 0:
        raise MediaError(f"{path} is empty; its content was lost before it came here.")
    if status.st_size > max_bytes:
        raise MediaError(
            f"{path} has {status.st_size / 2**30:.1f} GiB, more than the {max_bytes / 2**30:.3g} GiB allowed;"
            " cut or compress it first."
        )
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror}); change its permissions.") from None
    return status.st_size


def is_picture(path: Path) -> bool:
    """Whether the first bytes are those of a still picture."""
    with path.open("rb") as file:
        head = file.read(32)
    return any(head[offset:].startswith(mark) for offset, mark in _PICTURES)


def is_cut_off(path: Path) -> bool:
    """Whether a file ends before its outermost structure says it does. Only headers are read.

    ISO media (mp4, mov): every top-level box must fit and the index must be there (ISO/IEC 14496-12,
    4.2). Matroska and WebM: the segment must fit (RFC 8794, RFC 9559). AVI: the RIFF chunk must fit.
    False for other files, which do not say how long they are.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in _ISO_STARTS:
            return _boxes_cut_off(file, size)
        if head.startswith(_EBML):
            return _segment_end(head) > size
        if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            return int(struct.unpack("<I", head[4:8])[0]) + 8 > size
    return False


def _boxes_cut_off(file: BinaryIO, size: int) -> bool:
    indexed, position = False, 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(16)
        if not head:
            return not indexed
        if len(head) < 8:
            return True
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1:
            if len(head) < 16:
                return True
            length = struct.unpack(">Q", head[8:16])[0]
        elif length == 0:
            length = size - position
        if length < 8 or position + length > size:
            return True
        indexed = indexed or kind == b"moov"
        position += length
    return not indexed


def _segment_end(head: bytes) -> int:
    """Where the segment after the EBML header ends; 0 when the file does not say."""
    try:
        length, position = _ebml_size(head, len(_EBML))
        position += length
        if head[position : position + len(_SEGMENT)] != _SEGMENT:
            return 0
        length, position = _ebml_size(head, position + len(_SEGMENT))
    except IndexError:
        return 0
    return position + length


def _ebml_size(data: bytes, position: int) -> tuple[int, int]:
    """The variable-length size at ``position`` and where it ends; 0 for "unknown" (all ones)."""
    first = data[position]
    width = 9 - first.bit_length()
    if width > 8:
        raise IndexError
    value = int.from_bytes(data[position : position + width], "big") & ((1 << 7 * width) - 1)
    if position + width > len(data):
        raise IndexError
    return (0 if value == (1 << 7 * width) - 1 else value), position + width


def sha256_file(path: Path) -> str:
    """SHA-256 of a file in lower-case hex, read in pieces. Raises MediaError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror}); check the file.") from None


def absolute(path: Path) -> Path:
    """``path`` from the root without resolving links: the worker may have another working folder."""
    return Path(os.path.abspath(path))


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name beside ``path``: what is written there becomes ``path`` in one step when the block ends well.

    When it does not, nothing is left. A link at ``path`` is replaced, not followed. Raises OSError.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Write ``data``, flushed to the disk, for this user's eyes alone. Raises OSError."""
    with beside(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def cannot_write(path: Path, error: BaseException) -> str:
    """The sentence for an error that came while ``path`` was written."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return f"There is no room to write {path}; free some space and try again."
    if number in (errno.ENOENT, errno.ENOTDIR):
        return f"The folder of {path} does not exist; make it first."
    if number == errno.EISDIR:
        return f"{path} is a folder; give the name of a file."
    what = getattr(error, "strerror", None) or type(error).__name__
    return f"{path} cannot be written ({what}); choose another place or another size."
