from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from guarded_sora.errors import MediaError, ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, renew_leaf
from guarded_sora.provenance.credentials.jumbf import active_label, parse_store
from guarded_sora.provenance.credentials.manifest import (
    COMPOSITE_WITH_TRAINED,
    RECORD_LABEL,
    Check,
    Generator,
    Ingredient,
    Policy,
    SoftBinding,
    build_definition,
    says_ai,
)
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import CallbackSigner, FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.conftest import CLIP_ID, content_of, encode


def assertion(definition: dict[str, Any], label: str) -> dict[str, Any]:
    (found,) = [item for item in definition["assertions"] if item["label"] == label]
    assert found["created"] is True
    return dict(found["data"])


def full_content(**changes: Any) -> Any:
    return content_of(
        **{
            "generator": Generator(
                name="sprites",
                version="1.2",
                licence="Apache-2.0",
                weights_sha256="ab" * 32,
                data_digest="cd" * 32,
                settings={"steps": 3, "guidance": 2.5},
            ),
            "prompt_commitment": "hmac-sha256:" + "0f" * 32,
            "policy": Policy(id="default", version="1", digest="12" * 32),
            "intent_event_id": "event-17",
            "checks": (Check(name="lexicon", version="3"), Check(name="likeness", version="1")),
            "checks_digest": "34" * 32,
        }
        | changes
    )


def test_a_generated_clip(ours: Chain) -> None:
    definition = build_definition(full_content(), "video/mp4")
    actions = assertion(definition, "c2pa.actions.v2")
    assert actions["allActionsIncluded"] is True
    assert [action["action"] for action in actions["actions"]] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert actions["actions"][0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert definition["claim_generator_info"][0]["specVersion"] == "2.4.0"
    assert assertion(definition, "c2pa.soft-binding")["blocks"] == [{"scope": {}, "value": "gs1.00112233ff"}]
    assert assertion(definition, "c2pa.ai-disclosure")["modelIdentifier"] == "sha256:" + "ab" * 32
    assert set(assertion(definition, "cawg.training-mining")["entries"]) == {
        "cawg.ai_inference",
        "cawg.ai_generative_training",
        "cawg.ai_training",
        "cawg.data_mining",
    }
    record = assertion(definition, RECORD_LABEL)
    assert record["clipId"] == CLIP_ID
    assert record["checks"] == [{"name": "lexicon", "version": "3"}, {"name": "likeness", "version": "1"}]
    assert record["backend"]["settings"] == {"guidance": "2.5", "steps": 3}
    assert record["altered"] is False


def test_nothing_public_helps_to_guess_the_prompt() -> None:
    """With open weights, a seed would let anybody test a guessed prompt by making the clip again."""
    settings = {"steps": 3, "seed": 77123, "Noise_Seed": 5, "negative_prompt": "blurry words", "prompt": "x"}
    content = content_of(generator=Generator(name="sprites", version="1", settings=settings))
    definition = build_definition(content, "video/mp4")
    assert assertion(definition, RECORD_LABEL)["backend"]["settings"] == {"steps": 3}
    assert "77123" not in str(definition) and "blurry" not in str(definition)


def test_timespans_of_the_mark() -> None:
    binding = SoftBinding(value="gs1.aa", timespans=((0, 2000), (2000, 2500)))
    data = assertion(build_definition(content_of(soft_binding=binding), "video/mp4"), "c2pa.soft-binding")
    assert data["blocks"] == [
        {"scope": {"timespan": {"start": 0, "end": 2000}}, "value": "gs1.aa"},
        {"scope": {"timespan": {"start": 2000, "end": 2500}}, "value": "gs1.aa"},
    ]


def test_an_edit_opens_its_parent(tmp_path: Path) -> None:
    parent = Ingredient(path=tmp_path / "in.mp4", relationship="parentOf", title="Source")
    content = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    actions = assertion(build_definition(content, "video/mp4"), "c2pa.actions.v2")["actions"]
    assert [action["action"] for action in actions] == [
        "c2pa.opened",
        "c2pa.edited",
        "c2pa.watermarked.bound",
    ]
    assert "digitalSourceType" not in actions[0]
    assert actions[0]["parameters"] == {"ingredientIds": ["parent"]}
    assert actions[1]["digitalSourceType"] == COMPOSITE_WITH_TRAINED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt_commitment": "a red balloon over a beach"}, "never the prompt"),
        ({"prompt_commitment": "sha256:" + "0" * 64}, "hmac-sha256"),
        ({"checks_digest": "short"}, "64 lower-case hex"),
        ({"source_type": "trainedAlgorithmicMedia"}, "IPTC"),
        ({"edit": True}, "exactly one parent"),
        ({"created": datetime(2026, 1, 1)}, "time zone"),
    ],
)
def test_false_or_private_statements_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProvenanceError, match=words):
        content_of(**changes)


def test_parent_without_an_edit_is_refused(tmp_path: Path) -> None:
    parent = Ingredient(path=tmp_path / "in.mp4", relationship="parentOf", title="Source")
    with pytest.raises(ProvenanceError, match="exactly one parent"):
        content_of(ingredients=(parent,))


def test_source_types_that_say_ai() -> None:
    base = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    assert says_ai(base + "trainedAlgorithmicMedia") is True
    assert says_ai(base + "compositeWithTrainedAlgorithmicMedia") is True
    assert says_ai(base + "digitalCapture") is False
    assert says_ai("") is None and says_ai(None) is None


