"""The contract of every layer, and what each computes against an independent oracle."""

import contracts
import keras
import numpy as np
import pytest
from scipy.special import erf, softmax
from scipy.stats import kstest

from keras_pvt import layers
from keras_pvt.layers.initial_values import FanOutNormal, Normal

LAYERS = {
    "patch_embedding": (lambda: layers.PatchEmbedding(6, 4, name="layer"), (18, 27, 5)),
    "position_embedding": (lambda: layers.PositionEmbedding((4, 7), name="layer"), (9, 13, 5)),
    "class_token": (lambda: layers.ClassToken(name="layer"), (3, 4, 5)),
    "take_class_token": (lambda: layers.TakeClassToken(name="layer"), (7, 5)),
    "attention": (
        lambda: layers.SpatialReductionAttention(12, 3, 2, name="layer"),
        (9, 13, 12),
    ),
    "attention_of_tokens": (
        lambda: layers.SpatialReductionAttention(12, 3, name="layer"),
        (11, 12),
    ),
    "overlap_patch_embedding": (
        lambda: layers.OverlapPatchEmbedding(6, 5, 3, name="layer"),
        (18, 26, 5),
    ),
    "linear_attention": (
        lambda: layers.LinearSpatialReductionAttention(12, 3, 4, name="layer"),
        (9, 13, 12),
    ),
    "conv_feed_forward": (lambda: layers.ConvFeedForward(5, 14, name="layer"), (3, 4, 6)),
    "conv_feed_forward_with_relu": (
        lambda: layers.ConvFeedForward(5, 14, relu=True, name="layer"),
        (3, 4, 6),
    ),
    "encoder_block_of_v2": (
        lambda: layers.EncoderBlock(12, 3, 2, 2, convolutional=True, name="layer"),
        (9, 13, 12),
    ),
    "encoder_block_with_linear_attention": (
        lambda: layers.EncoderBlock(12, 3, 2, convolutional=True, linear=True, name="layer"),
        (9, 13, 12),
    ),
    "feed_forward": (lambda: layers.FeedForward(5, 14, name="layer"), (3, 4, 6)),
    "drop_path": (lambda: layers.DropPath(0.3, name="layer"), (3, 4, 6)),
    "encoder_block": (lambda: layers.EncoderBlock(12, 3, 2, 2, name="layer"), (9, 13, 12)),
    "encoder_block_of_tokens": (lambda: layers.EncoderBlock(12, 3, 2, name="layer"), (11, 12)),
    "encoder_block_first_only": (
        lambda: layers.EncoderBlock(12, 3, 2, first_only=True, name="layer"),
        (11, 12),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_keeps_its_contract(name, tmp_path, rng):
    make, shape = LAYERS[name]
    contracts.check_layer(make(), shape, tmp_path, rng)


def randomised(layer, x, rng):
    """Build a layer on `x` and give each weight its own values; returns them by path."""
    layer(x)
    weights = {}
    for variable in layer.variables:
        value = rng.standard_normal(variable.shape).astype("float32")
        variable.assign(value)
        weights[variable.path.split("/", 1)[1]] = value.astype("float64")
    return weights


def numpy_norm(x, weights, name, epsilon):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def numpy_cells(x, weights, name, side):
    """Convolution whose stride is its kernel, by cutting the map into patches."""
    b, h, w, c = x.shape
    h, w = h // side, w // side
    x = x[:, : h * side, : w * side].reshape(b, h, side, w, side, c)
    return np.einsum("bhiwjc,ijco->bhwo", x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]


def numpy_dense(x, weights, name):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def numpy_attention(x, weights, heads, side, epsilon):
    """SRA written out in float64, one head after the other."""
    dim = x.shape[-1]
    reduced = x
    if side > 1:
        reduced = numpy_norm(numpy_cells(x, weights, "sr", side), weights, "norm", epsilon)
    query = numpy_dense(x, weights, "query").reshape(len(x), -1, dim)
    key_value = numpy_dense(reduced, weights, "key_value").reshape(len(x), -1, 2 * dim)
    width = dim // heads
    outputs, scores = [], []
    for head in range(heads):
        columns = slice(head * width, (head + 1) * width)
        key, value = key_value[..., :dim][..., columns], key_value[..., dim:][..., columns]
        score = softmax(query[..., columns] @ key.transpose(0, 2, 1) / np.sqrt(width), axis=-1)
        outputs.append(score @ value)
        scores.append(score)
    y = numpy_dense(np.concatenate(outputs, -1), weights, "proj")
    return y.reshape(x.shape), np.stack(scores, 1)


def test_patch_embedding_cuts_patches_and_floors(rng):
    x = rng.standard_normal((2, 18, 27, 5)).astype("float32")
    layer = layers.PatchEmbedding(6, 4, name="layer")
    weights = randomised(layer, x, rng)
    expected = numpy_norm(numpy_cells(x, weights, "proj", 4), weights, "norm", 1e-5)
    assert expected.shape == (2, 4, 6, 6)
    np.testing.assert_allclose(contracts.run(layer, x), expected, atol=2e-5)


@pytest.mark.parametrize("size", [(4, 7), (7, 4), (14, 2), (1, 1), (9, 30), (3, 3)])
def test_positions_are_resized_as_torch_does(size, rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, *size, 5)).astype("float32")
    layer = layers.PositionEmbedding((4, 7), name="layer")
    table = randomised(layer, x, rng)["table"]
    expected = torch.nn.functional.interpolate(
        torch.tensor(table.transpose(0, 3, 1, 2)), size=size, mode="bilinear"
    )
    expected = expected.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(contracts.run(layer, x) - x, expected + 0 * x, atol=2e-6)


def test_positions_stay_exact_in_half_precision(rng):
    """The resize runs in float32: only the last rounding, to float16, may show."""
    x = np.zeros((1, 9, 30, 5), "float16")
    layer = layers.PositionEmbedding((4, 7), dtype="mixed_float16", name="layer")
    table = rng.standard_normal((1, 4, 7, 5)).astype("float32")
    layer.build(x.shape)
    layer.table.assign(table)
    wide = layers.PositionEmbedding((4, 7), name="layer")
    wide.build(x.shape)
    wide.table.assign(table)
    expected = contracts.run(wide, x.astype("float32")).astype("float16")
    np.testing.assert_array_equal(contracts.run(layer, x), expected.astype("float32"))


def test_class_token_comes_first_with_its_position(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    layer = layers.ClassToken(name="layer")
    weights = randomised(layer, x, rng)
    y = contracts.run(layer, x)
    np.testing.assert_allclose(
        y[:, 0], np.tile((weights["token"] + weights["position"])[0], (2, 1)), rtol=1e-6
    )
    np.testing.assert_array_equal(y[:, 1:], x.reshape(2, 12, 5))
    np.testing.assert_array_equal(contracts.run(layers.TakeClassToken(), y), y[:, 0])


@pytest.mark.parametrize(("shape", "side"), [((9, 13, 12), 2), ((9, 13, 12), 1), ((11, 12), 1)])
def test_attention_is_spatial_reduction_attention(shape, side, rng):
    x = rng.standard_normal((2, *shape)).astype("float32")
    layer = layers.SpatialReductionAttention(12, 3, side, name="layer")
    weights = randomised(layer, x, rng)
    y, scores = layer(x, return_attention_scores=True)
    spec_y, spec_scores = layer.compute_output_spec(
        keras.KerasTensor(x.shape), return_attention_scores=True
    )
    expected, expected_scores = numpy_attention(x.astype("float64"), weights, 3, side, 1e-5)
    assert spec_y.shape == expected.shape
    assert spec_scores.shape == expected_scores.shape
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scores), expected_scores, atol=2e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, atol=5e-5)
    np.testing.assert_allclose(contracts.run(layer, x), expected, atol=5e-5)


