"""Images a second from a folder of photographs, by each engine next to Keras.

What `keras-pvt predict`, `detect` and `segment` do with a folder once they have started: files are
read, the network computes, and answers come, but nothing is drawn. The contenders take turns in one
process, on the same cores; the ratio is that of the medians, so above 1 is faster than Keras. The
files are 500x375 cut-outs of the photographs under examples/images; models have random weights.
Artifacts lie in a folder of their own, and are written before anything is measured. Needs the
engines' extras; --huggingface needs transformers and PyTorch, and compares with its pipeline.
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Callable

import timing
from predict_folder import make_images

EXAMPLES = """examples:
  KERAS_BACKEND=torch python benchmarks/engines.py --huggingface
  KERAS_BACKEND=torch python benchmarks/engines.py --task detect --images 100
  KERAS_BACKEND=torch python benchmarks/engines.py --engines openvino openvino:bfloat16
  KERAS_BACKEND=torch python benchmarks/engines.py --smoke
"""
KERAS, PIPELINE = "keras", "hugging face pipeline"
SIZE = 512  # of what detectors and segmenters see


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", choices=("predict", "detect", "segment"), default="predict")
    add("--variant", default="pvt_small")
    add("--images", type=int, default=1000)
    add("--rounds", type=int, default=3)
    add("--batch-size", type=int, default=32)
    add(
        "--engines",
        nargs="+",
        metavar="ENGINE[:PRECISION]",
        help="next to Keras in float32; by default all that are installed, in all their precisions",
    )
    add("--threads", type=int, help="cores to use; by default all")
    add("--huggingface", action="store_true", help="transformers' pipeline too, for predict")
    add("--smoke", action="store_true", help="whether it runs: a small model, six images")
    options = parser.parse_args()
    if options.smoke:
        options.images, options.rounds, options.batch_size = 6, 1, 4
        # transformers cannot build PVTNano: its tables of positions take patches of 4 pixels.
        options.variant = "pvt_tiny" if options.huggingface else "pvt_nano"
    threads = timing.limit_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_HOME"] = folder  # read whenever the cache is looked for
        place = pathlib.Path(folder)
        (place / "photographs").mkdir()
        files = make_images(place / "photographs", options.images)
        calls = contenders(options, place, files)
        # Each has gone over some files.
        times = timing.interleave(calls, 0.0, options.rounds, warm_ups=0)
    print(f"{options.task}, {options.variant}, {len(files)} photographs, {threads} cores")
    print(f"| engine | images/s | / {KERAS} |\n|---|---|---|")
    for name, ms in times.items():
        print(f"| {name} | {1000 * len(files) / ms:.1f} | {times[KERAS] / ms:.2f} |")


def contenders(options, place: pathlib.Path, files: list[pathlib.Path]) -> dict[str, Callable]:
    """What goes over all files, by the names of the engines; each has gone over some."""
    from keras_pvt.engines import table
    from keras_pvt.engines.named import Wish

    asked = options.engines or [
        f"{name}:{precision}"
        for precision in table.PRECISIONS
        for name in table.installed(precision)
    ]
    wishes = {KERAS: Wish(KERAS)}
    for name, _, precision in (one.partition(":") for one in asked):
        if precision in ("", "float32"):
            wishes[name] = Wish(name)
        else:
            images = place / "photographs" if precision == "int8" else None
            wishes[f"{name} {precision}"] = Wish(name, precision, images)
    make = {"predict": classifiers, "detect": detectors, "segment": segmenters}[options.task]
    calls = make(options, place, wishes, files)
    if options.huggingface and options.task == "predict":
        calls[PIPELINE] = pipeline(options, files)
    return calls


def classifiers(options, place, wishes, files) -> dict[str, Callable]:
    import keras_pvt
    from keras_pvt.conversion import save_checkpoint, to_torch
    from keras_pvt.engines.named import classifier

    path = place / "weights.safetensors"
    save_checkpoint(to_torch(keras_pvt.classifier(options.variant, weights=None)), path)
    calls = {}
    for name, wish in wishes.items():
        found = classifier(options.variant, path, None, None, wish)
        calls[name] = functools.partial(exhaust, found.predict, files, options.batch_size)
        exhaust(found.predict, files[: options.batch_size], options.batch_size)
    return calls


def detectors(options, place, wishes, files) -> dict[str, Callable]:
    import keras_pvt
    from keras_pvt.detection import Detector, RetinaNet
    from keras_pvt.engines.tasks import detector_by

    model = RetinaNet(keras_pvt.PVTBackbone(options.variant), 80)
    plain = Detector(model, "keras_pvt", [f"class {n}" for n in range(80)], (SIZE, SIZE))
    calls = {}
    for name, wish in wishes.items():
        found = detector_by(plain, wish)
        calls[name] = functools.partial(exhaust, found.detect, files, 8)
        exhaust(found.detect, files[:8], 8)
    return calls


def segmenters(options, place, wishes, files) -> dict[str, Callable]:
    import keras_pvt
    from keras_pvt.engines.tasks import segment_by
    from keras_pvt.segmentation import Predictor, SemanticFPN
    from keras_pvt.utils.image_files import read_in_batches
    from keras_pvt.utils.images import load_image

    model = SemanticFPN(keras_pvt.PVTBackbone(options.variant), 150)

    def go(predictor, files):
        for (file,) in filter(None, read_in_batches(files, load_image, 1)):
            predictor.labels(file.image)

    calls = {}
    for name, wish in wishes.items():
        predictor = Predictor(model, short_side=SIZE)
        segment_by(predictor, wish)
        go(predictor, files[:2])
        calls[name] = functools.partial(go, predictor, files)
    return calls


def pipeline(options, files) -> Callable:
    """transformers' image-classification pipeline with the model of the variant."""
    import transformers

    from keras_pvt.variants import VARIANTS

    row = dataclasses.asdict(VARIANTS[options.variant])
    config = transformers.PvtConfig(
        image_size=row["image_size"], id2label={n: str(n) for n in range(1000)},
        depths=list(row["depths"]),
        hidden_sizes=list(row["embed_dims"]), num_attention_heads=list(row["num_heads"]),
        mlp_ratios=list(row["mlp_ratios"]), sequence_reduction_ratios=list(row["sr_ratios"]),
    )  # fmt: skip
    call = transformers.pipeline(
        "image-classification",
        model=transformers.PvtForImageClassification(config).eval(),
        image_processor=transformers.PvtImageProcessor(),
    )
    paths = list(map(str, files))
    call(paths[:2])
    return functools.partial(call, paths, batch_size=options.batch_size)


def exhaust(function: Callable, files, batch_size: int) -> None:
    for answer in function(files, batch_size):
        assert answer.error is None


if __name__ == "__main__":
    main()
