"""A classifier trained by a recipe, from the first step or from where it was stopped."""

import pathlib

import keras

from keras_pvt.training import from_recipe, precision, run_folder
from keras_pvt.training.data import InMemory, open_train_and_val
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.recipe import Recipe
from keras_pvt.training.run import Run

PANELS = {
    "loss": ["loss", "val_loss"],
    "accuracy": ["accuracy", "val_accuracy"],
    "learning rate": ["learning_rate"],
}


def train(
    recipe: Recipe,
    out: pathlib.Path,
    strategy: Strategy,
    *,
    in_memory: bool = False,
    tensorboard: bool = False,
    keep: int = 2,
    limit_steps: int = 0,
) -> dict[str, float]:
    """Train as the recipe says; started again on the same folder, go on after the last epoch.

    In `out` come to lie: settings.json, history.csv and curves.png, `checkpoints/`, and at the
    end model.keras and best.keras, which give logits of images normalised by `preprocess_input`.

    Args:
        recipe: what to do.
        out: folder of the run, on a disk that all processes share.
        strategy: devices to use.
        in_memory: decode all images once and hold them.
        tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        keep: checkpoints of last epochs that stay.
        limit_steps: at most so many steps in an epoch, to try things out; 0 is all.
    Returns:
        "val_accuracy" and others, of the last epoch's model.
    Raises:
        ValueError: data, batch and devices, or what lies in `out` do not fit the recipe; or the
            loss shows that nothing will come of it.
        OSError: data cannot be read or `out` not be written.
    """
    batch_size = strategy.check_batch(recipe.batch_size)
    images, val_images = open_train_and_val(recipe.data)
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"{len(images)} training images make no batch of {recipe.batch_size}; pass a smaller "
            "--batch-size."
        )
    with run_folder.alone(out, strategy):
        if in_memory:
            images, val_images = InMemory(images), InMemory(val_images)
        with strategy.scope():
            sets = images, val_images
            return _run(recipe, out, strategy, sets, batch_size, tensorboard, keep, limit_steps)


def _run(recipe, out, strategy, sets, batch_size, tensorboard, keep, limit_steps):
    images, val_images = sets
    keras.utils.set_random_seed(recipe.seed)
    policy = precision.use(recipe.mixed_precision)
    steps = len(images) // recipe.batch_size
    model, whole = from_recipe.compiled(recipe, len(images.classes), steps, strategy)
    run = Run(recipe, out, strategy, model, whole, images.classes, "val_accuracy", keep)
    run.announce(
        f"{recipe.variant}, {len(images)} images of {len(images.classes)} classes, "
        f"{len(val_images)} to validate on; {recipe.epochs} epochs of {steps} steps, batch "
        f"{recipe.batch_size}",
        policy,
    )
    validated = len(range(strategy.process, len(val_images), strategy.processes))
    val = from_recipe.val_batches(recipe, val_images, batch_size, strategy)
    run.fit(
        from_recipe.train_batches(recipe, images, batch_size, strategy, run.done),
        recipe.epochs,
        min(limit_steps or steps, steps),
        validation_data=val,
        validated=validated,
        measures=[keras.callbacks.SwapEMAWeights()] if recipe.ema else [],  # validates by them
        tensorboard=tensorboard,
    )
    _take_averaged(recipe, run)  # `fit` has done it, unless all epochs were done before
    results = strategy.share(whole.evaluate(val, verbose=0, return_dict=True), validated)
    run.save("model.keras")
    run.draw(PANELS)
    run.take_best()
    _take_averaged(recipe, run)
    run.save("best.keras")
    return {f"val_{name}": value for name, value in results.items()}


def _take_averaged(recipe: Recipe, run: Run) -> None:
    if recipe.ema:
        run.whole.optimizer.finalize_variable_values(run.model.trainable_variables)
