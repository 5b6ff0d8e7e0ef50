"""Runs artifacts as their users do: without Keras."""

import pathlib
import warnings
from collections.abc import Callable

import numpy as np

Run = Callable[[np.ndarray], dict[str, np.ndarray]]


def load(
    format: str, path: pathlib.Path, threads: int | None = None, bfloat16: bool = False
) -> Run:
    """A function from float images `(B, H, W, channels)` to named outputs.

    Args:
        format: name of the format.
        path: of the artifact.
        threads: to compute with; by default as the runtime has it. TensorFlow's are of the
            process.
        bfloat16: let OpenVINO compute in bfloat16, where the processor does; others do not.
    """
    if bfloat16:
        return openvino(path, threads, "bf16")
    return RUNNERS[format](path, threads)


def saved_model(path: pathlib.Path, threads: int | None) -> Run:
    """Runs by TensorFlow."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]

    def run(images, _keep=loaded):  # a signature does not keep its variables alive
        return {
            name: value.numpy() for name, value in signature(images=tf.constant(images)).items()
        }

    return run


def tflite(path: pathlib.Path, threads: int | None) -> Run:
    """Runs by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=threads).get_signature_runner()
    detail = runner.get_input_details()["images"]
    details = runner.get_output_details()

    def run(images):
        outputs = runner(images=_quantized(images, detail))
        return {name: _floats(value, details[name]) for name, value in outputs.items()}

    return run


def onnx(path: pathlib.Path, threads: int | None) -> Run:
    """Runs by ONNX runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def openvino(path: pathlib.Path, threads: int | None, precision: str = "f32") -> Run:
    """Runs by OpenVINO."""
    settings = {
        "INFERENCE_PRECISION_HINT": precision,  # some processors would take bfloat16 by themselves
        "INFERENCE_NUM_THREADS": threads or 0,
        "ENABLE_CPU_PINNING": False,  # every process would take the same cores, the first
    }
    compiled = _openvino_core().compile_model(path, "CPU", settings)
    return lambda images: {output.any_name: value for output, value in compiled([images]).items()}


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor; else it takes float32, silently."""
    return "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _openvino_core():
    with warnings.catch_warnings():
        # It looks at the machine in a process of its own, of which JAX warns.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        import openvino

    return openvino.Core()


RUNNERS = {
    "saved_model": saved_model,
    "tflite": tflite,
    "onnx": onnx,
    "openvino": openvino,
}


def _quantized(values, detail):
    """Floats as an input of quantized integers wants them, or as they are."""
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def _floats(values, detail):
    """What quantized integers stand for; other outputs as they are."""
    scale, zero = detail["quantization"]
    return (values.astype("float32") - zero) * scale if scale else values
