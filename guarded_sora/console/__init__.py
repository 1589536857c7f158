"""Pages for people: the reviewers' console, the public check page, the notice form."""

from __future__ import annotations

from fastapi import FastAPI


def mount(app: FastAPI) -> None:
    """Add the pages to ``app``."""
