"""Words of the public pages, one file a language; a missing word falls back to English."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fastapi import Request

WORDS = Path(__file__).with_name("words")


@lru_cache(maxsize=1)
def languages() -> Mapping[str, Mapping[str, str]]:
    """Every language there is a file for, English first."""
    english = _read("en")
    others = sorted(path.stem for path in WORDS.glob("*.json") if path.stem != "en")
    return {"en": english, **{code: {**english, **_read(code)} for code in others}}


def language_of(request: Request) -> str:
    """What the address asks for, else the first language of the browser that we have."""
    asked = [request.query_params.get("lang", "")]
    for part in request.headers.get("accept-language", "").split(",")[:16]:
        asked.append(part.partition(";")[0].strip())
    for tag in asked:
        code = tag.lower().partition("-")[0]
        if code in languages():
            return code
    return "en"


def _read(code: str) -> dict[str, str]:
    words = json.loads((WORDS / f"{code}.json").read_text(encoding="utf-8"))
    return {str(key): str(value) for key, value in words.items()}
