"""Trains a small PVT under a strategy: python distribution_worker.py FOLDER STRATEGY...

What each strategy has come to is left in FOLDER/<strategy>-<process>.npz: the weights, the log,
and what a test of the strategy wants to know besides. `running` starts such processes.
"""

import contextlib
import dataclasses
import operator
import os
import pathlib
import subprocess
import sys
import warnings
from collections.abc import Iterator

import keras
import numpy as np
from conftest import TINY, V2

import keras_pvt
from keras_pvt.segmentation import PixelCrossentropy, SemanticFPN
from keras_pvt.training import distribution

# Widths that divide by the 8 devices, which is what fsdp needs to divide all of them, and not
# more blocks than have to be.
CONFIG = dataclasses.replace(TINY, depths=(1, 1, 1, 1), embed_dims=(8, 16, 40, 32))
V2_CONFIG = dataclasses.replace(V2, embed_dims=CONFIG.embed_dims)
STEPS, BATCH, VALIDATION = 5, 16, 32
LARGE = 2**40 + 3  # more than 32 bits


class Batches(keras.utils.PyDataset):
    """The part of each batch that a process has."""

    def __init__(self, images, labels, strategy: distribution.Strategy):
        super().__init__()
        self.images, self.labels, self.strategy = images, labels, strategy

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        size = self.strategy.check_batch(BATCH)
        start = index * BATCH + self.strategy.process * size
        return self.images[start : start + size], self.labels[start : start + size]


