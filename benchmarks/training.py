"""Time of a training step: keras_pvt, zeromodels on the same backend, and the official code.

A step is forward, gradient and AdamW on one batch; Keras models train by `train_on_batch`, compiled
on JAX and TensorFlow, the official code by torch's own loop. Dropping is off in all of them.
"""

import argparse
import pathlib
from collections.abc import Callable

import contenders
import numpy as np
import timing
from contenders import OURS, UPSTREAM, ZEROMODELS, Case
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/training.py
  KERAS_BACKEND=torch python benchmarks/training.py --upstream ~/PVT --threads 2
  python benchmarks/training.py --variants pvt_tiny pvt_v2_b1 --batch 4 --size 128
  python benchmarks/training.py --smoke
"""
RATE = 1e-4


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
    parser.add_argument("--smoke", action="store_true", help="small images, once: does it run?")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    import keras

    names = [OURS, ZEROMODELS] + ([UPSTREAM] if args.upstream else [])
    print(f"Backend {keras.backend.backend()}, keras {keras.__version__}, {threads} threads")
    table = Table("a training step: model, pixels, batch", names, "ms")
    for variant in args.variants:
        case = Case(variant, 64, 2) if args.smoke else Case(variant, args.size, args.batch)
        labels = np.random.default_rng(1).integers(0, 1000, case.batch)
        calls = {name: _step(name, case, labels, args.upstream) for name in names}
        rounds = {"min_rounds": 1, "seconds": 0.0} if args.smoke else {"seconds": args.seconds}
        figures = timing.interleave(calls, **rounds)
        table.row(f"{variant}, {case.size}, {case.batch}", figures)


def _step(name: str, case: Case, labels: np.ndarray, upstream: pathlib.Path | None) -> Callable:
    """A training step of a contender, which waits for its loss."""
    if name == UPSTREAM:
        return _torch_step(contenders.torch_model(name, case, upstream), case.images(), labels)
    import keras

    model, images = contenders.BUILDERS[name](case), case.images()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(RATE), loss)
    return lambda: model.train_on_batch(images, labels)


def _torch_step(model, images: np.ndarray, labels: np.ndarray) -> Callable:
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
