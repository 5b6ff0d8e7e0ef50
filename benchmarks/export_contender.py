"""One contender of `export.py`, in a process of its own: writes an artifact, or serves calls.

Keras has one backend in a process, and the runtimes' thread pools disturb each other.
"""

import os
import pathlib
import sys
import time

import numpy as np
import timing

KERAS, ZEROMODELS, HUGGING_FACE = "keras", "zeromodels", "hugging face"


def make(owner: str, variant: str, size: int, format: str, quantize: str, path: str) -> None:
    """Write an artifact of a model with random weights."""
    from contenders import Case, build_ours, build_zeromodels, hugging_face

    case = Case(variant, size)
    if owner == KERAS:
        import keras_pvt

        images = np.random.default_rng(0).standard_normal((8, size, size, 3)).astype("float32")
        options = {} if quantize == "none" else {"quantize": quantize, "representative": images}
        keras_pvt.export(build_ours(case), path, format, batch_size=1, verify=False, **options)
    elif owner == ZEROMODELS:
        import keras

        spec = keras.InputSpec(shape=(1, size, size, 3), dtype="float32")
        build_zeromodels(case).export(path, format="litert", input_signature=[spec], verbose=False)
    else:
        import torch

        images = torch.zeros(1, 3, size, size)
        options = {"dynamo": True, "external_data": False, "verbose": False}
        torch.onnx.export(hugging_face(case).eval(), (images,), path, **options)


def serve(what: str, variant: str, size: int, path: str, threads: int) -> None:
    """Answer each line on stdin by the seconds that one call took."""
    if what == KERAS:
        from contenders import OURS, Case, prepare

        call = prepare(OURS, Case(variant, size))
    else:
        call = _artifact(what, path, size, threads)
    call()
    call()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


def _artifact(format, path, size, threads):
    images = np.random.default_rng(0).standard_normal((1, size, size, 3)).astype("float32")
    if format == HUGGING_FACE:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options)
        name = session.get_inputs()[0].name
        channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return lambda: session.run(None, {name: channels_first})
    if format == ZEROMODELS:
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(path, num_threads=threads).get_signature_runner()
        (name,) = runner.get_input_details()
        return lambda: runner(**{name: images})
    from keras_pvt import runtimes

    run = runtimes.load(format, pathlib.Path(path), threads)
    return lambda: run(images)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    action, *words = sys.argv[1:]
    if action == "make":
        owner, variant, size, format, quantize, path = words
        make(owner, variant, int(size), format, quantize, path)
    else:
        what, variant, size, path, threads = words
        timing.limit_threads(int(threads))
        serve(what, variant, int(size), path, int(threads))
