"""The real class Detoxify on a tiny checkpoint of the real shape."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from guarded_sora.policies.adapters.detoxify import READINGS, DetoxifyCheck
from guarded_sora.policies.adapters.report import Reading
from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.finding import CheckState, RequestContext
from guarded_sora.policies.text.check import ModelCheck, run_prompt_check

CONTEXT = RequestContext()
CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


def tiny(folder: Path, *, bias: float = 3.0) -> dict[str, Any]:
    """A BERT of two layers in ``folder`` and the checkpoint of it that Detoxify's training would write."""
    from transformers import BertConfig, BertForSequenceClassification

    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "dog"])
    )
    config = BertConfig(
        vocab_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    config.save_pretrained(folder)
    torch.manual_seed(0)
    config.num_labels = len(CLASSES)
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([bias, -9.0, -9.0, -9.0, -9.0, bias]))
    arguments = {
        "model_type": "bert-base-uncased", "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer", "num_classes": len(CLASSES),
    }  # fmt: skip
    return {
        "config": {"arch": {"args": arguments}, "dataset": {"args": {"classes": CLASSES}}},
        "state_dict": model.state_dict(),
        "epoch": 1,
    }


def save(checkpoint: Any, path: Path) -> str:
    torch.save(checkpoint, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made(tmp_path: Path, checkpoint: Any, **more: Any) -> DetoxifyCheck:
    path = tmp_path / "toxic.ckpt"
    digest = save(checkpoint, path)
    return DetoxifyCheck(
        name="detoxify", checkpoint=path, folder=tmp_path / "bert", **{"sha256": digest, **more}
    )


def test_the_real_class_scores_in_our_categories(tmp_path: Path) -> None:
    check = made(tmp_path, tiny(tmp_path / "bert"))
    assert isinstance(check, ModelCheck) and not check.unavailable
    seen = {f.category: f for f in check.check("a dog", CONTEXT)}
    assert set(seen) == {"harassment", "hate"} and seen["hate"].severity == 2
    assert seen["hate"].score == pytest.approx(1 / (1 + 2.718281828**-3), abs=1e-4)


def test_a_long_text_is_read_in_pieces(tmp_path: Path) -> None:
    check = made(tmp_path, tiny(tmp_path / "bert"))
    assert check.check("dog " * 500, CONTEXT)


def test_below_the_bound_a_score_has_no_severity(tmp_path: Path) -> None:
    readings = {"toxicity": Reading(category="harassment", at=0.99, severity=3)}
    (finding,) = made(tmp_path, tiny(tmp_path / "bert"), readings=readings).check("a dog", CONTEXT)
    assert finding.severity == 0 and finding.score is not None and finding.score > 0.9


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "bert")
    checkpoint["extra"] = Bomb(tmp_path / "ran")
    check = made(tmp_path, checkpoint)
    with pytest.raises(ModelInvalid, match="holds code"):
        check.check("a dog", CONTEXT)
    assert not (tmp_path / "ran").exists()
    assert run_prompt_check(check, "a dog", CONTEXT)[1].state is CheckState.FAILED


def test_another_file_than_the_pinned_one_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="not the pinned one"):
        made(tmp_path, tiny(tmp_path / "bert"), sha256="0" * 64).check("a dog", CONTEXT)


def test_a_checkpoint_without_its_last_layer_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "bert")
    del checkpoint["state_dict"]["classifier.weight"]
    with pytest.raises(ModelInvalid, match="by chance"):
        made(tmp_path, checkpoint).check("a dog", CONTEXT)


def test_a_model_class_of_the_checkpoints_choice_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "bert")
    checkpoint["config"]["arch"]["args"]["model_name"] = "AutoModel"
    with pytest.raises(ModelInvalid, match="does not use"):
        made(tmp_path, checkpoint).check("a dog", CONTEXT)


def test_without_a_local_configuration_nothing_is_fetched(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "bert")
    (tmp_path / "bert" / "config.json").unlink()
    with pytest.raises(ModelInvalid, match=r"config\.json"):
        made(tmp_path, checkpoint).check("a dog", CONTEXT)


def test_an_output_detoxify_does_not_have_is_refused(tmp_path: Path) -> None:
    readings = {**READINGS, "politeness": Reading(category="hate")}
    with pytest.raises(ModelInvalid, match="politeness"):
        made(tmp_path, tiny(tmp_path / "bert"), readings=readings).check("a dog", CONTEXT)


def test_an_output_that_this_checkpoint_does_not_give_is_no_silence(tmp_path: Path) -> None:
    readings = {**READINGS, "sexual_explicit": Reading(category="sexual.explicit")}
    check = made(tmp_path, tiny(tmp_path / "bert"), readings=readings)
    with pytest.raises(ModelInvalid, match="every output"):
        check.check("a dog", CONTEXT)
    assert run_prompt_check(check, "a dog", CONTEXT)[1].state is CheckState.FAILED
