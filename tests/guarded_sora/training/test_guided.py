"""Learning the guided flow of a trained network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from guarded_sora.errors import UsageError
from guarded_sora.generation.models.text import ConceptEncoder, empty_tokens
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.vocabulary import MAX_TOKENS, PAD, UNKNOWN
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.flow import ALIGN, flow_losses
from guarded_sora.training.guided import Guide
from guarded_sora.training.noised import Noised, noised
from guarded_sora.training.pool import LAYOUT
from tests.guarded_sora.training.batches import batch_of


def network(seed: int) -> SpacetimeTransformer:
    torch.manual_seed(seed)
    made = SpacetimeTransformer(4 + LAYOUT, 32, 2, 2, layout=LAYOUT, text_width=32, align=ALIGN)
    for layer in (made.leave, *(block.modulate for block in made.blocks)):
        torch.nn.init.normal_(layer.weight, std=0.1)  # nothing is passed on before training
    return made


@pytest.fixture
def guide() -> Guide:
    return Guide(transformer=network(0).eval(), text_encoder=ConceptEncoder(32).eval(), scale=5.0)


def parts() -> list[Noised]:
    """Two films of which nothing is given, two of which the first frame is, and three stills."""
    draw = torch.Generator().manual_seed(1)
    none = BaseConfig(known_one=0.0, known_more=0.0, known_other=0.0)
    first = replace(none, known_one=1.0)
    shapes = [((5, 8, 8), 2, none), ((3, 8, 12), 2, first), ((1, 16, 16), 3, none)]
    return [noised(batch_of(shape, count), config, draw) for shape, count, config in shapes]


def test_the_flow_is_pushed_away_from_the_empty_prompt_half_as_far_where_something_is_given(
    guide: Guide,
) -> None:
    asked = parts()
    rows = torch.cat([part.batch.rows for part in asked])
    rows[1], rows[6] = PAD, torch.tensor([UNKNOWN] + [PAD] * (MAX_TOKENS - 1))
    found = guide.flows(asked, rows)
    clips = [(part, index) for part in asked for index in range(len(part.batch))]
    scales = [5.0, 1.0, 3.0, 3.0, 5.0, 5.0, 1.0]
    for (part, index), row, flow, scale in zip(clips, rows, found, scales, strict=True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            told, away = (
                guide.transformer.packed([part.clips(*_words(guide, part, words))[index]])[0].float()
                for words in (row, empty_tokens(1)[0])
            )
        wanted = away + scale * (told - away)
        assert (flow - wanted).abs().max() <= 0.05 * wanted.abs().max()  # bfloat16 arithmetic


def _words(guide: Guide, part: Noised, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    text, pooled = guide.text_encoder(row.expand(len(part.batch), -1))
    return text, pooled


def test_what_is_learned_needs_no_guidance(guide: Guide) -> None:
    """A network that begins as its guide comes nearer to the guided flow, and the guide stays as it is."""
    student, words = network(0), ConceptEncoder(32)
    words.load_state_dict(guide.text_encoder.state_dict())
    before = [parameter.clone() for parameter in guide.transformer.parameters()]
    config, asked = BaseConfig(text_drop=0.0, omit=0.0), parts()
    optimiser = torch.optim.Adam([*student.parameters(), *words.parameters()], lr=3e-3)
    losses = []
    for _ in range(40):
        found = flow_losses(student, words, asked, config, torch.Generator().manual_seed(2), guide)
        whole = found.films + found.stills
        optimiser.zero_grad()
        whole.backward()
        optimiser.step()
        losses.append(whole.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, guide.transformer.parameters(), strict=True))


@pytest.mark.parametrize("scale", [1.0, 0.0, -3.0, float("nan")])
def test_a_scale_that_guides_to_nothing_is_refused(tmp_path: Path, scale: float) -> None:
    with pytest.raises(UsageError, match="more than 1"):
        Guide.load(tmp_path, scale)


def test_a_model_that_is_guided_already_is_no_guide(guide: Guide, tmp_path: Path) -> None:
    guide.transformer.register_to_config(guidance=3.0)
    guide.transformer.save_pretrained(tmp_path / "transformer")
    with pytest.raises(UsageError, match="already"):
        Guide.load(tmp_path, 3.0)


def test_a_guide_is_read_from_an_exported_folder(guide: Guide, tmp_path: Path) -> None:
    guide.transformer.save_pretrained(tmp_path / "transformer")
    guide.text_encoder.save_pretrained(tmp_path / "text_encoder")
    again, asked = Guide.load(tmp_path, 5.0), parts()
    rows = torch.cat([part.batch.rows for part in asked])
    for ours, theirs in zip(again.flows(asked, rows), guide.flows(asked, rows), strict=True):
        assert torch.equal(ours, theirs)
