"""Train a PVT classifier on a folder of small images, one sub-folder a class.

Reads DATA/train/CLASS/* and DATA/val/CLASS/*, all held in memory, and writes to OUT the model
(model.keras, logits), the log (history.csv), the curves (curves.png) and the settings
(settings.json). A run that was stopped goes on at its last whole epoch when started again.
"""

import argparse
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from PIL import Image

import keras_pvt
from keras_pvt import training
from keras_pvt.variants import VARIANTS

EXAMPLES = """examples:
  python examples/train_classifier.py --data cifar10 --out runs/nano
  python examples/train_classifier.py --data flowers --out runs/tiny \\
      --variant pvt_tiny --weights imagenet --image-size 64 --learning-rate 2e-4
"""


def load_folder(folder: pathlib.Path, classes: list[str], side: int):
    """Images `(N, side, side, 3)` uint8 and labels `(N,)` of a folder of class folders."""
    items = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
    ]

    def load(item):
        image = Image.fromarray(keras_pvt.load_image(item[0]))
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))

    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(load, items)))
    return images, np.array([label for _, label in items])


class Batches(training.ShuffledBatches):
    """Shuffled batches, each image flipped and shifted at random; the same for the same seed.

    Args:
        images: uint8 `(N, side, side, 3)`.
        labels: `(N, classes)`, one-hot.
        batch_size: images in a batch; a last smaller batch is left out.
        seed: decides order, flips and shifts, together with the epoch.
        first_epoch: where to go on, from 0.
        shift: pixels, up to which an image moves in each direction.
    """

    def __init__(self, images, labels, batch_size: int, seed: int, first_epoch: int, shift: int):
        super().__init__(len(images), batch_size, seed, first_epoch)
        self.images, self.labels, self.shift = images, labels, shift

    def __getitem__(self, index):
        chosen, rng = self.draw(index)
        images, s, side = self.images[chosen], self.shift, self.images.shape[1]
        flip = rng.random(len(images)) < 0.5
        images[flip] = images[flip, :, ::-1]
        images = np.pad(images, ((0, 0), (s, s), (s, s), (0, 0)), mode="reflect")
        corners = rng.integers(0, 2 * s + 1, (len(images), 2))
        images = np.stack(
            [
                image[top : top + side, left : left + side]
                for image, (top, left) in zip(images, corners, strict=True)
            ]
        )
        return keras_pvt.preprocess_input(images), self.labels[chosen]


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True, help="folder that has train/ and val/")
    add("--out", type=pathlib.Path, required=True, help="folder for the results")
    add("--variant", choices=VARIANTS, default="pvt_nano", help="default pvt_nano")
    add("--weights", help='to start from: a file, or a name such as "imagenet"')
    add("--image-size", type=int, default=32, help="pixels a side, default 32")
    add("--epochs", type=int, default=50, help="default 50")
    add("--batch-size", type=int, default=128, help="default 128")
    add("--optimizer", choices=("adamw", "muon"), default="adamw", help="default adamw")
    add("--learning-rate", type=float, default=1.5e-3, help="peak, default 1.5e-3")
    add("--weight-decay", type=float, default=0.05, help="default 0.05")
    add("--warm-up", type=float, default=3, help="epochs of rising rate, default 3")
    add("--label-smoothing", type=float, default=0.1, help="default 0.1")
    add("--drop-path", type=float, default=0.0, help="stochastic depth, default 0")
    add("--shift", type=int, default=4, help="random shift in pixels, default 4")
    add("--seed", type=int, default=0, help="default 0")
    options = parser.parse_args(arguments)
    training.check_positive(parser, options, "epochs", "batch_size", "image_size", "learning_rate")
    return options


def class_names(data: pathlib.Path) -> list[str]:
    """Names of the class folders, the same in train and val."""
    train, val = (
        sorted(path.name for path in (data / part).iterdir() if path.is_dir())
        for part in ("train", "val")
    )
    if not train or train != val:
        raise ValueError(
            f"train and val under {data} need the same class folders; got {train} and {val}"
        )
    return train


def main(arguments=None) -> int:
    options = parse(arguments)
    try:
        train_and_save(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def train_and_save(options) -> None:
    keras.utils.set_random_seed(options.seed)
    classes = class_names(options.data)
    train, train_labels = load_folder(options.data / "train", classes, options.image_size)
    val, val_labels = load_folder(options.data / "val", classes, options.image_size)
    steps = len(train) // options.batch_size
    if not steps:
        raise ValueError(f"{len(train)} training images make no batch of {options.batch_size}")

    training.save_settings(options, classes)

    model = keras_pvt.classifier(
        options.variant,
        weights=options.weights,
        input_shape=(options.image_size, options.image_size, 3),
        classes=len(classes),
        classifier_activation=None,
        drop_path_rate=options.drop_path,
    )
    rate = training.WarmUpCosine(
        options.learning_rate, round(options.warm_up * steps), options.epochs * steps
    )
    model.compile(
        training.make_optimizer(
            options.optimizer, model, rate, options.weight_decay, not_muon=["^head/"]
        ),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=options.label_smoothing
        ),
        metrics=["accuracy"],
    )
    history, backup = options.out / "history.csv", options.out / "backup"
    done = training.epochs_done(backup, history)
    one_hot = np.eye(len(classes), dtype="float32")
    val_set = (keras_pvt.preprocess_input(val), one_hot[val_labels])
    model.fit(
        Batches(
            train, one_hot[train_labels], options.batch_size, options.seed, done, options.shift
        ),
        epochs=options.epochs,
        validation_data=val_set,
        validation_batch_size=500,
        shuffle=False,  # the batches do it, the same after a resumption
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            training.Log(history),
            keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    model.save(options.out / "model.keras")
    panels = {"loss": ["loss", "val_loss"], "accuracy": ["accuracy", "val_accuracy"]}
    training.draw_curves(training.read_history(history), panels, options.out / "curves.png")
    accuracy = model.evaluate(*val_set, batch_size=500, verbose=0)[1]
    print(f"val accuracy {accuracy:.4f} on {len(val)} images; results in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
