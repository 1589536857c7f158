"""The moderation client against a real server on this machine."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from guarded_sora.policies.adapters.moderations import MOST_BYTES, ModerationsCheck
from guarded_sora.policies.adapters.report import Reading
from guarded_sora.policies.errors import ModelInvalid, ServiceFailed
from guarded_sora.policies.finding import CheckState, RequestContext
from guarded_sora.policies.text.check import ModelCheck, run_prompt_check

CONTEXT = RequestContext()
SECRET = "a prompt nobody else may read"

Answer = tuple[int, bytes]


class Service:
    """Answers every request with ``answer`` and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer] = lambda: (200, b"{}")
        self.asked: list[tuple[dict[str, Any], dict[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append((json.loads(body), dict(self.headers)))
                status, data = service.answer()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/moderations"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, flags: dict[str, bool], scores: dict[str, float], flagged: bool | None = None) -> None:
        flagged = any(flags.values()) if flagged is None else flagged
        result = {"flagged": flagged, "categories": flags, "category_scores": scores}
        self.answer = lambda: (200, json.dumps({"id": "modr-1", "model": "m", "results": [result]}).encode())


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_flags_become_findings_in_our_categories(service: Service) -> None:
    service.says({"sexual": False, "violence/graphic": True}, {"sexual": 0.3, "violence/graphic": 0.8})
    check = ModerationsCheck(name="outside", url=service.url, model="m-1")
    assert isinstance(check, ModelCheck) and not check.unavailable
    seen = {finding.category: (finding.severity, finding.score) for finding in check.check(SECRET, CONTEXT)}
    assert seen == {"sexual.explicit": (0, 0.3), "violence.graphic": (2, 0.8)}
    assert service.asked[0][0] == {"input": SECRET, "model": "m-1"}
    assert "Authorization" not in service.asked[0][1]


def test_readings_of_the_card_replace_the_flags(service: Service) -> None:
    service.says({"hate": False}, {"hate": 0.4, "odd": 0.9})
    readings = {"hate": Reading(category="hate", at=0.3, severity=3)}
    check = ModerationsCheck(name="outside", url=service.url, readings=readings)
    assert [(f.category, f.severity) for f in check.check("x", CONTEXT)] == [("hate", 3)]


def test_the_key_comes_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "MOD_KEY" in ModerationsCheck(name="outside", url=service.url, key_env="MOD_KEY").unavailable
    monkeypatch.setenv("MOD_KEY", "k-123")
    service.says({"hate": False}, {"hate": 0.0})
    ModerationsCheck(name="outside", url=service.url, key_env="MOD_KEY").check("x", CONTEXT)
    assert service.asked[0][1]["Authorization"] == "Bearer k-123"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((500, b"{}"), id="error"),
        pytest.param((302, b""), id="redirect"),
        pytest.param((200, b"not json"), id="no-json"),
        pytest.param((200, b"[]"), id="list"),
        pytest.param((200, b'{"results": []}'), id="no-result"),
        pytest.param(
            (200, b'{"results": [{"flagged": false, "categories": {"hate": "no"}}]}'), id="word-flag"
        ),
        pytest.param(
            (200, b'{"results": [{"flagged": false, "categories": {}, "category_scores": {"hate": "x"}}]}'),
            id="word-score",
        ),
        pytest.param(
            (200, b'{"results": [{"flagged": true, "categories": {"new": true}}]}'), id="unknown-flag"
        ),
        pytest.param((200, b" " * (MOST_BYTES + 1)), id="too-long"),
    ],
)
def test_an_answer_of_another_shape_fails_and_tells_no_prompt(service: Service, answer: Answer) -> None:
    service.answer = lambda: answer
    check = ModerationsCheck(name="outside", url=service.url)
    with pytest.raises(ServiceFailed) as caught:
        check.check(SECRET, CONTEXT)
    assert SECRET not in str(caught.value) and SECRET not in repr(caught.value.__cause__)
    seen, run = run_prompt_check(check, SECRET, CONTEXT)
    assert seen == () and run.state is CheckState.FAILED and SECRET not in run.reason


def test_a_score_that_is_none_of_0_to_1_fails(service: Service) -> None:
    service.says({"hate": True}, {"hate": float("nan")})
    with pytest.raises(ModelInvalid, match="between 0 and 1"):
        ModerationsCheck(name="outside", url=service.url).check("x", CONTEXT)


def test_nobody_answers(service: Service) -> None:
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(ServiceFailed, match="did not answer"):
        ModerationsCheck(name="outside", url=service.url, timeout=1).check(SECRET, CONTEXT)


def test_lone_surrogates_are_sent_as_something(service: Service) -> None:
    service.says({"hate": False}, {"hate": 0.0})
    ModerationsCheck(name="outside", url=service.url).check("a\ud800b", CONTEXT)
    assert service.asked[0][0]["input"] == "a\ufffdb"


@pytest.mark.parametrize("url", ["", "ftp://a/b", "file:///etc/passwd", "https://user:pw@host/x", "nonsense"])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(ModelInvalid, match="address"):
        ModerationsCheck(name="outside", url=url)


@pytest.mark.parametrize("options", [{"key_env": "KEY"}, {}], ids=["key", "prompt"])
def test_neither_key_nor_prompt_travels_unencrypted(options: dict[str, str]) -> None:
    with pytest.raises(ModelInvalid, match="https"):
        ModerationsCheck(name="outside", url="http://moderation.example/v1/moderations", **options)


def test_silence_about_the_labels_is_not_read_as_safe(service: Service) -> None:
    service.says({}, {}, flagged=False)
    with pytest.raises(ServiceFailed, match="another shape"):
        ModerationsCheck(name="outside", url=service.url).check("x", CONTEXT)
    readings = {
        "violence": Reading(category="violence.graphic"),
        "sexual": Reading(category="sexual.explicit"),
    }
    service.says({"violence": False}, {"violence": 0.1}, flagged=False)
    with pytest.raises(ServiceFailed, match="another shape"):
        ModerationsCheck(name="outside", url=service.url, readings=readings).check("x", CONTEXT)
