"""Fine-tune PVT on a folder of a few hundred photographs, by the parts of `keras_pvt.training`.

    python examples/finetune_folder.py flowers --out flowers.keras
    python examples/finetune_folder.py flowers --variant pvt_nano --weights cifar10 --epochs 5

The folder has train/CLASS/* and val/CLASS/*; 200 images are enough to begin with. In the first
epoch the new head learns alone, then all layers do, those near the image least. `keras-pvt train
finetune` does the same with checkpoints, logs and curves.
"""

import argparse
import sys

import keras

import keras_pvt
from keras_pvt import training
from keras_pvt.cli.arguments import positive
from keras_pvt.training import augmentation, data
from keras_pvt.variants import VARIANTS


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", help="that has train/ and val/")
    add("--out", default="finetuned.keras", help="default finetuned.keras")
    add("--variant", choices=VARIANTS, default="pvt_tiny", help="default pvt_tiny")
    add("--weights", default="imagenet", help='default "imagenet"')
    add("--epochs", type=positive, default=20, help="default 20")
    add("--batch-size", type=positive, default=32, help="default 32")
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    options = parse(arguments)
    try:
        finetune(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def finetune(options) -> None:
    keras.utils.set_random_seed(0)
    side = VARIANTS[options.variant].image_size
    train, val = data.open_train_and_val(options.folder)
    batches = data.ImageBatches(
        train,
        options.batch_size,
        augmentation.TrainTransform(side, scale=(0.5, 1), rand_augment="rand-m9-mstd0.5-inc1"),
        smoothing=0.1,
    )
    val_batches = data.ImageBatches(
        val,
        options.batch_size,
        augmentation.EvalTransform(side),
        shuffle=False,
        last_batch="keep",
    )

    model = keras_pvt.classifier(
        options.variant,
        weights=options.weights,
        classes=len(train.classes),
        classifier_activation=None,
        drop_path_rate=0.1,
    )
    steps = len(batches)
    optimizer = training.make_optimizer(
        "adamw",
        model,
        training.WarmUpCosine(3e-4, steps, options.epochs * steps, end=1e-6),
        weight_decay=0.05,
        layer_decay=0.75,
        frozen_steps=steps,
    )
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # The batches shuffle themselves, by their seed.
    model.fit(
        batches,
        epochs=options.epochs,
        validation_data=val_batches,
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    keras_pvt.save_model(model, options.out, train.classes)
    for name, reason in batches.skipped.items():
        print(f"left out: {name}, {reason}")
    print(f"{options.out}: classes {', '.join(train.classes)}; keras-pvt predict --model reads it")


if __name__ == "__main__":
    sys.exit(main())
