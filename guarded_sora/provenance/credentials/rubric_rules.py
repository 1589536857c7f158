"""The 31 rules of the conformance programme's rubric, each as a function over one manifest.

Source: C2PA conformance programme, "Asset Conformance 0.2, Spec 2.4" (2026-03-31). The ids are the
programme's, so that results can be compared; the checks are written anew from the meaning of each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from guarded_sora.provenance.credentials.cleaning import clean_text

SPEC_VERSION = "2.4"


def _names(text: str) -> frozenset[str]:
    """The words of ``text``, each in the standard's name space."""
    return frozenset("c2pa." + name for name in text.split())


_INCEPTION = _names("created opened")
_NO_SOURCE_TYPE_NEEDED = _INCEPTION | _names(
    "placed converted published repackaged transcoded resized.proportional enhanced edited.metadata "
    "watermarked watermarked.bound watermarked.unbound redacted"
)
_DEPRECATED_ACTIONS = _names(
    "copied formatted version_updated printed managed produced saved color_adjustments watermarked"
)
_ACTIONS = _NO_SOURCE_TYPE_NEEDED | _names(
    "addedText adjustedColor changedSpeed color_adjustments cropped deleted drawing dubbed edited filtered "
    "mastered mixed orientation remixed removed resized translated trimmed unknown"
)
_DEPRECATED_LABELS = _names("claim hash.bmff.v2 asset-type ingredient ingredient.v2 actions")
_LABELS = _names(
    "hash.data hash.data.part actions.v2 ingredient.v3 hash.boxes hash.bmff.v3 hash.collection.data "
    "soft-binding cloud-data embedded-data metadata certificate-status asset-ref asset-type.v2 "
    "hash.multi-asset thumbnail.claim thumbnail.ingredient depthmap.GDepth icon "
    "alternative-content-representation external-reference session-keys environmental-sustainability "
    "repository-receipt ai-disclosure assertion.metadata time-stamp"
)
_PARAMETERS = {
    name.removeprefix("c2pa.")
    for name in _names(
        "redacted ingredients ingredient description relatedAssertions sourceLanguage targetLanguage "
        "multipleInstances ranges weight width italic slant optical-size"
    )
}
_RELATIONSHIPS = frozenset({"parentOf", "inputTo", "componentOf"})
_HUMAN_ENTRY = frozenset({"humanEntry.anonymous", "humanEntry.credentialed"})
_TIFF = frozenset({"image/tiff", "image/x-adobe-dng"})
_NOT_BY_REFERENCE = _names("actions actions.v2 cloud-data external-reference")
_ILL_FORMED_ENDINGS = (
    ".malformed",
    ".invalid",
    ".missing",
    ".multiple",
    ".labelMismatch",
    ".unknownBox",
    ".multipleHardBindings",
    ".multipleManifests",
    ".inaccessible",
    ".multipleParents",
    ".wrongParents",
    "external-reference.created",
)
_MISMATCH_ENDINGS = (".mismatch", "Mismatch", ".hardBinding.redacted", "laimSignature.missing")

Severity = Literal["error", "warning"]


