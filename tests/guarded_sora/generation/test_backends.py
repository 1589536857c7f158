"""Every backend keeps the contract: frames out, clear errors, stops when told to."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guarded_sora.errors import BackendUnavailable, GenerationFailed, UsageError
from guarded_sora.generation import GenerationRequest, StepEvent, VideoBackend, load_backend
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.backends.callable import CallableBackend, as_backend
from guarded_sora.generation.backends.diffusers import DiffusersBackend
from tests.guarded_sora.generation.tiny import tiny_pipeline
from tests.guarded_sora.generation.tiny_wan import tiny_wan

SECRET = "a red balloon rising over the zzyzx"


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("builtin")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wan() -> Any:
    return tiny_wan()


def grey(request: GenerationRequest) -> np.ndarray:
    return np.full((5, 16, 24, 3), 7, np.uint8)


def request(**options: Any) -> GenerationRequest:
    return GenerationRequest(**({"prompt": SECRET, "seconds": 0.5, "steps": 3} | options))


@pytest.fixture(scope="module", params=["builtin", "diffusers", "callable"])
def backend(request: pytest.FixtureRequest, tiny_folder: Path, wan: Any) -> VideoBackend:
    if request.param == "builtin":
        return BuiltinBackend(tiny_folder)
    if request.param == "diffusers":
        return DiffusersBackend(wan, options={"max_sequence_length": 16, "height": 16, "width": 16})
    return CallableBackend(grey)


# -- every backend ------------------------------------------------------------------------------


def test_gives_contiguous_uint8_frames_and_says_what_was_used(backend: VideoBackend) -> None:
    clip = backend.generate(request())
    assert clip.frames.dtype == np.uint8 and clip.frames.ndim == 4 and clip.frames.shape[-1] == 3
    assert clip.frames.flags["C_CONTIGUOUS"]
    assert clip.fps > 0
    assert clip.info == backend.info
    assert clip.settings["seed"] == 0
    assert isinstance(backend, VideoBackend)


def test_same_seed_gives_the_same_frames(backend: VideoBackend) -> None:
    assert np.array_equal(backend.generate(request()).frames, backend.generate(request()).frames)


def test_steps_are_told_in_order_with_a_preview_where_offered(backend: VideoBackend) -> None:
    events: list[StepEvent] = []
    backend.generate(request(), lambda event: events.append(event) or True)
    assert [event.step for event in events] == list(range(1, len(events) + 1))
    assert events[-1].step <= events[-1].steps
    if events[0].preview is not None:
        look = events[0].preview()
        assert look.dtype == np.uint8 and look.ndim == 4 and look.shape[-1] == 3


def test_stops_when_told_to_and_works_again(backend: VideoBackend) -> None:
    seen: list[int] = []
    with pytest.raises(GenerationFailed, match="stopped"):
        backend.generate(request(), lambda event: bool(seen.append(event.step)))
    assert seen == [1]
    assert backend.generate(request()).frames.size


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": ""},
        {"prompt": " \n\t"},
        {"seconds": 0.0},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"seconds": 1e9},
        {"width": 0},
        {"height": -5},
        {"width": 10**9},
        {"fps": 0.0},
        {"fps": float("inf")},
        {"steps": 0},
        {"guidance": float("nan")},
        {"seed": 2**70},
        {"image": np.zeros((4, 4), np.uint8)},
        {"image": np.zeros((4, 4, 3), np.float32)},
        {"image": np.zeros((0, 4, 3), np.uint8)},
        {"video": np.zeros((4, 4, 3), np.uint8)},
        {"image": np.zeros((4, 4, 3), np.uint8), "video": np.zeros((1, 4, 4, 3), np.uint8)},
    ],
)
def test_requests_that_cannot_be_made_are_refused(backend: VideoBackend, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        backend.generate(request(**options))


@pytest.mark.parametrize("prompt", ["\ud800 dog", "x" * 100_000, "\x00", "🐶", "‮ dog"])
def test_odd_prompts_make_a_clip_or_one_clear_error(backend: VideoBackend, prompt: str) -> None:
    try:
        assert backend.generate(request(prompt=prompt, steps=1)).frames.size
    except GenerationFailed as error:
        assert prompt not in str(error)


# -- built in -----------------------------------------------------------------------------------


def test_builtin_says_what_it_does_not_know_without_repeating_it(tiny_folder: Path) -> None:
    backend = BuiltinBackend(tiny_folder)
    known = backend.generate(request(prompt="a red balloon rising over a sandy beach", steps=1))
    assert known.in_domain is True and known.warnings == ()
    strange = backend.generate(request(steps=1))
    assert strange.in_domain is False
    assert strange.warnings and not any("zzyzx" in warning for warning in strange.warnings)


@pytest.mark.parametrize(("seconds", "frames"), [(0.01, 1), (0.5, 9), (1.0, 17), (2.0, 33)])
def test_builtin_length_follows_the_seconds(tiny_folder: Path, seconds: float, frames: int) -> None:
    clip = BuiltinBackend(tiny_folder).generate(request(seconds=seconds, steps=1))
    assert clip.frames.shape == (frames, 256, 256, 3)
    assert clip.fps == 16.0


def test_builtin_counts_the_steps_of_all_windows(tiny_folder: Path) -> None:
    events: list[StepEvent] = []
    clip = BuiltinBackend(tiny_folder).generate(
        request(seconds=3.0, steps=1), lambda event: events.append(event) or True
    )
    assert len(clip.frames) == 49
    assert events[-1].step == events[-1].steps == len(events)


def test_builtin_snaps_sizes_and_rate_with_a_warning(tiny_folder: Path) -> None:
    clip = BuiltinBackend(tiny_folder).generate(request(width=101, height=80, fps=24.0, steps=1, seconds=0.1))
    assert clip.frames.shape[1:3] == (80, 102)
    assert clip.fps == 16.0
    assert len(clip.warnings) >= 3


def test_builtin_refuses_more_than_a_minute(tiny_folder: Path) -> None:
    with pytest.raises(UsageError):
        BuiltinBackend(tiny_folder).generate(request(seconds=61.0))


def test_builtin_without_weights_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable):
        BuiltinBackend(tmp_path).generate(request())


def test_builtin_without_distilled_weights_is_unavailable_in_a_hurry(tiny_folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match="reinstall"):
        BuiltinBackend(tiny_folder, fast=True).generate(request())


def test_builtin_with_broken_weights_is_unavailable(tiny_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    file = next((folder / "transformer").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BackendUnavailable):
        BuiltinBackend(folder).generate(request())


@pytest.mark.parametrize("fast", [False, True])
def test_the_packaged_weights_make_the_readme_film(fast: bool) -> None:
    """What ships: reads, is whole, follows the plainest things the README's prompt asks for."""
    from guarded_sora.training.judge import judge

    clip = BuiltinBackend(fast=fast).generate(
        GenerationRequest(prompt="a red balloon rising over a sandy beach", seed=0)
    )
    assert (clip.settings["steps"], clip.settings["guidance"]) == ((8, 1.0) if fast else (12, 4.0))
    assert clip.frames.shape == (33, 256, 256, 3)
    assert clip.info.weights_sha256 and clip.info.data_digest
    sight = judge(clip.frames)
    assert (sight.background, sight.colour, sight.motion) == ("beach", "red", "rise")


