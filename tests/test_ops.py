"""The shared numerics, and the shortcuts around Keras's own layer calls."""

import keras
import numpy as np
import pytest
from conftest import TINY, perturb
from contracts import gradient, jitted
from scipy.special import ndtr

import keras_pvt
from keras_pvt import layers, ops

# How far GELU may be off in float32. PyTorch computes its own.
BACKEND = keras.backend.backend()
GELU_ATOL = 4e-7 if BACKEND == "jax" else 1.2e-6
POWERS = np.logspace(-30, 30, 601)
POINTS = np.concatenate(
    [np.linspace(-9, 9, 360_001), np.linspace(-6, -5, 100_001), POWERS, -POWERS]
).astype("float32")


def gelu(x):
    return keras.ops.convert_to_numpy(jitted(ops.gelu)(keras.ops.convert_to_tensor(x)))


def test_gelu_and_its_gradient_are_exact():
    x = POINTS.astype("float64")
    normal = ndtr(x)
    np.testing.assert_allclose(gelu(POINTS), x * normal, rtol=0, atol=GELU_ATOL)
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(gradient(ops.gelu, POINTS), normal + x * density, rtol=0, atol=2e-6)


def test_gelu_is_its_limit_at_both_ends():
    ends = np.array([8, 1000, 1e30, -1000, -1e30], "float32")
    expected = np.maximum(ends, 0)
    np.testing.assert_array_equal(gelu(ends), expected)
    np.testing.assert_array_equal(gradient(ops.gelu, ends), expected > 0)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
@pytest.mark.parametrize("rows", [3, None])
@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_gelu_is_for_xla_only_where_a_cpu_trains(rows, checked, training):
    """Not in what is exported, not where XLA would compile for each size or cannot, as with checks
    of numbers."""
    import tensorflow as tf

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ops.gelu(x)
        return tape.gradient(y, x)

    program = tf.function(slope if training else ops.gelu)
    if checked:
        tf.debugging.enable_check_numerics()
    try:
        program = program.get_concrete_function(tf.TensorSpec((rows, 5))).graph.as_graph_def()
        has_xla = any("_XlaMustCompile" in part.attr for part in program.library.function)
        assert has_xla == (training and not checked and rows is not None)
    finally:
        if checked:
            tf.debugging.disable_check_numerics()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_gelu_ends_at_zero_where_xla_computes_it():
    import tensorflow as tf

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ops.gelu(x)
        return y, tape.gradient(y, x)

    ends = tf.repeat(tf.constant([-8.0, -13, -1000, -1e30]), 50)
    for found in both(ends):
        np.testing.assert_array_equal(found, np.zeros(200))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="computes it in half precision")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gelu_in_half_precision_is_off_by_the_last_rounding(dtype):
    x = keras.ops.cast(keras.ops.convert_to_tensor(POINTS[abs(POINTS) < 6e4]), dtype)
    y = ops.gelu(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    x, y = (keras.ops.convert_to_numpy(keras.ops.cast(z, "float32")) for z in (x, y))
    half_step = 2.0 ** (-11 if dtype == "float16" else -8)
    x = x.astype("float64")
    np.testing.assert_allclose(y, x * ndtr(x), rtol=1.02 * half_step, atol=1.5 * GELU_ATOL)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_softmax_is_taken_in_float32(dtype):
    x = keras.ops.convert_to_tensor(np.linspace(-60, 60, 700), dtype=dtype)
    y = ops.softmax(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    wide = keras.ops.softmax(keras.ops.cast(x, "float32"), axis=-1)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")),
        keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(wide, dtype), "float32")),
    )


@pytest.mark.parametrize(
    ("shortcut", "layer"),
    [
        (ops.dense, keras.layers.Dense(7)),
        (ops.layer_norm, keras.layers.LayerNormalization(epsilon=1e-5)),
        (ops.patch_conv, keras.layers.Conv2D(7, 4, strides=4, data_format="channels_last")),
    ],
)
def test_shortcut_equals_the_layer(shortcut, layer, rng):
    x = keras.ops.convert_to_tensor(rng.standard_normal((2, 18, 27, 5)).astype("float32"))
    layer.build(x.shape)
    perturb(layer)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(shortcut(layer, x)),
        keras.ops.convert_to_numpy(layer(x)),
        atol=3e-6,
    )


def slopes(function, inner, x, slope):
    """Gradients of a function by the weights of layers, and by what it is applied to; on JAX."""
    import jax

    variables = [v for layer in inner for v in layer.trainable_variables]

    def loss(values, x):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return (function(x) * slope).sum()

    values = [v.value + 0.3 for v in variables]
    return jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(values, x))


