"""Where the packaged weights are and what their digest is. Needs no torch."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).with_name("weights")
FACTS = "facts.json"
DISTILLED = "distilled"
"""Folder of a base model and its text encoder that need no guidance and fewer steps."""


@functools.lru_cache(maxsize=8)
def digest(folder: Path = WEIGHTS) -> str | None:
    """SHA-256 (hex) over the names and bytes of all safetensors below ``folder``; None without any."""
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        return None
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def facts(folder: Path = WEIGHTS) -> dict[str, Any]:
    """``facts.json`` beside the weights: version, data digest, budget; empty where there is none."""
    path = folder / FACTS
    return dict(json.loads(path.read_text())) if path.exists() else {}
