"""Speed and memory of RetinaNet on PVT-Tiny with its boxes, beside keras-cv's and KerasHub's.

Each has the same backbone, 80 classes, 9 anchors a cell and random weights of its own, and takes
one image in float32. On JAX and TensorFlow they run compiled (`jax.jit`, `tf.function`), on torch
eager; they take turns in one process. Ours ends in the boxes of `RetinaNet.detector`, which
suppresses class by class; the libraries' in their own decoding of all anchors, then in their
stock suppression (of each anchor's best class), or, where the backend lacks it, in ours. keras-cv's
heads have three hidden layers, not the four of the paper and of KerasHub: ours is run with both.
"""

import argparse
import gc
import importlib.metadata
import subprocess
import sys

import contenders
import numpy as np
import timing
from memory import memory
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/detection.py
  KERAS_BACKEND=torch python benchmarks/detection.py --only share --sizes 576x960 800x1280
  python benchmarks/detection.py --smoke
"""
MEASURES = ("speed", "share", "memory")
OURS, MAPS = "keras_pvt", "without boxes"
LIBRARIES = {"keras_cv": 3, "keras_hub": 4}  # and the hidden layers of their heads
CLASSES = 80


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each row (60)")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        default=[(320, 512), (576, 960), (800, 1280)],
        metavar="HxW",
        help="pixels, sides in multiples of 32 (320x512 576x960 800x1280)",
    )
    parser.add_argument("--smoke", action="store_true", help="small images, once: does it run?")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)  # alone in here
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    sizes, seconds = ([(64, 96)], 0.0) if args.smoke else (args.sizes, args.seconds)
    if args.peak:
        print(_peak(args.sizes[0]))
        return
    print(_versions(threads))
    for size in sizes if "speed" in args.only else ():
        _speed(size, seconds)
    for size in sizes if "share" in args.only else ():
        _share(size, seconds)
    if "memory" in args.only:
        table = Table("peak memory: pixels", [OURS], "MiB")
        for size in sizes:
            command = [sys.executable, __file__, "--peak", "--sizes", _spelt(size)]
            result = subprocess.run(
                [*command, "--threads", str(threads)], check=True, stdout=subprocess.PIPE, text=True
            )
            table.row(_spelt(size), {OURS: float(result.stdout.split()[-1])})


def _size(text: str) -> tuple[int, int]:
    height, width = map(int, text.split("x"))
    return height, width


def _spelt(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _versions(threads: int) -> str:
    import keras

    packages = {"keras": "keras", "keras_cv": "keras-cv", "keras_hub": "keras-hub"}
    named = (f"{name} {importlib.metadata.version(pip)}" for name, pip in packages.items())
    return f"Backend {keras.backend.backend()}, {threads} threads, {', '.join(named)}"


def _speed(size, seconds) -> None:
    """Images to boxes."""
    images = _images(size)
    calls, pairs = {}, []
    for library, depth in LIBRARIES.items():
        ours = f"{OURS}, {depth} layers"
        calls[ours] = contenders.keras_call(_ours(size, depth)[0], images)
        for name, stock in ((library, True), (f"{library}, our suppression", False)):
            call = contenders.keras_call(_theirs(library, size, stock), images)
            try:
                call()
            except Exception as error:  # what a backend lacks has many names
                print(f"{name} does not run here: {str(error).splitlines()[0][:100]}")
            else:
                calls[name] = call
                pairs.append((ours, name))
                break
    figures = timing.interleave(calls, seconds, min_rounds=5 if seconds else 1)
    for pair in pairs:
        Table("image to boxes: pixels", pair, "ms").row(_spelt(size), figures)


def _share(size, seconds) -> None:
    """What the boxes cost of the whole."""
    images = _images(size)
    models = dict(zip((OURS, MAPS), _ours(size), strict=True))
    calls = {name: contenders.keras_call(model, images) for name, model in models.items()}
    figures = timing.interleave(calls, seconds, min_rounds=5 if seconds else 1)
    share = 1 - figures[MAPS] / figures[OURS]
    Table("pixels, anchors", list(calls), "ms").row(
        f"{_spelt(size)}, {_anchors(models[MAPS]):,}", figures
    )
    print(f"share of post-processing: {share:.1%}")


def _images(size) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, *size, 3)).astype("float32")


def _backbone(size):
    import keras_pvt

    return keras_pvt.PVTBackbone("pvt_tiny", input_shape=(*size, 3))


def _ours(size, depth=4):
    """The detector, and the maps that its boxes are made of."""
    import keras_pvt

    model = keras_pvt.detection.RetinaNet(_backbone(size), CLASSES, head_depth=depth)
    _spread(model)
    return model.detector(), model


def _anchors(model) -> int:
    maps = model.output["class_logits"].values()
    return sum(
        height * width * depth // CLASSES for _, height, width, depth in (x.shape for x in maps)
    )


def _theirs(library, size, stock):
    """Images to boxes by a library's own anchors, decoding and, if `stock`, suppression."""
    import keras

    from keras_pvt.detection.libraries import retinanet, without_input_warning

    class Boxes(keras.Model):
        def __init__(self):
            super().__init__()
            self.detector, _ = retinanet(library, _backbone(size), CLASSES)
            _spread(self.detector)
            if stock:
                layers = importlib.import_module(library).layers
                self.detector.prediction_decoder = layers.NonMaxSuppression("xyxy", True)
            self.built = True

        def call(self, images, training=None):
            with without_input_warning():
                outputs = self.detector(images, training=training)
            return self.detector.decode_predictions(outputs, images)

    return Boxes()


def _spread(model) -> None:
    """Scores that differ, some above 0.05: as training begins there are none, and nothing to do."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if getattr(layer, "filters", None) == 9 * CLASSES:
            layer.kernel.assign(rng.standard_normal(layer.kernel.shape))
            layer.bias.assign(1.5 * rng.standard_normal(layer.bias.shape) - 4.6)


def _peak(size) -> float:
    """MiB above what is there before the model is built: weights and three forward passes."""
    contenders.keras_call(_ours((64, 64))[0], _images((64, 64)))()  # what a first model sets up
    gc.collect()
    before = memory("VmRSS")
    call = contenders.keras_call(_ours(size)[0], _images(size))
    for _ in range(3):
        call()
    return memory("VmHWM") - before


if __name__ == "__main__":
    main()
