"""Make the pictures of the pages for the documentation, from a real server with invented cases.

Run it as::

    python -m tests.guarded_sora.console.screenshots docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from guarded_sora import Blocked, GuardedSora, ReviewRequired
from guarded_sora.audit.cases import CaseBook
from guarded_sora.audit.log import AuditLog
from guarded_sora.services import Services
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.console.conftest import CHROMIUM, FLAGS, altered, hold_film
from tests.guarded_sora.server.conftest import PROMPT, REFUSED, Running, serving

HELD = ("a lighthouse above a calm sea", "a paper boat on a pond", "a fox crossing a snowy field")
WAITS = "breaking news broadcast about a bridge that collapsed"
WIDTH = 1280
HOUR = 3_600_000


class Day:
    """Services whose log believes what time this says, so that a day's work can be written at once."""

    def __init__(self, services: Services) -> None:
        self._now = time.time_ns() // 1_000_000 - 23 * HOUR
        keys = services.keys
        log = AuditLog(
            services.engine,
            signing_key=keys.log_key,
            origin=keys.origin,
            payload_key=keys.payload_key,
            clock=lambda: self._now,
        )
        self.sora = GuardedSora(replace(services, log=log, cases=CaseBook(log)))

    def pass_hours(self, hours: float) -> None:
        """Some time passes; never beyond the present."""
        self._now = min(self._now + int(hours * HOUR), time.time_ns() // 1_000_000)

    def work(self) -> Path:
        """Films made, refused and held; returns one that was released."""
        release = self.sora.generate(PROMPT, seed=11)
        for number, prompt in enumerate(HELD):
            self.pass_hours(3.5)
            with suppress(Blocked):
                self.sora.generate(REFUSED)
            self.pass_hours(2)
            hold_film(self.sora, prompt, seed=number)
        self.pass_hours(4)
        with suppress(ReviewRequired):
            self.sora.generate(WAITS, seed=40)
        self.pass_hours(24)
        return release.path


def main(folder: Path) -> None:
    """Write queue, case, log and check page as PNG into ``folder``."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        GuardedSora.open(home=Path(home) / "home", backend=Painter()) as sora,
    ):
        film = altered(Day(sora.services).work(), Path(home) / "from the web.mp4")
        with serving(sora.services) as desk, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": 860}, locale="en-GB")
            page.set_default_timeout(120_000)
            _take(page, desk, folder, film)
            browser.close()


def _take(page: Any, desk: Running, folder: Path, film: Path) -> None:
    page.goto(f"{desk.url}/notice")
    page.fill("#about", "a video of my shop, seen on a sharing site")
    page.select_option("#ground", index=1)
    page.fill("#statement", "I am in this video and never agreed to it.")
    page.click("button.main")
    page.wait_for_selector("[role=status] code")

    page.goto(f"{desk.url}/console/sign-in")
    page.fill("#key", desk.server.access.issue("Ana", ["review", "audit.read"]))
    page.click("button.main")
    page.wait_for_url("**/console/queue")
    _save(page, folder / "console-queue.png")
    page.keyboard.press("t")
    page.wait_for_url("**/console/cases/**")
    page.wait_for_selector(".strip button")
    _save(page, folder / "console-case.png", until="section:has(h2:text-is('Checks'))")
    page.goto(f"{desk.url}/console/log?span=24h")
    _save(page, folder / "console-log.png")
    page.goto(f"{desk.url}/check")
    page.set_input_files("#file", str(film))
    page.click("button.main")
    page.wait_for_selector("[data-verdict]")
    _save(page, folder / "check.png")


def _save(page: Any, path: Path, *, until: str = "main .card, main .reading") -> None:
    """The page down to the last of ``until``, the pointer and the focus away."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement && document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")
    places = page.locator(until)
    boxes = [places.nth(index).bounding_box() for index in range(places.count())]
    bottom = max(box["y"] + box["height"] for box in boxes if box)
    page.screenshot(
        path=path, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": int(bottom) + 14}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
