"""Proofs that leave the database: one entry is in the log, one checkpoint continues another."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from guarded_sora.audit.errors import FileFailed

HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFiles:
    """Where :meth:`Proof.write` put the three files."""

    entry: Path
    proof: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Entry ``seq`` is in the tree that ``checkpoint`` signs.

    ``path``: hashes of 32 bytes, leaf to top. ``entry``: the canonical bytes. ``key``: the
    verification key as text; whoever checks must already trust it, or have it from elsewhere.
    """

    seq: int
    entry: bytes = field(repr=False)
    path: tuple[bytes, ...] = field(repr=False)
    checkpoint: str
    key: str

    def text(self) -> str:
        """The proof in the form of c2sp.org/tlog-proof."""
        lines = [HEADER, f"index {self.seq}", *(base64.b64encode(item).decode() for item in self.path)]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    def write(self, directory: Path | str) -> ProofFiles:
        """Write ``entry.json``, ``proof.tlog-proof`` and ``key.vkey``. Raises ``FileFailed``."""
        directory = Path(directory)
        files = ProofFiles(
            entry=directory / "entry.json", proof=directory / "proof.tlog-proof", key=directory / "key.vkey"
        )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files.entry.write_bytes(self.entry)
            files.proof.write_bytes(self.text().encode())
            files.key.write_bytes(f"{self.key}\n".encode())
        except OSError as error:
            raise FileFailed(
                f"The proof could not be written to {directory} ({error.strerror}); choose another folder."
            ) from error
        return files


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyProof:
    """The tree of ``old`` entries is a prefix of the tree of ``new``; ``path`` as in RFC 6962."""

    old: int
    new: int
    path: tuple[bytes, ...] = field(repr=False)
