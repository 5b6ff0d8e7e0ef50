"""Train a RetinaNet with a PVT backbone, of keras-cv or KerasHub, on images with boxes.

Data is in COCO's JSON format, or a set of tensorflow-datasets. What is wrong with it is listed
and left out. Written to OUT are the detector (detector.keras, for `keras-pvt detect`), the log
(history.csv), the curves (curves.png), validation images with their boxes (sheet.png) and the
settings (settings.json). A run that was stopped goes on at its last whole epoch when started
again.
"""

import argparse
import pathlib
import sys

import keras

import keras_pvt
from keras_pvt import training
from keras_pvt.cli.program import exit_status
from keras_pvt.detection.anchor_fit import fitted_share
from keras_pvt.detection.augmentation import Augmentation
from keras_pvt.detection.batches import DetectionBatches
from keras_pvt.detection.coco import load_coco
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.drawing import draw_sheet
from keras_pvt.detection.evaluation import METRICS, Evaluation
from keras_pvt.detection.libraries import LABEL_KEYS, retinanet, without_input_warning
from keras_pvt.detection.tfds import as_coco
from keras_pvt.variants import VARIANTS

EXAMPLES = """examples:
  python examples/train_detector.py --data train.json --val-data val.json --images photos \\
      --out runs/tiny
  python examples/train_detector.py --data voc/2007 --out runs/voc --library keras_hub \\
      --mixed-precision bfloat16
"""

SHEET_IMAGES = 6


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    path = pathlib.Path
    add("--data", required=True, help='COCO JSON, or a set such as "voc/2007" or "coco/2017"')
    add("--val-data", help="the same to evaluate on; by default the validation split of a set")
    add("--images", type=path, help="folder of a JSON's images, default its own")
    add("--val-images", type=path, help="the same for --val-data, default --images")
    add("--out", type=path, required=True, help="folder for the results")
    add("--library", choices=LABEL_KEYS, default="keras_cv", help="default keras_cv")
    add("--variant", choices=VARIANTS, default="pvt_tiny", help="default pvt_tiny")
    add("--weights", default="imagenet", help='of the backbone: default "imagenet", a file, none')
    add("--size", type=int, nargs=2, default=(640, 640), metavar=("HEIGHT", "WIDTH"))
    add("--anchor-size", type=float, default=32, help="smallest anchors in pixels, default 32")
    add("--epochs", type=int, default=12, help="default 12")
    add("--batch-size", type=int, default=16, help="default 16")
    add("--optimizer", choices=("adamw", "muon"), default="adamw", help="default adamw")
    add("--learning-rate", type=float, default=1e-4, help="peak, default 1e-4 as in the paper")
    add("--weight-decay", type=float, default=1e-4, help="default 1e-4 as in the paper")
    add("--warm-up", type=float, default=1, help="epochs of rising rate, default 1")
    add("--drop-path", type=float, default=0.0, help="stochastic depth, default 0")
    add("--freeze-backbone", action="store_true", help="train the rest only")
    add("--scales", type=float, nargs=2, default=(0.8, 1.25), metavar=("MIN", "MAX"),
        help="size jitter, default 0.8 1.25")  # fmt: skip
    add("--flip-y", action="store_true", help="flip up and down too, as for a microscope")
    add("--evaluate-every", type=int, default=1, metavar="EPOCHS", help="default 1")
    add("--mixed-precision", choices=("bfloat16", "float16"), help="default none")
    add("--seed", type=int, default=0, help="default 0")
    options = parser.parse_args(arguments)
    training.check_positive(
        parser, options, "epochs", "batch_size", "learning_rate", "anchor_size", "evaluate_every"
    )
    if min(options.size) < 32 or any(side % 32 for side in options.size):
        parser.error("--size must be multiples of 32, for these libraries' feature pyramid; got "
                     f"{options.size[0]} {options.size[1]}")  # fmt: skip
    if not 0 < options.scales[0] <= options.scales[1]:
        parser.error(f"--scales must rise from above 0; got {options.scales}")
    if options.data.endswith(".json") and not options.val_data:
        parser.error("--val-data is needed, as a JSON file has no validation split")
    return options


