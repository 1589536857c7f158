"""What strangers do to films: sign them as theirs, or change a byte."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from guarded_sora.provenance.credentials.certificates import issue_chain
from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner


def flip_byte(path: Path, *, after: bytes = b"mdat") -> None:
    data = bytearray(path.read_bytes())
    position = data.index(after) + len(after) + (len(data) - data.index(after)) // 2
    data[position] ^= 0x01
    path.write_bytes(data)


def foreign_signed(source: Path, target: Path) -> None:
    content = ManifestContent(
        clip_id="gs1:00000000:0000000000",
        title="somebody's film",
        generator=Generator(name="another generator", version="1"),
        created=datetime.now(UTC),
    )
    sign(source, target, content, FileKeySigner.of(issue_chain("Somebody Else")))
