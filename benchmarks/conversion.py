"""Time and memory of loading an official checkpoint, against torch.load and copying it.

    KERAS_BACKEND=jax python benchmarks/conversion.py --variant pvt_large

Needs torch, and Linux for the memory. Times are medians of interleaved runs in one process,
the file in the system's cache. Memory is counted in checkpoints: the model's weights, one, and
the peak that loading adds in a fresh process, pages of the mapped file included.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variant", default="pvt_large")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peak", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_of_loading(options.variant, options.peak))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options.variant, options.repeats, pathlib.Path(folder))


def compare(variant: str, repeats: int, folder: pathlib.Path) -> None:
    import keras
    import torch

    import keras_pvt
    from keras_pvt.conversion import load_checkpoint, to_torch

    model = keras_pvt.classifier(variant)
    state = {key: torch.from_numpy(array) for key, array in to_torch(model).items()}
    print(f"{variant}, backend {keras.backend.backend()}, {repeats} runs, medians")
    for kind, zipped in (("zip", True), ("legacy", False)):
        path = folder / f"{kind}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        ours, theirs = [], []
        for _ in range(repeats + 1):  # the first warms up
            ours.append(seconds(lambda path=path: load_checkpoint(model, path)))
            theirs.append(seconds(lambda path=path: load_and_copy(path)))
        ours_s, theirs_s = statistics.median(ours[1:]), statistics.median(theirs[1:])
        command = [sys.executable, __file__, "--variant", variant, "--peak", str(path)]
        peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"{kind:>7}: load_checkpoint {ours_s:.3f} s, torch.load and copy {theirs_s:.3f} s, "
            f"ratio {ours_s / theirs_s:.2f}; peak {1 + peak / path.stat().st_size:.2f} checkpoints"
        )


def load_and_copy(path: pathlib.Path) -> dict:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return {key: tensor.clone() for key, tensor in loaded.items()}


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_of_loading(variant: str, path: pathlib.Path) -> int:
    """Bytes that loading adds to a process that has built the model."""
    import keras_pvt
    from keras_pvt.conversion import load_checkpoint

    model = keras_pvt.classifier(variant)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = memory("VmRSS")
    load_checkpoint(model, path)
    return memory("VmHWM") - before


def memory(name: str) -> int:
    """A size of this process in bytes, as Linux calls it."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
