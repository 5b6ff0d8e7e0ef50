"""What `gpu.py` measures on JAX: seconds of a call, and the memory that its program needs."""

import pathlib
import time

import contenders
import gpu_dense
import jax
import keras
import numpy as np
from gpu_cases import INFERENCE, Case
from keras import ops

STEPS = 5  # between two looks at the clock, as calls return before the device is done


def device_name() -> str:
    """The name of the device."""
    device = jax.devices()[0]
    return "CPU" if device.platform == "cpu" else device.device_kind


def version() -> str:
    """Of the framework."""
    return f"JAX {jax.__version__}"


def measure(case: Case, seconds: float, upstream: pathlib.Path | None) -> dict:
    """What a case takes.

    Args:
        case: one of `gpu_cases.JAX`.
        seconds: how long to go on, after the warm-up; 0 is one round.
        upstream: of no use here.
    Returns:
        "seconds" of a call, and "memory" of its program in bytes: arguments, results and what is
        in between; None for what Keras runs.
    """
    del upstream
    jax.clear_caches()
    if case.dense:
        call, memory = gpu_dense.call(case), None
    else:
        call, memory = _classifier(case)
    for _ in range(3 if seconds else 1):
        result = call()
    jax.block_until_ready(result)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < (3 if seconds else 1):
        start = time.perf_counter()
        for _ in range(STEPS if seconds else 1):
            result = call()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - start) / (STEPS if seconds else 1))
    return {"seconds": sorted(times)[len(times) // 2], "memory": memory}


def _classifier(case: Case):
    """The call, and the bytes of its program."""
    model = contenders.build_ours(contenders.Case(case.model, case.size))
    rng = np.random.default_rng(0)
    shape = (case.batch, case.size, case.size, 3)
    x = jax.device_put(rng.standard_normal(shape).astype("float32"))
    state = [v.value for v in model.non_trainable_variables]
    weights = [v.value for v in model.trainable_variables]
    if case.kind == INFERENCE:

        def infer(weights, state, x):
            return model.stateless_call(weights, state, x, training=False)[0]

        program = jax.jit(infer).lower(weights, state, x).compile()
        return lambda: program(weights, state, x), _bytes(program)
    y = jax.device_put(rng.integers(0, 1000, case.batch))
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.05)
    optimizer.build(model.trainable_variables)
    moments = [v.value for v in optimizer.variables]

    def loss_of(weights, state, x, y):
        logits, state = model.stateless_call(weights, state, x, training=True)
        logits = ops.cast(logits, "float32")
        losses = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
        return ops.mean(losses), state

    def step(weights, state, moments, x, y):
        (_, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, state, x, y)
        weights, moments = optimizer.stateless_apply(moments, gradients, weights)
        return weights, state, moments

    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    program = jitted.lower(weights, state, moments, x, y).compile()
    # Copies, as a program that is given its arguments away takes those of the model with it.
    held = [jax.tree.map(jax.numpy.copy, (weights, state, moments))]

    def train():
        held[0] = program(*held[0], x, y)
        return held[0]

    return train, _bytes(program)


def _bytes(program) -> int | None:
    """What a program needs at most at once; None where the device does not say."""
    memory = program.memory_analysis()
    if memory is None:
        return None
    total = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return total + memory.temp_size_in_bytes - memory.alias_size_in_bytes
