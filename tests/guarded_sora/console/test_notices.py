"""The public form and the reviewers' pages do what the command line does."""

from __future__ import annotations

import httpx

from guarded_sora import GuardedSora
from tests.guarded_sora.console.conftest import desk
from tests.guarded_sora.console.test_pages import decision, signed_in, token
from tests.guarded_sora.server.conftest import Running

__all__ = ["desk"]  # a fixture


def test_a_report_from_the_web_takes_the_clip_down_and_keeps_it_down(desk: Running) -> None:
    services = desk.server.services
    release = GuardedSora(services).generate("a quiet lake", seconds=1, seed=61)
    words = {"about": f"it is {release.clip_id}", "ground": "my_likeness", "statement": "it is me"}
    with httpx.Client(base_url=desk.url, timeout=180) as anybody:
        assert anybody.post("/notice", data={**words, "country": "xx1"}).status_code == 400
        assert anybody.post("/notice", data={**words, "country": "in"}).status_code == 200
    (case,) = services.cases.list("waiting", subject=str(release.clip_id))
    assert case.kind == "notice.likeness" and case.summary["clock"] == "in-grievance-36h"
    shown = ""
    with signed_in(desk, "admin") as client:
        client.timeout = httpx.Timeout(180)
        for _ in range(30):
            place = client.post("/console/queue/next", data={"token": token(client)}).headers["location"]
            current = place.partition("?")[0]
            shown = client.get(current).text
            answer = client.post(f"{current}/decide", data=decision(client, "block"))
            assert answer.status_code == 303
            if case.case_id in current:
                break
    assert "it is me" in shown and "36 hours" in shown
    assert services.cases.show(case.case_id).action == "block" and not release.path.exists()
    assert services.grants.notices(release.clip_id) == ("stay_down",)
