"""Time and peak memory of a training step: keras_pvt, zeromodels on one backend, the official code.

A step is forward, gradient and AdamW on one batch; Keras models train by `train_on_batch`, compiled
on JAX and TensorFlow, the official code by torch's own loop. Dropping is off in all of them.
"""

import argparse
import pathlib

import contenders
import memory
import timing
from contenders import OURS, UPSTREAM, ZEROMODELS, Case
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/training.py
  KERAS_BACKEND=torch python benchmarks/training.py --upstream ~/PVT --threads 2
  python benchmarks/training.py --variants pvt_tiny pvt_v2_b1 --batch 4 --size 128
  python benchmarks/training.py --only memory
  python benchmarks/training.py --smoke
"""
MEASURES = ("speed", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=pathlib.Path, help="a checkout of whai362/PVT")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each row (60)")
    parser.add_argument("--variants", nargs="+", default=["pvt_v2_b0"])
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels (224)")
    parser.add_argument("--batch", type=int, default=16, help="images of a step (16)")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--smoke", action="store_true", help="small images, once: does it run?")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    import keras

    names = [OURS, ZEROMODELS] + ([UPSTREAM] if args.upstream else [])
    print(f"Backend {keras.backend.backend()}, keras {keras.__version__}, {threads} threads")
    size, batch = (64, 2) if args.smoke else (args.size, args.batch)
    cases = [Case(variant, size, batch) for variant in args.variants]
    if "speed" in args.only:
        rounds = {"min_rounds": 1, "seconds": 0.0} if args.smoke else {"seconds": args.seconds}
        table = Table("a training step: model, pixels, batch", names, "ms")
        for case in cases:
            calls = {name: contenders.prepare_step(name, case, args.upstream) for name in names}
            figures = timing.interleave(calls, **rounds)
            table.row(f"{case.variant}, {size}, {batch}", figures)
    if "memory" in args.only:
        memory.table(cases, names, args.upstream, threads, training=True)


if __name__ == "__main__":
    main()
