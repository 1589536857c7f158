"""A real uvicorn on loopback around an installation with a quick generator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from guarded_sora import GuardedSora
from guarded_sora.server.app import create_app
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.state import Server
from guarded_sora.services import Services
from tests.guarded_sora.conftest import Painter

PROMPT = "a red balloon rising over a sandy beach"
REFUSED = "a photorealistic beheading, blood everywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers at ``url``; ``key(...)`` makes API keys for it."""

    url: str
    server: Server

    def key(self, *scopes: str) -> str:
        return self.server.access.issue("test", scopes)

    def client(self, *scopes: str, **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key(*scopes)}"} if scopes else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=180, **options)


@contextmanager
def serving(services: Services, options: ServerOptions | None = None) -> Iterator[Running]:
    app = create_app(services, options or ServerOptions())
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", access_log=False)
    uv = uvicorn.Server(config)
    thread = threading.Thread(target=uv.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not uv.started:
        assert thread.is_alive() and time.monotonic() < until, "the server did not start"
        time.sleep(0.01)
    port = uv.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(url=f"http://127.0.0.1:{port}", server=app.state.server)
    finally:
        uv.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def home_of_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def running(home_of_module: Path) -> Iterator[Running]:
    """One server for a whole module: starting one makes keys, a database and a worker."""
    with GuardedSora.open(home=home_of_module, backend=Painter()) as sora, serving(sora.services) as it:
        yield it


@pytest.fixture(scope="module")
def finished(running: Running) -> tuple[str, str]:
    """``(API key, video id)`` of a finished film."""
    key = running.key("generate")
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        made = client.post("/v1/videos", json={"prompt": PROMPT, "seconds": "2", "seed": 5}).json()
        wait_for(lambda: client.get(f"/v1/videos/{made['id']}").json()["status"] == "completed")
    return key, made["id"]


def wait_for(done: Callable[[], bool], *, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def with_frame_check(services: Services, check: Any) -> Services:
    return replace(services, frame_checks=(*services.frame_checks, check))