def train(
    strategy: distribution.Strategy, config=CONFIG
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Five steps of AdamW with the gradient clipped: the model, and its weights and log."""
    rng = np.random.default_rng(2)
    images = rng.standard_normal((STEPS * BATCH, 64, 64, 3), "float32")
    labels = np.eye(TINY.classes, dtype="float32")[rng.integers(0, 7, len(images))]
    keras.utils.set_random_seed(1)
    inner = keras_pvt.classifier(config, classifier_activation=None)
    model = strategy.replicate(inner)
    model.compile(
        # Some gradients are 0 but for rounding; a small epsilon would make that a whole step.
        keras.optimizers.AdamW(1e-3, weight_decay=0.05, global_clipnorm=0.5, epsilon=1e-4),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # Processes of torch may have different numbers of samples to validate on.
    ends = [0, 20, 32] if strategy.name == "ddp" else [0, 16, 32]
    if strategy.processes == 1:
        ends = [0, 32]
    own = slice(*ends[strategy.process : strategy.process + 2])
    history = model.fit(
        Batches(images, labels, strategy),
        epochs=1,
        shuffle=False,
        verbose=0,
        validation_data=(images[own], labels[own]),
        validation_batch_size=8,
        callbacks=[strategy.callback(STEPS * BATCH, own.stop - own.start)],
    ).history
    result = {variable.path: np.asarray(variable) for variable in inner.variables}
    return model, result | {f"log/{name}": np.array(values) for name, values in history.items()}


def train_detector(strategy: distribution.Strategy) -> dict[str, np.ndarray]:
    """The same of a detector, which computes its loss itself, in each part of a batch alone.

    One device, which is to give the same, takes the parts in turn and averages their gradients.
    """
    rng = np.random.default_rng(3)
    images = rng.standard_normal((STEPS * BATCH, 64, 64, 3), "float32")
    corners = np.sort(rng.uniform(0, 64, (len(images), 2, 2)), axis=1)  # of one box in each
    boxes = corners.reshape(-1, 1, 4).astype("float32")
    classes = rng.integers(0, 2, (len(images), 1)).astype("float32")
    keras.utils.set_random_seed(1)
    backbone = keras_pvt.PVTBackbone(CONFIG, (64, 64, 3))
    inner = keras_pvt.detection.RetinaNet(backbone, 2, neck_width=8, head_depth=1)
    model = strategy.replicate(inner)
    parts = 2 if strategy.devices == 1 else 1
    model.compile(
        keras.optimizers.SGD(1e-2, gradient_accumulation_steps=parts if parts > 1 else None)
    )
    size = strategy.check_batch(BATCH)
    rows = np.arange(len(images)).reshape(STEPS, -1)
    own = rows[:, strategy.process * size :][:, :size].ravel()
    history = model.fit(
        images[own],
        {"boxes": boxes[own], "classes": classes[own]},
        batch_size=size // parts,
        epochs=1,
        shuffle=False,
        verbose=0,
        callbacks=[strategy.callback(STEPS * BATCH)],
    ).history
    result = {variable.path: np.asarray(variable) for variable in inner.trainable_variables}
    return result | {f"log/{name}": np.array(values) for name, values in history.items()}


def detector_and_labels(rng):
    """A detector, its images and labels."""
    backbone = keras_pvt.PVTBackbone(CONFIG, (64, 64, 3))
    corners = np.sort(rng.uniform(0, 64, (BATCH, 2, 2)), axis=1)
    labels = {
        "boxes": corners.reshape(-1, 1, 4).astype("float32"),
        "classes": rng.integers(0, 2, (BATCH, 1)).astype("float32"),
    }
    return keras_pvt.detection.RetinaNet(backbone, 2, neck_width=8, head_depth=1), labels, None


def segmenter_and_labels(rng):
    """The same of a segmenter, which has batch norms."""
    backbone = keras_pvt.PVTBackbone(CONFIG, (64, 64, 3))
    model = SemanticFPN(backbone, 3, neck_width=8, head_width=8, drop_rate=0)
    labels = rng.integers(0, 3, (BATCH, 64, 64))
    labels[rng.uniform(size=labels.shape) < 0.2] = 255
    return model, labels.astype("int32"), PixelCrossentropy()


DENSE = {"detector": detector_and_labels, "segmenter": segmenter_and_labels}


def gradients(strategy: distribution.Strategy, parts: int = 1) -> dict[str, np.ndarray]:
    """The gradients of a detector and of a segmenter, and what else a step changes in them.

    Args:
        strategy: devices.
        parts: with one device, how many it is to stand in for: it takes the parts of the batch in
            turn, each with the batch norms of the beginning, and averages their gradients.
    Returns:
        For each variable what a step of a rate of 1 takes from it; for averages of batch norms
        what they are after the part of each device, `(parts, ...)`.
    """
    result = {}
    for name, make in DENSE.items():
        rng = np.random.default_rng(4)
        keras.utils.set_random_seed(1)
        inner, labels, loss = make(rng)
        images = rng.standard_normal((BATCH, 64, 64, 3), "float32")
        model = strategy.replicate(inner)
        accumulated = parts if parts > 1 else None
        model.compile(
            keras.optimizers.SGD(1.0, gradient_accumulation_steps=accumulated),
            loss,
            # For one step XLA would compile longer than TensorFlow computes without it.
            jit_compile=keras.backend.backend() == "jax",
        )
        start = {v.path: np.array(v) for v in inner.variables}
        norms = [v for v in inner.variables if "/moving_" in v.path]
        size = strategy.check_batch(BATCH) // parts
        states = []
        for part in range(parts):
            for variable in norms if part else ():
                variable.assign(start[variable.path])
            first = (strategy.process + part) * size
            rows = operator.itemgetter(slice(first, first + size))
            own = keras.tree.map_structure(rows, (images, labels))
            model.fit(
                *own, batch_size=size, shuffle=False, verbose=0, callbacks=[strategy.callback()]
            )
            states.append([np.array(v) for v in norms])
        for variable in inner.trainable_variables:
            path = variable.path
            result[f"{name}/gradient/{path}"] = start[path] - np.array(variable)
        for variable, *values in zip(norms, *states, strict=True):
            result[f"{name}/norm/{variable.path}"] = np.stack(values)
    return result


def assert_same_gradients(
    result: dict[str, np.ndarray], expected: dict[str, np.ndarray], device: int = 0
) -> None:
    """Gradients agree to 1e-5, and so do averages of batch norms with those of a device."""
    kinds = set()
    for name, value in expected.items():
        kind = "/".join(name.split("/")[:2])
        kinds.add(kind)
        if kind.endswith("/norm"):
            assert np.ptp(result[name]) > 0  # not as they began
            value = value[device][None]
        np.testing.assert_allclose(result[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert kinds == {"detector/gradient", "segmenter/gradient", "segmenter/norm"}


def assert_trained_alike(result: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Losses agree to 1e-5 of themselves, weights to 1e-5, a 500th of what five steps move them."""
    assert expected.keys() <= result.keys()
    for name, value in expected.items():
        is_log = name.removeprefix("v2/").startswith("log/")
        tolerance = {"rtol": 1e-5} if is_log else {"rtol": 0, "atol": 1e-5}
        np.testing.assert_allclose(result[name], value, err_msg=name, **tolerance)


@contextlib.contextmanager
def running(*commands: list, **environment: str) -> Iterator[None]:
    """Run programs beside one another and beside what is inside, this one with arguments given.

    Args:
        commands: arguments of each; a first that is `-m` takes the place of this program.
        environment: variables for all of them, where {} stands for the number of each.
    """
    processes = []
    try:
        for number, command in enumerate(commands):
            program = [] if command[0] == "-m" else [__file__]
            own = {name: value.format(number) for name, value in environment.items()}
            processes.append(
                subprocess.Popen(
                    [sys.executable, *program, *map(str, command)],
                    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | own,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        yield
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-10000:]


def main(folder: pathlib.Path, names: list[str]) -> None:
    backend = keras.backend.backend()
    folder.mkdir(exist_ok=True)
    if backend == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, parts)
    warnings.simplefilter("error")  # as pytest does
    warnings.filterwarnings("ignore", message="__array__ implementation")
    for name in names:
        strategy = distribution.choose(name)
        with strategy.scope():
            if backend != "jax":  # there, a program for all devices is the same program
                detector = train_detector(strategy)
                np.savez(folder / f"detector-{name}-{strategy.process}.npz", **detector)
            with strategy.chief_first(), (folder / f"order-{name}").open("a") as file:
                file.write(str(strategy.process))
            if name != "fsdp":  # which computes them as data-parallel does
                dense = gradients(strategy)
                np.savez(folder / f"gradients-{name}-{strategy.process}.npz", **dense)
            model, result = train(strategy)
            result["gathered"] = strategy.gathered([strategy.process, LARGE])
            result["order"] = np.array((folder / f"order-{name}").read_text())
            result |= FACTS[backend](strategy, model, folder)
        np.savez(folder / f"{name}-{strategy.process}.npz", name=strategy.name, **result)
    strategy.barrier()
    strategy.close()


def _facts_of_jax(strategy, model, folder):
    from keras_pvt.training.distribution.on_jax import bytes_held

    v2 = train(strategy, V2_CONFIG)[1]
    held = bytes_held([*model.variables, *model.optimizer.variables])
    uneven = keras_pvt.classifier(TINY)  # widths that 8 does not divide
    return {
        "bytes_held": np.array(list(held.values())),
        "uneven": np.array(list(bytes_held(uneven.variables).values())),
        **{f"v2/{name}": value for name, value in v2.items()},
    }


def _seeds(strategy):
    """What a callback makes of the seeds of a model, `(devices of this process, seeds, 2)`."""
    model = strategy.replicate(keras_pvt.classifier(CONFIG, drop_path_rate=0.2))
    model.compile("adamw", "mse")
    callback = strategy.callback()
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    return [v for v in model.variables if "seed_generator" in v.path]


def _facts_of_tensorflow(strategy, model, folder):
    seeds = [state.value.values for state in _seeds(strategy)]
    return {"seeds": np.array([[replica.numpy() for replica in state] for state in seeds])}


def _facts_of_torch(strategy, model, folder):
    if strategy.chief:
        model.save(folder / "model.keras")
        model.save_weights(folder / "model.weights.h5")
    return {"seeds": np.array([[np.asarray(state)] for state in _seeds(strategy)])}


FACTS = {"jax": _facts_of_jax, "tensorflow": _facts_of_tensorflow, "torch": _facts_of_torch}

if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
