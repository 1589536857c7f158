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
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.packaged import WEIGHTS
from guarded_sora.training import train
from guarded_sora.training.autoencoder import draw_drawn
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.natural import PHOTOGRAPHS, camera_film, photographs
from guarded_sora.training.optimiser import MuonAdam, orthogonalise
from guarded_sora.training.release import release
from guarded_sora.training.run import Producer, Run, slope

AUTOENCODER = {"steps": 4, "encoder_steps": 2, "batch": 1, "side": 64, "frames": 5, "channels": 4,
               "width": 16, "detail": 8, "depth": 1, "fit_batches": 8, "save_every": 2, "report_films": 1,
               "producer": False}  # fmt: skip
BASE = {"width": 32, "depth": 1, "heads": 2, "films": 2, "stills": 2, "pool": 8, "pool_least": 8,
        "save_every": 1, "sample_every": 100, "sample_rows": 1, "producer": False, "warmup": 1}  # fmt: skip
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
def test_a_base_model_learns_the_guided_flow_of_another(runs: Path, tmp_path: Path) -> None:
    known = str(runs / "base/export")
    train(
        "base", out=tmp_path, autoencoder=str(runs / "autoencoder/export"), steps=2, start=known, guide=known,
        guidance=4.0, **BASE,
    )  # fmt: skip
    learned = SpacetimeTransformer.from_pretrained(tmp_path / "export/transformer")
    assert learned.config.guidance == 4
    parts = (runs / name for name in ("autoencoder", "base", "temporal", "spatial"))
    facts = release(*parts, tmp_path / "released", tmp_path)
    assert facts["distilled"]["guidance"] == 4 and "guide" not in facts["distilled"]
    hurried = BuiltinBackend(tmp_path / "released", fast=True)
    clip = hurried.generate(GenerationRequest(prompt="a dog", seconds=0.5, steps=1))
    assert clip.settings["distilled"] and clip.settings["guidance"] == 1
    assert torch.equal(hurried.load().transformer.leave.weight, learned.leave.weight.half().float())
    assert SpacetimeTransformer.from_pretrained(runs / "base/export/transformer").config.guidance == 1


@pytest.mark.slow
def test_released_weights_make_a_clip(runs: Path, tmp_path: Path) -> None:
    facts = release(*(runs / name for name in ("autoencoder", "base", "temporal", "spatial")), tmp_path)
    backend = BuiltinBackend(tmp_path)
    assert backend.info.version == facts["version"] and backend.info.data_digest == facts["data_digest"]
    clip = backend.generate(GenerationRequest(prompt="a dog", seconds=0.5, steps=1))
    assert clip.frames.shape == (9, 256, 256, 3)
    assert not BuiltinBackend(tmp_path).load().transformer.config.align


@pytest.mark.parametrize("option", ["autoencoder", "start", "guide"])
def test_a_run_from_a_folder_that_is_none_is_refused_before_it_begins(tmp_path: Path, option: str) -> None:
    parts = {"autoencoder": str(WEIGHTS / "autoencoder"), option: str(tmp_path / "none")}
    with pytest.raises(UsageError, match=f"^{option}: there is no model"):
        train("base", out=tmp_path / "run", steps=1, **(BASE | parts))
    assert not (tmp_path / "run").exists()


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
