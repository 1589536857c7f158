"""Weight files: found in installed packages without running them, checked before they are opened.

A package of one author may be replaced overnight, so a file counts only with the SHA-256 that was
pinned when it was measured. The package's own code is never imported.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from guarded_sora.detectors.errors import WeightsInvalid


def packaged_file(package: str, *parts: str) -> Path | None:
    """A file inside an installed top-level package; None when package or file is not there."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent.joinpath(*parts)
    return path if path.is_file() else None


def read_checked(path: Path, sha256: str) -> bytes:
    """The bytes of ``path``; loading from these, and not from the path again, is what was checked.

    Raises:
        WeightsInvalid: the file cannot be read, or is not the one that was pinned.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsInvalid(
            f"The weights {path.name} cannot be read ({error.strerror}); restore them."
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsInvalid(
            f"The weights {path.name} are not the pinned ones; reinstall the version that the extra names."
        )
    return data
