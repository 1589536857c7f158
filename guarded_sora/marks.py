"""What the marks in a film say: our own, with its key's standing, and those that everybody can read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.evidence import Evidence
from guarded_sora.mark_keys import MarkKeys, Revocation
from guarded_sora.media import FrameStream
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.provenance.watermark.readers import detail_of
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.worker import Worker

LOOK_FPS = 1.0


def revoked_by(found: MarkEvidence, keys: MarkKeys) -> Revocation | None:
    """What revoked the key that wrote the mark, if anything did."""
    return keys.revocation(found.payload.epoch, found.tenant) if found.payload is not None else None


def mark_detail(found: MarkEvidence, revoked: Revocation | None = None) -> dict[str, Any]:
    """Our mark's evidence, for the record of a verdict. Whose tenant's key it was is not told."""
    return {
        "key": "revoked" if revoked else "live" if found.payload else None,
        "key_revoked_since": revoked.since.isoformat() if revoked else None,
        "mark": found.mark,
        "log10_p": round(float(found.log10_p), 2),
        "hypotheses": found.hypotheses,
        "payload": f"{found.payload.id:010x}" if found.payload else None,
        "epoch": found.payload.epoch if found.payload else None,
        "rho": round(float(found.rho), 4),
        "frames": found.frames,
        "reason": found.reason,
        "segments": [
            {
                "start": round(part.start, 3),
                "end": round(part.end, 3),
                "payload": None if part.id is None else f"{part.id:010x}",
                "state": part.state.value,
            }
            for part in found.segments
        ],
        "blocks": [
            {
                "box": [round(side, 4) for side in (part.left, part.top, part.right, part.bottom)],
                "start": round(part.start, 3),
                "end": round(part.end, 3),
                "state": part.state.value,
            }
            for part in found.blocks
        ],
    }


def look_for_public_marks(path: Path, worker: Worker) -> FrameStream:
    """A film as readers of others' marks want to see it: at full size, a frame a second."""
    return FrameStream(path, worker, sample_fps=LOOK_FPS, strict=False)


def read_public_marks(
    services: Services, runner: StageRunner, frames: Iterable[FrameBatch]
) -> tuple[list[Evidence], bool]:
    """What readers of others' marks say of three frames at full size, and whether one says "synthetic".

    Readers that cannot run, and marks that are absent, are left out: neither says anything. These marks
    have no key and prove nothing, so a reader that fails is told and keeps no verdict back.
    """
    evidence: list[Evidence] = []
    synthetic = False
    for reader in services.mark_readers:
        if reader.unavailable:
            continue
        outcome = runner.run_check(
            f"watermark.{reader.name}",
            reader.detect,
            frames,
            version=reader.version,
            deadline=services.settings.deadlines.mark,
        )
        found = outcome.value
        if found is None:
            detail = {"mark": reader.name, "public": True, "reason": outcome.run.reason}
            evidence.append(Evidence(kind="watermark", state="failed", detail=detail))
        elif found.message and found.found.state is not MarkState.ABSENT:
            state = found.found.state.value
            evidence.append(Evidence(kind="watermark", state=state, detail=dict(detail_of(found))))
            synthetic = synthetic or found.says_synthetic
    return evidence, synthetic
