"""The registry end to end: a name is stopped, a consent lets it pass, its withdrawal reaches back."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text, update

from guarded_sora import Blocked, GuardedSora, ReviewRequired, StageFailed, StoreError, UsageError
from guarded_sora.consent import (
    LONGEST_TOKEN_S,
    give_consent,
    issue_token,
    read_token,
    revoke_consent,
)
from guarded_sora.policies.finding import RequestContext
from guarded_sora.store import Kind, Standing, SubjectName
from guarded_sora.store.registry_tables import consent_grants

NAME = "Margarethe Willowbrook"
MISSPELT = "маргарет уилоубрук machet einen Spaziergang"
DAY_MS = 24 * 3600 * 1000


def enrol(sora: GuardedSora, name: str = NAME, standing: Standing = Standing.PRIVATE, **more: object) -> str:
    names = (SubjectName(text=name), SubjectName(text="佐藤春子"))
    return sora.services.registry.add(Kind.PERSON, names[:1] if more else names, standing=standing)


def consent(sora: GuardedSora, subject: str, actor: str = "studio", **terms: object) -> tuple[str, str]:
    given: dict[str, object] = {
        "scopes": ("generate",),
        "purpose": "advert",
        "expires_ms": time.time_ns() // 1_000_000 + DAY_MS,
        **terms,
    }
    grant = give_consent(sora.services, subject, actor=actor, **given)  # type: ignore[arg-type]
    token = issue_token(sora.services.registry_keys, sora.services.keys.issuer, grant)
    return grant.grant_id, token


def asked(token: str, actor: str = "studio", region: str = "") -> RequestContext:
    return RequestContext(actor=actor, consents=(token,), region=region)


def test_a_misspelt_name_in_another_script_is_stopped_until_the_person_agrees(
    sora: GuardedSora, tmp_path: Path
) -> None:
    subject = enrol(sora)
    target = tmp_path / "clip.mp4"
    with pytest.raises(Blocked) as caught:
        sora.generate(MISSPELT, output=target)
    assert [rule.id for rule in caught.value.decision.rules if rule.action == "block"] == [
        "likeness-registered"
    ]
    assert not target.exists()

    grant, token = consent(sora, subject)
    release = sora.generate(MISSPELT, seconds=1, output=target, seed=4, context=asked(token))
    assert {check.name: check.result for check in release.checks}["consent"] == f"live, grant {grant}"
    manifest = sora.services.store.manifest(_label(sora, release.path))
    assert manifest is not None and b"grantSha256" in manifest and b"Willowbrook" not in manifest
    (used,) = sora.services.log.search(kind="consent.used", limit=5)
    assert used.body["grant"] == grant and used.body["clip_id"] == str(release.clip_id)
    assert sora.verify(target).notices == ()

    (use,) = revoke_consent(sora.services, grant)
    assert use.clip_id == release.clip_id
    verdict = sora.verify(target)
    assert verdict.verdict == "ours_intact"
    assert verdict.notices == ("consent_withdrawn",)
    assert any(item.kind == "registry" and item.state == "consent_withdrawn" for item in verdict.evidence)
    assert sora.verify(target, depth="credentials").notices == ("consent_withdrawn",)
    with pytest.raises(Blocked):
        sora.generate(MISSPELT, output=tmp_path / "again.mp4", context=asked(token))
    assert revoke_consent(sora.services, grant) == (use,)


def _label(sora: GuardedSora, path: Path) -> str:
    legs = {item.kind: item for item in sora.verify(path).evidence}
    return str(legs["credentials"].detail["label"])


def refused(sora: GuardedSora, context: RequestContext) -> str:
    """Why the consent did not cover a use of the name."""
    with pytest.raises(Blocked) as caught:
        sora.generate(NAME, context=context)
    return next(check.result for check in caught.value.decision.checks if check.name == "consent")


def test_a_consent_covers_only_what_was_agreed(sora: GuardedSora) -> None:
    subject = enrol(sora)
    _, token = consent(sora, subject)
    assert refused(sora, asked(token, actor="somebody")) == "refused, other_grantee"
    _, token = consent(sora, subject, territory=("DE",))
    assert refused(sora, asked(token, region="FR")) == "refused, other_territory"
    assert refused(sora, asked(token)) == "refused, other_territory"
    _, token = consent(sora, subject, scopes=("voice",))
    assert "live" in refused(sora, asked(token))
    other = sora.services.registry.add(Kind.PERSON, [SubjectName(text="Oskar Lindqvist")])
    _, token = consent(sora, other)
    assert "live" in refused(sora, asked(token))
    for bad in ("", "a.b", "x" * 10_000, token[:-6] + "AAAAAA", token.replace(".", "")):
        assert refused(sora, asked(bad)).startswith("refused, ")


def test_uses_are_counted_in_one_step_and_run_out(sora: GuardedSora, tmp_path: Path) -> None:
    subject = enrol(sora)
    _, token = consent(sora, subject, max_uses=1)
    sora.generate(NAME, seconds=1, output=tmp_path / "a.mp4", seed=1, context=asked(token))
    assert refused(sora, asked(token)) == "refused, used_up"


def test_a_withdrawal_while_the_film_is_made_releases_nothing(
    sora: GuardedSora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = enrol(sora)
    grant, token = consent(sora, subject)
    reserve = sora.services.store.reserve

    def withdraw(**arguments: str) -> object:
        revoke_consent(sora.services, grant)
        return reserve(**arguments)

    monkeypatch.setattr(sora.services.store, "reserve", withdraw)
    with pytest.raises(StageFailed) as caught:
        sora.generate(NAME, output=tmp_path / "a.mp4", context=asked(token))
    assert caught.value.stage == "consent"
    assert not (tmp_path / "a.mp4").exists()


def test_a_grant_changed_in_the_database_is_no_consent(sora: GuardedSora) -> None:
    subject = enrol(sora)
    grant, token = consent(sora, subject, max_uses=1)
    with sora.services.engine.begin() as connection:
        connection.execute(
            update(consent_grants).where(consent_grants.c.grant_id == grant).values(max_uses=99)
        )
    assert refused(sora, asked(token)) == "refused, signature"


def test_tokens_are_short_lived_and_take_no_other_algorithm(sora: GuardedSora) -> None:
    import base64

    keys, issuer = sora.services.registry_keys, sora.services.keys.issuer
    grant_id, token = consent(sora, enrol(sora))
    claims = read_token(keys, issuer, token)
    assert not isinstance(claims, str)
    assert claims.expires - claims.issued <= LONGEST_TOKEN_S
    assert read_token(keys, issuer, token, now=claims.expires) == "expired"
    assert read_token(keys, "00000000", token) == "other_issuer"
    head, body, signature = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"gs-consent+jwt"}').decode().rstrip("=")
    assert read_token(keys, issuer, f"{none}.{body}.{signature}") == "malformed"
    other = consent(sora, claims.subject_id)[1].split(".")
    assert read_token(keys, issuer, f"{head}.{other[1]}.{signature}") == "signature"
    grant = sora.services.grants.grant(grant_id)
    assert grant is not None
    with pytest.raises(UsageError, match="24 hours"):
        issue_token(keys, issuer, grant, seconds=LONGEST_TOKEN_S + 1)


@pytest.mark.parametrize(
    ("standing", "rule"),
    [(Standing.MINOR, "likeness-minor"), (Standing.PRIVATE, "likeness-registered")],
)
def test_private_people_and_minors_are_refused_by_default(
    sora: GuardedSora, standing: Standing, rule: str
) -> None:
    enrol(sora, standing=standing)
    decision = sora.check("佐藤春子 walks along a river")
    assert decision.action == "block"
    assert rule in [item.id for item in decision.rules]


def test_a_public_figure_is_for_the_policy_to_decide(sora: GuardedSora) -> None:
    enrol(sora, standing=Standing.PUBLIC)
    assert sora.check(f"{NAME} opens a bridge").action == "review"


def test_a_description_asks_for_a_look_and_a_weak_name_too(sora: GuardedSora) -> None:
    names = [
        SubjectName(text="Rosalind Quillfeather"),
        SubjectName(text="Heather", weak=True),
        SubjectName(text="the lighthouse keeper of Grimsvik", description=True),
    ]
    sora.services.registry.add(Kind.PERSON, names)
    assert sora.check("a lighthouse in a storm").action == "allow"
    decision = sora.check("in Grimsvik the old keeper lights the lighthouse")
    assert "likeness-described" in [rule.id for rule in decision.rules]
    assert sora.check("heather on a hill").action == "review"


def test_no_name_stands_in_a_dump_of_the_database(sora: GuardedSora, home: Path) -> None:
    subject = enrol(sora)
    _, token = consent(sora, subject)
    sora.generate(NAME, seconds=1, context=asked(token))
    sora.services.log.checkpoint()
    dump = b"".join(file.read_bytes() for file in home.glob("*.db*"))
    assert len(dump) > 100_000
    for piece in ("Willowbrook", "Margarethe", "willowbrook", "佐藤春子"):
        assert piece.encode() not in dump


def test_a_removed_subject_is_forgotten_and_its_consents_end(sora: GuardedSora) -> None:
    from guarded_sora.enrol import remove_subject

    subject = enrol(sora)
    grant, _ = consent(sora, subject)
    remove_subject(sora.services, subject)
    assert sora.services.registry.subjects() == ()
    assert sora.check(NAME).action == "allow"
    found = sora.services.grants.grant(grant)
    assert found is not None and found.revoked_reason == "subject_removed"
    with pytest.raises(UsageError, match="No such subject"):
        sora.services.registry.remove(subject)


def test_names_that_cannot_be_looked_for_are_refused(sora: GuardedSora) -> None:
    registry = sora.services.registry
    for names in ([], ["x"], ["  "], ["!!!"], ["a" * 201]):
        with pytest.raises(UsageError):
            registry.add(Kind.PERSON, [SubjectName(text=name) for name in names])
    enrol(sora)
    with pytest.raises(UsageError, match="is registered as person-"):
        registry.add(Kind.PERSON, [SubjectName(text="MARGARETHE  willowbrook")])
    with pytest.raises(UsageError, match="no standing"):
        registry.add(Kind.BRAND, [SubjectName(text="Zorblax")], standing=Standing.PUBLIC)


def test_a_row_moved_to_another_subject_does_not_open(sora: GuardedSora) -> None:
    enrol(sora)
    other = sora.services.registry.add(Kind.PERSON, [SubjectName(text="Oskar Lindqvist")])
    with sora.services.engine.begin() as connection:
        connection.execute(text("update subject_names set subject_id = :other"), {"other": other})
    with pytest.raises(StoreError, match="cannot be opened"):
        sora.services.registry.subjects()
    with pytest.raises(ReviewRequired):
        sora.generate("a red balloon")


def test_a_held_film_is_not_released_after_the_consent_was_withdrawn(
    sora: GuardedSora, tmp_path: Path
) -> None:
    class Broken:
        name, version, unavailable = "test.broken", "1", ""

        def inspect(self, frames: object) -> list[object]:
            raise RuntimeError

    subject = enrol(sora)
    grant, token = consent(sora, subject)
    checked = GuardedSora(replace(sora.services, frame_checks=(Broken(),)))  # type: ignore[arg-type]
    with pytest.raises(ReviewRequired) as caught:
        checked.generate(NAME, seconds=1, context=asked(token))
    sora.services.cases.decide(caught.value.case_id, "allow", reviewer="reviewer-a", reason_code="looked")
    assert len(revoke_consent(sora.services, grant)) == 1
    with pytest.raises(UsageError, match="was withdrawn"):
        sora.release_case(caught.value.case_id, output=tmp_path / "clip.mp4")
