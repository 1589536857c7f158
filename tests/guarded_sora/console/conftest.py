"""A server with cases to decide, and a real headless Chromium where one is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora, ReviewRequired
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Finding
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.server.conftest import PROMPT, Running, serving, with_frame_check

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Broken:
    """A frame check that raises, so that every film is held for review."""

    name = "test.broken"
    version = "1"
    unavailable = ""

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        raise RuntimeError("broken")


def hold_film(sora: GuardedSora, prompt: str = PROMPT, *, seed: int = 3) -> str:
    """A film that waits for review; returns its case."""
    held = GuardedSora(with_frame_check(sora.services, Broken()))
    with pytest.raises(ReviewRequired) as caught:
        held.generate(prompt, seed=seed)
    return caught.value.case_id


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one released film and two that wait."""
    home = tmp_path_factory.mktemp("desk")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        sora.generate(PROMPT, seed=11)
        for seed in (3, 4):
            hold_film(sora, seed=seed)
        with serving(sora.services) as it:
            yield it


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; without one the tests that need it are skipped, and say so."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: the end-to-end tests did not run; install one: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page; errors of scripts and refusals of the content policy fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield opened
    context.close()
    assert problems == []


def sign_in(page: Any, desk: Running, *scopes: str) -> None:
    page.goto(f"{desk.url}/console/sign-in")
    page.fill("#key", desk.key(*scopes))
    page.click("button.main")
    page.wait_for_url("**/console/**")


def altered(film: Path, target: Path) -> Path:
    """A copy of a film whose credentials were removed, as services do on upload."""
    import av

    with av.open(str(film)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                out.mux(packet)
    return target
