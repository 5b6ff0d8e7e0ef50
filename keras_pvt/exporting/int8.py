"""Matrix products and convolutions of a TFLite file in int8, all else in float32."""

import contextlib
import io
import pathlib
import warnings

import numpy as np

from keras_pvt.exporting.errors import ExportError

SIGNATURE = "serving_default"


def quantize_products(source: pathlib.Path, path: pathlib.Path, images: np.ndarray) -> None:
    """Write a TFLite file whose dense layers and convolutions compute in int8.

    They are nearly all of the time; LayerNorm, GELU, softmax and the products of attention
    lose more in int8 than they gain on a CPU.

    Args:
        source: TFLite file in float32.
        path: where to write.
        images: representative images `(N, H, W, channels)`, as the model takes them; they
            decide the range of the activations.
    """
    from ai_edge_quantizer import qtyping, quantizer

    with _quiet():
        worker = quantizer.Quantizer(str(source))
        for name in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
            operation = qtyping.TFLOperationName[name]
            worker.add_static_config(".*", operation, activation_num_bits=8, weight_num_bits=8)
        model = worker.quantize(_ranges(worker, images)).quantized_model
    if model is None:
        raise ExportError("AI Edge Quantizer made no model.")
    path.write_bytes(_with_outputs_of_signature(model))


def _with_outputs_of_signature(content: bytes) -> bytes:
    """The graph gives what its signature names.

    Of an output that another operation reads in int8, as P2 to P4 of a pyramid are, AI Edge
    Quantizer 0.10 makes the copy in int8 the output of the graph, but not of the signature.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        graph.outputs = [output.tensorIndex for output in signature.outputs]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _ranges(worker, images):
    """Smallest and largest value of each tensor.

    One image at a time, as over several AI Edge Quantizer takes a moving average, which cuts
    off values that a few images have: cosines of 0.988 instead of 0.9995 for PVTNano.
    """
    ranges: dict[str, dict] = {}
    for image in images:
        found = worker.calibrate({SIGNATURE: [{"images": image[None]}]})
        for name, own in found.items():
            known = ranges.setdefault(name, dict(own))
            known["min"] = np.minimum(known["min"], own["min"])
            known["max"] = np.maximum(known["max"], own["max"])
    return ranges


@contextlib.contextmanager
def _quiet():
    """Without AI Edge Quantizer's reports and progress bars, one for each image."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        # That it keeps every tensor, which is how it sees the ranges.
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
        yield