def test_first_only_is_the_first_row_of_the_whole(rng):
    x = rng.standard_normal((2, 11, 12)).astype("float32")
    block = layers.EncoderBlock(12, 3, 2, name="layer")
    randomised(block, x, rng)
    first = layers.EncoderBlock(12, 3, 2, first_only=True, name="layer")
    first.build(x.shape)
    first.set_weights(block.get_weights())
    y = contracts.run(first, x)
    assert y.shape == (2, 1, 12)
    np.testing.assert_allclose(y, contracts.run(block, x)[:, :1], rtol=1e-5, atol=1e-5)


def test_feed_forward_has_exact_gelu(rng):
    x = rng.standard_normal((2, 3, 4, 6)).astype("float32")
    layer = layers.FeedForward(5, 14, name="layer")
    weights = randomised(layer, x, rng)
    hidden = numpy_dense(x.astype("float64"), weights, "fc1")
    hidden = 0.5 * hidden * (1 + erf(hidden / np.sqrt(2)))  # the tanh form is 1e-3 off
    expected = numpy_dense(hidden, weights, "fc2")
    np.testing.assert_allclose(contracts.run(layer, x), expected, atol=3e-5)


def test_encoder_block_is_two_residual_branches_after_norms(rng):
    x = rng.standard_normal((2, 9, 13, 12)).astype("float32")
    layer = layers.EncoderBlock(12, 3, 2, 2, name="layer")
    weights = randomised(layer, x, rng)
    inner = {k.removeprefix("attention/"): v for k, v in weights.items() if "attention/" in k}
    y = numpy_norm(x.astype("float64"), weights, "norm1", 1e-6)
    y = x + numpy_attention(y, inner, 3, 2, 1e-5)[0]
    hidden = numpy_dense(numpy_norm(y, weights, "norm2", 1e-6), weights, "feed_forward/fc1")
    hidden = 0.5 * hidden * (1 + erf(hidden / np.sqrt(2)))
    expected = y + numpy_dense(hidden, weights, "feed_forward/fc2")
    np.testing.assert_allclose(contracts.run(layer, x), expected, rtol=1e-4, atol=1e-4)


