"""Artifacts that TensorFlow writes."""

import pathlib
import tempfile
import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_pvt.exporting.job import Job


def saved_model(model: keras.Model, job: Job, images) -> None:
    """A SavedModel of signature "serving_default" (also the method `serve`).

    Keras's own would hold each variable twice.
    """
    served = tf.Module()
    served.state = [variable.value for variable in model.variables]
    spec = tf.TensorSpec(job.shape, model.inputs[0].dtype, name="images")
    served.serve = tf.function(lambda images: model(images, training=False), input_signature=[spec])
    signatures = {"serving_default": served.serve.get_concrete_function()}
    tf.saved_model.save(served, job.path, signatures)


def tflite(model: keras.Model, job: Job, images) -> None:
    """A TFLite file of built-in operators, with a signature "serving_default"."""
    if job.quantize == "int8":
        from keras_pvt.exporting.int8 import quantize_products

        with tempfile.TemporaryDirectory() as folder:
            plain = job.plain(pathlib.Path(folder) / job.path.name)
            tflite(model, plain, None)
            quantize_products(plain.path, job.path, images)
        return
    target = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    options: dict[str, Any] = {}
    if job.quantize is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if job.quantize == "float16":
        target["supported_types"] = [tf.float16]
    if job.quantize == "full-int8":
        target["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        options |= {"inference_input_type": tf.int8, "inference_output_type": tf.int8}
        options["representative_dataset"] = lambda: ({"images": image[None]} for image in images)
    with warnings.catch_warnings():
        # Of the interpreter in TensorFlow, with which it learns the ranges of activations.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        _by_keras(model, job, "litert", target_spec=target, **options)
    if job.quantize == "dynamic":
        from keras_pvt.exporting.constants import halve

        job.path.write_bytes(halve(job.path.read_bytes()))


def onnx(model: keras.Model, job: Job, images) -> None:
    """An ONNX file, by tf2onnx."""
    with warnings.catch_warnings():
        # Keras asks for a name that NumPy 2 warns of.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        _by_keras(model, job, "onnx", opset_version=job.opset)


def openvino(model: keras.Model, job: Job, images) -> None:
    """An OpenVINO .xml with its .bin."""
    if job.quantize is None:
        _by_keras(model, job, "openvino")
        return
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        wide = job.plain(pathlib.Path(folder) / job.path.name)
        _by_keras(model, wide, "openvino")
        ov.save_model(ov.Core().read_model(wide.path), job.path, compress_to_fp16=True)


def _by_keras(model, job, format, **options):
    spec = keras.InputSpec(shape=job.shape, dtype=model.inputs[0].dtype, name="images")
    model.export(str(job.path), format=format, verbose=False, input_signature=[spec], **options)
