"""Decoders by recipe keep a film's form, and the residual network learns what pairs have apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from guarded_sora.training.detector_coders import SHAPES, Coder, coders  # noqa: E402
from guarded_sora.training.detector_coders import train as train_coder  # noqa: E402
from guarded_sora.training.detector_recipes import FAMILIES, made_by, recipes, train  # noqa: E402
from guarded_sora.training.detector_residual import (  # noqa: E402
    Trainee,
    coded,
    decoded,
    exported,
    fit_network,
    scores_of,
)
from tests.guarded_sora.training.test_detector import PHOTOS  # noqa: E402


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recipe_gives_back_a_film_of_the_same_form(family: str, tmp_path: Path) -> None:
    seen = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for number, recipe in enumerate(recipes(family)):
        decoder = made_by(recipe, PHOTOS, tmp_path / f"{number}.safetensors", steps=1)
        made = decoder.apply(seen, np.random.default_rng(1))
        assert decoder.family == family
        assert made.shape == seen.shape and made.dtype == np.uint8
        again = made_by(recipe, PHOTOS, tmp_path / f"{number}.safetensors", steps=1)
        assert np.array_equal(again.apply(seen, np.random.default_rng(1)), made)


def test_autoencoders_give_back_a_film_of_the_same_form_and_learn(tmp_path: Path) -> None:
    seen = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    made = [each.apply(seen, np.random.default_rng(1)) for each in coders(PHOTOS, tmp_path, steps=1)]
    again = [each.apply(seen, np.random.default_rng(1)) for each in coders(PHOTOS, tmp_path, steps=1)]
    assert len(made) == len(SHAPES)
    for one, other in zip(made, again, strict=True):
        assert one.shape == seen.shape and one.dtype == np.uint8 and np.array_equal(one, other)
    shown = torch.from_numpy(PHOTOS[0][:64, :64].copy()).permute(2, 0, 1)[None].float() / 255
    trained = train_coder(SHAPES[0], PHOTOS, steps=25)
    torch.manual_seed(0)
    with torch.no_grad():
        before, after = ((each(shown) - shown).abs().mean() for each in (Coder(SHAPES[0]), trained))
    assert after < 0.97 * before


def test_members_of_a_family_differ() -> None:
    members = [recipe for family in FAMILIES for recipe in recipes(family)]
    assert len(set(members)) == len(members)
    assert recipes("up-sharp") == recipes("up-sharp") != recipes("up-sharp", seed=1)


def test_training_is_the_same_each_time_and_moves_the_weights() -> None:
    recipe = recipes("up-sharp")[0]
    one, two, less = (train(recipe, PHOTOS, steps=steps) for steps in (8, 8, 1))
    weights = [next(each.parameters()).detach().numpy() for each in (one, two, less)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def films(count: int, seed: int) -> NDArray[np.uint8]:
    """Pairs of blocks: texture of drawn strength, and the same without its finest detail."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        fine = rng.normal(0, rng.uniform(4, 30), (9, 128, 128)).astype(np.float32)
        real = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.6) for frame in fine]) + 120
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in real])
        made += [real, soft]
    return np.clip(np.stack(made), 0, 255).astype(np.uint8)


def test_the_network_learns_what_a_pair_has_apart() -> None:
    rows, classes = coded(films(16, 0)), np.arange(32) % 2
    network = fit_network(rows, classes, epochs=10, seed=0)
    scores = scores_of(network, coded(films(8, 1)))
    assert (scores[1::2] > scores[0::2]).mean() > 0.8


def test_the_network_is_the_same_each_time() -> None:
    rows, classes = coded(films(2, 0)), np.arange(4) % 2
    one, other = (fit_network(rows, classes, epochs=2, seed=0) for _ in range(2))
    assert np.array_equal(scores_of(one, rows), scores_of(other, rows))


@pytest.mark.parametrize("classes", [[0, 0], [1, 0], [0]], ids=["alike", "turned", "odd"])
def test_rows_that_are_no_pairs_are_refused(classes: list[int]) -> None:
    rows = np.zeros((len(classes), 31, 31, 256), np.uint8)
    with pytest.raises(ValueError, match="pairs"):
        fit_network(rows, np.array(classes), epochs=1, seed=0)


def test_the_exported_network_computes_what_the_trained_one_did() -> None:
    rows = coded(films(2, 3))
    torch.manual_seed(0)
    trainee = Trainee(np.full(256, 1.5, np.float32), np.full(256, 0.8, np.float32))
    for layer in (trainee.back, trainee.out):  # they start at zero
        torch.nn.init.normal_(layer.weight, std=0.1)
    with torch.no_grad():
        wanted = trainee(torch.from_numpy(decoded(rows))).numpy()
    assert scores_of(exported(trainee), rows) == pytest.approx(wanted, rel=0.02, abs=0.02)
    assert wanted.std() > 0.01