def test_feed_forward_drops_what_it_gives_too(rng):
    """By a rate next to 1: of the bias that is added last, nothing is left."""
    layer = layers.FeedForward(8, 12, drop_rate=0.9999)
    x = rng.standard_normal((3, 5, 8)).astype("float32")
    layer.build(x.shape)
    layer.fc2.bias.assign(np.ones(8))
    assert not keras.ops.convert_to_numpy(layer(x, training=True)).any()


def test_both_branches_of_a_block_are_dropped(rng):
    """By a rate next to 1, which leaves of a sample what it was."""
    block = layers.EncoderBlock(8, 2, sr_ratio=2, drop_path_rate=0.9999)
    x = rng.standard_normal((3, 4, 6, 8)).astype("float32")
    block.build(x.shape)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(block(x, training=True)), x)
    assert (keras.ops.convert_to_numpy(block(x)) != x).mean() > 0.9


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    layer = layers.DropPath(0.25, seed=1)
    y = keras.ops.convert_to_numpy(layer(np.ones((4000, 3, 2), "float32"), training=True))
    per_sample = y.reshape(4000, -1)
    assert (per_sample == per_sample[:, :1]).all(), "a sample is dropped whole or not at all"
    np.testing.assert_allclose(np.unique(per_sample), [0, 1 / 0.75], rtol=1e-6)
    assert abs((per_sample[:, 0] == 0).mean() - 0.25) < 0.03
    x = np.ones((4, 2), "float32")
    np.testing.assert_array_equal(contracts.run(layer, x), x)


