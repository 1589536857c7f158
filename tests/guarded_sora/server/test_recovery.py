"""A film marked for every law, stripped and encoded again: what it now fails, and how it is found again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from guarded_sora import GuardedSora, Release, VerdictName
from guarded_sora.media import FrameStream, encode
from guarded_sora.provenance.credentials.recover import recover
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.resolution import binding_value
from guarded_sora.provenance.credentials.states import State
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.provenance.credentials.authority import served, timestamp_authority
from tests.guarded_sora.server.conftest import PROMPT, Running, serving
from tests.guarded_sora.test_timestamps import PROFILE, opened, states


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GuardedSora, Running, Release, Path]]:
    """An installation, its server, a film for every law, and that film without credentials, encoded again."""
    folder, authority = tmp_path_factory.mktemp("here"), timestamp_authority()
    with served(authority) as host, opened(folder / "home", host, authority.root_pem) as sora:
        release = sora.generate(PROMPT, seconds=3, seed=9, profile=PROFILE, output=folder / "film.mp4")
        stripped = folder / "stripped.mp4"
        encode(FrameStream(release.path, sora.services.worker), stripped, crf=26)
        with serving(sora.services) as running:
            yield sora, running, release, stripped


def credentials(verdict: Any) -> list[tuple[str, Any]]:
    return [(item.state, item.detail) for item in verdict.evidence if item.kind == "credentials"]


def test_what_the_stripped_copy_now_fails(here: tuple[GuardedSora, Running, Release, Path]) -> None:
    sora, _, release, stripped = here
    whole = sora.verify(release.path, laws=PROFILE)
    assert not whole.clause_failed and states(whole.rules)["eu/E1"] == "pass"
    copy = sora.verify(stripped, laws=PROFILE)
    assert (copy.verdict, copy.clip_id) == (VerdictName.OURS_ALTERED, release.clip_id)
    failing = {name for name, state in states(copy.rules).items() if state == "fail"}
    assert failing == {"eu/E1", "us-ca/C1", "cn/G2", "cn/G3", "in/IN2"}
    assert copy.clause_failed


def test_its_credentials_are_found_again(here: tuple[GuardedSora, Running, Release, Path]) -> None:
    sora, _, release, stripped = here
    (none, _), (recovered, detail) = credentials(sora.verify(stripped))
    assert (none, recovered) == ("no_manifest", "recovered")
    assert (detail["clip_id"], detail["found_in"]) == (str(release.clip_id), "store")
    assert detail["issuer"] and detail["ours"]


def test_anybody_finds_them_through_the_content(here: tuple[GuardedSora, Running, Release, Path]) -> None:
    sora, running, release, stripped = here
    with httpx.Client(base_url=running.url, timeout=60) as client:
        reply = client.post(
            "/matches/byContent", content=stripped.read_bytes(), headers={"content-type": "video/mp4"}
        )
        (found,) = reply.json()["matches"]
        assert found["similarityScore"] > 90
        store = client.get(f"/manifests/{found['manifestId']}").content
    binding = SoftBindingClaim(algorithm="org.guardedsora.keyseal.1", value=binding_value(release.clip_id))
    judged = recover(stripped, store, sora.services.trust, binding=binding, fingerprint_matches=True)
    assert judged.state is State.RECOVERED and judged.claims.clip_id == str(release.clip_id)


def neighbour(sora: GuardedSora, home: Path, repositories: tuple[str, ...]) -> GuardedSora:
    """Another installation with the same keys and a store of its own."""
    home.mkdir()
    shutil.copytree(sora.services.keys.folder, home / "keys")
    return GuardedSora.open(home=home, backend=Painter(), repositories=repositories)


def test_another_repository_is_asked_only_where_it_is_named(
    here: tuple[GuardedSora, Running, Release, Path], tmp_path: Path
) -> None:
    sora, running, release, stripped = here
    with neighbour(sora, tmp_path / "silent", ()) as silent:
        assert [state for state, _ in credentials(silent.verify(stripped))] == ["no_manifest"]
    with neighbour(sora, tmp_path / "asking", (f"{running.url}/",)) as asking:
        verdict = asking.verify(stripped)
        _, (state, detail) = credentials(verdict)
        assert (state, detail["clip_id"]) == ("recovered", str(release.clip_id))
        assert detail["found_in"].startswith(running.url)
        # Another store's word does not make the film one of this store.
        assert (verdict.verdict, verdict.reason) == (VerdictName.INCONCLUSIVE, "mark_of_no_record")


def test_a_repository_that_is_down_or_talks_nonsense_changes_nothing(
    here: tuple[GuardedSora, Running, Release, Path], tmp_path: Path
) -> None:
    sora, running, _, stripped = here
    addresses = ("http://127.0.0.1:9/", f"{running.url}/openapi.json?", "http://repository.example.org/", "x")
    with neighbour(sora, tmp_path / "home", addresses) as asking:
        verdict = asking.verify(stripped)
        assert [state for state, _ in credentials(verdict)] == ["no_manifest"]
        assert verdict.reason == "mark_of_no_record"
