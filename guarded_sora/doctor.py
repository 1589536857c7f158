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
from guarded_sora.keys import FILES
from guarded_sora.media import ClipFrames, encode, probe
from guarded_sora.policies.golden import run_golden
from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent
from guarded_sora.provenance.credentials.self_test import self_test
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.trust_store import PURPOSES, held_list
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
    yield _try("keys", lambda: _keys(services))
    yield _try("log", lambda: f"{services.log.size} entries")
    yield _try("releases", lambda: _releases(services))
    yield _try("policy pack", lambda: _pack(services))
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        film = Path(folder) / "film.mp4"
        yield _try("film encoder and worker", lambda: _encode(services, film))
        yield _try("signing and trust", lambda: _sign(services, film, Path(folder) / "signed.mp4"))
    yield _try("credentials", lambda: _credentials(services))
    yield _try("trust lists", lambda: _lists(services))
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


def _keys(services: Services) -> str:
    """Keys that others on this machine could read are not this installation's alone."""
    folder = services.keys.folder
    for path in (folder, *sorted(folder.iterdir())):
        if path.stat().st_mode & 0o077:
            raise GuardedSoraError(
                f"{path} may be read or changed by others; run: chmod -R go-rwx {folder}, and take keys "
                "that were open for known."
            )
    return f"issuer {services.keys.issuer}, {len(FILES)} keys that only their owner can read"


def _credentials(services: Services) -> str:
    found = self_test(services.signer, services.trust, timestamp=services.timestamp)
    said = "a signed picture reads as trusted and ours, a changed one as tampered"
    if services.signer.timestamp_url is None:
        return f"{said}; no timestamp authority is set"
    if not found.timestamp:
        raise GuardedSoraError(
            "The timestamp authority is down or on no list for time; check GUARDED_SORA_TIMESTAMP_URL and "
            "GUARDED_SORA_TIMESTAMP_ANCHORS."
        )
    return f"{said}; the timestamp is trusted"


def _lists(services: Services) -> str:
    today = datetime.now(UTC).date()
    said = []
    for purpose in PURPOSES:
        held = held_list(services.settings.trust, purpose)
        late = ", a newer one is due" if held.is_stale(today) else ""
        said.append(f"{held.count} for {purpose}{f' of {held.issued}' if held.issued else ''}{late}")
    return "; ".join(said)


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
