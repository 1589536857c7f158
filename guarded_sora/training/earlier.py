"""What an earlier run left, by the option that names it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import nn

from guarded_sora.errors import UsageError
from guarded_sora.generation.models.load import load_model

M = TypeVar("M", bound=nn.Module)


def earlier(kind: type[M], folder: Path, option: str) -> M:
    """The model that an earlier run exported; raises ``UsageError`` naming ``option`` where there is none."""
    try:
        return load_model(kind, folder)
    except ValueError as error:
        raise UsageError(
            f"{option}: {error}; name the folder export of a finished run, with what it exported in it."
        ) from error
