"""Backends: who makes the frames. ``load_backend`` chooses one by name, path or object."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.contract import VideoBackend

__all__ = ["load_backend"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_backend(spec: Any = "builtin") -> VideoBackend:
    """A backend for ``spec``.

    ``"builtin"``, ``"auto"`` or None: our own generator. A backend object stays as it is. A
    diffusers pipeline object, or the folder of one (str or Path), or a hub id ``owner/name`` (the only
    case that may download) become ``DiffusersBackend``. The address of a server that speaks ``/v1/videos``
    becomes ``ServerBackend``. Any other callable becomes
    ``CallableBackend``. Raises ``BackendUnavailable`` where nothing fits or it cannot be loaded.
    """
    if spec is None or (isinstance(spec, str) and spec in ("builtin", "auto")):
        from guarded_sora.generation.backends.builtin import BuiltinBackend

        return BuiltinBackend()
    if isinstance(spec, str | Path):
        return _by_name(spec)
    if _is_pipeline(spec):
        from guarded_sora.generation.backends.diffusers import DiffusersBackend

        return DiffusersBackend(spec)
    if isinstance(spec, VideoBackend):
        return spec
    # The submodule ``callable`` hides the builtin of that name in this file.
    if builtins.callable(spec):
        from guarded_sora.generation.backends.callable import CallableBackend

        return CallableBackend(spec)
    raise BackendUnavailable("The backend is neither a pipeline, a function, a folder nor a known name.")


def _is_pipeline(thing: Any) -> bool:
    """Whether this is a diffusers pipeline, told by its classes' names so that nothing is imported."""
    return any(kind.__name__ == "DiffusionPipeline" for kind in type(thing).__mro__)


def _by_name(spec: str | Path) -> VideoBackend:
    text = str(spec)
    path = Path(spec).expanduser()
    if path.is_dir():
        from guarded_sora.generation.backends.diffusers import DiffusersBackend

        return DiffusersBackend.from_source(path)
    if text.startswith(("http://", "https://")):
        from guarded_sora.generation.backends.server import ServerBackend

        return ServerBackend(text)
    if isinstance(spec, str) and _HUB_ID.fullmatch(text) and not path.exists():
        from guarded_sora.generation.backends.diffusers import DiffusersBackend

        return DiffusersBackend.from_source(text, hub=True)
    raise BackendUnavailable("There is no backend of that name and no folder at that path; try 'builtin'.")
