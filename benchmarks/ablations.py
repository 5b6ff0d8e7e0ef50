"""Top-1 of small models on CIFAR-10 at one budget, each with one thing changed.

Every model is trained from scratch by the recipe of PVTNano, with the same number of epochs: PVT,
and PVTv2's changes to it one at a time; full attention in place of spatial-reduction attention; a
deeper and a wider model. Graphs between PVT and PVTv2 are in no paper; they are put together here
of the package's layers. They classify by the mean of all cells, as PVTv2 does, so what the class
token of PVT makes is a row of its own.

Give the same command again to go on with runs that were stopped; those that are over are not
repeated. DATA is CIFAR-10 as folders of classes, train/ and val/. Beside the runs, OUT gets their
accuracies over the epochs as top1.csv and top1.png.
"""

import argparse
import csv
import dataclasses
import functools
import pathlib
import statistics
import typing

EXAMPLES = """examples:
  KERAS_BACKEND=tensorflow python benchmarks/ablations.py cifar10 --out runs/ablations
  KERAS_BACKEND=tensorflow python benchmarks/ablations.py cifar10 --only pvt pvt_v2 --epochs 8
  KERAS_BACKEND=torch python benchmarks/ablations.py cifar10 --smoke
"""
OVERLAP = {"patch_sizes": (3, 3, 3, 3), "patch_strides": (2, 2, 2, 2)}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of the table.

    Args:
        what: in words.
        family: of the row; "pvt" or "pvt_v2", or else one that is registered here.
        changes: fields of PVTNano's row.
    """

    what: str
    family: str
    changes: dict = dataclasses.field(default_factory=dict)


CASES = {
    "pvt": Case("PVT (PVTNano)", "pvt"),
    "mean": Case("PVT, mean of the cells for the class token", "plain"),
    "overlap": Case("the same, patches overlap", "overlapping", OVERLAP),
    "depthwise": Case("the same, depthwise convolution for position tables", "depthwise"),
    "pvt_v2": Case("both: PVTv2", "pvt_v2", OVERLAP),
    "linear": Case("PVTv2, linear attention (Li)", "pvt_v2", {**OVERLAP, "linear": True}),
    "full": Case("PVTv2, full attention", "pvt_v2", {**OVERLAP, "sr_ratios": (1, 1, 1, 1)}),
    "deeper": Case(
        "PVT, deeper",
        "pvt",
        {"depths": (2, 4, 4, 2), "embed_dims": (24, 48, 120, 176), "num_heads": (1, 2, 5, 8)},
    ),
    "wider": Case(
        "PVT, wider",
        "pvt",
        {"depths": (1, 1, 1, 1), "embed_dims": (44, 88, 184, 272), "num_heads": (1, 2, 4, 8)},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", metavar="DATA")
    add("--out", type=pathlib.Path, default="runs/ablations", help="default: %(default)s")
    add("--only", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    add("--epochs", type=int, default=6, help="of each run (default: %(default)s)")
    add("--seeds", type=int, nargs="+", default=[0, 1])
    add("--smoke", action="store_true", help="whether it runs: one epoch of two steps, one seed")
    options = parser.parse_args()
    if options.smoke:
        options.epochs, options.seeds = 1, [0]
    register_families()
    rows = {}
    for seed in options.seeds:  # first one of each, so that a table is soon whole
        for name in options.only:
            found = run(name, seed, options)
            rows.setdefault(name, []).append(found)
            print(f"{name}, seed {seed}: top-1 {100 * found['top1']:.2f}", flush=True)
    print(f"\n{options.epochs} epochs, seeds {', '.join(map(str, options.seeds))}\n")
    print("| model | parameters | CPU seconds an epoch | top-1 | mean |\n|---|---|---|---|---|")
    for name, found in rows.items():
        seconds = statistics.median(one["seconds"] for one in found)
        each = ", ".join(f"{100 * one['top1']:.2f}" for one in found)
        mean = 100 * statistics.mean(one["top1"] for one in found)
        print(
            f"| {CASES[name].what} | {found[0]['parameters']:,} | {seconds:.0f} | {each} "
            f"| {mean:.2f} |"
        )
    write_curves(rows, options)


def write_curves(rows: dict[str, list[dict]], options: argparse.Namespace) -> None:
    """Write the accuracy after each epoch, a column for each run, and draw it."""
    from keras_pvt.training import draw_curves

    curves = {
        f"{name}, seed {seed}": one["curve"]
        for name, found in rows.items()
        for seed, one in zip(options.seeds, found, strict=True)
    }
    table = [
        {"epoch": epoch, **dict(zip(curves, values, strict=True))}
        for epoch, values in enumerate(zip(*curves.values(), strict=True))
    ]
    with (options.out / "top1.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    draw_curves(table, {"top-1, validation": list(curves)}, options.out / "top1.png")


def register_families() -> None:
    """The families in between PVT and PVTv2."""
    from keras_pvt import families

    for name, overlapping, convolutional in (
        ("plain", False, False),
        ("overlapping", True, False),
        ("depthwise", False, True),
    ):
        # Nothing is converted or counted: only what a classifier is built of.
        families.register(
            dataclasses.replace(
                families.named("pvt"),
                name=name,
                title=name,
                features=functools.partial(
                    features, overlapping=overlapping, convolutional=convolutional
                ),
                check=lambda config: None,
                cells=(lambda side, step: -(-side // step)) if overlapping else lambda a, b: a // b,
                token=None,
            )
        )


def features(images, config, rates, dtype=None, *, overlapping: bool, convolutional: bool):
    """The mean of all cells of stage 4, `(B, C)`.

    Args:
        images: as a family's `features` takes them, and the next three too.
        config: row of the variant table.
        rates: of dropping.
        dtype: policy of the model.
        overlapping: patches overlap.
        convolutional: feed-forwards have a convolution, and there are no position tables.
    """
    import keras

    from keras_pvt import layers
    from keras_pvt.models.graph import encoder_blocks, own

    patches = layers.OverlapPatchEmbedding if overlapping else layers.PatchEmbedding
    x = images
    for stage in range(1, 5):
        n = stage - 1
        steps = (config.steps[n],) if overlapping else ()
        x = patches(
            config.embed_dims[n],
            config.patch_sizes[n],
            *steps,
            epsilon=config.reduction_epsilon,
            **own(dtype, f"stage{stage}_patch_embedding"),
        )(x)
        if not convolutional:
            positions = own(dtype, f"stage{stage}_position")
            x = layers.PositionEmbedding(config.grids[n], **positions)(x)
        x = encoder_blocks(x, config, stage, rates, dtype, convolutional=convolutional)
    x = keras.layers.LayerNormalization(epsilon=config.epsilon, **own(dtype, "norm"))(x)
    return keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", **own(dtype, "avg_pool")
    )(x)


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, typing.Any]:
    """Train a model, or read what its run came to."""
    import keras

    import keras_pvt
    from keras_pvt.training import load_recipe, read_history, train
    from keras_pvt.variants import VARIANTS

    case = CASES[name]
    variant = f"ablation_{name}"
    VARIANTS[variant] = dataclasses.replace(
        VARIANTS["pvt_nano"], family=case.family, **case.changes
    )
    recipe = load_recipe(
        "cifar10_pvt_nano", data=options.data, variant=variant, epochs=options.epochs, seed=seed
    )
    out = options.out / f"{name}_{seed}"
    train(recipe, out, in_memory=not options.smoke, limit_steps=2 if options.smoke else 0)
    history = read_history(out / "history.csv")
    keras.backend.clear_session()
    curve = [row["val_accuracy"] for row in history]
    return {
        "top1": curve[-1],
        "curve": curve,
        "seconds": statistics.median(row["cpu_seconds"] for row in history),
        "parameters": keras_pvt.classifier(variant, weights=None).count_params(),
    }


if __name__ == "__main__":
    main()
