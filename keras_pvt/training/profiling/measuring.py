"""The profile of a training step."""

import collections
import dataclasses
import importlib
import pathlib
import statistics
import tempfile
import time
from collections.abc import Generator
from typing import Any

import keras

from keras_pvt.ops import BACKEND
from keras_pvt.recipes.base import BaseRecipe
from keras_pvt.training import precision
from keras_pvt.training.data.prefetching import AHEAD
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.profiling import generated
from keras_pvt.training.trainer import prepared

HELD = 3  # batches that the parts are measured on
LEAST = 3  # times that a part is measured


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where the time of a training goes.

    Args:
        system: of the recipe, such as "retinanet".
        variant: of the recipe.
        policy: precision, such as "float32".
        batch_size: images in a step.
        steps: that were measured.
        seconds: of a step, by its parts: "input", "forward", "backward" and "optimizer".
        input_images_per_second: what reading and augmenting make while nothing else computes.
        compile_seconds: of the first steps, one for each shape of batches, in which the backend
            compiles.
        shapes: shapes of batches that were met.
        validation_seconds: of one validation; None if it was not measured.
        steps_between: steps from one validation to the next.
    """

    system: str
    variant: str
    policy: str
    batch_size: int
    steps: int
    seconds: dict[str, float]
    input_images_per_second: float
    compile_seconds: float
    shapes: int
    validation_seconds: float | None
    steps_between: int

    @property
    def step_seconds(self) -> float:
        """Seconds of a step: the sum of its parts."""
        return sum(self.seconds.values())

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second, without what is compiled and validated."""
        return self.batch_size / self.step_seconds

    @property
    def shares(self) -> dict[str, float]:
        """Share of each part in the time of a step, 0 to 1."""
        return {part: value / self.step_seconds for part, value in self.seconds.items()}

    @property
    def validation_share(self) -> float | None:
        """Share of validation in the time of a run, 0 to 1; None if it was not measured."""
        if self.validation_seconds is None:
            return None
        training = self.steps_between * self.step_seconds
        return self.validation_seconds / (self.validation_seconds + training)


def profile(
    recipe: BaseRecipe,
    steps: int = 20,
    *,
    validation: bool = False,
    in_memory: bool = False,
    classes: int | None = None,
) -> Profile:
    """Train some steps by a recipe on one device, and measure where their time goes.

    Nothing is kept: no folder of a run is read or written. `steps` training steps are timed, each
    waited for: the mean time until its batch is on the device is the input, the median of the rest
    is the step. Then, on some of these batches, three functions are timed in turn: the loss, the
    loss with its gradients, and the whole step. Medians of these and their differences tell how the
    step is divided. A difference below 0, of a part too short to be seen, counts as 0.

    - input: waiting for the threads that read and augment, and the transfer to the device.
    - forward: the loss.
    - backward: the gradients, and what is kept for them in the forward pass.
    - optimizer: the rest of the step, the update of weights and of the metrics in the log.

    The functions are compiled where training compiles them, on JAX and TensorFlow. First steps of
    each shape, in which they are, are counted apart.

    Args:
        recipe: as `keras_pvt.training.load_recipe` reads it. Without `data`, or with `classes`,
            generated images take the place of data.
        steps: training steps to time, 1 or more.
        validation: whether to time a validation too; it is done twice, as backends compile in the
            first one.
        in_memory: decode all images once and hold them, of a classifier.
        classes: number of classes of generated data.
    Returns:
        What was measured.
    Raises:
        ValueError: data or options do not fit the recipe; validation on generated data, or a model
            with a training step of its own.
        OSError: data cannot be read.
        ImportError: a library that is needed is not installed.
    """
    if steps < 1:
        raise ValueError(f"`steps` must be 1 or more; got {steps}.")
    invented = classes is not None or not recipe.data
    if invented and validation:
        raise ValueError("validation is measured on your own data; give the recipe some by --data.")
    with tempfile.TemporaryDirectory(prefix="keras_pvt_profile_") as temporary:
        folder = pathlib.Path(temporary)
        if invented:
            recipe = generated.write(recipe, folder / "data", classes)
        trainer, (images, _), _ = prepared(recipe, folder / "run", Strategy(), in_memory)
        recipe, epoch = trainer.recipe, trainer.steps(images)
        keras.utils.set_random_seed(recipe.seed)
        policy = precision.use(recipe.mixed_precision)
        _, model = trainer.compiled(epoch)
        if type(model).train_step is not keras.Model.train_step:
            raise ValueError(
                f"{type(model).__name__} has a training step of its own, whose parts are not known "
                "here; profile a recipe with --library keras_pvt."
            )
        with trainer.around():
            step = _Steps(model, trainer.batches(recipe.batch_size, 0))
            try:
                alone = step.input_alone(steps)
                waiting, whole = step.as_in_training(steps)
                parts = step.divided(steps)
            finally:
                step.close()
            validated = None
            if validation:
                trainer.measure(model, recipe.batch_size)
                validated, _ = _timed(trainer.measure, model, recipe.batch_size)
    total = sum(parts.values())
    return Profile(
        system=recipe.system,
        variant=recipe.variant,
        policy=policy,
        batch_size=recipe.batch_size,
        steps=steps,
        seconds={"input": waiting} | {name: whole * own / total for name, own in parts.items()},
        input_images_per_second=recipe.batch_size / alone,
        compile_seconds=step.compile_seconds,
        shapes=len(step.shapes),
        validation_seconds=validated,
        steps_between=epoch * trainer.every,
    )