def load_data(options):
    """The training and the validation set; what is wrong with them is printed."""
    train = load_part(options, options.data, "train", options.images)
    folder = options.val_images or options.images
    val = load_part(options, options.val_data or options.data, "validation", folder, train.classes)
    return train, val


def load_part(options, name: str, split: str, images, classes=None):
    file = pathlib.Path(name)
    if not name.endswith(".json"):
        file, images = as_coco(name, split, options.out / "data")
    data = load_coco(file, images or file.parent, classes)
    boxes = sum(len(sample.boxes) for sample in data.samples)
    print(f"{split}: {len(data.samples)} images with {boxes} boxes of {len(data.classes)} classes")
    for line in data.problems.lines():
        print(f"  {line}")
    return data


def make_detector(options, classes: list[str]) -> tuple[Detector, dict]:
    """The detector and the losses to compile it with."""
    backbone = keras_pvt.PVTBackbone(
        options.variant,
        weights=None if options.weights == "none" else options.weights,
        input_shape=(*options.size, 3),
        drop_path_rate=options.drop_path,
        include_preprocessing=True,
    )
    backbone.trainable = not options.freeze_backbone
    model, losses = retinanet(options.library, backbone, len(classes), options.anchor_size)
    return Detector(model, options.library, classes, tuple(options.size)), losses


def main(arguments=None) -> int:
    return exit_status(train_and_save, parse(arguments))


def train_and_save(options) -> None:
    keras.utils.set_random_seed(options.seed)
    if options.mixed_precision:
        keras.config.set_dtype_policy(f"mixed_{options.mixed_precision}")
    train, val = load_data(options)
    detector, compilation = make_detector(options, train.classes)
    for name, share in fitted_share(detector.model, train, detector.size).items():
        if share < 0.95:
            print(f"only {share:.0%} of the boxes of {name} fit an anchor: the others are not "
                  "learnt; try another --anchor-size or --size")  # fmt: skip

    training.save_settings(options, train.classes)

    fit(options, detector, compilation, train, val)
    detector.save(options.out / "detector.keras")
    rows = training.read_history(options.out / "history.csv")
    losses = [name for name in rows[0] if name.endswith("loss")]
    panels = {"loss": losses, "average precision, val": METRICS[:3]}
    training.draw_curves(rows, panels, options.out / "curves.png")
    draw_sheet(detector, val.samples[:SHEET_IMAGES], options.out / "sheet.png", options.batch_size)
    result = ", ".join(f"{name} {rows[-1][name]:.3f}" for name in METRICS[:3])
    print(f"val {result} on {len(val.samples)} images; results in {options.out}")


def fit(options, detector: Detector, losses: dict, train, val) -> None:
    steps = len(train.samples) // options.batch_size
    if not steps:
        raise ValueError(
            f"{len(train.samples)} training images make no batch of {options.batch_size}"
        )
    rate = training.WarmUpCosine(
        options.learning_rate, round(options.warm_up * steps), options.epochs * steps
    )
    optimizer = training.make_optimizer(
        options.optimizer, detector.model, rate, options.weight_decay
    )
    detector.model.compile(optimizer=optimizer, **losses)
    history = options.out / "history.csv"
    checkpoints = training.Checkpoints(
        options.out / "checkpoints", detector.model, monitor=METRICS[0]
    )
    done = checkpoints.restore(detector.model.optimizer)
    training.cut_log(history, done)
    batches = DetectionBatches(
        train,
        detector.size,
        options.batch_size,
        Augmentation(flip_y=0.5 if options.flip_y else 0, scales=tuple(options.scales)),
        options.seed,
        done,
        LABEL_KEYS[options.library],
    )
    callbacks = [
        training.StopWhenDiverged(),
        Evaluation(detector, val, options.batch_size, options.epochs, options.evaluate_every),
        training.Log(history),
        checkpoints,
    ]
    verbose = 1 if sys.stdout.isatty() else 2
    with without_input_warning():
        # Keras's own `fit`: KerasHub's takes no PyDataset. The batches shuffle themselves; Keras
        # would do it again, and otherwise after a resumption.
        keras.Model.fit(
            detector.model,
            batches,
            initial_epoch=done,
            epochs=options.epochs,
            callbacks=callbacks,
            shuffle=False,
            verbose=verbose,
        )


if __name__ == "__main__":
    sys.exit(main())
