"""Time and memory of loading an official checkpoint, against `torch.load` and copying it.

Each run is a process of its own that loads once, as a conversion does, after a small file that
brings in what is imported late; ours has built its model before, torch's does not import Keras. The
files are in the system's cache.
Memory is counted in checkpoints: the model's weights, one, and the peak that loading adds, pages of
the mapped file included. Needs torch, and Linux for the memory.
"""

import argparse
import gc
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/conversion.py
  python benchmarks/conversion.py --variant pvt_tiny --rounds 3
"""
SMALL = "pvt_nano"
OURS = "keras_pvt"
NAMES = (OURS, "torch")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="pvt_large")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each (7)")
    # What the processes that this one starts do.
    parser.add_argument("--run", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(*(load if args.run == OURS else load_and_copy)(args.variant, args.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(args.variant, args.rounds, pathlib.Path(folder))


def compare(variant: str, rounds: int, folder: pathlib.Path) -> None:
    import keras
    import torch

    import keras_pvt

    states = {
        name: {key: torch.from_numpy(array) for key, array in state.items()}
        for name in (SMALL, variant)
        for state in [keras_pvt.conversion.to_torch(keras_pvt.classifier(name))]
    }
    print(f"Backend {keras.backend.backend()}, {variant}, medians of {rounds}")
    table, peaks = Table("format", NAMES, "ms"), {}
    for kind, zipped in (("zip", True), ("legacy", False)):
        for name, state in states.items():
            path = folder / f"{name}.pth"
            torch.save(state, path, _use_new_zipfile_serialization=zipped)
        runs = [{name: _run(name, variant, folder) for name in NAMES} for _ in range(rounds)]
        table.row(
            kind, {name: 1000 * statistics.median(run[name][0] for run in runs) for name in NAMES}
        )
        peak = statistics.median(run[OURS][1] for run in runs)
        peaks[kind] = 1 + peak * 2**20 / path.stat().st_size
    for kind, peak in peaks.items():
        print(f"Peak memory, {kind}: {peak:.2f} checkpoints")


def _run(name: str, variant: str, folder: pathlib.Path) -> list[float]:
    """What a process prints that loads once."""
    command = [sys.executable, __file__, "--run", name, "--variant", variant, "--folder", folder]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(figure) for figure in result.stdout.split()]


def load(variant: str, folder: pathlib.Path) -> tuple[float, float]:
    """Seconds, and MiB that loading adds at its peak."""
    from memory import memory

    import keras_pvt

    keras_pvt.conversion.load_checkpoint(keras_pvt.classifier(SMALL), folder / f"{SMALL}.pth")
    model = keras_pvt.classifier(variant)
    gc.collect()  # what building it has left is not the loading's
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, start = memory("VmRSS"), time.perf_counter()
    keras_pvt.conversion.load_checkpoint(model, folder / f"{variant}.pth")
    return time.perf_counter() - start, memory("VmHWM") - before


def load_and_copy(variant: str, folder: pathlib.Path) -> tuple[float]:
    """Seconds."""
    import torch

    for name in (SMALL, variant):
        start = time.perf_counter()
        loaded = torch.load(folder / f"{name}.pth", map_location="cpu", weights_only=True)
        copies = {key: tensor.clone() for key, tensor in loaded.items()}
        seconds = time.perf_counter() - start
        del copies
    return (seconds,)


if __name__ == "__main__":
    main()
