"""What the trainers of all tasks share: a run from its data to its results."""

import abc
import os
import pathlib
import typing
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import keras
import numpy as np

from keras_pvt.recipes.base import BaseRecipe
from keras_pvt.systems import SYSTEMS
from keras_pvt.training import precision, run_folder
from keras_pvt.training.checkpoints import FOLDER, epoch_files
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.optimizer import make_optimizer
from keras_pvt.training.run import Run
from keras_pvt.utils.extras import needed_for
from keras_pvt.weights import load_whole

# Share of the images that an epoch may leave out, as they make no whole batch.
MOST_LEFT_OUT = 0.2


class Trainer(abc.ABC):
    """What a task adds to a training run; one object for each run.

    Args:
        recipe: what to do.
        out: folder of the run.
        strategy: devices to use.
    Attributes:
        recipe: as given, except for a batch that is too large for the data.
        monitor: value of the log that is highest in the best epoch.
        passes: whether an epoch is a pass over the data, except for an incomplete last batch.
        guessing: whether the loss of guessing is ln(classes).
        holds: whether it can hold all images in memory.
    """

    recipe: typing.Any
    monitor: typing.ClassVar[str]
    passes: typing.ClassVar[bool] = True
    guessing: typing.ClassVar[bool] = True
    holds: typing.ClassVar[bool] = False

    def __init__(self, recipe: BaseRecipe, out: pathlib.Path, strategy: Strategy):
        self.recipe, self.out, self.strategy = recipe, out, strategy

    def import_libraries(self) -> None:
        """Import the libraries that the run needs, so that a missing one is reported before it
        begins.

        Raises:
            ImportError: a library is not installed; says what to install.
        """
        with needed_for("drawing curves", "plot"):
            import matplotlib.figure  # noqa: F401

    @abc.abstractmethod
    def fetch(self) -> None:
        """Write to disk the data that all processes read, where they are not there.

        Raises:
            ValueError: data that cannot be used.
            OSError: data that cannot be read, or be written.
            ImportError: a library is not installed.
        """

    @abc.abstractmethod
    def open(self, in_memory: bool) -> tuple[int, int]:
        """Open the data, and say what is wrong with them.

        Args:
            in_memory: decode all images once and hold them, if `holds`.
        Returns:
            Number of images to train on, and to validate on.
        Raises:
            ValueError: data that cannot be used.
            OSError: data that cannot be read.
        """

    @property
    def every(self) -> int:
        """Epochs from one measurement to the next."""
        return 1

    @property
    @abc.abstractmethod
    def classes(self) -> Sequence[str]:
        """Names of the classes of the data."""

    def steps(self, images: int) -> int:
        """Steps in an epoch of so many images."""
        return images // self.recipe.batch_size

    def length(self, steps: int) -> str:
        """How long the run is, in words."""
        return f"{self.recipe.epochs} epochs of {steps} steps"

    @property
    def plan(self) -> typing.Any:
        """The recipe to build the model by: of no weights, if a checkpoint has all of them."""
        resumes = bool(epoch_files(self.out / FOLDER))
        return self.recipe.replace(weights="none", load_from="") if resumes else self.recipe

    def build(self) -> tuple[keras.Model, keras.Model]:
        """The model that the recipe describes, and the backbone in it."""
        recipe = self.plan
        start = recipe.load_from
        if start:  # which has the backbone's weights, too
            recipe = recipe.replace(weights="none")
        model, backbone = SYSTEMS[recipe.system].load("build")(recipe, len(self.classes))
        if start:
            load_whole(model, start, self.classes)
        return model, backbone

    def optimizer(self, model: keras.Model, learning_rate, **options) -> keras.optimizers.Optimizer:
        """The optimizer that the recipe describes.

        Args:
            model: to train.
            learning_rate: a number or a schedule.
            **options: more of `make_optimizer`.
        """
        recipe = self.recipe
        return make_optimizer(
            recipe.optimizer,
            model,
            learning_rate,
            recipe.weight_decay,
            clip_norm=recipe.clip_norm or None,
            accumulate=recipe.accumulate,
            **options,
        )

    @abc.abstractmethod
    def compiled(self, steps: int) -> tuple[keras.Model, keras.Model]:
        """The model, and what is compiled and fitted in its place: most often the model itself.

        Args:
            steps: in an epoch.
        """

    @abc.abstractmethod
    def batches(self, batch_size: int, done: int) -> keras.utils.PyDataset:
        """What this process trains on.

        Args:
            batch_size: of this process.
            done: number of finished epochs.
        """

    @abc.abstractmethod
    def measure(self, whole: keras.Model, batch_size: int) -> dict[str, float]:
        """Measure the model as it stands on the validation set.

        Args:
            whole: what `compiled` gave to be fitted.
            batch_size: of this process.
        Returns:
            The metrics of all processes together, by their names in the log.
        """

    def around(self) -> AbstractContextManager:
        """A context to train in."""
        return nullcontext()

    @abc.abstractmethod
    def panels(self, rows: list[dict[str, float]]) -> Mapping[str, Sequence[str]]:
        """The curves to draw: for each panel its title and columns of the log."""

    @abc.abstractmethod
    def finish(self, run: Run, batch_size: int) -> dict[str, float]:
        """Write the trained model, and then what shows its results.

        Args:
            run: that is over.
            batch_size: of this process.
        Returns:
            What was measured of it on the validation set.
        """


