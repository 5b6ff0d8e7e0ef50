"""Train a PVT classifier on a folder of images, one sub-folder a class.

    python examples/train_classifier.py --data cifar10 --out runs/nano

reads cifar10/train/CLASS/*.jpg and cifar10/val/CLASS/*.jpg, and writes to runs/nano the
model (model.keras), the log (history.csv), the curves (curves.png) and the settings
(settings.json). A run that was stopped goes on where it stopped when started again.
Images are held in memory; use it for sets of small images.
"""

import argparse
import csv
import json
import math
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from PIL import Image

import keras_pvt
from keras_pvt.variants import VARIANTS


def load_folder(folder: pathlib.Path, classes: list[str], side: int):
    """Images `(N, side, side, 3)` uint8 and labels `(N,)` of a folder of class folders."""
    items = [
        (path, n) for n, name in enumerate(classes) for path in sorted((folder / name).iterdir())
    ]

    def load(item):
        with Image.open(item[0]) as image:
            return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))

    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(load, items)))
    return images, np.array([n for _, n in items])


class Batches(keras.utils.PyDataset):
    """Shuffled batches, each image randomly flipped and shifted; the same ones for a seed."""

    def __init__(self, images, labels, batch_size: int, seed: int, first_epoch: int, shift: int):
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size, self.seed, self.shift = batch_size, seed, shift
        self.epoch = first_epoch
        self._shuffle()

    def __len__(self):
        return len(self.images) // self.batch_size

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()

    def _shuffle(self):
        self.order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, self.epoch, index))
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self.images[chosen]
        flip = rng.random(len(images)) < 0.5
        images[flip] = images[flip, :, ::-1]
        s, side = self.shift, images.shape[1]
        padded = np.pad(images, ((0, 0), (s, s), (s, s), (0, 0)), mode="reflect")
        corners = rng.integers(0, 2 * s + 1, (len(images), 2))
        images = np.stack(
            [p[y : y + side, x : x + side] for p, (y, x) in zip(padded, corners, strict=True)]
        )
        return keras_pvt.preprocess_input(images), self.labels[chosen]


@keras.saving.register_keras_serializable(package="keras_pvt_examples")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over `warm_up` steps, then half a cosine to 0 at `total`."""

    def __init__(self, peak: float, warm_up: int, total: int):
        self.peak, self.warm_up, self.total = peak, warm_up, total

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / self.warm_up
        done = keras.ops.clip((step - self.warm_up) / max(1, self.total - self.warm_up), 0, 1)
        fall = 0.5 * (1 + keras.ops.cos(math.pi * done))
        return self.peak * keras.ops.minimum(rise, fall)

    def get_config(self):
        return {"peak": self.peak, "warm_up": self.warm_up, "total": self.total}


def draw_curves(history: pathlib.Path, picture: pathlib.Path) -> None:
    """Draw loss and accuracy of a `history.csv` over the epochs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with history.open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        for key, label in ((name, "train"), (f"val_{name}", "val")):
            axis.plot([row["epoch"] + 1 for row in rows], [row[key] for row in rows], label=label)
        axis.set(xlabel="epoch", ylabel=name)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=120)


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True, help="has train/ and val/")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    parser.add_argument("--variant", choices=VARIANTS, default="pvt_nano")
    parser.add_argument("--weights", help='start from these: a file or "imagenet"')
    parser.add_argument("--image-size", type=int, default=32, help="pixels a side (default 32)")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="peak of AdamW")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--warm-up", type=float, default=3, help="epochs of rising rate")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--drop-path", type=float, default=0.0)
    parser.add_argument("--shift", type=int, default=4, help="random shift in pixels (default 4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for name in ("epochs", "batch_size", "image_size", "learning_rate"):
        if getattr(options, name) <= 0:
            parser.error(
                f"--{name.replace('_', '-')} must be above 0; got {getattr(options, name)}"
            )
    for part in ("train", "val"):
        if not (options.data / part).is_dir():
            parser.error(f"no folder {options.data / part}; --data needs train/ and val/")
    return options


def main(arguments=None) -> int:
    options = parse(arguments)
    keras.utils.set_random_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    classes = sorted(path.name for path in (options.data / "train").iterdir() if path.is_dir())
    train, train_labels = load_folder(options.data / "train", classes, options.image_size)
    val, val_labels = load_folder(options.data / "val", classes, options.image_size)
    if len(train) < options.batch_size:
        print(
            f"error: {len(train)} training images make no batch of {options.batch_size}",
            file=sys.stderr,
        )
        return 1
    settings = {
        **{k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(options).items()}
    }
    settings |= {"classes": classes, "backend": keras.backend.backend(), "keras": keras.__version__}
    (options.out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")

    model = keras_pvt.classifier(
        options.variant,
        weights=options.weights,
        input_shape=(options.image_size, options.image_size, 3),
        classes=len(classes),
        classifier_activation=None,
        drop_path_rate=options.drop_path,
    )
    steps = len(train) // options.batch_size
    rate = WarmUpCosine(
        options.learning_rate, round(options.warm_up * steps), options.epochs * steps
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=options.weight_decay, clipnorm=None, global_clipnorm=1.0
    )
    # As upstream: vectors (biases, norms) and the class token do not decay.
    optimizer.exclude_from_weight_decay(
        var_list=[
            v for v in model.trainable_variables if len(v.shape) == 1 or "class_token" in v.path
        ]
    )
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=options.label_smoothing
        ),
        metrics=["accuracy"],
    )
    history = options.out / "history.csv"
    done = len(history.read_text().splitlines()) - 1 if history.exists() else 0
    one_hot = np.eye(len(classes), dtype="float32")
    batches = Batches(
        train, one_hot[train_labels], options.batch_size, options.seed, max(0, done), options.shift
    )
    model.fit(
        batches,
        epochs=options.epochs,
        validation_data=(keras_pvt.preprocess_input(val), one_hot[val_labels]),
        validation_batch_size=500,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.CSVLogger(history, append=True),
            keras.callbacks.BackupAndRestore(options.out / "backup", delete_checkpoint=False),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    model.save(options.out / "model.keras")
    draw_curves(history, options.out / "curves.png")
    accuracy = model.evaluate(
        keras_pvt.preprocess_input(val), one_hot[val_labels], batch_size=500, verbose=0
    )[1]
    print(f"val accuracy {accuracy:.4f} on {len(val)} images; results in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