@pytest.mark.skipif(BACKEND != "jax", reason="its own gradients are JAX's")
@pytest.mark.parametrize(
    ("shortcut", "layer"),
    [
        (ops.dense, keras.layers.Dense(7)),
        (ops.dense, keras.layers.Dense(3, use_bias=False)),
        (ops.layer_norm, keras.layers.LayerNormalization(epsilon=0.1)),
        (ops.patch_conv, keras.layers.Conv2D(7, 4, strides=4, data_format="channels_last")),
    ],
)
def test_gradient_of_a_shortcut_is_the_layers(shortcut, layer, rng):
    x = rng.standard_normal((2, 9, 14, 5)).astype("float32")
    layer.build(x.shape)
    slope = rng.standard_normal(layer.compute_output_shape(x.shape)).astype("float32")
    own = slopes(lambda x: shortcut(layer, x), [layer], x, slope)
    for one, other in zip(own, slopes(layer, [layer], x, slope), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="its own gradients are JAX's")
@pytest.mark.parametrize("part", [1 << 21, 60])
def test_gradient_of_a_feed_forward_is_its_layers(part, monkeypatch, rng):
    """At once, and 5 of 51 rows at a time."""
    from keras_pvt.ops import on_jax

    monkeypatch.setattr(on_jax, "_PART", part)
    x = rng.standard_normal((3, 17, 5)).astype("float32")
    inner = keras.layers.Dense(11), keras.layers.Dense(4)
    inner[0].build(x.shape)
    inner[1].build((3, 17, 11))
    slope = rng.standard_normal((3, 17, 4)).astype("float32")
    own = slopes(lambda x: ops.feed_forward(*inner, x), inner, x, slope)
    plain = slopes(
        lambda x: inner[1](keras.ops.gelu(inner[0](x), approximate=False)), inner, x, slope
    )
    for one, other in zip(own, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def test_what_each_image_gets_has_the_gradient_of_all(rng):
    slope = rng.standard_normal((3, 2, 5, 4)).astype("float32")
    x, weight = keras.ops.convert_to_tensor(0.5 * slope), keras.ops.convert_to_tensor(slope)
    table = rng.standard_normal((1, 2, 5, 4)).astype("float32")
    found = gradient(lambda table: ops.add_to_each(x, table) * weight, table)
    np.testing.assert_allclose(found, slope.sum(axis=0, keepdims=True), rtol=1e-5, atol=1e-6)


def test_a_replaced_call_is_not_passed_over(rng):
    layer = keras.layers.Dense(5)
    x = keras.ops.convert_to_tensor(rng.standard_normal((2, 5)).astype("float32"))
    layer.build(x.shape)
    layer.call = lambda x: 0 * x
    for shortcut in (ops.dense, ops.call_layer):
        assert not keras.ops.convert_to_numpy(shortcut(layer, x)).any()


def test_lora_is_not_passed_over(rng):
    layer = keras.layers.Conv2D(7, 4, strides=4, data_format="channels_last")
    x = keras.ops.convert_to_tensor(rng.standard_normal((2, 18, 27, 5)).astype("float32"))
    layer.build(x.shape)
    layer.enable_lora(2)
    perturb(layer)
    y, expected = ops.patch_conv(layer, x), layer(x)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(y), keras.ops.convert_to_numpy(expected), atol=1e-5
    )


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="hooks are torch's")
def test_torch_hooks_fire(rng):
    model = keras_pvt.classifier(TINY)
    seen = []
    block = model.get_layer("stage2_block1")
    for layer in (block.attention.query, block.norm1, block.feed_forward):
        layer.register_forward_hook(lambda *_: seen.append(1))
    model(rng.standard_normal((1, 64, 64, 3)).astype("float32"))
    assert len(seen) == 3


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX")
def test_rows_in_parts_are_the_rows(monkeypatch, rng):
    """Values and gradients of a block, whose 221 rows no number of parts divides."""
    import jax

    from keras_pvt.ops import on_jax

    block = layers.EncoderBlock(12, num_heads=3, mlp_ratio=2, sr_ratio=2)
    x = rng.standard_normal((2, 13, 17, 12)).astype("float32")
    block.build(x.shape)
    weights = [rng.standard_normal(v.shape).astype("float32") for v in block.weights]

    def loss(weights, x):
        y, _ = block.stateless_call(weights, [], x)
        return (y * y).sum(), y

    def results():
        (_, y), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(weights, x)
        return [y, *jax.tree.leaves(gradients)]

    whole = results()
    mapped = []
    part_by_part = jax.lax.map
    monkeypatch.setattr(on_jax, "_PART", 300)
    monkeypatch.setattr(jax.lax, "map", lambda *a: mapped.append(1) or part_by_part(*a))
    for one, other in zip(whole, results(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    assert len(mapped) == 2  # attention, feed-forward
