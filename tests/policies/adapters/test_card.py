from pathlib import Path

import pytest

from guarded_sora.policies.adapters.card import load_prompt_card
from guarded_sora.policies.adapters.detoxify import DetoxifyCheck
from guarded_sora.policies.adapters.guards import LlamaGuardCheck, SafeguardCheck
from guarded_sora.policies.adapters.moderations import ModerationsCheck
from guarded_sora.policies.errors import ModelInvalid

DIGEST = "0123456789abcdef" * 4
GUARD = f"name: g\nfolder: model\nsha256: {{model.safetensors: {DIGEST}}}\n"


def card(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "card.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            f"kind: detoxify\nname: d\nfolder: m\ncheckpoint: a.ckpt\nsha256: {{a.ckpt: {DIGEST}}}\n",
            DetoxifyCheck,
        ),
        (f"kind: llama-guard\n{GUARD}", LlamaGuardCheck),
        (f"kind: safeguard\n{GUARD}", SafeguardCheck),
        ("kind: moderations\nname: m\nurl: https://moderation.example/v1/moderations\n", ModerationsCheck),
    ],
    ids=["detoxify", "llama-guard", "safeguard", "moderations"],
)
def test_each_kind(tmp_path: Path, text: str, kind: type) -> None:
    check = load_prompt_card(card(tmp_path, text))
    assert isinstance(check, kind) and check.version and not check.unavailable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: other\nname: x\n", "kind"),
        ("name: x\n", "kind"),
        ("kind: moderations\nname: m\n", "address"),
        ("kind: llama-guard\nname: g\nfolder: model\n", "sha256"),
        (f"kind: llama-guard\n{GUARD.replace(DIGEST, 'abc')}", "sha256"),
        (f"kind: detoxify\n{GUARD}", "checkpoint"),
        (f"kind: llama-guard\n{GUARD}readings: {{S1: {{category: none.such}}}}\n", "taxonomy"),
        (f"kind: llama-guard\n{GUARD}surprise: 1\n", "surprise"),
        ("- a\n", "card.yaml"),
        ("\x00", "card.yaml"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("#" * 70_000, "longer"),
    ],
    ids=range(12),
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelInvalid, match=message):
        load_prompt_card(card(tmp_path, text))


def test_a_missing_card(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="check the path"):
        load_prompt_card(tmp_path / "absent.yaml")
