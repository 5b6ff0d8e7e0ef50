"""What every layer must keep, checked in one call."""

import functools
import inspect
import json
from collections.abc import Callable

import keras
import numpy as np
from conftest import perturb


def check_layer(layer: keras.layers.Layer, shape: tuple, tmp_path, rng) -> None:
    """Shape, config, saving, half precision, open sizes and gradients of one layer.

    Args:
        layer: not built yet, float32, with unequal widths.
        shape: of its input without the batch: `(H, W, C)`, or `(N, C)` for tokens.
        tmp_path: folder for the files.
        rng: for the inputs.
    """
    config = layer.get_config()
    assert arguments(type(layer)) <= config.keys(), "arguments that a file would lose"
    model = _around(layer, shape)
    perturb(model)
    x = rng.standard_normal((2, *shape)).astype("float32")
    y = run(model, x)
    assert y.shape[1:] == tuple(model.output_shape[1:]), "symbolic and eager shapes differ"
    assert np.isfinite(y).all()

    twin_config = json.loads(json.dumps(config))
    assert type(layer).from_config(twin_config).get_config() == config

    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras", safe_mode=True)
    np.testing.assert_array_equal(run(loaded, x), y)

    open_shape = (None,) * (len(shape) - 1) + shape[-1:]
    open_model = _around(type(layer).from_config(config), open_shape)
    open_model.build((None, *open_shape))
    open_model.set_weights(model.get_weights())
    np.testing.assert_allclose(run(open_model, x), y, atol=1e-6)

    for policy in ("mixed_float16", "mixed_bfloat16"):
        half_config = {**config, "dtype": policy}
        half = _around(type(layer).from_config(half_config), shape)
        half.set_weights(model.get_weights())
        half_y = half(x)
        assert keras.backend.standardize_dtype(half_y.dtype) == policy.removeprefix("mixed_")
        half_y = run(half, x)
        assert np.isfinite(half_y).all()
        assert cosine(half_y, y) > 0.999, policy

    if model.trainable_variables:
        check_every_weight_learns(model, x)


def arguments(layer: type) -> set[str]:
    """Names of what this package's part of a layer is made with."""
    own = [cls for cls in layer.__mro__ if cls.__module__.startswith("keras_pvt")]
    makers = [vars(cls)["__init__"] for cls in own if "__init__" in vars(cls)]
    return {
        argument.name
        for maker in makers
        for argument in inspect.signature(maker).parameters.values()
        if argument.name != "self" and argument.kind is not argument.VAR_KEYWORD
    }


def check_every_weight_learns(model: keras.Model, x) -> None:
    """One step of plain gradient descent moves every trainable weight, to a finite value."""
    before = [keras.ops.convert_to_numpy(v.value).copy() for v in model.trainable_variables]
    shape = len(x), *model.output_shape[1:]
    target = np.random.default_rng(3).standard_normal(shape).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    loss = model.train_on_batch(x, target)
    assert np.isfinite(loss)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = keras.ops.convert_to_numpy(variable.value)
        assert np.isfinite(new).all(), variable.path
        assert (new != old).any(), f"no gradient reaches {variable.path}"


def run(model, x) -> np.ndarray:
    """Inference, as float32 NumPy."""
    y = keras.ops.cast(model(x, training=False), "float32")
    return keras.ops.convert_to_numpy(y)


# What conftest.py sets otherwise, as XLA has it where nobody sets anything.
XLA_OPTIONS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
}


def as_users(model: keras.Model, x):
    """What a model gives users, as NumPy: compiled by `predict`, by XLA with its own options.

    For numbers that are claimed: of a JAX program without XLA_FLAGS it is every bit.
    """
    if keras.backend.backend() != "jax":
        return model.predict_on_batch(x)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, compiled(model, XLA_OPTIONS)(x))


def compiled(model: keras.Model, options: dict | None = None) -> Callable:
    """Inference of a built model: on JAX as one program, elsewhere itself.

    JAX compiles each operation alone, for each shape that is new. Of a large model, or of one at
    many sizes, one program is compiled sooner; of a small one at a size that other tests have,
    nothing is left to compile.

    Args:
        model: built.
        options: of XLA, in place of those in XLA_FLAGS.
    """
    if keras.backend.backend() != "jax":
        return functools.partial(model, training=False)
    import jax

    @functools.partial(jax.jit, compiler_options=options)
    def program(trainable, others, x):
        y = model.stateless_call(trainable, others, x, training=False)[0]
        return dict(y) if isinstance(y, dict) else y

    weights = model.trainable_variables, model.non_trainable_variables
    return functools.partial(program, *([v.value for v in variables] for variables in weights))


def jitted(function: Callable) -> Callable:
    """A function of tensors as one program on JAX, see `compiled`; elsewhere itself."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def gradient(function, x):
    """Derivative of the sum of `function` at `x`, by the backend's own means."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(lambda v: function(v).sum())(x)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function  # as Keras trains
        def slope(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return slope(tf.constant(x)).numpy()
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).sum().backward()
    return x.grad.numpy()


def cosine(a, b) -> float:
    a, b = np.ravel(a).astype("float64"), np.ravel(b).astype("float64")
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _around(layer, shape) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))
