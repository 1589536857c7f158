"""A first look at a file without a decoder: is it there, and what does it call itself?"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from pathlib import Path

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
    """Whether an ISO media file (mp4, mov) ends before its boxes do, or lacks its index.

    Only the headers of the top-level boxes are read (ISO/IEC 14496-12, 4.2). False for other files.
    """
    size = path.stat().st_size
    indexed = False
    with path.open("rb") as file:
        position = 0
        for number in range(_MAX_BOXES):
            file.seek(position)
            head = file.read(16)
            if number == 0 and head[4:8] not in _ISO_STARTS:
                return False
            if not head:
                break
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
