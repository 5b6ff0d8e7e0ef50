"""Time and error of GELU: ours, Keras's exact one, and that of an earlier checkout.

The activation alone, forward and with its gradient; the feed-forward layer of PVT-Tiny's first
stage; PVT-Tiny. The latter two are one layer and one model, in which nothing but GELU is exchanged.
On PyTorch the layer has no GELU of ours, and only the activation is timed. Errors are the largest
ones from float64. Needs scipy.
"""

import argparse
import importlib
import pathlib
import sys
from collections.abc import Callable
from unittest import mock

import numpy as np
import timing
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/gelu.py --threads 2
  git worktree add --detach /tmp/earlier c0d07ee~1  # before GELU on JAX became more accurate
  KERAS_BACKEND=jax python benchmarks/gelu.py --against /tmp/earlier
"""
OURS, KERAS, EARLIER = "keras_pvt", "keras", "earlier"
# PVT-Tiny at 224 pixels: tokens of the first stage, and what GELU gets in the third. On the larger
# array that it gets in the first, GELU on JAX took 0.7 to 6.4 ms from run to run.
TOKENS, CHANNELS, HIDDEN = (1, 56, 56, 64), 64, 512
ALONE, TIMES = (14 * 14, 1280), 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=pathlib.Path, help="an earlier checkout of this package")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each row (20)")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    earlier = {EARLIER: _gelu_of(args.against)} if args.against else {}

    import keras
    from contenders import Case, build_ours, keras_call

    from keras_pvt.layers import FeedForward
    from keras_pvt.ops import BACKEND, gelu

    functions = {OURS: gelu, KERAS: lambda x: keras.activations.gelu(x, approximate=False)}
    functions |= earlier
    print(f"Backend {BACKEND}, keras {keras.__version__}, {threads} threads")
    print("\n| | largest error | of the gradient |\n|---|---|---|")
    for name, function in functions.items():
        print(f"| {name} | {' | '.join(f'{error:.2g}' for error in _errors(function))} |")

    table = Table("batch 1, float32", list(functions), "ms")
    rng = np.random.default_rng(0)
    hidden, tokens, images = (
        rng.standard_normal(shape).astype("float32") for shape in (ALONE, TOKENS, (1, 224, 224, 3))
    )
    for label, prepare in (("GELU", _forward), ("GELU and its gradient", _gradient)):
        calls = {name: _repeated(prepare(f, hidden)) for name, f in functions.items()}
        table.row(f"{label}, {TIMES} times", timing.interleave(calls, args.seconds))
    if BACKEND == "torch":
        return
    layer = FeedForward(CHANNELS, HIDDEN)
    layer.build(tokens.shape)
    models = {
        "feed-forward": (layer, tokens),
        "PVT-Tiny": (build_ours(Case("pvt_tiny", 224)), images),
    }
    for label, (model, x) in models.items():
        calls = {}
        for name, function in functions.items():
            calls[name] = keras_call(model, x)
            with mock.patch("keras_pvt.ops.layers.gelu", function):
                calls[name]()  # the first call traces
        table.row(label, timing.interleave(calls, args.seconds))


def _gelu_of(checkout: pathlib.Path) -> Callable:
    """`keras_pvt.ops.gelu` of another checkout, which afterwards is not to be imported any more."""
    if not (checkout / "keras_pvt").is_dir():
        raise SystemExit(f"{checkout} is no checkout of keras_pvt.")
    sys.path.insert(0, str(checkout))
    try:
        return importlib.import_module("keras_pvt.ops").gelu
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if name.split(".")[0] == "keras_pvt"]:
            del sys.modules[name]


def _errors(function: Callable) -> tuple[float, float]:
    """The largest differences from float64, of the function and of its gradient."""
    from scipy.special import ndtr

    powers = np.logspace(-30, 30, 601)
    x = np.concatenate([np.linspace(-9, 9, 360_001), powers, -powers]).astype("float32")
    # In float64 by NumPy: JAX would round what it is compared with to float32.
    calls = _forward(function, x), _gradient(function, x)
    values, slopes = (np.asarray(call(), "float64") for call in calls)
    x = x.astype("float64")
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    return abs(values - x * ndtr(x)).max(), abs(slopes - ndtr(x) - x * density).max()


def _repeated(call: Callable) -> Callable:
    """`TIMES` calls in one, as a single one is too short to time."""

    def calls():
        for _ in range(TIMES):
            call()

    return calls


def _forward(function: Callable, x: np.ndarray) -> Callable:
    """The function of `x`, compiled where the backend has a compiler."""
    from keras_pvt.ops import BACKEND

    if BACKEND == "jax":
        import jax

        compiled, x = jax.jit(function), jax.device_put(x)
        return lambda: jax.block_until_ready(compiled(x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        compiled = tf.function(function).get_concrete_function(x)
        return lambda: compiled(x).numpy()
    import torch

    x = torch.from_numpy(x)
    return lambda: function(x).numpy()


def _gradient(function: Callable, x: np.ndarray) -> Callable:
    """The function of `x` and its gradient, of which the latter is given."""
    from keras_pvt.ops import BACKEND

    if BACKEND == "jax":
        import jax

        def with_gradient(x):
            y, pull_back = jax.vjp(function, x)
            return y, *pull_back(jax.numpy.ones_like(x))

        compiled, x = jax.jit(with_gradient), jax.device_put(x)
        return lambda: jax.block_until_ready(compiled(x))[1]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def with_gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return y, tape.gradient(y, x)

        x = tf.constant(x)
        compiled = tf.function(with_gradient).get_concrete_function(x)
        return lambda: compiled(x)[1].numpy()
    import torch

    x = torch.from_numpy(x).requires_grad_()
    return lambda: torch.autograd.grad(function(x).sum(), x)[0].numpy()


if __name__ == "__main__":
    main()
