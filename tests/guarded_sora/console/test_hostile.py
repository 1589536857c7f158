"""Films, manifests and names made to attack a page: what they say is shown as text, or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from guarded_sora.provenance.credentials.certificates import issue_chain
from guarded_sora.provenance.credentials.manifest import Generator
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from tests.guarded_sora.console.conftest import altered
from tests.guarded_sora.provenance.credentials.conftest import content_of
from tests.guarded_sora.server.conftest import Running

SCRIPT = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u202egnp.exe\u2066"
)
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=\'owned\'">'
    b"<script>document.title='owned'</script></svg>"
)


@pytest.fixture(scope="module")
def plain_film(desk: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film without credentials, of which the pages say something nonetheless."""
    film = next(desk.server.services.settings.clips.glob("*.mp4"))
    return altered(film, tmp_path_factory.mktemp("plain") / "plain.mp4")


def titled(film: Path, target: Path, title: str) -> Path:
    """The same film with ``title`` in every place of its metadata."""
    with av.open(str(film)) as source, av.open(str(target), "w") as out:
        for name in ("title", "comment", "artist", "encoder"):
            out.metadata[name] = title
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def signed(film: Path, target: Path) -> Path:
    """The same film with a valid manifest of a stranger whose every name is an attack."""
    chain = issue_chain(SCRIPT[:60])
    content = content_of(title=SCRIPT, provider=SCRIPT[:60], generator=Generator(name=SCRIPT, version=SCRIPT))
    sign(film, target, content, FileKeySigner.of(chain))
    return target


@pytest.fixture(
    scope="module", params=["manifest", "megabyte title", "script in svg", "svg named mp4", "names"]
)
def attack(
    request: pytest.FixtureRequest, plain_film: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, bytes]:
    """``(file name, content)``."""
    folder = tmp_path_factory.mktemp("attack")
    if request.param == "manifest":
        return "film.mp4", signed(plain_film, folder / "signed.mp4").read_bytes()
    if request.param == "megabyte title":
        return "film.mp4", titled(plain_film, folder / "titled.mp4", SCRIPT * 12_000).read_bytes()
    if request.param == "names":
        return f"../../{SCRIPT * 40}.mp4", plain_film.read_bytes()
    return ("drawing.svg" if request.param == "script in svg" else "film.mp4"), SVG


def test_the_answer_holds_it_as_text(desk: Running, attack: tuple[str, bytes]) -> None:
    name, content = attack
    with httpx.Client(base_url=desk.url, timeout=180) as client:
        for language in ("en", "ja"):
            answer = client.post(f"/check?lang={language}", files={"file": (name, io.BytesIO(content))})
            assert answer.status_code == 200
            assert "<script>document" not in answer.text and "<img src=x" not in answer.text
            assert not set(answer.text) & {"\u202e", "\u2066"}
            assert len(answer.text) < 60_000
    for entry in desk.server.services.log.tail(20):
        assert b"owned" not in entry.canonical


def test_nothing_of_it_runs_in_a_browser(desk: Running, page: Any, attack: tuple[str, bytes]) -> None:
    name, content = attack
    page.goto(f"{desk.url}/check")
    # A name of a file with folders in it can only be sent by hand; a browser sends the last part.
    last = name.rpartition("/")[2][:200]
    page.set_input_files("#file", {"name": last, "mimeType": "video/mp4", "buffer": content})
    page.click("button.main")
    page.wait_for_selector("[data-verdict]", timeout=120_000)
    assert "owned" not in page.title()
    assert page.locator("#answer script, #answer img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
