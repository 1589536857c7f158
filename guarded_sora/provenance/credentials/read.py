"""Read the credentials of a stranger's file: guard, library, our own judgement, one state.

:func:`read` is a plain function on picklable values, made to run in a worker process that can be killed:
it sets no limits and starts no process itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from guarded_sora.errors import MediaError, ProvenanceError
from guarded_sora.provenance.credentials import report
from guarded_sora.provenance.credentials.container import DEFAULT_LIMITS, ContainerReport, Limits, inspect
from guarded_sora.provenance.credentials.library import MAX_STORE_MIB, open_context
from guarded_sora.provenance.credentials.sign import SIDECAR_SUFFIX
from guarded_sora.provenance.credentials.signatures import read_signers
from guarded_sora.provenance.credentials.states import MALFORMED_STORE, Credentials, Reading, State, decide
from guarded_sora.provenance.credentials.store_guard import embedded_store, is_malformed
from guarded_sora.provenance.credentials.trust import Trust

__all__ = ["Credentials", "State", "read", "read_library"]


def read(
    path: Path, trust: Trust, *, sidecar: bytes | None = None, limits: Limits = DEFAULT_LIMITS
) -> Credentials:
    """The credentials of ``path`` under ``trust``.

    ``sidecar`` is a detached manifest store; when None and the container cannot carry one, a file
    ``path`` + ``.c2pa`` beside it is used. What a file holds never raises; only a file that cannot
    be opened raises ``MediaError``, and a broken installation ``ProvenanceError``.
    """
    container = inspect(path, limits)
    if container.refused:
        return Credentials(
            state=State.REJECTED_BY_GUARD,
            reason=f"not parsed: {container.refused}",
            codes=(f"guard.{container.refused_code}",),
            container=container,
        )
    if container.kind == "unknown":
        return Credentials(
            state=State.UNSUPPORTED,
            reason="the file is no film or picture that can carry credentials",
            container=container,
        )
    if sidecar is None and container.kind == "matroska":
        sidecar = _find_sidecar(path)
        if sidecar is None:
            return Credentials(
                state=State.UNSUPPORTED,
                reason="this container cannot carry credentials and no .c2pa file lies beside it",
                container=container,
            )
    return decide(read_library(path, trust, container, sidecar), container)


def read_library(
    path: Path, trust: Trust, container: ContainerReport, sidecar: bytes | None, *, precise: bool = False
) -> Reading:
    """What the library and the certificates say, before any judgement; ``precise`` adds its crJSON report.

    Raises ``MediaError`` when the file cannot be opened.
    """
    import c2pa

    try:
        found_store = sidecar if sidecar is not None else embedded_store(path, container)
    except OSError as error:
        raise MediaError(f"The file {path.name!r} cannot be read; check the path and its rights.") from error
    if found_store is not None and is_malformed(found_store):
        return Reading(error=MALFORMED_STORE)
    with open_context(trust) as context:
        try:
            with (
                open(path, "rb") as stream,
                c2pa.Reader(container.mime, stream, sidecar, context=context) as reader,
            ):
                found: dict[str, Any] = json.loads(reader.json())
                store = report.read_store(reader, found)
                return Reading(
                    report=found,
                    precise=json.loads(reader.crjson()) if precise else {},
                    signers=read_signers(store, trust),
                    embedded=bool(reader.is_embedded()),
                    remote_url=reader.get_remote_url() or "",
                )
        except c2pa.C2paError as error:
            return Reading(error=type(error).__name__.lstrip("_").removeprefix("C2pa"), message=str(error))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            return Reading(error="Json", message="the library's report could not be read")
        except OSError as error:
            raise MediaError(
                f"The file {path.name!r} cannot be read; check the path and its rights."
            ) from error


def _find_sidecar(path: Path) -> bytes | None:
    candidate = path.with_name(path.name + SIDECAR_SUFFIX)
    try:
        if candidate.stat().st_size > MAX_STORE_MIB << 20:
            raise ProvenanceError(
                f"The file {candidate.name!r} is larger than {MAX_STORE_MIB} MiB and no manifest; remove it."
            )
        return candidate.read_bytes()
    except OSError:
        return None
