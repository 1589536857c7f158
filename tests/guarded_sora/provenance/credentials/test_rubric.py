from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.container import inspect
from guarded_sora.provenance.credentials.manifest import COMPOSITE_WITH_TRAINED, Ingredient
from guarded_sora.provenance.credentials.read import read_library
from guarded_sora.provenance.credentials.rubric import check_file, check_report
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.conftest import content_of, flip

Report = dict[str, Any]


@pytest.fixture(scope="module")
def report(signed: Path, trust: Trust) -> Report:
    reading = read_library(signed, trust, inspect(signed), None, precise=True)
    return dict(reading.precise["manifests"][0])


@pytest.fixture(scope="module")
def edited(signed: Path, ours: Chain, trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Report:
    target = tmp_path_factory.mktemp("rubric") / "edit.mp4"
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    content = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    sign(signed, target, content, FileKeySigner.of(ours), trust=trust)
    return dict(read_library(target, trust, inspect(target), None, precise=True).precise["manifests"][0])


def broken(report: Report) -> set[str]:
    return {result.id for result in check_report(report) if not result.holds}


def test_our_own_manifests_hold_every_rule(report: Report, edited: Report) -> None:
    assert broken(report) == set()
    assert broken(edited) == set()


def actions(report: Report) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["assertions"]["c2pa.actions.v2"]["actions"]
    return found


Change = Callable[[Report], Any]
MANIFEST_ONLY = {"digitalSourceType": "x"}


def add(label: str, data: Any) -> Change:
    return lambda r: r["assertions"].update({label: data})


def act(**action: Any) -> Change:
    return lambda r: actions(r).append(action)


def fail_with(code: str) -> Change:
    return lambda r: r["validationResults"]["failure"].append({"code": code})


BREAKS: list[tuple[set[str], Change]] = [
    ({"mandatory_dst_for_perceptible_transformations"}, act(action="c2pa.cropped")),
    ({"mandatory_spec_version"}, lambda r: r["claim.v2"]["claim_generator_info"].pop("specVersion")),
    ({"mandatory_spec_version"}, lambda r: r["claim.v2"]["claim_generator_info"].update(specVersion="2.2.0")),
    ({"mandatory_spec_version"}, lambda r: r["claim.v2"]["claim_generator_info"].update(specVersion=2.4)),
    (
        {"mandatory_all_actions_included"},
        lambda r: r["assertions"]["c2pa.actions.v2"].pop("allActionsIncluded"),
    ),
    (
        {"well_formed_data_present", "well_formed_success", "valid_data_present", "valid_success"},
        lambda r: r.pop("validationResults"),
    ),
    ({"well_formed_success"}, fail_with("claim.missing")),
    ({"well_formed_success"}, fail_with("assertion.multipleHardBindings")),
    ({"valid_success"}, fail_with("assertion.bmffHash.mismatch")),
    ({"valid_success"}, fail_with("ingredient.claimSignature.missing")),
    ({"inception_action_position"}, lambda r: actions(r).reverse()),
    ({"inception_action_position"}, lambda r: r["claim.v2"].update(created_assertions=[])),
    ({"no_deprecated_assertions"}, add("stds.exif", {})),
    ({"no_deprecated_assertions"}, add("c2pa.hash.bmff.v2", {})),
    ({"no_unsupported_assertions"}, add("c2pa.invented", {})),
    ({"no_unsupported_assertions"}, add("c2pa.training-mining", {})),
    ({"no_deprecated_actions"}, act(action="c2pa.watermarked")),
    (
        {"no_unsupported_actions", "mandatory_dst_for_perceptible_transformations"},
        act(action="c2pa.improved"),
    ),
    ({"no_unrecognized_custom_assertions"}, add("invented", {})),
    ({"no_unrecognized_custom_actions"}, act(action="improved")),
    (
        {"no_unrecognized_custom_action_parameters"},
        lambda r: actions(r)[0].update(parameters={"prompt": 1}),
    ),
    (
        {"discouraged_legacy_action_parameters"},
        lambda r: actions(r)[0].update(parameters={"description": "x"}),
    ),
    ({"active_manifest_urn"}, lambda r: r.update(label="urn:uuid:1")),
    (
        {"review_ratings_datasource"},
        add("org.example.review", {"reviewRatings": [], "dataSource": {"type": "humanEntry.anonymous"}}),
    ),
    ({"mandatory_dst_for_created_action"}, lambda r: actions(r)[0].pop("digitalSourceType")),
    ({"no_deprecated_claim_fields"}, lambda r: r["claim.v2"].update(specVersion="2.4.0")),
    (
        {"alternative_content_representation_choice"},
        add("c2pa.alternative-content-representation", {"type": "exif.originalPreservationImage"}),
    ),
    (
        {"forbidden_labels_in_external_references"},
        add("c2pa.external-reference", {"label": "c2pa.hash.data", "url": "x"}),
    ),
    ({"no_url_in_hashes"}, lambda r: r["assertions"]["c2pa.hash.bmff.v3"].update(url="x")),
    (
        {"no_box_hash_for_tiff"},
        lambda r: r["assertions"].update(
            {"c2pa.hash.boxes": {}, "c2pa.asset-type.v2": {"dc:format": "image/tiff"}}
        ),
    ),
]
EDIT_BREAKS: list[tuple[set[str], Change]] = [
    ({"no_dst_for_opened_action"}, lambda r: actions(r)[0].update(digitalSourceType="x")),
    ({"opened_action_ingredient_reference"}, lambda r: actions(r)[0].pop("parameters")),
    (
        {"ingredient_v3_mandatory_validation_results"},
        lambda r: r["assertions"]["c2pa.ingredient.v3"].pop("validationResults"),
    ),
    (
        {"ingredient_v3_no_active_manifest"},
        lambda r: r["assertions"]["c2pa.ingredient.v3"].pop("activeManifest"),
    ),
    (
        {"ingredient_relationship_values"},
        lambda r: r["assertions"]["c2pa.ingredient.v3"].update(relationship="x"),
    ),
    ({"ingredient_v3_choice"}, lambda r: r["assertions"]["c2pa.ingredient.v3"].update(MANIFEST_ONLY)),
    (
        {"all_actions_included_opened"},
        lambda r: r["assertions"]["c2pa.actions.v2"].update(actions=actions(r)[:1], allActionsIncluded=False),
    ),
]


@pytest.mark.parametrize(("rules", "change"), BREAKS)
def test_each_rule_can_break(report: Report, rules: set[str], change: Change) -> None:
    changed = copy.deepcopy(report)
    change(changed)
    assert broken(changed) == rules


@pytest.mark.parametrize(("rules", "change"), EDIT_BREAKS)
def test_each_rule_on_edits_can_break(edited: Report, rules: set[str], change: Change) -> None:
    changed = copy.deepcopy(edited)
    change(changed)
    assert broken(changed) == rules


def test_every_rule_is_broken_by_some_test(report: Report) -> None:
    covered = {rule for rules, _ in BREAKS + EDIT_BREAKS for rule in rules}
    assert {result.id for result in check_report(report)} == covered
    assert len(covered) == 31


def test_a_tampered_film_breaks_the_integrity_rule(signed: Path, tmp_path: Path, trust: Trust) -> None:
    results = check_file(flip(signed, tmp_path / "t.mp4"), trust)
    assert {result.id for result in results if not result.holds} == {"valid_success"}


def test_reports_of_any_shape_are_survived(report: Report) -> None:
    for value in (
        {},
        {"assertions": 3, "claim.v2": []},
        {"assertions": {"c2pa.actions.v2": {"actions": [1, None]}}},
    ):
        assert len(check_report(value)) == len(check_report(report))


def test_files_without_manifest(film: Path, tmp_path: Path, trust: Trust) -> None:
    (tmp_path / "x.mp4").write_bytes(b"text")
    for path in (film, tmp_path / "x.mp4"):
        with pytest.raises(MediaError, match="rubric cannot be run"):
            check_file(path, trust)
