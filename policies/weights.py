"""Weight files: found in installed packages without running them, checked before they are opened.

A package of one author may be replaced overnight, so a file counts only with the SHA-256 that was
pinned when it was measured. The package's own code is never imported.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from guarded_sora.policies.errors import ModelInvalid


def installed_file(package: str, *parts: str) -> Path | None:
    """A file inside an installed top-level package; None when package or file is not there."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent.joinpath(*parts)
    return path if path.is_file() else None


def read_pinned(path: Path, sha256: str, *, error: type[Exception] = ModelInvalid) -> bytes:
    """The bytes of ``path``; load from these, since they and not the path are what was checked.

    Args:
        error: what the caller's package raises for a file that cannot be used.

    Raises:
        ModelInvalid: (or ``error``) the file cannot be read, or is not the one that was pinned.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise error(f"The file {path.name} cannot be read ({fault.strerror}); restore it.") from fault
    if hashlib.sha256(data).hexdigest() != sha256:
        raise error(f"The file {path.name} is not the pinned one; install the pinned version again.")
    return data
