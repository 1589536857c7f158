"""A grown model makes what the smaller one made, as long as nobody uses what is new."""

from __future__ import annotations

from pathlib import Path

import torch

from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.vocabulary import CONCEPTS, concept
from guarded_sora.training.grow import grow


def test_the_old_model_lives_on_in_the_grown_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    words = CONCEPTS.index("motion:bounce")
    old = SpacetimeTransformer(4 + 4, 32, 2, 2, 2, layout=4, text_width=32)
    for value in old.parameters():
        torch.nn.init.normal_(value, std=0.1)
    old_text = ConceptEncoder(32, concepts=words)
    old.save_pretrained(tmp_path / "transformer")
    old_text.save_pretrained(tmp_path / "text_encoder")
    new = SpacetimeTransformer(4 + 8, 32, 2, 2, 2, layout=8, text_width=32, align=3)
    text = ConceptEncoder(32)
    grow(tmp_path, new, text, looks=4)

    tokens = torch.tensor([[2, 30, 35]])
    states, pooled = old_text(tokens)
    for was, now in zip((states, pooled), text(tokens), strict=True):
        assert torch.equal(was, now)
    x, known = torch.randn(2, 1, 8, 2, 4, 4)
    mask = torch.zeros_like(x)
    mask[:, :, :1] = 1
    wider = [torch.cat([part, torch.randn(1, 4, 2, 4, 4)], 1) for part in (x, known)]
    time = torch.tensor([500.0])
    before = old(x, time, states, pooled, known, mask)
    after = new(wider[0], time, states, pooled, wider[1], torch.cat([mask, mask[:, :4]], 1))
    assert torch.allclose(after[:, :8], before, atol=1e-5)
    assert not after[:, 8:].any()


def test_new_words_begin_near_their_kin(tmp_path: Path) -> None:
    torch.manual_seed(0)
    SpacetimeTransformer(8, 32, 1, 2, 2, layout=4, text_width=32).save_pretrained(tmp_path / "transformer")
    old = ConceptEncoder(32, concepts=CONCEPTS.index("motion:bounce"))
    old.save_pretrained(tmp_path / "text_encoder")
    text = ConceptEncoder(32)
    grow(tmp_path, SpacetimeTransformer(12, 32, 1, 2, 2, layout=8, text_width=32), text, looks=4)
    table = text.table.weight
    for new, kin in ((concept("object2", "owl"), concept("object", "owl")),
                     (concept("motion", "bounce"), concept("motion", "fall"))):  # fmt: skip
        apart = torch.cdist(table[new][None], table)[0]
        apart[new] = torch.inf
        assert int(apart.argmin()) == kin
