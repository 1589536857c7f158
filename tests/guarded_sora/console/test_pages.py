"""The pages as a browser's requests see them: who may, from where, and hostile text made inert."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from guarded_sora import GuardedSora
from guarded_sora.console.language import languages
from guarded_sora.console.render import lanes, plain
from guarded_sora.server.access import form_token
from guarded_sora.server.state import COOKIE
from guarded_sora.verdicts import TABLE, VerdictName
from tests.guarded_sora.console.conftest import hold_film
from tests.guarded_sora.server.conftest import Running, wait_for

HOSTILE = "<script>alert(1)</script>\u202ereversed\u2066\x1b[31m<img src=x onerror=alert(2)>\u0000"


@contextmanager
def signed_in(desk: Running, *scopes: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=desk.url, timeout=180, headers={"accept": "text/html"}) as client:
        answer = client.post("/console/sign-in", data={"key": desk.key(*scopes)})
        assert answer.status_code == 303, answer.text
        yield client


def token(client: httpx.Client) -> str:
    return form_token(client.cookies[COOKIE])


def test_every_page_forbids_scripts_from_elsewhere(desk: Running) -> None:
    with signed_in(desk, "admin") as client:
        for path in (
            "/console/queue",
            "/console/log",
            "/console/keys",
            "/check",
            "/notice",
            "/console/sign-in",
        ):
            answer = client.get(path)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            # What the policy would refuse must not be in the page.
            assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|javascript:", answer.text), path


def test_a_form_without_its_token_or_from_another_site_changes_nothing(desk: Running) -> None:
    with signed_in(desk, "review") as client:
        assert client.post("/console/queue/next").status_code == 403
        assert client.post("/console/queue/next", data={"token": "x" * 64}).status_code == 403
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://elsewhere.example"}):
            data = {"token": token(client)}
            assert client.post("/console/queue/next", data=data, headers=headers).status_code == 403
    assert not desk.server.services.log.search(kind="case.claimed")


def test_the_first_link_works_once(desk: Running) -> None:
    for key in desk.server.access.list():
        if "admin" in key.scopes:
            desk.server.access.revoke(key.key_id)
    link = desk.server.access.first_link()
    assert link is not None
    with httpx.Client(base_url=desk.url) as client:
        made = client.post("/console/welcome", data={"link": f"{desk.url}/console/welcome#{link}"})
        key = re.search(r"gs_live_[0-9a-f]{12}_[0-9a-f]{64}", made.text)
        assert key is not None
        assert client.get("/console/keys").status_code == 200
    with httpx.Client(base_url=desk.url) as other:
        again = other.post("/console/welcome", data={"link": link})
        assert again.status_code == 401
        assert "gs_live_" not in again.text
    assert desk.server.access.first_link() is None
    principal = desk.server.access.authenticate(key[0])
    assert principal is not None and principal.may("review")


def test_a_revoked_key_ends_its_sessions(desk: Running) -> None:
    with signed_in(desk, "review") as client:
        principal = desk.server.access.session(client.cookies[COOKIE])
        assert principal is not None
        desk.server.access.revoke(principal.key_id)
        assert client.get("/console/queue").status_code == 303


def test_the_next_address_stays_on_this_site(desk: Running) -> None:
    with httpx.Client(base_url=desk.url) as client:
        for target in (
            "https://elsewhere.example",
            "//elsewhere.example",
            "/console//elsewhere",
            "/console/\\x",
        ):
            answer = client.post("/console/sign-in", data={"key": desk.key("review"), "next": target})
            assert answer.headers["location"] == "/console"


def test_what_a_case_is_about_is_shown_to_its_holder_alone_and_logged(desk: Running) -> None:
    log = desk.server.services.log
    prompt = "a lighthouse in a storm"
    case_id = hold_film(GuardedSora(desk.server.services), prompt, seed=31)
    with signed_in(desk, "review") as client:
        assert prompt not in client.get(f"/console/cases/{case_id}").text
        assert client.get(f"/console/cases/{case_id}/sheet.jpg").status_code == 409
        looks = log.count("payload.viewed")
        for _ in range(20):
            place = client.post("/console/queue/next", data={"token": token(client)}).headers["location"]
            if case_id in place:
                break
            skipped = place.rpartition("/")[2]
            client.post(f"/console/cases/{skipped}/decide", data=decision(client, "block"))
        shown = client.get(f"/console/cases/{case_id}")
        assert prompt in shown.text
        assert log.count("payload.viewed") > looks
        assert client.get(f"/console/cases/{case_id}/sheet.jpg").headers["content-type"] == "image/jpeg"
        with signed_in(desk, "review") as other:
            assert prompt not in other.get(f"/console/cases/{case_id}").text
            refused = other.post(f"/console/cases/{case_id}/decide", data=decision(other, "allow"))
            assert refused.status_code == 409
        done = client.post(f"/console/cases/{case_id}/decide", data=decision(client, "block"))
        assert done.status_code == 303
        assert desk.server.services.cases.show(case_id).action == "block"
        assert prompt not in client.get(f"/console/cases/{case_id}").text


def decision(client: httpx.Client, action: str) -> dict[str, str]:
    return {"token": token(client), "action": action, "reason": "looked_fine"}


def test_a_reviewer_who_is_not_sure_asks_for_a_second_one(desk: Running) -> None:
    hold_film(GuardedSora(desk.server.services), seed=36)
    cases = desk.server.services.cases
    with signed_in(desk, "review") as client:
        place = client.post("/console/queue/next", data={"token": token(client)}).headers["location"]
        case_id = place.partition("?")[0].rpartition("/")[2]
        assert client.post(f"/console/cases/{case_id}/escalate").status_code == 403  # no form of ours
        asked = client.post(f"/console/cases/{case_id}/escalate", data={"token": token(client)})
        assert asked.status_code == 303
        assert cases.show(case_id).critical
        assert "two people" in client.get("/console/queue").text
        # It went back to the queue, so this person does not hold it any more.
        again = client.post(f"/console/cases/{case_id}/escalate", data={"token": token(client)})
        assert again.status_code == 409
        held = client.post("/console/queue/next", data={"token": token(client)}).headers["location"]
        assert case_id in held
        client.post(f"/console/cases/{case_id}/decide", data=decision(client, "block"))
        assert cases.show(case_id).state == "second"
    assert cases.show(case_id).action == ""


def test_findings_with_a_place_in_time_become_lanes() -> None:
    found = [
        {"category": "nudity", "where": {"start_ms": 500, "end_ms": 1500}},
        {"category": "face", "where": {"ms": 2000, "box": [0, 0, 1, 1]}},
        {"category": "words", "where": {"start": 3, "end": 5}},
        {"category": "nowhere", "where": None},
    ]
    assert [(lane["category"], lane["start"], lane["end"]) for lane in lanes(found)] == [
        ("nudity", 0.5, 1.5),
        ("face", 2.0, 2.1),
    ]


def test_hostile_text_is_inert_on_every_page(desk: Running, tmp_path: Path) -> None:
    services = desk.server.services
    sora = GuardedSora(services)
    case_id = hold_film(sora, f"a quiet lake {HOSTILE.replace(chr(0), '')}", seed=41)
    with httpx.Client(base_url=desk.url) as anybody:
        words = {"about": HOSTILE, "ground": "other", "statement": HOSTILE * 50, "contact": "a@b.example"}
        assert "<code" in anybody.post("/notice", data=words).text
        checked = anybody.post("/check", files={"file": (HOSTILE + "x" * 1000, b"not a film")})
        assert checked.status_code == 200
        assert_inert(checked.text)
    with signed_in(desk, "admin") as client:
        client.post("/console/keys", data={"token": token(client), "name": "<b>x</b>", "scope": "verify"})
        assert_inert(client.get("/console/keys").text)
        seen = 0
        for _ in range(20):
            place = client.post("/console/queue/next", data={"token": token(client)}).headers["location"]
            if "/cases/" not in place:
                break
            page = client.get(place)
            assert page.status_code == 200
            assert_inert(page.text)
            seen += case_id in place or "&lt;script&gt;" in page.text
            current = place.partition("?")[0]
            client.post(f"{current}/decide", data=decision(client, "block"))
        assert seen >= 2
        for path in ("/console/queue?state=decided", "/console/log", f"/console/log?q={HOSTILE[:30]}"):
            assert_inert(client.get(path).text)
    for entry in services.log.tail(200):
        assert b"script" not in entry.canonical


def assert_inert(html: str) -> None:
    assert "<script>" not in html
    assert "<img src=x" not in html
    assert not set(html) & {"\u202e", "\u2066", "\x1b", "\x00"}
    assert len(html) < 200_000


def test_plain_keeps_languages_and_drops_tricks() -> None:
    assert plain("日本語 עברית 👩‍👩‍👧") == "日本語 עברית 👩‍👩‍👧"
    assert plain("a\u202eb\x07c") == "a\ufffdb\ufffdc"
    assert len(plain("x" * 10**6, 100)) == 101


def test_the_check_page_answers_in_two_languages_and_keeps_nothing(desk: Running) -> None:
    services = desk.server.services
    film = next(services.settings.clips.glob("*.mp4"))
    with httpx.Client(base_url=desk.url, timeout=180) as client:
        for language, said in (("en", "released here"), ("ja", "ここで公開された")):
            answer = client.post(f"/check?lang={language}", files={"file": ("clip.mp4", film.read_bytes())})
            assert said in answer.text
            assert f'lang="{language}"' in answer.text
        none = client.post("/check", data={"other": "x"})
        assert none.status_code == 400
    assert list(services.settings.work.glob("upload-*")) == []


def test_the_clause_table_comes_on_demand_in_two_languages(desk: Running) -> None:
    film = next(desk.server.services.settings.clips.glob("*.mp4")).read_bytes()
    with httpx.Client(base_url=desk.url, timeout=180) as client:
        said = {"en": ("European Union", "a person must judge"), "ja": ("欧州連合", "人の判断が必要")}
        for language, words in said.items():
            answer = client.post(
                f"/check?lang={language}", data={"law": ["eu", "kr"]}, files={"file": ("clip.mp4", film)}
            )
            assert all(word in answer.text for word in words)
            assert answer.text.count('class="clauses"') == 2
        without = client.post("/check", files={"file": ("clip.mp4", film)})
        assert 'class="clauses"' not in without.text
        unknown = client.post("/check", data={"law": "moon"}, files={"file": ("clip.mp4", film)})
        assert unknown.status_code == 400
        headers = {"authorization": f"Bearer {desk.key('verify')}"}
        told = client.post("/v1/verify?rules=eu,us-ca", files={"file": ("c.mp4", film)}, headers=headers)
        assert set(told.json()["rules"]) == {"eu", "us-ca"}
        wrong = client.post("/v1/verify?rules=moon", files={"file": ("c.mp4", film)}, headers=headers)
        assert wrong.status_code == 400


def test_every_verdict_and_reason_has_words_in_every_language() -> None:
    english = set(languages()["en"])
    for own in languages().values():
        assert set(own) == english
        for name in VerdictName:
            assert own[f"verdict.{name.value}"]
            assert own[f"not.{name.value}"]
    spoken = {key.removeprefix("reason.") for key in english if key.startswith("reason.")}
    assert spoken <= {row.reason for row in TABLE}


def test_a_proof_can_be_taken_away_and_holds(desk: Running) -> None:
    from guarded_sora.audit.verifier import check_proof

    with signed_in(desk, "audit.read") as client:
        page = client.get("/console/log/0")
        assert "The proof holds" in page.text
        entry, proof, key = (
            client.get(f"/console/log/0/{name}").content
            for name in ("entry.json", "proof.tlog-proof", "key.vkey")
        )
        assert check_proof(proof.decode(), entry, key.decode()).index == 0
        assert client.get("/console/log/999999").status_code == 404
        assert "No re-hash was made" in client.get("/console/log/verify").text
        started = client.post("/console/log/verify", data={"token": token(client)})
        assert started.headers["location"] == "/console/log/verify"
        wait_for(lambda: "The log holds" in client.get("/console/log/verify").text)


@pytest.mark.parametrize("query", ["kind:request.*", "span=all", "actor:local", "seq:0", "nothing-like-it"])
def test_the_log_is_searched_by_its_address(desk: Running, query: str) -> None:
    with signed_in(desk, "audit.read") as client:
        answer = client.get("/console/log", params={"q": query, "span": "all"})
    assert answer.status_code == 200
    assert ("No entry matches" in answer.text) == (query in ("nothing-like-it", "span=all"))
