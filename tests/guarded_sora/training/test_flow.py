"""Packed rows of training: the pools they are drawn from, what is given, what is asked, what is taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.shapes import BASE_SHAPES
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, OBJECTS, PAD, UNKNOWN
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.flow import ALIGN, MASK, drop_words, flow_losses, teacher
from guarded_sora.training.noised import Noised, draw_later_mask, draw_mask, noised
from guarded_sora.training.pool import LAYOUT, Pool, draw_piece
from tests.guarded_sora.training.batches import batch_of


def test_pool_keeps_the_newest() -> None:
    pool = Pool(4, 1, 1)
    for number in range(6):
        latents, outline = (
            np.full((1, 1, 1, 16, 16), number, np.float16),
            np.zeros((1, 4, 1, 32, 32), np.uint8),
        )
        pool.add((latents, np.zeros((1, MAX_TOKENS), np.int64), outline))
    assert len(pool) == 4 and pool.made == 6
    drawn = pool.draw(64, torch.Generator().manual_seed(0))
    assert set(drawn.clean.flatten().tolist()) == {2.0, 3.0, 4.0, 5.0}


def test_the_teacher_knows_where_the_object_is_and_which_it_is() -> None:
    """The outline goes to the tokens it covers, in their order, and the object's name with it."""
    outlines = torch.zeros(1, 4, 1, 32, 32)
    outlines[0, :2, 0, 4:8, 8:12] = 1.0  # exactly the token of row 1, column 2
    outlines[0, 2:, 0, 20:24, 0:4] = 1.0  # row 5, column 0
    rows = torch.tensor([[CONCEPTS.index("object:star"), CONCEPTS.index("object2:owl"), *[PAD] * 6]])
    truth = teacher(rows, outlines)
    assert truth.shape == (1, 64, ALIGN)
    assert truth[0, 8 + 2, :MASK].min() == 1.0
    assert truth[0, 8 + 2, MASK:].argmax() == OBJECTS.index("star")
    assert truth[0, 5 * 8, MASK:].argmax() == OBJECTS.index("owl") and truth[0, 5 * 8, :MASK].min() == 1.0
    truth[0, [8 + 2, 5 * 8]] = 0
    assert truth.abs().max() == 0


def test_words_are_dropped_but_the_object_stays_unless_all_go() -> None:
    rows = torch.tensor([[2, 26, 34, 40, *[PAD] * 4]] * 400)
    config = BaseConfig(text_drop=0.3, omit=0.3)
    out = drop_words(rows, config, torch.Generator().manual_seed(0)).tolist()
    empty = [row for row in out if row[0] in (PAD, UNKNOWN)]
    assert 0.2 < len(empty) / 400 < 0.4
    assert {row[0] for row in empty} == {PAD, UNKNOWN}
    kept = [row for row in out if row[0] not in (PAD, UNKNOWN)]
    assert all(row[0] == 2 for row in kept) and len({tuple(row) for row in kept}) > 4


def test_masks_give_beginnings_only_and_never_a_whole_still() -> None:
    config = BaseConfig(known_one=0.4, known_more=0.4, known_other=0.0)
    mask = draw_mask(torch.zeros(200, 4 + LAYOUT, 5, 2, 2), config, torch.Generator().manual_seed(0))
    assert torch.equal(mask[:, :1].expand(-1, 4, -1, -1, -1), mask[:, :4])
    given = mask[:, 0, :, 0, 0].sum(1).int().tolist()
    placed = mask[:, -1, :, 0, 0].sum(1).int().tolist()
    assert all(p in (0, g) for p, g in zip(placed, given, strict=True))
    assert 0 < sum(p == 0 < g for p, g in zip(placed, given, strict=True)) < sum(g > 0 for g in given)
    assert set(given) == {0, 1, 2, 3}
    assert all((row[:-1] >= row[1:]).all() for row in mask[:, 0, :, 0, 0])
    assert draw_mask(torch.zeros(9, 4, 1, 2, 2), config, torch.Generator().manual_seed(0)).sum() == 0


def test_other_masks_give_the_end_both_ends_or_all_but_a_box() -> None:
    config = BaseConfig(known_one=0.0, known_more=0.0, known_other=1.0)
    mask = draw_mask(torch.zeros(200, 4 + LAYOUT, 5, 16, 16), config, torch.Generator().manual_seed(0))
    kinds = set()
    for row in mask[:, 0]:
        whole = row.flatten(1).mean(1)
        if 0 < whole[0] < 1:
            kinds.add("box")
            assert (row == row[0]).all() and (row == 0).any()
            continue
        assert set(whole.tolist()) == {0.0, 1.0} and whole[-1] == 1, "whole frames, the last among them"
        kinds.add("both ends" if whole[0] else "end")
        middle = whole[whole.argmin() :]
        assert (middle[:-1] <= middle[1:]).all(), "one gap"
    assert kinds == {"end", "both ends", "box"}