class Manifest:
    """The parts of one manifest of the precise report; whatever is missing or of another shape is empty."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.label = str(manifest.get("label") or "")
        self.assertions = mapping(manifest.get("assertions"))
        self.claim = mapping(manifest.get("claim.v2"))
        self.has_results = isinstance(manifest.get("validationResults"), Mapping)
        results = mapping(manifest.get("validationResults"))
        self.failures = [str(mapping(item).get("code")) for item in items(results.get("failure"))]
        self.values = [value for value in self.assertions.values() if isinstance(value, Mapping)]
        self.action_assertions = [value for value in self.values if "actions" in value]
        self.actions = [
            mapping(action) for value in self.action_assertions for action in items(value.get("actions"))
        ]
        self.ingredients = [value for value in self.values if "relationship" in value]


Rule = Callable[[Manifest], Iterator[str]]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _base(label: str) -> str:
    """A label without its instance number."""
    return label.partition("__")[0]


def _plain(label: str) -> str:
    """Thumbnails may carry the picture format as a last part."""
    name = _base(label)
    return name.rpartition(".")[0] if name.startswith("c2pa.thumbnail.") and name.count(".") > 2 else name


def _shown(value: Any) -> str:
    return clean_text(str(value), limit=80)


def _name(action: Mapping[str, Any]) -> str:
    return str(action.get("action") or "")


def _transformations_source_type(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        name = _name(action)
        if (
            name.startswith("c2pa.")
            and name not in _NO_SOURCE_TYPE_NEEDED
            and not action.get("digitalSourceType")
        ):
            yield f"{_shown(name)} has no digitalSourceType"


def _spec_version(m: Manifest) -> Iterator[str]:
    info = m.claim.get("claim_generator_info")
    version = mapping(items(info)[0] if items(info) else info).get("specVersion")
    if version is None:
        yield "claim_generator_info has no specVersion"
    elif not isinstance(version, str) or version.split(".")[:2] != SPEC_VERSION.split("."):
        yield f"specVersion is {_shown(version)}, not {SPEC_VERSION}"


def _all_actions_included(m: Manifest) -> Iterator[str]:
    if any(value.get("allActionsIncluded") is None for value in m.action_assertions):
        yield "an actions assertion does not state allActionsIncluded"


def _opened_without_source_type(m: Manifest) -> Iterator[str]:
    if any(_name(action) == "c2pa.opened" and "digitalSourceType" in action for action in m.actions):
        yield "c2pa.opened has a digitalSourceType"


def _results_present(m: Manifest) -> Iterator[str]:
    if not m.has_results:
        yield "the report holds no validation results"


def _well_formed(m: Manifest) -> Iterator[str]:
    if not m.has_results:
        yield "the report holds no validation results"
    for code in m.failures:
        if code.endswith(_ILL_FORMED_ENDINGS) and not code.endswith(_MISMATCH_ENDINGS):
            yield f"validation failure {_shown(code)}"


def _valid(m: Manifest) -> Iterator[str]:
    if not m.has_results:
        yield "the report holds no validation results"
    for code in m.failures:
        if code.endswith(_MISMATCH_ENDINGS) and not code.endswith(".labelMismatch"):
            yield f"validation failure {_shown(code)}"


def _inception_position(m: Manifest) -> Iterator[str]:
    urls = [str(mapping(item).get("url")) for item in items(m.claim.get("created_assertions"))]
    first = next((url for url in urls if "c2pa.actions" in url), "")
    if not first.endswith("c2pa.actions.v2"):
        yield "the signer's own assertions do not begin their actions with c2pa.actions.v2"
    names = [_name(action) for action in m.actions]
    if "c2pa.created" in names and names[0] not in _INCEPTION:
        yield "created or opened is not the first action"


def _deprecated_assertions(m: Manifest) -> Iterator[str]:
    for label in m.assertions:
        if label.startswith("stds.") or label in _DEPRECATED_LABELS:
            yield f"{_shown(label)} is deprecated"


def _unsupported_assertions(m: Manifest) -> Iterator[str]:
    for label in m.assertions:
        known = _base(label) in _DEPRECATED_LABELS or _plain(label) in _LABELS
        if label.startswith("c2pa.") and not known:
            yield f"{_shown(label)} is no assertion of the specification"


def _deprecated_actions(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        if _name(action) in _DEPRECATED_ACTIONS:
            yield f"{_name(action)} is deprecated"


def _unsupported_actions(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        if _name(action).startswith("c2pa.") and _name(action) not in _ACTIONS:
            yield f"{_shown(_name(action))} is no action of the specification"


def _custom_assertions(m: Manifest) -> Iterator[str]:
    for label in m.assertions:
        if "." not in label:
            yield f"the custom assertion {_shown(label)} has no name space"


def _custom_actions(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        if "." not in _name(action):
            yield f"the custom action {_shown(_name(action)) or '(empty)'} has no name space"


def _custom_parameters(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        for name in mapping(action.get("parameters")):
            if name not in _PARAMETERS and "." not in name:
                yield f"the parameter {_shown(name)} has no name space"


def _legacy_parameters(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        for name in ("description", "ingredient"):
            if name in mapping(action.get("parameters")):
                yield f"{_shown(_name(action))} has {name} inside its parameters"


def _active_label(m: Manifest) -> Iterator[str]:
    if not m.label.startswith("urn:c2pa:"):
        yield "the manifest's label does not begin with urn:c2pa:"


def _review_ratings(m: Manifest) -> Iterator[str]:
    for value in m.values:
        if "reviewRatings" in value and mapping(value.get("dataSource")).get("type") in _HUMAN_ENTRY:
            yield "reviewRatings beside a human data source"


def _results_without_manifest(m: Manifest) -> Iterator[str]:
    if any("validationResults" in item and "activeManifest" not in item for item in m.ingredients):
        yield "an ingredient without a manifest has validation results"


def _manifest_without_results(m: Manifest) -> Iterator[str]:
    if any("activeManifest" in item and "validationResults" not in item for item in m.ingredients):
        yield "an ingredient with a manifest has no validation results"


def _relationships(m: Manifest) -> Iterator[str]:
    for item in m.ingredients:
        if item["relationship"] not in _RELATIONSHIPS:
            yield f"{_shown(item['relationship'])} is no relationship of the specification"


def _created_source_type(m: Manifest) -> Iterator[str]:
    if any(_name(action) == "c2pa.created" and not action.get("digitalSourceType") for action in m.actions):
        yield "c2pa.created has no digitalSourceType"


def _claim_fields(m: Manifest) -> Iterator[str]:
    if "specVersion" in m.claim:
        yield "specVersion stands in the claim itself"


def _ingredient_choice(m: Manifest) -> Iterator[str]:
    if any("activeManifest" in item and "digitalSourceType" in item for item in m.ingredients):
        yield "an ingredient has both a manifest and a digitalSourceType"


def _alternative_content(m: Manifest) -> Iterator[str]:
    for value in m.values:
        parameters = mapping(value.get("parameters"))
        if "exif.originalPreservationImage" not in (value.get("type"), parameters.get("type")):
            continue
        if ("multiAssetPartIndex" in parameters) == ("embeddedOriginalPreservationImage" in parameters):
            yield "an alternative content representation names both or neither of its places"


def _external_references(m: Manifest) -> Iterator[str]:
    for value in m.values:
        if "label" not in value or "url" not in value or "relationship" in value:
            continue
        label = str(value["label"])
        if label in _NOT_BY_REFERENCE or label.startswith(("c2pa.hash", "c2pa.ingredient")):
            yield f"an external reference stands for {_shown(label)}"


def _hash_url(m: Manifest) -> Iterator[str]:
    for label in ("c2pa.hash.data", "c2pa.hash.bmff.v3"):
        if mapping(m.assertions.get(label)).get("url"):
            yield f"{label} has a url"


def _opened_only(m: Manifest) -> Iterator[str]:
    stated = mapping(m.assertions.get("c2pa.actions.v2")).get("allActionsIncluded")
    if [_name(action) for action in m.actions] == ["c2pa.opened"] and stated is not True:
        yield "opened and saved again, but allActionsIncluded is not true"


def _opened_ingredient(m: Manifest) -> Iterator[str]:
    for action in m.actions:
        references = items(mapping(action.get("parameters")).get("ingredients"))
        if _name(action) == "c2pa.opened" and len(references) != 1:
            yield f"c2pa.opened refers to {len(references)} ingredients, not to one"


def _tiff_boxes(m: Manifest) -> Iterator[str]:
    kind = mapping(m.assertions.get("c2pa.asset-type.v2")).get("dc:format")
    if "c2pa.hash.boxes" in m.assertions and kind in _TIFF:
        yield "a box hash on a TIFF file"


RULES: tuple[tuple[str, str, Severity, Rule], ...] = (
    (
        "mandatory_dst_for_perceptible_transformations",
        "editorial actions name a source type",
        "error",
        _transformations_source_type,
    ),
    ("mandatory_spec_version", "claim_generator_info names the specification", "error", _spec_version),
    ("mandatory_all_actions_included", "allActionsIncluded is stated", "error", _all_actions_included),
    ("no_dst_for_opened_action", "opened has no source type", "error", _opened_without_source_type),
    ("well_formed_data_present", "results about the structure are there", "error", _results_present),
    ("well_formed_success", "nothing is malformed, missing or doubled", "error", _well_formed),
    ("valid_data_present", "results about integrity are there", "error", _results_present),
    ("valid_success", "nothing mismatches", "error", _valid),
    ("inception_action_position", "the first action is created or opened", "error", _inception_position),
    ("no_deprecated_assertions", "no deprecated assertions", "error", _deprecated_assertions),
    ("no_unsupported_assertions", "standard assertions are known", "error", _unsupported_assertions),
    ("no_deprecated_actions", "no deprecated actions", "error", _deprecated_actions),
    ("no_unsupported_actions", "standard actions are known", "error", _unsupported_actions),
    ("no_unrecognized_custom_assertions", "custom assertions have a name space", "error", _custom_assertions),
    ("no_unrecognized_custom_actions", "custom actions have a name space", "error", _custom_actions),
    (
        "no_unrecognized_custom_action_parameters",
        "custom parameters have a name space",
        "error",
        _custom_parameters,
    ),
    (
        "discouraged_legacy_action_parameters",
        "no old forms inside parameters",
        "warning",
        _legacy_parameters,
    ),
    ("active_manifest_urn", "the active label is a C2PA URN", "error", _active_label),
    ("review_ratings_datasource", "no ratings beside a human source", "error", _review_ratings),
    ("ingredient_v3_no_active_manifest", "no results without a manifest", "error", _results_without_manifest),
    (
        "ingredient_v3_mandatory_validation_results",
        "results with every manifest",
        "error",
        _manifest_without_results,
    ),
    ("ingredient_relationship_values", "relationships are known", "error", _relationships),
    ("mandatory_dst_for_created_action", "created names a source type", "error", _created_source_type),
    ("no_deprecated_claim_fields", "no old fields in the claim", "error", _claim_fields),
    ("ingredient_v3_choice", "a manifest or a source type, not both", "error", _ingredient_choice),
    ("alternative_content_representation_choice", "one place of the original", "error", _alternative_content),
    ("forbidden_labels_in_external_references", "no core assertion elsewhere", "error", _external_references),
    ("no_url_in_hashes", "hash assertions have no url", "error", _hash_url),
    ("all_actions_included_opened", "saving again is stated completely", "error", _opened_only),
    ("opened_action_ingredient_reference", "opened refers to its parent", "error", _opened_ingredient),
    ("no_box_hash_for_tiff", "no box hash on TIFF", "error", _tiff_boxes),
)
"""Id of the programme, what it asks for, how grave it is, and the check."""