def train(
    recipe: BaseRecipe,
    out: str | os.PathLike,
    strategy: Strategy | None = None,
    *,
    in_memory: bool = False,
    tensorboard: bool = False,
    keep: int = 2,
    limit_steps: int = 0,
    extend: bool = False,
) -> dict[str, float]:
    """Train by a recipe, from the first step or from the last checkpoint of the run in `out`.

    Writes to `out`: model.keras, which `keras_pvt.load_model` and `keras-pvt` read, the log
    history.csv, curves.png, settings.json and `checkpoints/`; see the trainers for more.

    Args:
        recipe: what to do, as `keras_pvt.training.load_recipe` reads it.
        out: folder of the run, on a disk that all processes share; created if it does not exist.
        strategy: devices to use, see `keras_pvt.training.distribution.choose`; by default one.
        in_memory: decode all images once and hold them, of a classifier.
        tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        keep: how many checkpoints of the last epochs to keep.
        limit_steps: largest number of steps in an epoch, for a trial run; 0: no limit.
        extend: train the run in `out` for longer, to the length of the recipe. Earlier steps are
            not repeated; each further step has the learning rate that it has in a run of the new
            length.
    Returns:
        The metrics on the validation set, by name.
    Raises:
        ValueError: data, batch, devices or the files in `out` do not fit the recipe; or the loss
            has diverged.
        OSError: data cannot be read, or `out` not be written.
        ImportError: a library that is needed is not installed.
    """
    strategy = strategy or Strategy()
    if tensorboard:
        with needed_for("--tensorboard", "tensorboard", "tensorflow"):
            import tensorboard as _viewer  # noqa: F401, which shows the logs
            import tensorflow  # noqa: F401, by which Keras writes them, on any backend
    trainer, (images, validated), said = prepared(recipe, pathlib.Path(out), strategy, in_memory)
    steps = trainer.steps(images)
    recipe = trainer.recipe
    batch_size = strategy.check_batch(recipe.batch_size)
    with run_folder.alone(trainer.out, strategy), strategy.scope():
        keras.utils.set_random_seed(recipe.seed)
        policy = precision.use(recipe.mixed_precision)
        model, whole = trainer.compiled(steps)
        run = Run(
            recipe,
            trainer.out,
            strategy,
            model,
            whole,
            trainer.classes,
            (images, validated),
            trainer.monitor,
            keep,
            trainer.guessing,
            limit_steps,
            extend,
        )
        run.announce(
            f"{recipe.system} on {recipe.variant}, {images} images of {len(trainer.classes)} "
            f"classes, {validated} to validate on; {trainer.length(steps)}, batch "
            f"{recipe.batch_size}{said}",
            policy,
        )
        run.fit(
            trainer.batches(batch_size, run.done),
            steps,
            lambda: trainer.measure(whole, batch_size),
            every=trainer.every,
            around=trainer.around,
            tensorboard=tensorboard,
        )
        results = trainer.finish(run, batch_size)  # the model before its pictures
        run.draw(trainer.panels)
        return results


def prepared(
    recipe: BaseRecipe, out: pathlib.Path, strategy: Strategy, in_memory: bool = False
) -> tuple[Trainer, tuple[int, int], str]:
    """Open the data of a run, before any model is built.

    Args:
        recipe: see `train`.
        out: folder of the run.
        strategy: devices to use.
        in_memory: decode all images once and hold them.
    Returns:
        The trainer, whose recipe has a batch that fits the data; the numbers of images to train on
        and to validate on; a message about the batch.
    Raises:
        ValueError, OSError, ImportError: see `train`.
    """
    if not recipe.data:
        raise ValueError("--data is needed: this recipe has none of its own.")
    trainer = SYSTEMS[recipe.system].load("trainer")(recipe, out, strategy)
    if in_memory and not trainer.holds:
        raise ValueError("--in-memory is for classifiers.")
    strategy.check_batch(trainer.recipe.batch_size)
    trainer.import_libraries()
    images, validated = opened(trainer, in_memory)
    said = fit_batch(trainer, images) if trainer.passes else ""
    return trainer, (images, validated), said


def opened(trainer: Trainer, in_memory: bool = False) -> tuple[int, int]:
    """Open the data of a run; the chief writes what must be written, while the others wait.

    Args:
        trainer: whose data they are.
        in_memory: decode all images once and hold them.
    Returns:
        Number of images to train on, and to validate on.
    Raises:
        ValueError: data that cannot be used, or that differ from one process to the next.
        OSError: data that cannot be read.
    """
    strategy = trainer.strategy
    with strategy.chief_first():
        trainer.fetch()
    images, validated = trainer.open(in_memory)
    classes = zlib.crc32("\n".join(trainer.classes).encode())
    seen = strategy.gathered([images, validated, len(trainer.classes), classes])
    different = np.flatnonzero((seen != seen[0]).any(axis=1))
    if different.size:
        lines = (
            f"process {number} sees {seen[number][0]} images to train on and {seen[number][1]} to "
            f"validate on, of {seen[number][2]} classes"
            for number in (0, different[0])
        )
        raise ValueError(
            f"the processes see different data: {', '.join(lines)}; give all of them the same "
            "files, by names in the same order."
        )
    return images, validated


def fit_batch(trainer: Trainer, images: int) -> str:
    """Lower the batch size if too many images would be left out of an epoch.

    Args:
        trainer: whose recipe is changed.
        images: to train on.
    Returns:
        A message about it.
    Raises:
        ValueError: there are fewer images than devices.
    """
    wanted, devices = trainer.recipe.batch_size, trainer.strategy.devices
    size = wanted
    if images < wanted or images % wanted > MOST_LEFT_OUT * images:
        batches = -(-images // wanted)
        size = images // batches // devices * devices
    if not size:
        raise ValueError(f"{images} training images make no batch for {devices} devices.")
    trainer.recipe = trainer.recipe.replace(batch_size=size)
    said = "" if size == wanted else f" instead of {wanted}, to leave fewer images out"
    left_out = images % size
    return said + (f" ({left_out} images are left out of each epoch)" if left_out else "")
