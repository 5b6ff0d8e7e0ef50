"""The claim of the paper at one budget: PVT, PVTv2 and a ResNet as backbones of the same heads.

PVTNano, PVTV2Nano and KerasHub's ResNet, built as small, are pretrained on CIFAR-10 by one recipe.
Each is then the backbone of a RetinaNet on BCCD's blood cells, and of a Semantic FPN on CamVid's
street scenes: the same steps, rates and augmentation, two seeds. ResNet sees images at twice their
size, as its first map has a stride of 4 there and those of the others one of 2. Its batch norms
are frozen in the detector, which sees four images at a time, as is usual. AdamW trains all of
them: Muon takes no kernels of convolutions.

Give the same command again to go on with runs that were stopped; those that are over are not
repeated. GFLOPs are multiply-adds at the size of the evaluation, as torch counts them, so it needs
the PyTorch backend.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import statistics
from collections.abc import Iterator
from unittest import mock

import contenders
import numpy as np
import timing

EXAMPLES = """examples:
  KERAS_BACKEND=torch python benchmarks/claims.py --cifar10 cifar10 --bccd bccd --camvid camvid
  KERAS_BACKEND=torch python benchmarks/claims.py --cifar10 cifar10 --bccd bccd --only pvt_nano
  KERAS_BACKEND=torch python benchmarks/claims.py --cifar10 cifar10 --camvid camvid --smoke

CIFAR10 has folders of classes in train/ and val/; BCCD has images/ and annotations/train.json
and val.json; CAMVID has train/, train_labels/, val/ and val_labels/.
"""
RESNET = "resnet_nano"
TITLES = {"pvt_nano": "PVTNano", "pvt_v2_nano": "PVTV2Nano", RESNET: "ResNet"}
# As many weights and multiply-adds as PVTV2Nano; KerasHub wants 64 in the first stage.
WIDTHS, BLOCKS = (64, 96, 160, 256), (1, 1, 2, 1)
STAGES = "stages"  # layer of the classifier that is the ResNet


@dataclasses.dataclass(frozen=True)
class Task:
    """What a pretrained backbone is trained for.

    Args:
        recipe: of the package.
        changes: of the recipe.
        metric: column of the log.
        size: (height, width) of the images that it is measured on.
        frozen_norms: batch norms keep what they have.
    """

    recipe: str
    changes: dict
    metric: str
    size: tuple[int, int]
    frozen_norms: bool = False


TASKS = {
    "bccd": Task(
        "retinanet_bccd_nano", {"evaluate_every": 4}, "AP50", (192, 256), frozen_norms=True
    ),
    "camvid": Task(
        "semantic_fpn_camvid",
        {
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "neck_width": 64,
            "head_width": 32,
            "size": "96x128",
            "scale_to": "120x160",
            "evaluate_size": 96,
            "steps": 552,
        },
        "mIoU",
        (96, 128),
    ),
}
PRETRAINING = {"optimizer": "adamw", "learning_rate": 1e-3}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cifar10", type=pathlib.Path, required=True, help="folder to pretrain on")
    add("--bccd", type=pathlib.Path, help="folder; without it, no detector is trained")
    add("--camvid", type=pathlib.Path, help="folder; without it, no segmenter is trained")
    add("--out", type=pathlib.Path, default="runs/claims", help="default: %(default)s")
    add("--only", nargs="+", choices=TITLES, default=list(TITLES), help="default: all")
    add("--epochs", type=int, default=12, help="of pretraining (default: %(default)s)")
    add("--seeds", type=int, nargs="+", default=[0, 1])
    add("--smoke", action="store_true", help="whether it runs: one epoch of two steps, one seed")
    options = parser.parse_args()
    if options.smoke:
        options.epochs, options.seeds = 1, [0]
    register_resnet()
    pretrained = {name: pretrain(name, options) for name in options.only}
    print("\n| backbone | parameters | top-1 on CIFAR-10 |\n|---|---|---|")
    for name, (model, top1) in pretrained.items():
        print(f"| {TITLES[name]} | {parameters(model):,} | {100 * top1:.2f} |", flush=True)
    for task, folder in (("bccd", options.bccd), ("camvid", options.camvid)):
        if folder is not None:
            compare(task, folder, {name: model for name, (model, _) in pretrained.items()}, options)


def register_resnet() -> None:
    """A family and a variant, for the trainer of classifiers."""
    from keras_pvt import families
    from keras_pvt.variants import VARIANTS

    def features(images, config, rates, dtype=None):
        import keras

        x = resnet()(images)[-1]
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)

    # Nothing is converted or counted: only what a classifier is built of.
    family = dataclasses.replace(
        families.named("pvt"),
        name=RESNET,
        title="ResNet",
        features=features,
        check=lambda config: None,
        min_size=lambda config: 1,
        token=None,
    )
    families.register(family)
    VARIANTS[RESNET] = dataclasses.replace(VARIANTS["pvt_nano"], family=RESNET)


def resnet():
    """KerasHub's ResNet of images at twice their size: a model that gives its four maps."""
    import keras
    import keras_hub

    inner = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(WIDTHS),
        stackwise_num_blocks=list(BLOCKS),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    maps = keras.Model(inner.input, list(inner.pyramid_outputs.values()))
    images = keras.Input((None, None, 3))
    larger = keras.layers.UpSampling2D(2, interpolation="bilinear")(images)
    return keras.Model(images, maps(larger), name=STAGES)


