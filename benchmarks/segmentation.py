"""Speed of Semantic FPN beside SegFormer, and peak memory of Trans2Seg's two forms.

Semantic FPN on PVT-Small and Hugging Face's SegFormer-B2 (torch eager), both with 150 classes and
logits at stride 4, run in one process, in turns; time is also divided by multiply-adds, since
SegFormer-B2 has more. Trans2Seg on PVT-Small, 150 classes, with a few classes at a time, as it
is, and with all at once, as it was released: each alone in a process.
"""

import argparse
import gc
import subprocess
import sys

import contenders
import numpy as np
import timing
from memory import memory
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/segmentation.py
  KERAS_BACKEND=torch python benchmarks/segmentation.py --only memory
  python benchmarks/segmentation.py --smoke
"""
MEASURES = ("speed", "memory")
OURS, SEGFORMER = "Semantic FPN, PVT-Small", "SegFormer-B2"
FORMS = {"a few classes at a time": 8, "all classes at once": 0}  # name to `class_chunk`
CLASSES = 150


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for speed (60)")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--size", type=int, default=512, help="side of the images (512)")
    parser.add_argument("--smoke", action="store_true", help="small images, once: does it run?")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)  # alone in this process
    args = parser.parse_args()
    size, seconds = (64, 0.0) if args.smoke else (args.size, args.seconds)
    threads = timing.limit_threads(args.threads)
    if args.form:
        print(_peak(args.form, size))
        return
    if "speed" in args.only:
        _speed(size, seconds)
    if "memory" in args.only:
        table = Table("peak memory: Trans2Seg, pixels", list(FORMS), "MiB")
        figures = {}
        for form in FORMS:
            command = [sys.executable, __file__, "--form", form, "--size", str(size)]
            result = subprocess.run(
                [*command, "--threads", str(threads)], check=True, stdout=subprocess.PIPE, text=True
            )
            figures[form] = float(result.stdout.split()[-1])
        table.row(f"pvt_small, {size}", figures)


def _speed(size: int, seconds: float) -> None:
    import keras

    from keras_pvt import flops
    from keras_pvt.variants import VARIANTS

    images = _images(size)
    calls = {
        OURS: contenders.keras_call(_semantic_fpn(size), images),
        SEGFORMER: contenders.torch_call(_segformer(), images),
    }
    gflops = {
        OURS: flops.total(flops.semantic_fpn(VARIANTS["pvt_small"], size, size)).gflops,
        SEGFORMER: contenders.gflops(calls[SEGFORMER]),
    }
    figures = timing.interleave(calls, seconds, min_rounds=5 if seconds else 1)
    print(f"Backend {keras.backend.backend()}; GFLOPs: {gflops[OURS]:.1f}, {gflops[SEGFORMER]:.1f}")
    Table(f"{size} x {size}, batch 1", list(calls), "ms").row("time", figures)
    per_gflop = {name: figures[name] / gflops[name] for name in calls}
    Table(f"{size} x {size}, batch 1", list(calls), "ms").row("time of a GFLOP", per_gflop)


def _images(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, size, size, 3)).astype("float32")


def _semantic_fpn(size: int):
    import keras_pvt

    backbone = keras_pvt.PVTBackbone("pvt_small", input_shape=(size, size, 3))
    return keras_pvt.segmentation.SemanticFPN(backbone, CLASSES, full_size=False)


def _segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[3, 4, 6, 3],
        hidden_sizes=[64, 128, 320, 512],
        decoder_hidden_size=768,
        num_labels=CLASSES,
    )
    return SegformerForSemanticSegmentation(config)


def _peak(form: str, size: int) -> float:
    """MiB above what is there before the model is built: weights and three forward passes."""
    contenders.keras_call(_trans2seg(64, form, 2), _images(64))()  # what the first model sets up
    gc.collect()
    before = memory("VmRSS")
    call = contenders.keras_call(_trans2seg(size, form, CLASSES), _images(size))
    for _ in range(3):
        call()
    return memory("VmHWM") - before


def _trans2seg(size: int, form: str, classes: int):
    import keras_pvt

    backbone = keras_pvt.PVTBackbone("pvt_small", input_shape=(size, size, 3))
    return keras_pvt.segmentation.Trans2Seg(
        backbone, classes, full_size=False, class_chunk=FORMS[form]
    )


if __name__ == "__main__":
    main()
