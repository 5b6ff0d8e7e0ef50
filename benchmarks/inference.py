"""Speed, build time and peak memory of keras_pvt next to other implementations of PVT.

All run in one process, on the same cores, in turns: zeromodels on the same Keras backend, and,
on torch eager, Hugging Face transformers and the official code. On JAX and TensorFlow, Keras
models run compiled (`jax.jit`, `tf.function`); on torch, eager.
"""

import argparse
import functools
import importlib.metadata
import pathlib
import platform
import time

import contenders
import memory
import timing
from contenders import HUGGING_FACE, OURS, UPSTREAM, ZEROMODELS, Case
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/inference.py
  KERAS_BACKEND=torch python benchmarks/inference.py --upstream ~/PVT --threads 2
  KERAS_BACKEND=torch python benchmarks/inference.py --only speed --precision bfloat16
  python benchmarks/inference.py --only build memory
  python benchmarks/inference.py --smoke
"""
SIZES = ((224, 1), (224, 8), (512, 1), (1024, 1))  # side in pixels, batch
MEASURES = ("speed", "build", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=pathlib.Path, help="a checkout of whai362/PVT")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each row (20)")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the speed"
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--variants", nargs="+", default=["pvt_tiny", "pvt_small"])
    parser.add_argument("--smoke", action="store_true", help="small images, once: does it run?")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    names = [OURS, ZEROMODELS, HUGGING_FACE] + ([UPSTREAM] if args.upstream else [])
    print(_versions(threads))
    if "speed" in args.only:
        cases = [Case(variant, *size) for variant in args.variants for size in SIZES]
        seconds = args.seconds
        if args.smoke:
            cases, seconds = [Case("pvt_tiny", 64, 2)], 0.0
        _speed(cases, names, args.upstream, args.precision, seconds)
    if "build" in args.only:
        _build_time(Case("pvt_tiny" if args.smoke else "pvt_large", 224), args.seconds)
    if "memory" in args.only:
        cases = [Case(variant, 1024) for variant in args.variants]
        if args.smoke:
            cases, names = [Case("pvt_tiny", 64)], names[:2]
        memory.table(cases, names, args.upstream, threads)


def _versions(threads: int) -> str:
    import keras

    backend = keras.backend.backend()
    packages = importlib.metadata.packages_distributions()  # TensorFlow has two
    parts = [f"{threads} threads, {platform.machine()}, Python {platform.python_version()}"]
    for name in dict.fromkeys(("keras", backend, "torch", "zeromodels", "transformers")):
        parts.append(f"{name} {importlib.metadata.version(packages[name][0])}")
    return f"Backend {backend}: " + ", ".join(parts)


def _speed(cases, names, upstream, precision, seconds) -> None:
    table = Table("model, pixels, batch", names, "ms")
    for case in cases:
        calls = {name: contenders.prepare(name, case, upstream, precision) for name in names}
        figures = timing.interleave(calls, seconds, min_rounds=5 if seconds else 1)
        table.row(f"{case.variant}, {case.size}, {case.batch}", figures)


def _build_time(case: Case, seconds: float) -> None:
    builders = contenders.BUILDERS
    calls = {name: functools.partial(build, case) for name, build in builders.items()}
    table = Table("building the model", list(builders), "ms")
    table.row(case.variant, timing.interleave(calls, seconds, min_rounds=3))


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"\nDone in {time.perf_counter() - start:.0f} s.")