class _Steps:
    """Training steps of a model on batches, and their parts."""

    def __init__(self, model: keras.Model, batches: keras.utils.PyDataset):
        self.model, self.engine = model, importlib.import_module(f"{__package__}.on_{BACKEND}")
        self.batches, self.stream = batches, _endless(batches)
        self.shapes: set[tuple] = set()
        self.compile_seconds = 0.0
        self.held: collections.deque = collections.deque(maxlen=HELD)

    def close(self) -> None:
        self.stream.close()

    def input_alone(self, count: int) -> float:
        """Seconds of a batch while nothing else computes."""
        self._read()  # what is imported and cached late
        # Anew, without what the threads have made ahead: of few batches it would be a large share.
        self.close()
        self.stream = _endless(self.batches)
        seconds, _ = _timed(lambda: [self._read() for _ in range(count)])
        return seconds / count

    def as_in_training(self, count: int) -> tuple[float, float]:
        """Mean seconds that a step waits for its batch, and median seconds of the rest."""
        for _ in range(AHEAD):  # batches that are there already are none to wait for
            self._compiled(self._read())
        waiting, steps = [], []
        for _ in range(count):
            seconds, batch = _timed(self._read)
            waiting.append(seconds)
            self._compiled(batch)
            steps.append(_timed(self._step, batch)[0])
            self.held.append(batch)
        return statistics.mean(waiting), statistics.median(steps)

    def divided(self, count: int) -> dict[str, float]:
        """Seconds of the parts of a step, but for the input."""
        self.close()  # no threads beside it
        functions = (*self.engine.parts(self.model), self._step)
        seconds: list[list[float]] = [[] for _ in functions for _ in self.held]
        for times in range(1 + max(LEAST, count // len(self.held))):
            place = iter(seconds)
            for batch in self.held:
                for function in functions:
                    taken, _ = _timed(function, batch)
                    if times:  # in the first one they are compiled
                        next(place).append(taken)
        medians = [statistics.median(taken) for taken in seconds]
        forward, gradients, step = (sum(medians[n :: len(functions)]) for n in range(3))
        return {
            "forward": forward,
            "backward": max(0.0, gradients - forward),
            "optimizer": max(0.0, step - gradients),
        }

    def _read(self) -> Any:
        """The next batch, on the device."""
        batch = keras.tree.map_structure(keras.ops.convert_to_tensor, next(self.stream))
        self.engine.finish(batch)
        return batch

    def _compiled(self, batch) -> None:
        """Take a step that counts nowhere, if the backend compiles one for this shape."""
        shape = tuple(tuple(one.shape) for one in keras.tree.flatten(batch))
        if shape not in self.shapes:
            self.shapes.add(shape)
            self.compile_seconds += _timed(self._step, batch)[0]

    def _step(self, batch) -> None:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        self.engine.finish(self.model.train_on_batch(x, y, sample_weight=weights))


def _timed(function, *arguments) -> tuple[float, Any]:
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def _endless(batches: keras.utils.PyDataset) -> Generator:
    """Epoch after epoch, as `fit` takes them."""
    while True:
        try:
            yield from (batches[index] for index in range(len(batches)))
        finally:
            batches.on_epoch_end()  # which ends the threads
