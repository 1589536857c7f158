"""Training runs end to end, resumes, and learns; all very small."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guarded_sora.errors import UsageError
from guarded_sora.generation import GenerationRequest
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, OBJECTS, PAD, UNKNOWN
from guarded_sora.training import train
from guarded_sora.training.autoencoder import draw_drawn
from guarded_sora.training.base import ALIGN, LAYOUT, MASK, Pool, draw_mask, drop_words, teacher
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.natural import PHOTOGRAPHS, camera_film, photographs
from guarded_sora.training.optimiser import MuonAdam, orthogonalise
from guarded_sora.training.release import release
from guarded_sora.training.run import Producer, Run, slope

AUTOENCODER = {"steps": 4, "encoder_steps": 2, "batch": 1, "side": 64, "frames": 5, "channels": 4,
               "width": 16, "detail": 8, "depth": 1, "fit_batches": 8, "save_every": 2, "report_films": 1,
               "producer": False}  # fmt: skip
BASE = {"width": 32, "depth": 1, "heads": 2, "batch": 2, "still_batch": 2, "pool": 8, "pool_least": 8,
        "save_every": 1, "sample_every": 100, "sample_rows": 1, "still_share": 0.2, "producer": False,
        "warmup": 1}  # fmt: skip
CASCADE = {"width": 32, "depth": 1, "heads": 2, "batch": 2, "pool": 8, "pool_least": 4, "save_every": 1,
           "warmup": 1}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train("autoencoder", out=folder / "autoencoder", **AUTOENCODER)
    train("base", out=folder / "base", autoencoder=str(folder / "autoencoder/export"), steps=4, **BASE)
    for stage in ("temporal", "spatial"):
        train(
            "cascade", out=folder / stage, stage=stage, autoencoder=str(folder / "autoencoder/export"),
            text_encoder=str(folder / "base/export/text_encoder"), steps=2, **CASCADE,
        )  # fmt: skip
    return folder


@pytest.mark.slow
def test_runs_leave_weights_curve_sheet_and_config(runs: Path) -> None:
    for run in ("autoencoder", "base", "temporal", "spatial"):
        assert (runs / run / "loss.png").exists()
        assert json.loads((runs / run / "config.json").read_text())["seed"]
        assert list((runs / run / "export").rglob("*.safetensors"))
    for run in ("autoencoder", "base"):
        assert list((runs / run / "samples").glob("*.png"))
    assert list((runs / "base/export").rglob("*.safetensors"))


@pytest.mark.slow
def test_a_run_resumes_where_it_stopped(runs: Path) -> None:
    before = torch.load(runs / "base/state.pt", weights_only=True)["step"]
    train("base", out=runs / "base", autoencoder=str(runs / "autoencoder/export"), steps=before + 1, **BASE)
    assert torch.load(runs / "base/state.pt", weights_only=True)["step"] == before + 1


@pytest.mark.slow
def test_released_weights_make_a_clip(runs: Path, tmp_path: Path) -> None:
    facts = release(*(runs / name for name in ("autoencoder", "base", "temporal", "spatial")), tmp_path)
    backend = BuiltinBackend(tmp_path)
    assert backend.info.version == facts["version"] and backend.info.data_digest == facts["data_digest"]
    clip = backend.generate(GenerationRequest(prompt="a dog", seconds=0.5, steps=1))
    assert clip.frames.shape == (9, 256, 256, 3)
    assert not BuiltinBackend(tmp_path).load().transformer.config.align


def test_unknown_names_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        train("everything", out=tmp_path)
    with pytest.raises(UsageError):
        train("base", out=tmp_path, no_such_option=1)


def test_muon_steps_are_orthogonal_and_descend() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(20, 50)))
    assert values.min() > 0.5 and values.max() < 1.5
    layer = torch.nn.Linear(8, 8)
    target, x = torch.randn(64, 8), torch.randn(64, 8)
    optimiser = MuonAdam.of(layer, lr=0.02)
    losses = []
    for _ in range(40):
        loss = (layer(x) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


def test_learning_rate_rises_stays_and_falls() -> None:
    rates = [slope(step, 100, 10, 0.5) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == rates[50] == 1.0
    assert rates[99] < 0.05
    assert all(b <= a for a, b in itertools.pairwise(rates[50:]))


def test_pool_keeps_the_newest() -> None:
    pool = Pool(4, 1, 1)
    for number in range(6):
        latents, outline = (
            np.full((1, 1, 1, 16, 16), number, np.float16),
            np.zeros((1, 4, 1, 32, 32), np.uint8),
        )
        pool.add((latents, np.zeros((1, MAX_TOKENS), np.int64), outline))
    assert len(pool) == 4 and pool.made == 6
    drawn, _, _ = pool.draw(64, torch.Generator().manual_seed(0))
    assert set(drawn.flatten().tolist()) == {2.0, 3.0, 4.0, 5.0}


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


@pytest.mark.parametrize("held", [False, True])
def test_films_for_the_autoencoder_are_cut_and_moved(held: bool) -> None:
    rng = np.random.default_rng(0)
    drawn = draw_drawn(rng, side=64, frames=5, held=held)
    assert drawn.shape == (5, 64, 64, 3) and drawn.dtype == np.uint8 and drawn.std() > 0
    picture = rng.integers(0, 255, (90, 120, 3)).astype(np.uint8)
    moved = camera_film(rng, picture, side=32, frames=4)
    assert moved.shape == (4, 32, 32, 3) and moved.std() > 0


def test_photographs_that_measure_never_train() -> None:
    assert {p.path for p in PHOTOGRAPHS if p.held} and {p.path for p in PHOTOGRAPHS if not p.held}
    trains, measures = photographs(), photographs(held=True)
    assert all(picture.ndim == 3 and picture.shape[2] == 3 for picture in (*trains, *measures))
    digests = {picture.tobytes() for picture in trains}
    assert not digests & {picture.tobytes() for picture in measures}


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


def test_a_producer_in_another_process_gives_what_it_would_give_here() -> None:
    def make(rng: np.random.Generator) -> float:
        return float(rng.random())

    here, there = Producer(make, 3, processes=False), Producer(make, 3, processes=True)
    assert [next(here) for _ in range(5)] == [next(there) for _ in range(5)]
    there.close()


def test_a_state_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('this code must never run')",))

    run = Run(tmp_path, BaseConfig())
    (tmp_path / "state.pt").write_bytes(pickle.dumps({"losses": Evil()}))
    with pytest.raises(Exception, match=r"(?i)weights|unpickl|unsupported"):
        run.resume()
