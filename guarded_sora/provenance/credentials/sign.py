"""Sign a finished file: the last step, after pixels, mark, encoding and container tags."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from guarded_sora.errors import MediaError, ProvenanceError
from guarded_sora.provenance.credentials.container import ContainerReport, inspect
from guarded_sora.provenance.credentials.jumbf import active_label
from guarded_sora.provenance.credentials.library import open_context
from guarded_sora.provenance.credentials.manifest import Ingredient, ingredient_label
from guarded_sora.provenance.credentials.signer import Signer, open_signer
from guarded_sora.provenance.credentials.store_guard import embedded_store, is_malformed
from guarded_sora.provenance.credentials.timestamps import (
    TimestampPolicy,
    TimestampUnavailable,
    is_authority_failure,
    sign_with_timestamp,
)
from guarded_sora.provenance.credentials.trust import Trust

SIDECAR_SUFFIX = ".c2pa"


class Content(Protocol):
    """What can be signed: a manifest definition, the files that went in, a thumbnail (JPEG) or None."""

    @property
    def ingredients(self) -> tuple[Ingredient, ...]: ...

    @property
    def thumbnail(self) -> bytes | None: ...

    def definition(self, mime: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What signing made: the active manifest's ``label`` and the ``store`` to keep in the repository.

    ``sidecar`` is the file the store was written to, for containers that cannot carry one; otherwise None.
    """

    label: str
    store: bytes
    sidecar: Path | None = None
    timestamped: bool = False


def sign(
    src: Path,
    dst: Path,
    content: Content,
    signer: Signer,
    *,
    trust: Trust | None = None,
    timestamp: TimestampPolicy | None = None,
) -> Signed:
    """Write ``src`` with its manifest to ``dst``; nothing stays at ``dst`` when signing fails.

    The content hash is verified after signing. ``trust`` decides only which verdict on an ingredient's own
    credentials is recorded beside it. WebM and Matroska cannot carry a store: ``dst`` is a copy and
    the store lies beside it in ``dst`` + ``.c2pa``.

    ``timestamp`` matters only for a signer with a ``timestamp_url``: by default three attempts, then
    ``TimestampUnavailable`` (a ``ProvenanceError``).

    Raises ``MediaError`` for a file that the container guard refuses or that cannot be signed, and
    ``ProvenanceError`` when the signature cannot be made or does not verify.
    """
    report = _guarded(src)
    if dst.exists() and src.samefile(dst):
        raise MediaError("A file cannot be signed onto itself; give another output path.")
    for ingredient in content.ingredients:
        _guarded(ingredient.path)
    detached = report.kind == "matroska"
    sidecar = dst.with_name(dst.name + SIDECAR_SUFFIX) if detached else None
    try:
        store, timestamped = sign_with_timestamp(
            lambda who: _sign(src, dst, content, who, trust or Trust(), report, detached=detached),
            signer,
            timestamp or TimestampPolicy(),
        )
        if sidecar is not None:
            sidecar.write_bytes(store)
    except BaseException:
        _discard(dst, sidecar)
        raise
    return Signed(label=active_label(store), store=store, sidecar=sidecar, timestamped=timestamped)


def _sign(
    src: Path,
    dst: Path,
    content: Content,
    signer: Signer,
    trust: Trust,
    report: ContainerReport,
    *,
    detached: bool,
) -> bytes:
    import c2pa

    definition = content.definition(report.mime)
    watched = _Watched(signer)
    try:
        with (
            open_context(trust) as context,
            open_signer(signer, watched.sign) as native,
            c2pa.Builder(definition, context) as builder,
        ):
            if content.thumbnail is not None:
                builder.add_resource("thumbnail.jpg", io.BytesIO(content.thumbnail))
            _add_ingredients(builder, content)
            if detached:
                builder.set_no_embed()
            with open(src, "rb") as source, open(dst, "w+b") as target:
                store = bytes(builder.sign(native, report.mime, source, target))
        if detached:
            shutil.copyfile(src, dst)
        return store
    except c2pa.C2paError.NotSupported as error:
        raise MediaError(
            f"A {report.mime} file cannot carry Content Credentials; write the clip as .mp4."
        ) from error
    except c2pa.C2paError as error:
        if watched.fault is not None:
            raise watched.fault from error
        if is_authority_failure(str(error)):
            raise TimestampUnavailable(
                "The timestamp authority gave no usable answer; try again later, or allow signing "
                "without a timestamp."
            ) from error
        raise ProvenanceError(_explain(error)) from error
    except OSError as error:
        raise MediaError(
            f"The signed file could not be written to {dst.name!r}; check the folder's rights and free space."
        ) from error


class _Watched:
    """Remembers why a signer of ours gave no signature: the library only says that there was none."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.fault: ProvenanceError | None = None

    def sign(self, data: bytes) -> bytes:
        try:
            return self._signer.sign(data)
        except ProvenanceError as error:
            self.fault = error
            raise
        except Exception as error:
            self.fault = ProvenanceError(
                f"The signer raised {type(error).__name__} and gave no signature; nothing was written."
            )
            raise


def _add_ingredients(builder: Any, content: Content) -> None:
    for index, ingredient in enumerate(content.ingredients):
        description = {
            "title": ingredient.title,
            "relationship": ingredient.relationship,
            "label": ingredient_label(index, ingredient),
        }
        with open(ingredient.path, "rb") as stream:
            builder.add_ingredient(description, _guarded(ingredient.path).mime, stream)


def _guarded(path: Path) -> ContainerReport:
    report = inspect(path)
    if report.refused:
        raise MediaError(f"The file {path.name!r} cannot be signed: {report.refused}.")
    if report.kind == "unknown":
        raise MediaError(
            f"The file {path.name!r} is no film or picture that can be signed; write it as .mp4."
        )
    try:
        store = embedded_store(path, report)
    except OSError as error:
        raise MediaError(f"The file {path.name!r} cannot be read; check the path and its rights.") from error
    if store is not None and is_malformed(store):
        raise MediaError(f"The credentials in {path.name!r} are malformed; sign the film without them.")
    return report


def _explain(error: Exception) -> str:
    text = str(error)
    if text.startswith("Signature"):
        return "The clip was not signed: key, chain or expiry date was refused; run 'guarded-sora keys'."
    kind = text.split(":", 1)[0][:40]
    return f"The clip was not signed: the C2PA library reported '{kind}'; nothing was written."


def _discard(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            path.unlink(missing_ok=True)
