"""The whole way in a real headless Chromium, and every page against the accessibility rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora
from tests.guarded_sora.console.conftest import altered, hold_film, sign_in
from tests.guarded_sora.server.conftest import Running, wait_for

AXE = Path(__file__).parents[2] / "vendor" / "axe-core-4.14.1.min.js"
PUBLIC = ("/check", "/check?lang=ja", "/notice", "/console/sign-in", "/console/welcome")


def test_a_reviewer_takes_looks_decides_and_finds_the_proof(desk: Running, page: Any) -> None:
    log = desk.server.services.log
    sign_in(page, desk, "review", "audit.read")
    page.keyboard.press("t")
    page.wait_for_url("**/console/cases/**")
    case_id = page.url.partition("?")[0].rpartition("/")[2]

    canvas = page.locator(".screen canvas")
    page.wait_for_selector(".strip button")
    assert "blur" in canvas.evaluate("node => getComputedStyle(node).filter")
    page.keyboard.down("u")
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('.screen canvas')).filter === 'none'"
    )
    page.keyboard.up("u")
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('.screen canvas')).filter !== 'none'"
    )
    shown = page.locator("output").inner_text()
    page.keyboard.press("j")
    assert page.locator("output").inner_text() != shown
    colours = canvas.evaluate(
        "node => new Set(node.getContext('2d').getImageData(0, 0, node.width, node.height).data).size"
    )
    assert colours > 16, "the frame was not drawn"

    page.keyboard.press("a")  # without a reason nothing is decided
    assert case_id in page.url
    assert desk.server.services.cases.show(case_id).action == ""
    page.keyboard.press("5")
    page.keyboard.press("a")
    page.wait_for_function(f"() => !location.href.includes('{case_id}')")
    case = desk.server.services.cases.show(case_id)
    assert case.action == "allow"
    assert case.decisions[0].reason_code == "looked_fine"
    wait_for(lambda: bool(log.count("case.released", subject=case_id)))

    page.goto(f"{desk.url}/console/log")
    page.fill("#q", case_id)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q="))
    assert "case.decided" in page.locator("table").inner_text()
    page.locator("tr", has_text="case.decided").locator("a.row").click()
    page.wait_for_selector("text=The proof holds.")
    page.goto(f"{desk.url}/console/clips/{case.subject}")
    assert page.locator("text=released").count()


def test_the_film_can_be_examined_where_it_waits(desk: Running, page: Any) -> None:
    hold_film(GuardedSora(desk.server.services), seed=61)
    sign_in(page, desk, "review")
    page.keyboard.press("t")
    page.wait_for_url("**/console/cases/**")
    page.click("text=Read them from the film")
    page.wait_for_selector("h3:has-text('Mark over time')", timeout=120_000)
    assert page.locator("svg.timeline").count() == 1
    assert "ours" in page.locator("#examined").inner_text()


def test_anybody_drops_an_altered_clip_on_the_check_page(desk: Running, page: Any, tmp_path: Path) -> None:
    film = next(desk.server.services.settings.clips.glob("*.mp4"))
    page.goto(f"{desk.url}/check")
    page.set_input_files("#file", str(altered(film, tmp_path / "altered.mp4")))
    page.click("button.main")
    page.wait_for_selector("[data-verdict]", timeout=120_000)
    assert page.locator("[data-verdict]").get_attribute("data-verdict") == "ours_altered"
    assert page.url == f"{desk.url}/check"  # answered in place
    assert "signed credentials were removed" in page.locator("#answer").inner_text()
    assert violations(page) == []


def test_pages_work_without_scripts(desk: Running, browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    film = next(desk.server.services.settings.clips.glob("*.mp4"))
    page.goto(f"{desk.url}/check")
    page.set_input_files("#file", str(film))
    page.click("button.main")
    assert page.locator("[data-verdict]").get_attribute("data-verdict") == "ours_intact"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule_of_accessibility(desk: Running, page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    waiting = hold_film(GuardedSora(desk.server.services), seed=71 if scheme == "light" else 72)
    found = {}
    for path in PUBLIC:
        page.goto(f"{desk.url}{path}")
        found[path] = violations(page)
    sign_in(page, desk, "admin")
    clip = str(next(iter(desk.server.services.log.search(kind="request.released"))).body["clip_id"])
    paths = ["queue", "queue?state=decided", "log?span=all", "log/0", f"clips/{clip}", "keys", "cases/none"]
    for path in paths:
        page.goto(f"{desk.url}/console/{path}")
        found[path] = violations(page)
    take(page, desk, waiting)
    found["case"] = violations(page)
    page.click("text=Read them from the film")
    page.wait_for_selector("h3:has-text('Mark over time')")
    found["case, examined"] = violations(page)
    page.goto(f"{desk.url}/console/log?span=all")
    page.click("text=Re-hash every entry")
    page.wait_for_selector("text=The log holds.")
    found["re-hash"] = violations(page)
    page.goto(f"{desk.url}/console/keys")
    page.fill("#name", "x")
    page.check("input[name=scope][value=verify]")
    page.click("button.main")
    page.wait_for_selector(".secret")
    found["a new key"] = violations(page)
    ask_about_a_clip(page, desk)
    found["check, answered"] = violations(page)
    page.goto(f"{desk.url}/notice")
    page.fill("#about", "a clip")
    page.select_option("#ground", index=1)
    page.fill("#statement", "It shows me.")
    page.click("button.main")
    page.wait_for_selector("[role=status] code")
    found["notice, sent"] = violations(page)
    assert {path: broken for path, broken in found.items() if broken} == {}


@pytest.mark.parametrize("size", [(360, 740), (640, 450)], ids=["360 px", "200 % zoom of 1280 px"])
def test_nothing_is_lost_on_a_narrow_screen(desk: Running, page: Any, size: tuple[int, int]) -> None:
    waiting = hold_film(GuardedSora(desk.server.services), seed=81 if size[0] == 360 else 82)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    lost = {}
    sign_in(page, desk, "admin")
    clip = str(next(iter(desk.server.services.log.search(kind="request.released"))).body["clip_id"])
    inside = ("queue", "log?span=all", "log/0", "log/verify", "keys", f"clips/{clip}")
    for path in (*PUBLIC, *(f"/console/{name}" for name in inside)):
        page.goto(f"{desk.url}{path}")
        lost[path] = cut_off(page)
    take(page, desk, waiting)
    lost["case"] = cut_off(page)
    ask_about_a_clip(page, desk)
    lost["check, answered"] = cut_off(page)
    assert {path: places for path, places in lost.items() if places} == {}


def ask_about_a_clip(page: Any, desk: Running) -> None:
    """Check a released film against a law on the public page, and wait for the answer."""
    page.goto(f"{desk.url}/check")
    page.set_input_files("#file", str(next(desk.server.services.settings.clips.glob("*.mp4"))))
    page.click("summary")
    page.check("input[value=eu]")
    page.click("button.main")
    page.wait_for_selector(".clauses")


def take(page: Any, desk: Running, case_id: str) -> None:
    """Open the film of ``case_id``, though the case that comes next may be a notice without one."""
    page.goto(f"{desk.url}/console/queue")
    page.keyboard.press("t")
    page.wait_for_url("**/console/cases/**")
    cases = desk.server.services.cases
    reviewer = cases.show(page.url.rpartition("/")[2]).holder
    assert reviewer is not None
    cases.claim(reviewer, case_id=case_id)
    page.goto(f"{desk.url}/console/cases/{case_id}")
    page.wait_for_selector(".strip button")


def cut_off(page: Any) -> list[str]:
    """What stands outside the screen, or is clipped where nobody can scroll to it."""
    found: list[str] = page.evaluate(
        """() => {
          const hidden = (node) => node.closest('.hidden, .skip, .veil, noscript, title, svg, canvas');
          const cut = [];
          if (document.documentElement.scrollWidth > innerWidth)
            cut.push(`page ${document.documentElement.scrollWidth} px wide`);
          for (const node of document.querySelectorAll('main *, header *')) {
            if (hidden(node) || !node.getClientRects().length) continue;
            const style = getComputedStyle(node);
            const clips = style.overflowX === 'hidden' || style.overflowX === 'clip';
            if (clips && node.scrollWidth > node.clientWidth + 1 && !node.matches('input, select'))
              cut.push(`clipped ${node.outerHTML.slice(0, 80)}`);
            const scroller = node.closest('.scroll, pre');
            if (!scroller && node.getBoundingClientRect().right > innerWidth + 1)
              cut.push(`outside ${node.outerHTML.slice(0, 80)}`);
          }
          return cut;
        }"""
    )
    return found


def violations(page: Any) -> list[str]:
    """What axe-core finds, one line each. It runs outside the page's content policy."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    broken = page.evaluate("axe.run(document).then(result => result.violations)")
    return [f"{item['id']}: {node['html'][:120]}" for item in broken for node in item["nodes"]]