def test_a_hub_that_cannot_be_reached_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub id is asked for and nothing comes: the sentence names it and says what to do."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackendUnavailable, match=r"nobody/nothing could not be fetched from the hub.*folder"):
        load_backend("nobody/nothing")


# -- functions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 4, 4, 3), np.float64),
        np.ones((2, 4, 4, 1), np.float32),
        torch.rand(2, 4, 4, 3),
        torch.zeros(2, 4, 4, 3, dtype=torch.uint8),
        [np.zeros((4, 4, 3), np.uint8)] * 2,
        np.zeros((2, 4, 4, 4), np.uint8),
    ],
)
def test_functions_may_return_any_usual_kind_of_frames(frames: Any) -> None:
    clip = as_backend(lambda request: frames).generate(request())
    assert clip.frames.shape == (2, 4, 4, 3) and clip.frames.dtype == np.uint8


def test_grey_films_become_three_channels() -> None:
    assert as_backend(lambda request: np.zeros((2, 4, 5), np.uint8)).generate(request()).frames.shape == (
        2,
        4,
        5,
        3,
    )


def test_float_one_is_white() -> None:
    assert as_backend(lambda request: np.ones((1, 2, 2, 3))).generate(request()).frames.min() == 255


@pytest.mark.parametrize(
    "frames",
    [
        None,
        "frames",
        [],
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 2), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.full((1, 4, 4, 3), np.nan),
        np.full((1, 4, 4, 3), 2.0),
        np.full((1, 4, 4, 3), -1.0),
        np.zeros((1, 4, 4, 3), np.int64),
        [np.zeros((4, 4, 3)), np.zeros((5, 4, 3))],
    ],
)
def test_functions_that_return_no_frames_fail_clearly(frames: Any) -> None:
    with pytest.raises(GenerationFailed):
        as_backend(lambda request: frames).generate(request())


def test_a_function_that_raises_fails_without_repeating_the_prompt() -> None:
    def broken(request: GenerationRequest) -> Any:
        raise RuntimeError(request.prompt)

    with pytest.raises(GenerationFailed) as caught:
        CallableBackend(broken).generate(request())
    assert SECRET not in str(caught.value)


# -- diffusers ----------------------------------------------------------------------------------


