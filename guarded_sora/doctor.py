"""What works here and what is missing: each part tried for real, none assumed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from guarded_sora.errors import GuardedSoraError
from guarded_sora.finish import READ
from guarded_sora.media import ClipFrames, encode, probe
from guarded_sora.policies.golden import run_golden
from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.recovery import recover_releases
from guarded_sora.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One part: ``state`` is ok, unavailable (missing, and known to be) or failed."""

    part: str
    state: str
    detail: str


def examine(services: Services) -> Iterator[Examined]:
    """Try every part in turn; a part that raises is ``failed`` and does not stop the others."""
    yield _try("keys", lambda: f"issuer {services.keys.issuer}")
    yield _try("log", lambda: f"{services.log.size} entries")
    yield _try("releases", lambda: _releases(services))
    yield _try("policy pack", lambda: _pack(services))
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        film = Path(folder) / "film.mp4"
        yield _try("film encoder and worker", lambda: _encode(services, film))
        yield _try("signing and trust", lambda: _sign(services, film, Path(folder) / "signed.mp4"))
    for check in services.frame_checks:
        state = "unavailable" if check.unavailable else "ok"
        yield Examined(part=check.name, state=state, detail=check.unavailable)
    for reader in services.mark_readers:
        state = "unavailable" if reader.unavailable else "ok"
        yield Examined(part=f"mark reader {reader.name}", state=state, detail=reader.unavailable)
    if find_spec("torch") is None or find_spec("diffusers") is None:
        yield Examined(
            part="generator",
            state="unavailable",
            detail="install it with: pip install 'guarded-sora[generate]'; everything else works without",
        )
    else:
        yield _try("generator", lambda: _generator(services))


def _try(part: str, attempt: Callable[[], str]) -> Examined:
    try:
        return Examined(part=part, state="ok", detail=attempt())
    except GuardedSoraError as error:
        return Examined(part=part, state="failed", detail=str(error))
    except Exception as error:
        return Examined(part=part, state="failed", detail=type(error).__name__)


def _releases(services: Services) -> str:
    found = recover_releases(services)
    if not found:
        return "none was cut off"
    out = sum(item.released for item in found)
    return f"{len(found)} cut off and put right: {out} out, {len(found) - out} waiting again"


def _pack(services: Services) -> str:
    results = run_golden(services.policy.pack)
    wrong = sum(not result.passed for result in results)
    if wrong:
        raise GuardedSoraError(f"{wrong} of {len(results)} golden prompts do not hold; run 'policy test'.")
    return f"{services.policy.pack.reference.id}, {len(results)} golden prompts hold"


def _encode(services: Services, film: Path) -> str:
    frames = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    encode(ClipFrames(frames, 8.0), film, fps=8.0)
    info = probe(film, services.worker)
    return f"{info.codec}, read back in a bounded child"


def _sign(services: Services, film: Path, signed: Path) -> str:
    content = ManifestContent(
        clip_id="gs1:00000000:0000000000",
        title="doctor",
        generator=Generator(name="doctor", version="1"),
        created=datetime.now(UTC),
    )
    sign(film, signed, content, services.signer, trust=services.trust)
    read = services.worker.call(READ, signed, services.trust, deadline=30.0, stage="doctor")
    if read.state.value != "trusted" or not read.ours:
        raise GuardedSoraError(f"A signed film reads back as {read.state.value}; check the keys.")
    return "a signed film reads back as trusted and ours"


def _generator(services: Services) -> str:
    info = services.backend().info
    return f"{info.name} {info.version}, weights {(info.weights_sha256 or 'unknown')[:12]}"
