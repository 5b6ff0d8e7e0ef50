"""The variants of the papers against what the official code computes, and Hugging Face's."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import recipe
from conftest import SHALLOW, perturb
from contracts import as_users

import keras_pvt
from keras_pvt import conversion
from keras_pvt.layers import position_embedding
from keras_pvt.variants import VARIANTS

PAPER = [name for name in VARIANTS if not name.endswith("_nano")]
# Whose blocks are looked at on each backend.
HEART = ["pvt_tiny", "pvt_v2_b0"]
if keras.backend.backend() != "jax":  # where test_pvt_v2.py compiles another one
    HEART.append("pvt_v2_b2_li")


def numpy(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def build(name, size, weights):
    """The classifier (logits) and the pyramid, at a size or open, with recipe weights."""
    classifier = keras_pvt.classifier(
        name, input_shape=(*size, 3), classifier_activation=None, weights=None
    )
    conversion.load_checkpoint(classifier, weights)
    backbone = keras_pvt.PVTBackbone(name, input_shape=(*size, 3))
    conversion.load_checkpoint(backbone, weights)
    return classifier, keras.Model(backbone.input, backbone.pyramid_outputs)


def check(name, size, classifier, pyramid):
    golden, key = recipe.golden(name), "{}x{}".format(*size)
    images = recipe.images(*size)
    np.testing.assert_allclose(
        as_users(classifier, images), golden[f"{key}/logits"], rtol=0, atol=2e-5
    )
    for level, level_map in as_users(pyramid, images).items():
        assert level_map.shape == tuple(golden[f"{key}/{level}/shape"])
        rms = golden[f"{key}/{level}/norm"] / np.sqrt(level_map.size)
        expected = golden[f"{key}/{level}/sample"]
        np.testing.assert_allclose(
            recipe.sample(level_map) / rms, expected / rms, rtol=0, atol=2e-5, err_msg=level
        )


@functools.lru_cache(maxsize=1)
def of_any_size(name):
    """Weights, classifier and pyramid of a variant."""
    weights = recipe.state_dict(name)
    return weights, build(name, (None, None), weights)


SAME_GRAPH = pytest.mark.one_backend("the same graph, and a program more to compile", full=True)
ONCE = pytest.mark.one_backend("the same graph of the same blocks")
DEEPER = pytest.mark.full("the blocks of the smaller ones once more; each takes long")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(
            name,
            size,
            marks=[
                *([DEEPER] if name not in HEART else []),
                *([SAME_GRAPH if name in HEART else ONCE] if size != (250, 333) else []),
            ],
        )
        for name in PAPER
        for size in recipe.SIZES
        if f"{size[0]}x{size[1]}/logits" in recipe.golden(name)
    ],
)
def test_variant_equals_the_official_code(name, size):
    _, models = of_any_size(name)
    assert models[0].count_params() == int(recipe.golden(name)["parameters"])
    check(name, size, *models)


@SAME_GRAPH
@pytest.mark.parametrize("size", recipe.SIZES)
def test_sizes_that_are_known_change_nothing(size):
    weights, _ = of_any_size("pvt_tiny")
    check("pvt_tiny", size, *build("pvt_tiny", size, weights))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(
            (448, 112),
            marks=pytest.mark.full("twelve seconds of compiling")
            if keras.backend.backend() == "jax"
            else (),
        ),
        *(
            pytest.param(
                size, marks=pytest.mark.one_backend("another table, resized alike", full=True)
            )
            for size in ((448, 448), (896, 896), (112, 448))
        ),
    ],
)
def test_sizes_that_upstream_gets_wrong_have_each_stage_s_own_table(size, monkeypatch):
    """Upstream crashes, or adds an un-resized table, where a stage has 3136 tokens.

    The oracle: torch's own resize in the place of ours.
    """
    torch = pytest.importorskip("torch")
    grids = []

    def torch_resize(grid, height, width, align_corners):
        assert not align_corners
        grids.append((height, width))
        resized = torch.nn.functional.interpolate(
            torch.tensor(numpy(grid).transpose(0, 3, 1, 2)), size=(height, width), mode="bilinear"
        )
        return keras.ops.convert_to_tensor(resized.numpy().transpose(0, 2, 3, 1))

    # The tables of PVT-Tiny, on a model that takes little time.
    config = dataclasses.replace(SHALLOW, image_size=VARIANTS["pvt_tiny"].image_size)
    model = keras_pvt.classifier(config, input_shape=(None, None, 3), classifier_activation=None)
    perturb(model)
    images = recipe.images(*size, batch=1)
    logits = numpy(model(images))
    monkeypatch.setattr(position_embedding, "resize_grid", torch_resize)
    np.testing.assert_allclose(logits, numpy(model(images)), rtol=0, atol=1e-5)
    assert grids == [(size[0] // stride, size[1] // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.one_backend("reads numbers of layers")
@pytest.mark.parametrize("name", keras_pvt.list_variants("pvt")[1:])
def test_each_norm_has_upstream_s_epsilon(name):
    """No output shows 1e-6 in place of 1e-5 clearly enough: look at the layers."""
    model = keras_pvt.classifier(name)
    norms = {
        layer.path: layer.epsilon
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.LayerNormalization)
    }
    reduction = {path for path in norms if "attention" in path or "patch_embedding" in path}
    blocks = sum(VARIANTS[name].depths)
    assert len(norms) == 2 * blocks + (blocks - VARIANTS[name].depths[3]) + 4 + 1
    assert len(reduction) == blocks - VARIANTS[name].depths[3] + 4
    assert {norms[path] for path in reduction} == {1e-5}
    assert {norms[path] for path in norms.keys() - reduction} == {1e-6}
