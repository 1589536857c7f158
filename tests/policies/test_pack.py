from pathlib import Path

import pytest

from guarded_sora.policies.errors import ConditionInvalid, PackInvalid, PolicyError
from guarded_sora.policies.finding import Action, RequestContext
from guarded_sora.policies.pack import load_pack
from tests.policies.packs import COMBINATIONS, GOLDEN, LEXICON, OVERLAY, PACK, RULES, write_pack


def test_the_tiny_pack_loads_whole(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    assert (pack.id, pack.version, len(pack.digest)) == ("tiny", "1.2.3", 64)
    rule = pack.rule("no-purple")
    assert rule.action is Action.REWRITE and rule.obligations == {"note"} and rule.enforced
    assert [rule.text_for(x) for x in ("en", "ja-JP", "pt_BR", "xx", "")] == [
        "No purple.", "紫は不可。", "Sem roxo.", "No purple.", "No purple.",
    ]  # fmt: skip
    assert not pack.rule("old-rule").enforced
    assert pack.lexicons.sections[0].terms == ("purple", "purples")
    with pytest.raises(KeyError):
        pack.rule("nothing")


def test_the_digest_covers_every_file_and_nothing_else(tmp_path: Path) -> None:
    first = load_pack(write_pack(tmp_path / "a")).digest
    assert load_pack(write_pack(tmp_path / "b")).digest == first
    (tmp_path / "b" / ".hidden.yaml").write_text("x")
    (tmp_path / "b" / "notes.md").write_text("x")
    assert load_pack(tmp_path / "b").digest == first
    for key, text in (("golden", GOLDEN), ("lexicon", LEXICON), ("pack", PACK), ("overlay", OVERLAY)):
        changed = write_pack(tmp_path / f"c-{key}", **{key: text + "\n# comment\n"})
        assert load_pack(changed).digest != first


def test_moving_bytes_between_files_changes_the_digest(tmp_path: Path) -> None:
    from guarded_sora.policies.packfiles import digest_files

    assert digest_files({"a": b"xy", "b": b""}) != digest_files({"a": b"x", "b": b"y"})
    assert digest_files({"ab": b""}) != digest_files({"a": b"b"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pack": None}, "no pack.yaml"),
        ({"pack": PACK + "extra: 1\n"}, "extra"),
        ({"pack": PACK.replace("1.2.3", "1.2.x")}, "semantic"),
        ({"pack": PACK.replace("taxonomy: 1.0.0", "taxonomy: 9.0.0")}, "does not fit"),
        ({"pack": PACK.replace("[young]", "[old]")}, "'old'"),
        ({"pack": "a: &x [1]\nb: *x\n"}, "aliases"),
        ({"pack": "a: 1\na: 2\n"}, "twice"),
        ({"pack": "[" * 50 + "]" * 50}, "nests deeper"),
        ({"pack": "a: [1\n"}, "not YAML"),
        ({"pack": "!!python/object/apply:os.system ['true']"}, "not YAML"),
        ({"pack": "? [a]\n: 1\n"}, "pack.yaml"),
        ({"pack": ""}, "pack.yaml"),
        ({"rules": RULES.replace("category: disturbing", "category: purple")}, "not a category"),
        ({"rules": RULES.replace("action: rewrite", "action: explode")}, "action"),
        ({"rules": RULES.replace("{en: Old.}", "{ja: 古い。}")}, "'en'"),
        ({"rules": RULES.replace("f0002", "f0001")}, "is used already"),
        ({"rules": RULES.replace("slug: old-rule", "slug: no-purple")}, "is used already"),
        ({"overlay": OVERLAY.replace("action: block", "action: allow")}, "overlays tighten"),
        ({"overlay": OVERLAY.replace("rule: no-purple", "rule: nothing")}, "not a rule"),
        ({"overlay": OVERLAY.replace("age_tiers: [minor]", "age_tiers: []")}, "needs regions"),
        ({"lexicon": "purple\n"}, "before any"),
        ({"lexicon": "[a] category=disturbing severity=9\nx\n"}, "severity 1 to 3"),
        ({"lexicon": "[a] category=nothing severity=1\nx\n"}, "needs a category"),
        ({"lexicon": "[a] colour=blue\nx\n"}, "nothing else"),
        ({"lexicon": "[a] role=group severity=2\nx\n"}, "only a section that reports"),
        ({"lexicon": "[a b]\nx\n"}, "write a section as"),
        ({"lexicon": "[a] role=group\n"}, "empty"),
        ({"lexicon": LEXICON + "[fine] role=group\nx\n"}, "exists twice"),
        ({"lexicon": LEXICON + "x{a,b\n"}, "does not close"),
        (
            {"lexicon": LEXICON + "{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}\n"},
            "expands",
        ),
        ({"lexicon": LEXICON + "x" * 81 + "\n"}, "1 to 80"),
        ({"combinations": COMBINATIONS.replace("[fine]", "[gone]")}, "'gone'"),
    ],
)
def test_broken_packs_are_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, str | None], says: str
) -> None:
    with pytest.raises(PackInvalid, match=says) as caught:
        load_pack(write_pack(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_bad_condition_names_its_file_and_rule(tmp_path: Path) -> None:
    bad = RULES.replace('severity["disturbing"] >= 2', 'severity["nope"] >= 2')
    with pytest.raises(ConditionInvalid, match=r"rules/a.yaml: no-purple: .*'nope'"):
        load_pack(write_pack(tmp_path, rules=bad))


def test_missing_unreadable_and_escaping_files(tmp_path: Path) -> None:
    with pytest.raises(PackInvalid, match="no policy pack"):
        load_pack(tmp_path / "absent")
    folder = write_pack(tmp_path / "p")
    (folder / "lexicons" / "latin.txt").write_bytes(b"[x] role=group\n\xff\xfe")
    with pytest.raises(PackInvalid, match="not UTF-8"):
        load_pack(folder)
    (folder / "lexicons" / "latin.txt").unlink()
    outside = tmp_path / "outside.txt"
    outside.write_text("[x] role=group\ny\n")
    (folder / "lexicons" / "link.txt").symlink_to(outside)
    with pytest.raises(PackInvalid, match="leads out"):
        load_pack(folder)


def test_a_pack_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_sora.policies.packfiles.MAX_FILE_BYTES", 100)
    with pytest.raises(PackInvalid, match="too large"):
        load_pack(write_pack(tmp_path))


@pytest.mark.parametrize(
    ("region", "tier", "applies"),
    [
        ("US", "minor", True),
        ("US", "adult", False),
        ("US", "unknown", True),
        ("US", "verified_adult", False),
    ],
)
def test_age_overlays(tmp_path: Path, region: str, tier: str, applies: bool) -> None:
    overlay = load_pack(write_pack(tmp_path)).overlays["young"]
    assert overlay.applies(RequestContext(region=region, age_tier=tier)) is applies  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "applies"),
    [("EU", True), ("FR", True), ("fr", True), ("FR-75", True), ("US", False), ("JP-13", False),
     ("", True), ("europe", True), ("XX", True), ("ZZ", True), ("\u0000", True)],
)  # fmt: skip
def test_region_overlays_take_the_unknown_as_in_scope(region: str, applies: bool) -> None:
    overlay = load_pack().overlays["eu"]
    assert overlay.applies(RequestContext(region=region, age_tier="adult")) is applies


def test_every_error_is_a_policy_error_with_a_stable_code() -> None:
    assert (PolicyError.code, PackInvalid.code, ConditionInvalid.code) == (
        "policy", "policy.pack_invalid", "policy.condition_invalid",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("region", "applies"), [("US-CA", True), ("us-ca", True), ("US", True), ("US-TX", False), ("CA", False)]
)
def test_an_overlay_for_a_part_of_a_country(region: str, applies: bool) -> None:
    overlay = load_pack().overlays["us-ca"]
    assert overlay.applies(RequestContext(region=region, age_tier="adult")) is applies
