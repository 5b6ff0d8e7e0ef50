"""Training steps of JAX spread over simulated devices: what a device holds, and that it runs.

Says that the program is right, not that it is fast: simulated devices share the cores and the
memory of one machine, so that steps a second cannot rise with them, and the process holds what
all of them hold. What a device holds, weights and moments of AdamW, is what a real one would.
"""

import argparse
import os
import subprocess
import sys
import time

import memory
import numpy as np

EXAMPLES = """examples:
  python benchmarks/scaling.py
  python benchmarks/scaling.py --variant pvt_tiny --devices 1 8 --steps 3
"""
STRATEGIES = ("data-parallel", "fsdp")
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="pvt_nano")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels (64)")
    parser.add_argument("--batch", type=int, default=64, help="images of all devices (64)")
    parser.add_argument("--steps", type=int, default=10, help="to time, after as many more (10)")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--strategy", choices=STRATEGIES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.strategy:  # this is a process that `main` has started
        print(*measure(args.strategy, args.variant, args.size, args.batch, args.steps))
        return
    print(f"{args.variant}, {args.size} pixels, batch {args.batch}")
    print("| devices | strategy | steps / s | MiB a device holds | of one device | peak MiB |")
    print("|---|---|---|---|---|---|", flush=True)
    alone = None
    for devices in args.devices:
        for strategy in STRATEGIES:
            speed, held, peak = run(strategy, devices, sys.argv[1:])
            alone = alone or held
            print(
                f"| {devices} | {strategy} | {speed:.2f} | {held:.1f} | {held / alone:.3f} "
                f"| {peak:.0f} |",
                flush=True,
            )


def run(strategy: str, devices: int, arguments: list[str]) -> list[float]:
    """`measure` in a process of its own, which is what the number of devices is fixed for."""
    result = subprocess.run(
        [sys.executable, __file__, *arguments, "--strategy", strategy],
        env=os.environ
        | {
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(figure) for figure in result.stdout.split()]


def measure(
    name: str, variant: str, size: int, batch: int, steps: int
) -> tuple[float, float, float]:
    """Steps a second, and MiB: what the fullest device holds, and the peak of this process."""
    import keras

    import keras_pvt
    from keras_pvt.training import distribution
    from keras_pvt.training.distribution.on_jax import bytes_held

    strategy = distribution.choose(name)
    strategy.check_batch(batch)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    with strategy.scope():
        model = keras_pvt.classifier(
            variant, input_shape=(size, size, 3), classifier_activation=None
        )
        model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        images = rng.standard_normal((batch * steps, size, size, 3), "float32")
        labels = rng.integers(0, model.output_shape[-1], len(images))
        for _ in range(2):  # the first compiles
            start = time.perf_counter()
            model.fit(images, labels, batch_size=batch, callbacks=[strategy.callback()], verbose=0)
        speed = steps / (time.perf_counter() - start)
        held = max(bytes_held([*model.variables, *model.optimizer.variables]).values())
    return speed, held / MIB, memory.memory("VmHWM")


if __name__ == "__main__":
    main()
