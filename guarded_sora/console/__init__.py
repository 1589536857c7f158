"""Pages for people: the reviewers' console, the public check page, the notice form."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from guarded_sora.console import check, clips, entrance, logs, notice, review
from guarded_sora.console.rehashing import Rehashing
from guarded_sora.console.render import STATIC, Elsewhere, elsewhere
from guarded_sora.console.tally import Tally


def mount(app: FastAPI) -> None:
    """Add the pages to ``app``; they stand in no OpenAPI document."""
    for pages in (entrance, review, logs, clips, check, notice):
        app.include_router(pages.router, include_in_schema=False)
    app.state.tally = Tally(app.state.server.services.engine)
    app.state.rehashing = Rehashing()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(Elsewhere, elsewhere)
