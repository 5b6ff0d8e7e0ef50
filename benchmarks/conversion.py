"""Time and memory of loading an official checkpoint, against torch.load and copying it.

    KERAS_BACKEND=jax python benchmarks/conversion.py --variant pvt_large

Needs torch. Times are medians of interleaved runs in one process, the file in the system's
cache. Memory is the peak of a fresh process above what it had before it built the model, so
that it holds the model, the mapped file and what is copied; it is given in checkpoints.
"""

import argparse
import pathlib
import resource
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
            f"ratio {ours_s / theirs_s:.2f}; peak memory {peak / path.stat().st_size:.2f} checkpoints"
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
    """Bytes above those before the model was built."""
    import keras_pvt
    from keras_pvt.conversion import load_checkpoint, to_torch

    small = keras_pvt.PVTBackbone("pvt_nano")
    load_checkpoint(small, to_torch(small))  # what a backend sets up once is not counted
    status = pathlib.Path("/proc/self/status").read_text()
    before = int(status.split("VmRSS:")[1].split()[0]) * 1024
    load_checkpoint(keras_pvt.classifier(variant), path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


if __name__ == "__main__":
    main()