def test_a_piece_from_inside_a_film_is_given_two_latent_frames_spoiled() -> None:
    config = BaseConfig(known_one=0.5, known_more=0.25, known_other=0.0, known_noise=0.3)
    batch = batch_of((5, 8, 8), 100)
    draw = torch.Generator().manual_seed(0)
    mask = draw_later_mask(batch.clean, config, draw)
    assert (mask[:, :, :2] == 1).all() and 0 < mask[:, 0, 2:].mean() < 0.2
    spoiled = noised(batch, config, draw, later=True)
    apart = (spoiled.known - batch.clean).flatten(1).std(1)
    assert 0 < apart.min() < 0.05 and 0.25 < apart.max() <= 0.31
    assert torch.equal(noised(batch, config, draw).known, batch.clean)


def test_pieces_are_mostly_first_windows_and_of_every_length() -> None:
    draw = torch.Generator().manual_seed(0)
    pieces = [draw_piece(9, 0.3, draw) for _ in range(600)]
    lengths = [piece.stop - piece.start for piece in pieces]
    assert set(lengths) == set(range(2, 10)) and {piece.start for piece in pieces} == {0, 1, 2, 3, 4}
    assert 0.5 < np.mean([piece == slice(0, 5) for piece in pieces]) < 0.7
    assert all(piece.stop <= 9 for piece in pieces)


def test_a_packed_row_teaches_what_its_clips_alone_would() -> None:
    """Films of three lengths and shapes and stills in one row; the gradient is that of clip after clip."""
    torch.manual_seed(0)
    network = SpacetimeTransformer(4 + LAYOUT, 32, 2, 2, layout=LAYOUT, text_width=32, align=ALIGN)
    for layer in (network.leave, *(block.modulate for block in network.blocks)):
        torch.nn.init.normal_(layer.weight, std=0.1)  # nothing is passed on before training
    words = ConceptEncoder(32)
    config, draw = BaseConfig(text_drop=0.0, omit=0.0), torch.Generator().manual_seed(1)
    shapes = [(5, *(side // 8 for side in BASE_SHAPES[1])), (2, 16, 16), (9, 8, 8), (1, 16, 16), (1, 8, 12)]
    parts = [noised(batch_of(shape, 2), config, draw, later=shape[0] == 9) for shape in shapes]

    def gradient(rows: list[list[Noised]], weights: list[float]) -> torch.Tensor:
        network.zero_grad()
        for row, weight in zip(rows, weights, strict=True):
            losses = flow_losses(network, words, row, config, torch.Generator().manual_seed(2))
            (weight * (losses.films + losses.stills)).backward()
        found: torch.Tensor = network.blocks[0].qkv.weight.grad
        return found.clone()

    asked = [float((1 - part.mask).sum()) for part in parts]
    shares = [a / sum(asked[:3]) for a in asked[:3]] + [a / sum(asked[3:]) for a in asked[3:]]
    together, apart = gradient([parts], [1.0]), gradient([[part] for part in parts], shares)
    assert together.abs().max() > 1e-4
    assert (together - apart).abs().max() <= 0.03 * together.abs().max()  # bfloat16 arithmetic


def test_a_row_without_stills_has_no_loss_of_stills() -> None:
    network = SpacetimeTransformer(4 + LAYOUT, 32, 1, 2, layout=LAYOUT, text_width=32, align=ALIGN)
    config, draw = BaseConfig(), torch.Generator().manual_seed(1)
    losses = flow_losses(
        network, ConceptEncoder(32), [noised(batch_of((5, 8, 8), 1), config, draw)], config, draw
    )
    assert losses.stills == 0 and losses.films > 0


def test_a_clip_of_a_row_says_how_much_it_is_noised() -> None:
    part = noised(batch_of((5, 8, 8), 3), BaseConfig(), torch.Generator().manual_seed(1))
    clips = part.clips(torch.zeros(3, 6, 32), torch.zeros(3, 32))
    assert [float(clip.timestep) for clip in clips] == pytest.approx((1000 * part.sigma).tolist())
    for clip, mask, clean in zip(clips, part.mask, part.batch.clean, strict=True):
        assert torch.equal(clip.latents * mask, clean * mask)
