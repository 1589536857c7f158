"""Do library, key, chain and trust really work together? Asked once at the start, answered with a real
signature."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import Signer
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.credentials.timestamps import TimestampPolicy
from guarded_sora.provenance.credentials.trust import Trust


def self_test(signer: Signer, trust: Trust, *, timestamp: TimestampPolicy | None = None) -> Credentials:
    """Sign a tiny picture, read it back, change it and read it again.

    The C2PA library ignores settings it does not know and takes broken trust lists for empty ones, so only
    trying shows that they count. Returns what the intact picture read as. Raises ``ProvenanceError`` when
    it is not trusted and ours, or when the changed one is not told apart.
    """
    from PIL import Image

    content = ManifestContent(
        clip_id="gs1:00000000:0000000000",
        title="Self-test",
        generator=Generator(name="self-test", version="1"),
        created=datetime.now(UTC),
    )
    with tempfile.TemporaryDirectory(prefix="guarded-sora-") as folder:
        plain, signed, changed = (Path(folder) / name for name in ("plain.png", "signed.png", "changed.png"))
        Image.new("RGB", (16, 16), (90, 90, 200)).save(plain)
        sign(plain, signed, content, signer, trust=trust, timestamp=timestamp)
        found = read(signed, trust)
        if found.state is not State.TRUSTED or not found.ours:
            raise ProvenanceError(
                f"A picture signed with the configured key reads as '{found.state}', not as trusted and "
                "ours; check that the chain leads to the configured root."
            )
        data = bytearray(signed.read_bytes())
        data[data.rindex(b"IDAT") + 6] ^= 1
        changed.write_bytes(data)
        if read(changed, trust).state is not State.TAMPERED:
            raise ProvenanceError(
                "The C2PA library did not notice a changed picture; install the version named in "
                "constraints.txt."
            )
    return found