def test_diffusers_snaps_to_what_the_family_makes(wan: Any) -> None:
    clip = DiffusersBackend(wan, options={"max_sequence_length": 16}).generate(
        request(width=20, height=30, seconds=0.5, fps=16.0, steps=1)
    )
    assert clip.frames.shape == (9, 32, 16, 3)
    assert len(clip.warnings) == 3


def test_diffusers_passes_only_what_the_pipeline_takes(wan: Any) -> None:
    clip = DiffusersBackend(wan, options={"max_sequence_length": 16, "height": 16, "width": 16}).generate(
        request(steps=1, guidance=2.0, extra={"no_such_argument": 1})
    )
    assert any("no effect" in warning for warning in clip.warnings)
    assert clip.settings["guidance"] == 2.0


def test_diffusers_without_an_image_input_refuses_one(wan: Any) -> None:
    with pytest.raises(UsageError):
        DiffusersBackend(wan).generate(request(image=np.zeros((8, 8, 3), np.uint8)))


def test_diffusers_errors_hide_the_prompt(wan: Any) -> None:
    backend = DiffusersBackend(wan, options={"max_sequence_length": "many"})
    with pytest.raises(GenerationFailed) as caught:
        backend.generate(request(steps=1))
    assert SECRET not in str(caught.value)


class OldPipeline:
    """A pipeline without a step callback, as some families are."""

    class Scheduler:
        def step(self, value: int) -> int:
            return value

    def __init__(self) -> None:
        self.scheduler = self.Scheduler()

    def __call__(self, prompt: str, num_inference_steps: int = 4) -> Any:
        for index in range(num_inference_steps):
            self.scheduler.step(index)
        return (np.zeros((1, 3, 16, 16, 3), np.float32),)


def test_a_pipeline_without_callback_is_stopped_at_its_scheduler() -> None:
    backend, seen = DiffusersBackend(OldPipeline()), []
    with pytest.raises(GenerationFailed, match="stopped"):
        backend.generate(request(), lambda event: bool(seen.append(event.step)) or event.step < 2)
    assert seen == [1, 2]
    assert backend.generate(request()).frames.shape == (3, 16, 16, 3)
    assert "step" not in vars(backend.pipeline.scheduler)


def test_a_folder_loads_offline_and_makes_the_same_as_the_object(wan: Any, tmp_path: Path) -> None:
    wan.save_pretrained(tmp_path / "wan")
    backend = load_backend(tmp_path / "wan")
    assert isinstance(backend, DiffusersBackend) and backend.info.weights_sha256
    backend.pipeline.set_progress_bar_config(disable=True)
    options = {"max_sequence_length": 16, "height": 16, "width": 16}
    made = backend.generate(request(steps=1, extra=options)).frames
    expected = DiffusersBackend(wan).generate(request(steps=1, extra=options)).frames
    assert np.abs(made.astype(int) - expected).max() <= 1


# -- choosing -----------------------------------------------------------------------------------


def test_load_backend_chooses_by_kind(wan: Any, tiny_folder: Path) -> None:
    assert isinstance(load_backend(), BuiltinBackend)
    assert isinstance(load_backend("auto"), BuiltinBackend)
    assert isinstance(load_backend(wan), DiffusersBackend)
    assert isinstance(load_backend(grey), CallableBackend)
    ready = CallableBackend(grey)
    assert load_backend(ready) is ready
    assert load_backend(str(tiny_folder)).info.name == "diffusers:GuardedSoraPipeline"


@pytest.mark.parametrize("spec", [42, "no-such-name", "https://name:word@example.com", "/no/such/folder", ""])
def test_load_backend_refuses_what_it_does_not_know(spec: Any) -> None:
    with pytest.raises(BackendUnavailable):
        load_backend(spec)


def folder_without_index(folder: Path) -> None:
    pass


def folder_with_pickles_only(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    (folder / "transformer").mkdir()
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def folder_with_its_own_code(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["pipeline", "EvilPipeline"]}))
    (folder / "pipeline.py").write_text("raise SystemExit('this code must never run')")
    (folder / "x.safetensors").write_bytes(b"")


def folder_of_an_unknown_class(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "NoSuchPipeline"}))
    (folder / "x.safetensors").write_bytes(b"")


def folder_with_broken_json(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@pytest.mark.parametrize(
    "fill",
    [folder_without_index, folder_with_pickles_only, folder_with_its_own_code, folder_of_an_unknown_class,
     folder_with_broken_json],
)  # fmt: skip
def test_folders_that_are_no_safe_pipeline_are_refused(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path)
    with pytest.raises(BackendUnavailable):
        load_backend(tmp_path)


def test_importing_generation_loads_no_torch() -> None:
    code = (
        "import sys, guarded_sora.generation as g; g.load_backend(); g.load_backend(lambda r: None);"
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
