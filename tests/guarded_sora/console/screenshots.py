"""Make the pictures of the pages for the documentation, from a real server with invented cases.

Run it as::

    python -m tests.guarded_sora.console.screenshots docs/images
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from guarded_sora import Blocked, GuardedSora
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.console.conftest import CHROMIUM, FLAGS, altered, hold_film, sign_in
from tests.guarded_sora.server.conftest import PROMPT, REFUSED, Running, serving

PROMPTS = ("a lighthouse above a calm sea", "a paper boat on a pond", "a fox crossing a snowy field")


def main(folder: Path) -> None:
    """Write queue, case, log and check page as PNG into ``folder``."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        GuardedSora.open(home=Path(home) / "home", backend=Painter()) as sora,
    ):
        release = sora.generate(PROMPT, seed=11)
        for seed, prompt in enumerate(PROMPTS):
            hold_film(sora, prompt, seed=seed)
            with suppress(Blocked):
                sora.generate(REFUSED)
        with serving(sora.services) as desk, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.set_default_timeout(120_000)
            _take(page, desk, folder, altered(release.path, Path(home) / "from the web.mp4"))
            browser.close()
    for picture in folder.glob("*.png"):
        # Flat colours need no more than a palette; the repository keeps these files for ever.
        Image.open(picture).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
            picture, optimize=True
        )


def _take(page: Any, desk: Running, folder: Path, film: Path) -> None:
    sign_in(page, desk, "admin")
    page.screenshot(path=folder / "console-queue.png")
    page.keyboard.press("t")
    page.wait_for_url("**/console/cases/**")
    page.wait_for_selector(".strip button")
    page.screenshot(path=folder / "console-case.png")
    page.goto(f"{desk.url}/console/log?span=1h")
    page.screenshot(path=folder / "console-log.png")
    page.goto(f"{desk.url}/check")
    page.set_input_files("#file", str(film))
    page.click("button.main")
    page.wait_for_selector("[data-verdict]")
    page.screenshot(path=folder / "check.png", full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
