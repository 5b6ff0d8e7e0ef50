"""Latency and size of exported models, next to the Keras model and to other implementations.

Every contender runs in a process of its own, at batch 1 and equal threads, and takes turns with
the others. Artifacts are made anew, of random weights.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import timing
from export_contender import HUGGING_FACE, KERAS, ZEROMODELS

from keras_pvt.exporting.targets import size_of

CONTENDER = pathlib.Path(__file__).with_name("export_contender.py")
EXAMPLES = """examples:
  python benchmarks/export.py
  python benchmarks/export.py --variant pvt_small --seconds 60
  python benchmarks/export.py --only tflite "tflite int8"
"""


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is timed.

    Args:
        backend: that Keras runs on where it is built.
        what: that serves: a format, or whose model it is.
        owner: whose model is exported; None where the Keras model itself runs.
        quantize: of the artifact.
    """

    backend: str
    what: str
    owner: str | None = KERAS
    quantize: str = "none"


CONTENDERS = {
    "tflite": Contender("tensorflow", "tflite"),
    "tflite float16": Contender("tensorflow", "tflite", quantize="float16"),
    "tflite dynamic": Contender("tensorflow", "tflite", quantize="dynamic"),
    "tflite int8": Contender("tensorflow", "tflite", quantize="int8"),
    "tflite full-int8": Contender("tensorflow", "tflite", quantize="full-int8"),
    "onnx": Contender("torch", "onnx"),
    "onnx by tensorflow": Contender("tensorflow", "onnx"),
    "openvino": Contender("tensorflow", "openvino"),
    "saved_model": Contender("tensorflow", "saved_model"),
    "keras, jax": Contender("jax", KERAS, owner=None),
    "keras, tensorflow": Contender("tensorflow", KERAS, owner=None),
    "keras, torch": Contender("torch", KERAS, owner=None),
    "zeromodels tflite": Contender("tensorflow", ZEROMODELS, owner=ZEROMODELS),
    "hugging face onnx": Contender("torch", HUGGING_FACE, owner=HUGGING_FACE),
}
SUFFIXES = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml", "saved_model": "",
            ZEROMODELS: ".tflite", HUGGING_FACE: ".onnx", KERAS: ""}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="pvt_tiny")
    parser.add_argument("--size", type=int, default=224, help="side in pixels (224)")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for the rounds (60)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    print(f"{args.variant}, {args.size} pixels, batch 1, {threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: _make(name, args, pathlib.Path(folder)) for name in args.only}
        sizes = {name: size_of(path) for name, path in paths.items() if path.exists()}
        servers = {name: _Server(name, args, paths[name], threads) for name in args.only}
        try:
            figures = timing.interleave(servers, args.seconds)
        finally:
            for server in servers.values():
                server.process.kill()
    first = args.only[0]
    print(f"\n| contender | MB | ms | / {first} |\n|---|---|---|---|")
    for name, figure in figures.items():
        size = f"{sizes[name] / 1e6:.1f}" if name in sizes else ""
        print(f"| {name} | {size} | {figure:.1f} | {figure / figures[first]:.2f} |")


def _make(name, args, folder):
    contender = CONTENDERS[name]
    path = folder / f"{name.replace(' ', '_')}{SUFFIXES[contender.what]}"
    if contender.owner is not None:
        print(f"making {name}", flush=True)
        words = [contender.owner, args.variant, args.size, contender.what, contender.quantize]
        command = [sys.executable, CONTENDER, "make", *words, path]
        subprocess.run(
            [str(word) for word in command],
            env=os.environ | {"KERAS_BACKEND": contender.backend},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return path


class _Server:
    """A process that makes one call whenever it is asked."""

    def __init__(self, name, args, path, threads):
        contender = CONTENDERS[name]
        words = [contender.what, args.variant, args.size, path, threads]
        self.process = subprocess.Popen(
            [str(word) for word in (sys.executable, CONTENDER, "serve", *words)],
            env=os.environ | {"KERAS_BACKEND": contender.backend},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stdout:  # libraries may print before
            if line.strip() == "ready":
                return
        raise SystemExit(f"{name} does not run.")

    def __call__(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


if __name__ == "__main__":
    main()