def test_dropout_acts_in_training_only(rng):
    x = rng.standard_normal((2, 9, 13, 12)).astype("float32")
    for rates in ({"drop_rate": 0.5}, {"attention_drop_rate": 0.5}, {"drop_path_rate": 0.5}):
        layer = layers.EncoderBlock(12, 3, 2, 2, **rates)
        still = contracts.run(layer, x)
        np.testing.assert_array_equal(contracts.run(layer, x), still)
        moved = [keras.ops.convert_to_numpy(layer(x, training=True)) for _ in range(4)]
        assert any(np.abs(y - still).max() > 1e-4 for y in moved), rates


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.SpatialReductionAttention(12, 5), "12 is not divisible by .* 5"),
        (lambda: layers.SpatialReductionAttention(12, 0), "num_heads.*got 0"),
        (lambda: layers.SpatialReductionAttention(12, 3, drop_rate=1.0), "drop_rate.*got 1.0"),
        (lambda: layers.SpatialReductionAttention(12, 3)(np.zeros((1, 4, 8))), "expected 12 chan"),
        (
            lambda: layers.SpatialReductionAttention(12, 3, 4)(np.zeros((1, 3, 9, 12))),
            "3x9 cells is smaller than the 4x4",
        ),
        (
            lambda: layers.SpatialReductionAttention(12, 3, 4)(np.zeros((1, 9, 12))),
            "no rows and columns",
        ),
        (lambda: layers.PatchEmbedding(6, 4)(np.zeros((1, 3, 9, 3))), "3x9 cells is smaller"),
        (lambda: layers.PatchEmbedding(6, 4)(np.zeros((1, 9, 3))), "channels-last map"),
        (lambda: layers.PatchEmbedding(6, -1), "patch_size.*got -1"),
        (lambda: layers.PositionEmbedding(0), "height.*got 0"),
        (lambda: layers.ClassToken()(np.zeros((1, 9, 3))), "channels-last map"),
        (lambda: layers.FeedForward(5, 2.5), "hidden_dim.*got 2.5"),
        (lambda: layers.DropPath(-0.1), "probability of dropping.*got -0.1"),
        (lambda: layers.EncoderBlock(12, 3, mlp_ratio=0), "mlp_ratio.*got 0"),
        (lambda: layers.EncoderBlock(12, 3, first_only=True, sr_ratio=2), "first_only"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_misspelt_argument_raises():
    with pytest.raises((TypeError, ValueError), match="num_head"):
        layers.EncoderBlock(12, 3, num_head=2)


def test_initial_values_are_upstream_s_and_follow_the_seed():
    def draw():
        keras.utils.set_random_seed(3)
        block = layers.EncoderBlock(64, 2, sr_ratio=2)
        block.build((None, 8, 8, 64))
        kernels = (
            block.attention.query.kernel,
            block.feed_forward.fc1.kernel,
            block.attention.sr.kernel,
        )
        return [keras.ops.convert_to_numpy(kernel) for kernel in kernels]

    query, fc1, sr = draw()
    assert abs(query.std() - 0.02) < 1e-3
    assert abs(query.mean()) < 1e-3
    assert not np.array_equal(query, fc1[:, :64])
    limit = 1 / np.sqrt(4 * 64)
    assert limit * 0.99 < np.abs(sr).max() <= limit
    assert abs(sr.std() - limit / 3**0.5) < 1e-3
    for first, again in zip((query, fc1, sr), draw(), strict=True):
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("initializer", [Normal, FanOutNormal])
def test_initial_values_are_normal(initializer):
    shape = 3, 3, 61, 87  # an odd number of them
    values = keras.ops.convert_to_numpy(initializer(seed=5)(shape)).ravel()
    deviation = 0.02 if initializer is Normal else np.sqrt(2 / (9 * 87))
    assert kstest(values / deviation, "norm").pvalue > 0.01
    half = len(values) // 2  # drawn together, yet neither these nor their squares go together
    for power in (1, 2):
        one, other = values[:half] ** power, values[half + 1 :] ** power
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_initial_values_of_necks_and_heads_are_he_s_over_the_fan_out():
    keras.utils.set_random_seed(3)
    shape, deviation = (3, 3, 48, 64), np.sqrt(2 / (9 * 64))
    first, again = (keras.ops.convert_to_numpy(FanOutNormal(seed=5)(shape)) for _ in range(2))
    assert first.std() == pytest.approx(deviation, rel=0.02)
    assert abs(first.mean()) < 0.01 * deviation
    assert abs(first).max() > 3 * deviation  # not cut off
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, keras.ops.convert_to_numpy(FanOutNormal()(shape)))
    for initializer in (FanOutNormal(seed=5), Normal(seed=5, stddev=0.01)):
        config = keras.saving.serialize_keras_object(initializer)
        copy = keras.saving.deserialize_keras_object(config)
        np.testing.assert_array_equal(
            *(keras.ops.convert_to_numpy(one((4, 5))) for one in (initializer, copy))
        )
