"""Time of opening files of weights, against the libraries that their kinds come from.

Of each kind of file one of the same weights is written. To open one is to have every array of it so
that it can be computed with: what is mapped or lies in another order is copied, but in the rows "as
mapped", which have what `read_checkpoint` gives. It is compared with
`torch.load(weights_only=True)` for torch's files, `safetensors.numpy.load_file` of safetensors and
`numpy.load` for .npz. Keras's files are compared twice: with
`safetensors.numpy.load_file` of the same arrays, and with Keras, which reads them into a model: one
that is built, for .weights.h5, and one that it builds, for .keras. The two take turns, and the
ratio is that of the medians of processor time, which others on the machine disturb less than that
of the clock. Files are in the system's cache. Needs torch and safetensors.
"""

import argparse
import functools
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
from table import Table

EXAMPLES = """examples:
  KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/opening.py
  python benchmarks/opening.py --variant pvt_tiny --rounds 5
"""
OURS, THEIRS = "keras_pvt", "the library"
MAPPED = (".safetensors", ".weights.h5", ".keras")  # whose arrays lie in the file as in memory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="pvt_small")
    parser.add_argument("--rounds", type=int, default=21, help="of each (21)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(args.variant, args.rounds, pathlib.Path(folder))


def compare(variant: str, rounds: int, folder: pathlib.Path) -> None:
    import keras_pvt
    from keras_pvt.conversion import read_checkpoint

    model = keras_pvt.classifier(variant)
    print(f"{variant}, medians of {rounds}")
    table = Table("file", (OURS, THEIRS), "ms")
    for kind, (ours, theirs) in files(model, folder).items():
        ways = {kind: open_by_us}
        if kind in MAPPED:
            ways[f"{kind}, as mapped"] = read_checkpoint
        for label, way in ways.items():
            calls = {OURS: functools.partial(way, ours), THEIRS: functools.partial(*theirs)}
            table.row(label, medians(calls, rounds))


def medians(calls: dict, rounds: int) -> dict[str, float]:
    """Milliseconds of processor time of each call, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):  # the first brings in what is imported late
        for name, call in calls.items():
            start = time.process_time()
            arrays = call()
            taken = time.process_time() - start
            del arrays
            seconds[name] += [taken] if number else []
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def files(model, folder: pathlib.Path) -> dict:
    """By kind: our path; and the function and the path of the library that it is compared with."""
    import keras
    import torch
    from safetensors.numpy import save_file

    from keras_pvt.conversion import cast, save_checkpoint, to_torch

    state = dict(to_torch(model))
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    halves = {key: tensor.bfloat16() for key, tensor in tensors.items()}
    paths = {
        name: folder / name
        for name in (
            "zip.pth", "legacy.pth", "half.pth", "x.safetensors", "half.safetensors",
            "x.safetensors.index.json", "x.npz", "x.weights.h5", "x.keras",
        )
    }  # fmt: skip
    torch.save(tensors, paths["zip.pth"])
    torch.save(tensors, paths["legacy.pth"], _use_new_zipfile_serialization=False)
    torch.save(halves, paths["half.pth"])
    save_file(state, paths["x.safetensors"])
    save_checkpoint(cast(state, "float16"), paths["half.safetensors"])
    np.savez(paths["x.npz"], **state)
    model.save_weights(paths["x.weights.h5"])
    model.save(paths["x.keras"])
    weight_map = {}
    for n in range(4):
        name = f"model-{n + 1:05}-of-00004.safetensors"
        part = {key: state[key] for key in list(state)[n::4]}
        save_file(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    paths["x.safetensors.index.json"].write_text(json.dumps({"weight_map": weight_map}))
    torch_of, safe = open_by_torch, open_by_safetensors
    plain = paths["x.safetensors"]
    return {
        ".pth, zip": (paths["zip.pth"], (torch_of, paths["zip.pth"])),
        ".pth, before torch 1.6": (paths["legacy.pth"], (torch_of, paths["legacy.pth"])),
        ".pth, bfloat16": (paths["half.pth"], (torch_of, paths["half.pth"])),
        ".safetensors": (plain, (safe, plain)),
        ".safetensors, float16": (paths["half.safetensors"], (safe, paths["half.safetensors"])),
        ".safetensors in 4 shards": (
            paths["x.safetensors.index.json"],
            (open_shards, sorted(folder.glob("model-*.safetensors"))),
        ),
        ".npz": (paths["x.npz"], (open_by_numpy, paths["x.npz"])),
        ".weights.h5": (paths["x.weights.h5"], (safe, plain)),
        ".keras": (paths["x.keras"], (safe, plain)),
        ".weights.h5, against Keras": (
            paths["x.weights.h5"],
            (model.load_weights, paths["x.weights.h5"]),
        ),
        ".keras, against Keras": (paths["x.keras"], (keras.saving.load_model, paths["x.keras"])),
    }


def open_by_us(path: pathlib.Path) -> dict:
    from keras_pvt.conversion import read_checkpoint

    return {key: np.array(array) for key, array in read_checkpoint(path).items()}


def open_by_torch(path: pathlib.Path) -> dict:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def open_by_safetensors(path: pathlib.Path) -> dict:
    from safetensors.numpy import load_file

    return load_file(path)


def open_shards(paths: list[pathlib.Path]) -> dict:
    return {key: array for path in paths for key, array in open_by_safetensors(path).items()}


def open_by_numpy(path: pathlib.Path) -> dict:
    with np.load(path) as archive:
        return dict(archive)


if __name__ == "__main__":
    main()
