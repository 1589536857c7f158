"""Pictures and films that a request brings, read and checked whichever end they stand at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guarded_sora import GuardedSora
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.generation.contract import GenerationRequest
from guarded_sora.prompts import PromptRequest
from guarded_sora.services import Services
from tests.guarded_sora.conftest import Painter, paint

PROMPT = "a red balloon rising over a sandy beach"


def picture(path: Path, width: int = 64, height: int = 64, *, light: bool = True) -> Path:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2] = 255 if light else 20
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def watched(home: Path) -> tuple[GuardedSora, list[GenerationRequest]]:
    seen: list[GenerationRequest] = []

    def draw(request: GenerationRequest) -> np.ndarray:
        seen.append(request)
        return paint(request)

    return GuardedSora.open(home=home, backend=Painter(draw)), seen


@pytest.mark.parametrize("kind", ["picture", "film"])
def test_what_a_film_ends_with_is_checked_and_kept(
    watched: tuple[GuardedSora, list[GenerationRequest]],
    film: Callable[..., Path],
    tmp_path: Path,
    kind: str,
) -> None:
    sora, seen = watched
    with sora:
        until = picture(tmp_path / "end.png") if kind == "picture" else film("end.mp4", frames=12)
        release = sora.generate(PROMPT, seconds=1, until=until)
        assert seen[0].until is not None and len(seen[0].until) == (1 if kind == "picture" else 12)
        stages = {stage["name"] for stage in decided(sora.services)}
        assert {"picture": "image_prompt_checks", "film": "video_prompt_checks"}[kind] in stages
        verdict = sora.verify(release.path)
        assert verdict.verdict == "ours_intact"


def decided(services: Services) -> list[dict[str, object]]:
    (entry,) = services.log.search(kind="request.decided")
    stages: list[dict[str, object]] = entry.body["stages"]
    return stages


def test_a_mask_goes_with_its_film(
    watched: tuple[GuardedSora, list[GenerationRequest]], film: Callable[..., Path], tmp_path: Path
) -> None:
    sora, seen = watched
    with sora:
        source = film("source.mp4", frames=12)
        from guarded_sora.media import probe

        info = probe(source, sora.services.worker)
        mask = picture(tmp_path / "mask.png", info.width, info.height)
        sora.generate(PROMPT, seconds=1, video=source, mask=mask)
        given = seen[0].mask
        assert given is not None and given.dtype == np.bool_
        assert given[0].all() and not given[-1].any()
        for wrong, says in (
            (picture(tmp_path / "wide.png", info.width * 2, info.height), "shape of the film"),
            (picture(tmp_path / "dark.png", info.width, info.height, light=False), "dark everywhere"),
        ):
            with pytest.raises(UsageError, match=says):
                sora.generate(PROMPT, seconds=1, video=source, mask=wrong)
        (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
        with pytest.raises(MediaError):
            sora.generate(PROMPT, seconds=1, video=source, mask=tmp_path / "broken.png")
        with pytest.raises(MediaError):
            sora.generate(PROMPT, seconds=1, until=tmp_path / "broken.png")
        with pytest.raises(MediaError, match="not a file"):
            sora.generate(PROMPT, seconds=1, until=tmp_path / "absent.png")
        assert len(seen) == 1, "nothing was made of what cannot be used"


@pytest.mark.parametrize(
    "options",
    [
        {"mask": Path("m.png")},
        {"mask": Path("m.png"), "video": Path("v.mp4"), "loop": True},
        {"loop": True, "until": Path("u.png")},
        {"loop": True, "video": Path("v.mp4")},
    ],
)
def test_requests_that_contradict_themselves(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"mask|loop"):
        PromptRequest(prompt=PROMPT, **options)  # type: ignore[arg-type]


def test_a_request_waits_with_all_its_files(tmp_path: Path) -> None:
    request = PromptRequest(
        prompt=PROMPT, video=picture(tmp_path / "v.png"), mask=picture(tmp_path / "m.png")
    )
    again = PromptRequest.unpack(request.pack(), (tmp_path / "again").mkdir() or tmp_path / "again")
    assert again.mask is not None and again.mask.read_bytes() == (tmp_path / "m.png").read_bytes()
    assert again.until is None and not again.loop


def test_a_request_of_before_can_still_be_unpacked(tmp_path: Path) -> None:
    import orjson

    document = orjson.loads(PromptRequest(prompt=PROMPT).pack())
    for name in ("until", "loop", "mask"):
        del document[name]
    assert PromptRequest.unpack(orjson.dumps(document), tmp_path).until is None
