"""Attention maps: against a plain NumPy softmax of the weights, and where cells lie."""

import math

import keras
import numpy as np
import pytest
from conftest import LINEAR, TINY, V2, perturb

import keras_pvt
from keras_pvt.classification.attention_grid import AttentionGrid, attention_maps

pytestmark = pytest.mark.one_backend("looks into layers that test_layers.py has on each", full=True)

SHAPES = {
    "stage1_block0": (2, 1, 18 * 26, 4 * 6),
    "stage2_block0": (2, 2, 9 * 13, 4 * 6),
    "stage2_block1": (2, 2, 9 * 13, 4 * 6),
    "stage3_block0": (2, 5, 4 * 6, 2 * 3),
    "stage3_block1": (2, 5, 4 * 6, 2 * 3),
    "stage4_block0": (2, 4, 1 + 2 * 3, 1 + 2 * 3),
}


@pytest.fixture(scope="module")
def classifier():
    model = keras_pvt.classifier(TINY, input_shape=(None, None, 3))
    perturb(model)
    return model


@pytest.fixture
def images(rng):
    return rng.standard_normal((2, 72, 104, 3)).astype("float32")


def test_shapes_and_sums(classifier, images):
    maps = attention_maps(classifier, images)
    assert {name: array.shape for name, array in maps.items()} == SHAPES
    for array in maps.values():
        assert array.min() >= 0
        np.testing.assert_allclose(array.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["stage2_block1", "stage4_block0"])
def test_equal_softmax_of_queries_and_keys(classifier, images, name):
    block = classifier.get_layer(name)
    x = keras.Model(classifier.input, block.input).predict_on_batch(images)
    expected = _numpy_scores(block, x.astype("float64"))
    result = attention_maps(classifier, images, [name])
    assert list(result) == [name]
    np.testing.assert_allclose(result[name], expected, atol=2e-6)


def _numpy_scores(block, x):
    weights = {v.path.split("/", 1)[1]: _array(v) for v in block.variables}
    x = _norm(x, weights, "norm1", 1e-6)
    reduced, side = x, block.sr_ratio
    if side > 1:
        rows, columns = (n // side for n in x.shape[1:3])
        cells = x[:, : rows * side, : columns * side]
        cells = cells.reshape(len(x), rows, side, columns, side, -1)
        reduced = np.einsum("brychx,yhxo->brco", cells, weights["attention/sr/kernel"])
        reduced = _norm(reduced + weights["attention/sr/bias"], weights, "attention/norm", 1e-5)
    query = x @ weights["attention/query/kernel"] + weights["attention/query/bias"]
    key = reduced @ weights["attention/key_value/kernel"] + weights["attention/key_value/bias"]
    query, key = (
        array[..., : block.dim].reshape(len(x), -1, block.num_heads, block.dim // block.num_heads)
        for array in (query, key)
    )
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def _norm(x, weights, name, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + epsilon)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def _array(variable):
    return keras.ops.convert_to_numpy(variable.value).astype("float64")


def test_backbone_has_no_class_token(images):
    maps = attention_maps(keras_pvt.PVTBackbone(TINY), images, ["stage4_block0"])
    assert maps["stage4_block0"].shape == (2, 4, 2 * 3, 2 * 3)


def test_unknown_layer_is_named(classifier, images):
    with pytest.raises(ValueError, match=r"no encoder block stage9_block0; it has stage1_block0"):
        attention_maps(classifier, images, ["stage9_block0"])


def test_model_around_a_pvt_is_refused(images):
    wrapped = keras.Sequential([keras.layers.Flatten()])
    wrapped.build((None, 72, 104, 3))
    with pytest.raises(ValueError, match="not a model around it"):
        attention_maps(wrapped, images)


def test_grids_of_a_classifier():
    grids = [AttentionGrid.of(TINY, stage, 72, 104, class_token=True) for stage in (1, 2, 3, 4)]
    assert [grid.stride for grid in grids] == [4, 8, 16, 32]
    assert [grid.queries for grid in grids] == [(18, 26), (9, 13), (4, 6), (2, 3)]
    assert [grid.keys for grid in grids] == [(4, 6), (4, 6), (2, 3), (2, 3)]
    assert [grid.class_token for grid in grids] == [False, False, False, True]


@pytest.mark.parametrize(
    ("stage", "x", "y", "query"),
    [
        (1, 0, 0, 0),
        (1, 103, 0, 25),
        (1, 4, 71, 17 * 26 + 1),
        (3, 103, 71, 3 * 6 + 5),  # beyond the last whole cell, in both directions
        (4, 40, 20, 1 + 1),  # after the class token
    ],
)
def test_query_of_a_pixel(stage, x, y, query):
    assert AttentionGrid.of(TINY, stage, 72, 104, class_token=True).query(x, y) == query


@pytest.mark.parametrize("config", [V2, LINEAR], ids=["reduced", "pooled"])
def test_grids_and_maps_of_v2(config, rng):
    """Sides are rounded up, and no stage has a class token; all is 7 x 7 where it is pooled."""
    model = keras_pvt.classifier(config, input_shape=(None, None, 3))
    images = rng.standard_normal((1, 75, 100, 3)).astype("float32")
    grids = [AttentionGrid.of(config, n, 75, 100, class_token=True) for n in (1, 2, 3, 4)]
    assert [grid.queries for grid in grids] == [(19, 25), (10, 13), (5, 7), (3, 4)]
    assert not any(grid.class_token for grid in grids)
    keys = [(4, 6), (5, 6), (2, 3), (3, 4)]
    assert [grid.keys for grid in grids] == ([(7, 7)] * 4 if config.linear else keys)
    assert grids[1].key_size == ((75 / 7, 100 / 7) if config.linear else (16, 16))
    for grid, (name, scores) in zip(grids, attention_maps(model, images).items(), strict=True):
        counts = math.prod(grid.queries), math.prod(grid.keys)
        assert scores.shape[2:] == counts, name
        np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
        assert grid.as_map(scores).shape[-2:] == grid.keys


def test_weights_become_maps_row_by_row():
    grid = AttentionGrid.of(TINY, 4, 72, 104, class_token=True)
    weights = np.arange(2 * 7).reshape(2, 7)
    np.testing.assert_array_equal(
        grid.as_map(weights), [[[1, 2, 3], [4, 5, 6]], [[8, 9, 10], [11, 12, 13]]]
    )