def test_every_field_comes_back(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    made = sign(film, tmp_path / "full.mp4", full_content(), FileKeySigner.of(ours), trust=trust)
    found = read(tmp_path / "full.mp4", trust)
    assert found.state is State.TRUSTED
    assert found.label == made.label == active_label(made.store)
    claims = found.claims
    assert claims.prompt_commitment == "hmac-sha256:" + "0f" * 32
    assert claims.policy_digest == "12" * 32
    assert claims.intent_event_id == "event-17"
    assert claims.checks_digest == "34" * 32
    assert claims.provider == "Alpha Studio"
    assert "c2pa.ai-disclosure" in claims.assertions and "cawg.training-mining" in claims.assertions
    assert made.sidecar is None
    assert made.store in (tmp_path / "full.mp4").read_bytes()


@pytest.mark.parametrize("name", ["clip.mov", "fragmented.mp4", "fast.mp4"])
def test_other_containers(name: str, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    options = {
        "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"},
        "fast.mp4": {"movflags": "faststart"},
    }
    source = encode(tmp_path / name, options=options.get(name))
    target = tmp_path / ("signed-" + name)
    sign(source, target, content_of(), FileKeySigner.of(ours), trust=trust)
    assert read(target, trust).state is State.TRUSTED


def test_still_pictures(tmp_path: Path, ours: Chain, trust: Trust) -> None:
    from PIL import Image

    for suffix in ("png", "jpg", "webp"):
        source, target = tmp_path / f"still.{suffix}", tmp_path / f"signed.{suffix}"
        Image.new("RGB", (64, 48), (200, 30, 60)).save(source)
        sign(source, target, content_of(soft_binding=None), FileKeySigner.of(ours), trust=trust)
        found = read(target, trust)
        assert (found.state, found.ours) == (State.TRUSTED, True), suffix


def test_a_picture_prompt_is_kept_as_input(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), (20, 30, 60)).save(tmp_path / "prompt.png")
    prompt = Ingredient(path=tmp_path / "prompt.png", relationship="inputTo", title="Image prompt")
    sign(film, tmp_path / "i.mp4", content_of(ingredients=(prompt,)), FileKeySigner.of(ours), trust=trust)
    found = read(tmp_path / "i.mp4", trust)
    assert found.state is State.TRUSTED
    assert [(i.relationship, i.title, i.failures) for i in found.ingredients] == [
        ("inputTo", "Image prompt", ())
    ]


def test_a_signed_source_is_kept_as_parent(signed: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    content = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    made = sign(signed, tmp_path / "again.mp4", content, FileKeySigner.of(ours), trust=trust)
    found = read(tmp_path / "again.mp4", trust)
    assert found.state is State.TRUSTED and found.ours
    assert found.claims.actions[:2] == ("c2pa.opened", "c2pa.edited")
    assert len(parse_store(made.store)) == 2


def test_a_thumbnail(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 90, 9)).save(picture, "JPEG")
    content = content_of(thumbnail=picture.getvalue())
    made = sign(film, tmp_path / "thumb.mp4", content, FileKeySigner.of(ours), trust=trust)
    assert picture.getvalue() in made.store
    assert read(tmp_path / "thumb.mp4", trust).state is State.TRUSTED


def test_a_callback_signs(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    calls: list[int] = []

    def remote(data: bytes) -> bytes:
        calls.append(len(data))
        return FileKeySigner.of(ours).sign(data)

    signer = CallbackSigner(chain_pem=ours.chain_pem, function=remote)
    sign(film, tmp_path / "kms.mp4", content_of(), signer, trust=trust)
    assert read(tmp_path / "kms.mp4", trust).state is State.TRUSTED
    assert len(calls) == 1 and calls[0] < film.stat().st_size  # the claim, not the film


def refuse(_: bytes) -> bytes:
    raise RuntimeError("the service is down")


@pytest.mark.parametrize("function", [refuse, lambda data: b"", lambda data: b"x" * 64])
def test_a_callback_that_fails_leaves_no_file(
    function: Callable[[bytes], bytes], film: Path, tmp_path: Path, ours: Chain
) -> None:
    with pytest.raises(ProvenanceError):
        sign(
            film,
            tmp_path / "no.mp4",
            content_of(),
            CallbackSigner(chain_pem=ours.chain_pem, function=function),
        )
    assert not (tmp_path / "no.mp4").exists()


def test_an_expired_leaf_signs_nothing(film: Path, tmp_path: Path, ours: Chain) -> None:
    expired = renew_leaf(ours, leaf_days=-0.001)
    with pytest.raises(ProvenanceError, match="expiry"):
        sign(film, tmp_path / "no.mp4", content_of(), FileKeySigner.of(expired))
    assert not (tmp_path / "no.mp4").exists()


@pytest.mark.parametrize(
    "data", [b"", b"no film", b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\0\0\0\x08free" * 30_000]
)
def test_sources_the_guard_refuses(data: bytes, tmp_path: Path, film: Path, ours: Chain) -> None:
    (tmp_path / "bad.mp4").write_bytes(data)
    with pytest.raises(MediaError):
        sign(tmp_path / "bad.mp4", tmp_path / "no.mp4", content_of(), FileKeySigner.of(ours))
    prompt = Ingredient(path=tmp_path / "bad.mp4", relationship="inputTo", title="prompt")
    with pytest.raises(MediaError):
        sign(film, tmp_path / "no.mp4", content_of(ingredients=(prompt,)), FileKeySigner.of(ours))
    assert not (tmp_path / "no.mp4").exists()


def test_the_source_is_never_overwritten(film: Path, tmp_path: Path, ours: Chain) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    with pytest.raises(MediaError, match="onto itself"):
        sign(copy, copy, content_of(), FileKeySigner.of(ours))
    assert copy.read_bytes() == film.read_bytes()


def test_a_folder_that_is_not_there(film: Path, tmp_path: Path, ours: Chain) -> None:
    with pytest.raises(MediaError, match="could not be written"):
        sign(film, tmp_path / "none" / "x.mp4", content_of(), FileKeySigner.of(ours))
