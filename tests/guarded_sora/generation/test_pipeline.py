from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler

from guarded_sora.generation.backends import load_backend
from guarded_sora.generation.cascade import pieces, refine, slower_to_faster
from guarded_sora.generation.conditioning import set_times
from guarded_sora.generation.models.autoencoder import Cache
from guarded_sora.generation.models.base import euler_scheduler
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.generation.shapes import BASE_SHAPES, base_shape
from tests.guarded_sora.generation.tiny import tiny_pipeline

PROMPT = "a red balloon rising over a sandy beach"


@pytest.fixture(scope="module")
def pipeline() -> GuardedSoraPipeline:
    return tiny_pipeline()


def run(pipeline: GuardedSoraPipeline, **options: object) -> np.ndarray:
    settings = {
        "prompt": PROMPT, "num_inference_steps": 2, "refine_steps": 1, "num_frames": 1,
        "output_type": "uint8",
    } | options  # fmt: skip
    settings.setdefault("generator", torch.Generator().manual_seed(7))
    return pipeline(**settings).frames


BASE = {"height": 128, "width": 128, "frame_rate": 8}
"""No cascade: what the base model makes comes out."""


def test_makes_frames_of_the_asked_for_shape(pipeline: GuardedSoraPipeline) -> None:
    frames = run(pipeline)
    assert frames.shape == (1, 1, 256, 256, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 0


def test_same_seed_same_bits_other_seed_other_bits(pipeline: GuardedSoraPipeline) -> None:
    first = run(pipeline)
    assert np.array_equal(first, run(pipeline))
    assert not np.array_equal(first, run(pipeline, generator=torch.Generator().manual_seed(8)))


def test_prompt_and_guidance_and_negative_prompt_change_the_film(pipeline: GuardedSoraPipeline) -> None:
    latents = {
        name: run(pipeline, output_type="latent", **options)
        for name, options in {
            "plain": {},
            "other": {"prompt": "a dog spinning in the snow"},
            "unguided": {"guidance_scale": 1.0},
            "negative": {"negative_prompt": "a cat at night"},
        }.items()
    }
    for name in ("other", "unguided", "negative"):
        assert not torch.allclose(latents["plain"], latents[name])


def test_guidance_of_the_first_steps_alone_costs_less(
    pipeline: GuardedSoraPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = pipeline.transformer.forward
    monkeypatch.setattr(
        pipeline.transformer,
        "forward",
        lambda x, *rest, **more: rows.append(len(x)) or forward(x, *rest, **more),
    )
    films = {}
    for guided in (None, 5, 3, 0):
        rows.clear()
        films[guided] = run(
            pipeline, output_type="latent", num_inference_steps=5, guided_steps=guided, **BASE
        )
        assert sum(rows) == 5 + min(5, 5 if guided is None else guided)
    assert torch.equal(films[None], films[5]) and not torch.allclose(films[3], films[5])
    plain = run(pipeline, output_type="latent", num_inference_steps=5, guidance_scale=1.0, **BASE)
    assert torch.equal(films[0], plain)


def test_a_network_that_learned_guidance_is_asked_once_a_step_and_still_avoids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = tiny_pipeline()
    learned.transformer.register_to_config(guidance=6.0)
    rows: list[int] = []
    forward = learned.transformer.forward
    monkeypatch.setattr(
        learned.transformer,
        "forward",
        lambda x, *rest, **more: rows.append(len(x)) or forward(x, *rest, **more),
    )
    options = {"output_type": "latent", "num_inference_steps": 5, **BASE}
    plain = run(learned, **options)
    assert sum(rows) == 5 and learned.guidance() == 1
    assert torch.equal(plain, run(learned, guidance_scale=1.0, **options))
    rows.clear()
    avoided = run(learned, negative_prompt="a cat at night", **options)
    assert sum(rows) == 10 and not torch.allclose(plain, avoided)
    assert tiny_pipeline().guidance() == 4


@pytest.mark.parametrize(("frames", "made"), [(1, 1), (2, 5), (17, 17), (18, 21), (33, 33)])
def test_length_is_rounded_up_and_long_films_are_made_in_windows(
    pipeline: GuardedSoraPipeline, frames: int, made: int
) -> None:
    with pytest.warns() if frames != made else np.errstate():
        latents = run(pipeline, num_frames=frames, num_inference_steps=1, output_type="latent", **BASE)
    assert latents.shape == (1, 4, 1 + (made - 1) // 4, 16, 16)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"num_frames": 9}, (9, 256, 256)),
        ({"num_frames": 10}, (17, 256, 256)),
        ({"num_frames": 5, "frame_rate": 8}, (5, 256, 256)),
        ({"num_frames": 9, "height": 128, "width": 128}, (9, 128, 128)),
    ],
)
def test_the_cascade_doubles_rate_and_size(
    pipeline: GuardedSoraPipeline, options: dict[str, int], shape: tuple[int, ...]
) -> None:
    with pytest.warns() if options["num_frames"] == 10 else np.errstate():
        assert run(pipeline, num_inference_steps=1, **options).shape == (1, *shape, 3)


def test_windows_keep_what_was_made_before(pipeline: GuardedSoraPipeline) -> None:
    short = run(pipeline, num_frames=17, output_type="latent", **BASE)
    long = run(pipeline, num_frames=29, output_type="latent", **BASE)
    assert torch.equal(short, long[:, :, :5])


@torch.no_grad()
def test_working_in_parts_equals_the_whole(pipeline: GuardedSoraPipeline) -> None:
    """Chunks with the causal cache give what the whole film gives, both ways."""
    model = pipeline.autoencoder
    film = torch.rand(1, 3, 25, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = model.encode(film)
    cache = Cache()
    parts = [model.encode(film[:, :, a:b], cache) for a, b in ((0, 1), (1, 9), (9, 13), (13, 25))]
    assert torch.allclose(torch.cat(parts, 2), latents, atol=1e-5)
    cache = Cache()
    shown = [model.decode(latents[:, :, a:b], cache) for a, b in ((0, 2), (2, 3), (3, 7))]
    assert torch.allclose(torch.cat(shown, 2), model.decode(latents), atol=1e-5)
    with pytest.raises(ValueError, match="further piece"):
        model.encode(film[:, :, :3], cache)


def test_a_film_in_parts_is_made_faster_like_the_whole() -> None:
    film = torch.rand(1, 3, 13, 8, 8, generator=torch.Generator().manual_seed(2))
    (whole,) = slower_to_faster([film])
    assert whole.shape[2] == 25
    assert torch.equal(whole[:, :, ::2], film)
    parts = list(slower_to_faster([film[:, :, :5], film[:, :, 5:9], film[:, :, 9:]]))
    assert [part.shape[2] for part in parts] == [9, 8, 8]
    assert torch.equal(torch.cat(parts, 2), whole)


@pytest.mark.parametrize("total", range(1, 12))
def test_a_stage_covers_every_latent_frame_once(pipeline: GuardedSoraPipeline, total: int) -> None:
    latents = torch.randn(1, 4, total, 8, 8, generator=torch.Generator().manual_seed(3))
    steps: list[int] = []

    def count(step: int, *_: torch.Tensor) -> None:
        steps.append(step)

    with torch.no_grad():
        made = list(
            refine(
                pipeline.temporal, pipeline.text_encoder, pipeline.scheduler, torch.zeros(1, 6).long(),
                latents.split(2, 2), steps=1, draw=torch.randn, on_step=count,
            )
        )  # fmt: skip
    assert sum(part.shape[2] for part in made) == total
    assert len(steps) == len(made) == len(list(pieces(total)))


def test_image_prompt_keeps_its_latent_and_its_first_frame(pipeline: GuardedSoraPipeline) -> None:
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    with torch.no_grad():
        known = pipeline.encode_film(image[None])
    made = run(pipeline, image=image, num_frames=5, output_type="latent", **BASE)
    assert torch.equal(made[:, :, :1], known)
    assert not torch.allclose(made, run(pipeline, num_frames=5, output_type="latent", **BASE))


def test_video_prompt_is_continued(pipeline: GuardedSoraPipeline) -> None:
    video = np.random.default_rng(0).integers(0, 255, (9, 120, 90, 3)).astype(np.uint8)
    with torch.no_grad():
        known = pipeline.encode_film(video)
    made = run(pipeline, video=video, num_frames=17, output_type="latent", **BASE)
    assert torch.equal(made[:, :, :3], known)
    fast = np.repeat(video, 2, 0)[1:]  # the same film at 16 a second
    assert torch.equal(
        run(
            pipeline,
            video=fast,
            num_frames=33,
            output_type="latent",
            height=128,
            width=128,
            num_inference_steps=1,
        )[:, :, :1]
        .isfinite()
        .all(),
        torch.tensor(True),
    )


def test_several_prompts_make_several_clips(pipeline: GuardedSoraPipeline) -> None:
    out = pipeline(prompt=[PROMPT, "two zebras"], num_inference_steps=1, num_frames=1, output_type="pt")
    assert tuple(out.frames.shape) == (2, 1, 3, 256, 256)
    assert [reading.in_domain for reading in out.readings] == [True, False]


def test_other_sizes_are_cut_and_resized(pipeline: GuardedSoraPipeline) -> None:
    assert run(pipeline, height=96, width=160, num_frames=1).shape == (1, 1, 96, 160, 3)


@pytest.mark.parametrize(
    ("asked", "shape"),
    [((256, 256), (128, 128)), ((720, 1280), (96, 160)), ((1920, 1080), (160, 96)), ((400, 300), (144, 112))],
    ids=str,
)
def test_a_size_is_made_from_the_shape_that_is_nearest(
    asked: tuple[int, int], shape: tuple[int, int]
) -> None:
    assert base_shape(*asked) == shape


@pytest.mark.parametrize("shape", BASE_SHAPES[1:], ids=str)
def test_every_shape_is_made_small_and_large_from_pictures_and_words(
    pipeline: GuardedSoraPipeline, shape: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 150, 3)).astype(np.uint8)
    height, width = shape
    small = run(pipeline, height=height, width=width, frame_rate=8, num_frames=5, image=picture)
    assert small.shape == (1, 5, height, width, 3)
    assert run(pipeline, height=2 * height, width=2 * width).shape == (1, 1, 2 * height, 2 * width, 3)
    mask = np.zeros((90, 150), bool)
    mask[30:60, 50:100] = True
    film = np.repeat(picture[None], 5, 0)
    anew = run(pipeline, height=height, width=width, frame_rate=8, num_frames=5, video=film, mask=mask)
    assert anew.shape == small.shape


def test_the_last_step_goes_a_whole_step_to_the_clean_end() -> None:
    scheduler = euler_scheduler(shift=3.0)
    set_times(scheduler, 12, torch.device("cpu"))
    times = scheduler.timesteps.tolist()
    assert len(times) == 12 and times[0] == 1000
    even = 1 / 12
    assert times[-1] == pytest.approx(1000 * 3 * even / (1 + 2 * even), rel=1e-4), "1/12, shifted"
    assert scheduler.sigmas[-1] == 0


@pytest.mark.parametrize("scheduler", [UniPCMultistepScheduler, FlowMatchHeunDiscreteScheduler])
def test_other_flow_schedulers_drive_it(pipeline: GuardedSoraPipeline, scheduler: type) -> None:
    options = (
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        if "UniPC" in scheduler.__name__
        else {}
    )
    other = GuardedSoraPipeline(**{**pipeline.components, "scheduler": scheduler(**options)})
    made = run(other, num_inference_steps=3, num_frames=1)
    assert made.shape == (1, 1, 256, 256, 3)


def test_callback_sees_every_step_and_may_stop_it(pipeline: GuardedSoraPipeline) -> None:
    seen: list[int] = []

    class Enough(Exception):
        pass

    def stop(_pipe: object, index: int, _timestep: object, kwargs: dict[str, object]) -> dict[str, object]:
        seen.append(index)
        assert set(kwargs) == {"latents", "clean"}
        if index == 1:
            raise Enough
        return kwargs

    with pytest.raises(Enough):
        run(
            pipeline, num_inference_steps=4, callback_on_step_end=stop,
            callback_on_step_end_tensor_inputs=("latents", "clean"),
        )  # fmt: skip
    assert seen == [0, 1]
    assert run(pipeline).shape[0] == 1


def test_saved_pipeline_loads_and_makes_the_same(pipeline: GuardedSoraPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "model", safe_serialization=True)
    again = GuardedSoraPipeline.from_pretrained(tmp_path / "model", local_files_only=True)
    again.set_progress_bar_config(disable=True)
    difference = np.abs(run(pipeline).astype(int) - run(again))
    assert difference.max() <= 1  # where weights lie in memory may change the last bit
    assert not list((tmp_path / "model").rglob("*.bin"))
    backend = load_backend(tmp_path / "model")
    assert backend.info.weights_sha256


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": []},
        {"num_frames": 0},
        {"num_inference_steps": 0},
        {"output_type": "gif"},
        {"refine_steps": 0},
        {"frame_rate": 25},
        {"latents": torch.zeros(1, 4, 1, 16, 16)},
        {"image": np.zeros((8, 8, 3), np.uint8), "video": np.zeros((1, 8, 8, 3), np.uint8)},
    ],
)
def test_unusable_arguments_are_refused(pipeline: GuardedSoraPipeline, options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        run(pipeline, **options)