def pretrain(name: str, options: argparse.Namespace) -> tuple[pathlib.Path, float]:
    """A classifier, or what its run came to: its file, and top-1."""
    import keras

    from keras_pvt.training import load_recipe, read_history, train

    recipe = load_recipe(
        "cifar10_pvt_nano",
        data=str(options.cifar10),
        variant=name,
        epochs=options.epochs,
        **PRETRAINING,
    )
    out = options.out / f"cifar10_{name}"
    train(recipe, out, in_memory=not options.smoke, limit_steps=2 if options.smoke else 0)
    keras.backend.clear_session()
    return out / "model.keras", float(read_history(out / "history.csv")[-1]["val_accuracy"])


def parameters(model: pathlib.Path) -> int:
    import keras_pvt

    return keras_pvt.load_model(model).model.count_params()


def compare(
    task: str,
    folder: pathlib.Path,
    pretrained: dict[str, pathlib.Path],
    options: argparse.Namespace,
) -> None:
    """Train each backbone for a task, and print the table."""
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:  # first one of each, so that a table is soon whole
        for name, weights in pretrained.items():
            found = run(task, folder, name, weights, seed, options)
            rows.setdefault(name, []).append(found)
            print(f"{task}, {name}, seed {seed}: {found['metric']:.4f}", flush=True)
    calls, gflops, counts = {}, {}, {}
    for name in pretrained:
        model = trained(task, name, options)
        images = np.zeros((1, *TASKS[task].size, 3), "float32")
        calls[name] = contenders.keras_call(model, images)
        gflops[name], counts[name] = contenders.gflops(calls[name]), model.count_params()
    speed = timing.interleave(calls, 0 if options.smoke else 20)
    metric = TASKS[task].metric
    print(
        f"\n| {task} | parameters | GFLOPs | images/s, training | ms an image | {metric} | mean "
        "| spread |\n|---|---|---|---|---|---|---|---|"
    )
    for name, found in rows.items():
        values = [one["metric"] for one in found]
        each = ", ".join(f"{value:.3f}" for value in values)
        rate = statistics.median(one["rate"] for one in found)
        print(
            f"| {TITLES[name]} | {counts[name]:,} | {gflops[name]:.2f} | {rate:.1f} "
            f"| {speed[name]:.1f} | {each} | {statistics.mean(values):.3f} "
            f"| {max(values) - min(values):.3f} |",
            flush=True,
        )


def run(
    task: str,
    folder: pathlib.Path,
    name: str,
    weights: pathlib.Path,
    seed: int,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Train for a task, or read what the run came to."""
    import keras

    from keras_pvt.training import load_recipe, read_history, train

    recipe = load_recipe(
        TASKS[task].recipe,
        **TASKS[task].changes,
        **data_of(task, folder),
        variant="pvt_nano" if name == RESNET else name,
        weights=str(weights),
        seed=seed,
    )
    if options.smoke:
        length = {"epochs": 1, "evaluate_every": 1} if task == "bccd" else {"steps": 92}
        recipe = recipe.replace(**length)
    out = folder_of(task, name, seed, options)
    with with_resnet(task) if name == RESNET else contextlib.nullcontext():
        train(recipe, out, limit_steps=2 if options.smoke else 0)
    keras.backend.clear_session()
    rows = read_history(out / "history.csv")
    return {
        "metric": float(rows[-1][TASKS[task].metric]),
        "rate": statistics.median(float(row["images_per_second"]) for row in rows),
    }


def folder_of(task: str, name: str, seed: int, options: argparse.Namespace) -> pathlib.Path:
    return options.out / f"{task}_{name}_{seed}"


def data_of(task: str, folder: pathlib.Path) -> dict[str, str]:
    """Fields of the recipe."""
    if task == "camvid":
        return {"data": str(folder)}
    return {
        "data": str(folder / "annotations" / "train.json"),
        "val_data": str(folder / "annotations" / "val.json"),
        "images": str(folder / "images"),
    }


@contextlib.contextmanager
def with_resnet(task: str) -> Iterator[None]:
    """Have the trainers, which build a PVT, build the ResNet in its place."""
    from keras_pvt import PVTBackbone

    def from_recipe(recipe, *args, **options):
        return backbone(recipe.weights, TASKS[task].frozen_norms)

    with mock.patch.object(PVTBackbone, "from_recipe", from_recipe):
        yield


def backbone(weights: str, frozen_norms: bool):
    """The pretrained ResNet as a backbone: RGB 0..255 to the maps P1 to P4."""
    import keras

    import keras_pvt
    from keras_pvt.models import inputs

    images = keras.Input((None, None, 3), name="images")
    stages = resnet()
    maps = stages(inputs.preprocess(images))
    stages.set_weights(keras_pvt.load_model(weights).model.get_layer(STAGES).get_weights())
    model = keras.Model(images, maps[-1], name=RESNET)
    model.pyramid_outputs = {f"P{number + 1}": x for number, x in enumerate(maps)}
    if frozen_norms:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return model


def trained(task: str, name: str, options: argparse.Namespace):
    """The network of the first seed."""
    import keras_pvt

    path = folder_of(task, name, options.seeds[0], options) / "model.keras"
    return keras_pvt.load_model(path).model


if __name__ == "__main__":
    main()
