"""What other tools find in an ONNX file: weights right before their operators, and its versions."""

import collections

import keras
import numpy as np
import onnx
import pytest
from conftest import SHALLOW, perturb
from onnxruntime.quantization import QuantType, quantize_dynamic

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.exporting.errors import ExportError
from keras_pvt.ops import BACKEND
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

SIZE = (64, 96)
REARRANGE = {"Flatten", "Identity", "Reshape", "Shape", "Squeeze", "Transpose", "Unsqueeze"}
WRITES = pytest.mark.skipif(BACKEND == "jax", reason="does not write")


def backbone():
    """Kernels that torch's exporter finds too large to reshape, as those of all but toys are."""
    return keras_pvt.PVTBackbone("pvt_nano", (*SIZE, 3))


SYSTEMS = {
    "classifier": lambda: keras_pvt.PVTNano(weights=None, input_shape=(*SIZE, 3)),
    "backbone": backbone,
    "semantic_fpn": lambda: SemanticFPN(backbone(), 3, 64, 64),
    "trans2seg": lambda: Trans2Seg(backbone(), 3, embed_dim=64, depth=1, num_heads=2),
    "retinanet": lambda: RetinaNet(backbone(), 3, 64, 1).detector(),
    "mask_rcnn": lambda: MaskRCNN(backbone(), 3, 64, 64).detector(),
    "detr": lambda: DETR(
        backbone(), 3, embed_dim=64, depth=1, num_heads=2, padded=False
    ).detector(),
}


def rearranged(graph, known=frozenset()):
    """Nodes that rearrange at run time what lies in the file, those of subgraphs too."""
    constants = {node.output[0] for node in graph.node if node.op_type == "Constant"}
    known = known | constants | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in REARRANGE and node.input[0] in known:
            yield f"{node.op_type} of {node.input[0]}"
        for attribute in node.attribute:
            yield from rearranged(attribute.g, known)


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(
            name,
            marks=()
            if name == "classifier" and BACKEND != "jax"  # for which torch writes
            else pytest.mark.full("one more model"),
        )
        for name in SYSTEMS
        if name == "classifier" or BACKEND != "jax"
    ],
)
def test_no_weight_is_rearranged_at_run_time(system, tmp_path):
    path = tmp_path / "model.onnx"
    model = SYSTEMS[system]()
    sizes = collections.Counter(int(np.prod(weight.shape)) for weight in model.weights)
    keras_pvt.export(model, path, "onnx", verify=False)
    graph = onnx.load(path).graph
    assert list(rearranged(graph)) == []
    stored = collections.Counter(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    assert stored[max(sizes)]  # the check has seen the weights
    large = {size: count for size, count in sizes.items() if size > 1000}
    assert not {n: stored[n] for n, count in large.items() if stored[n] > count}  # each once


@pytest.mark.skipif(BACKEND != "torch", reason="of torch's exporter")
def test_what_depends_on_an_open_size_is_open(tmp_path):
    """At the stride of RetinaNet's last map; onnxruntime warns of sizes that are declared wrong."""
    path = tmp_path / "model.onnx"
    images = keras.Input((None, None, 3))
    x = images
    for stride in (8, 16):
        x = keras.layers.Conv2D(2, 3, stride)(keras.layers.ZeroPadding2D(1)(x))
    x = keras.layers.Conv2D(2, 3, padding="same")(x)
    keras_pvt.export(keras.Model(images, {"map": x}), path, "onnx", verify=False)
    found = runtimes.load("onnx", path)(np.zeros((3, 520, 300, 3), "float32"))["map"]
    assert found.shape == (3, 5, 3, 2)
    (value,) = onnx.load(path).graph.output
    assert [one.dim_value for one in value.type.tensor_type.shape.dim] == [0, 0, 0, 2]  # 0: open


@pytest.mark.full("quantizes a model of 53 MB")
@WRITES
def test_onnxruntime_quantizes_every_large_weight(tmp_path, rng):
    model = keras_pvt.PVTTiny(weights=None, classifier_activation=None)
    perturb(model)
    path, small = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    keras_pvt.export(model, path, "onnx", batch_size=1)
    quantize_dynamic(path, small, weight_type=QuantType.QUInt8)
    assert small.stat().st_size <= 0.29 * path.stat().st_size
    images = rng.standard_normal((1, 224, 224, 3)).astype("float32")
    found, expected = (
        runtimes.load("onnx", file)(images)["predictions"].ravel() for file in (small, path)
    )
    assert found @ expected > 0.99 * np.linalg.norm(found) * np.linalg.norm(expected)


@WRITES
@pytest.mark.parametrize(
    ("opset", "version"),
    [
        # torch writes it by way of another opset.
        pytest.param(17, 8, marks=pytest.mark.full("one more model")),
        pytest.param(None, None, marks=pytest.mark.full("one more model")),
        pytest.param(15, 8, marks=pytest.mark.full("TensorFlow writes it, also for torch")),
    ],
)
def test_versions_that_older_runtimes_read(opset, version, tmp_path):
    """The file has the opset that is asked for, answers as its model, and names no newer format
    than that takes."""
    model = keras_pvt.PVTNano(weights="cifar10", classifier_activation=None)
    path = tmp_path / "model.onnx"
    exported = keras_pvt.export(model, path, "onnx", opset=opset)
    assert exported.comparisons
    assert exported.passed
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    (found,) = (item.version for item in file.opset_import if not item.domain)
    assert opset in (None, found)
    oldest = onnx.helper.find_min_ir_version_for(file.opset_import, ignore_unknown=True)
    assert file.ir_version == max(8, oldest)
    assert version in (None, file.ir_version)


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize(
    ("format", "opset", "message"),
    [
        ("onnx", 14, "'onnx' is not written in opset 14; there are 17 to 23 by torch; 15 to 18 by"),
        ("onnx", 99, "not written in opset 99"),
        ("saved_model", 17, "'saved_model' is not written in opset 17; there are none"),
    ],
)
def test_opsets_that_there_are_not(format, opset, message, tmp_path):
    model = keras_pvt.PVTNano(weights=None)
    path = tmp_path / ("m.onnx" if format == "onnx" else "m")
    with pytest.raises(ValueError, match=message):
        keras_pvt.export(model, path, format, opset=opset)
    assert not path.exists()


@pytest.mark.skipif(BACKEND != "torch", reason="torch's exporter only logs it")
def test_an_opset_that_torch_does_not_reach(tmp_path, monkeypatch):
    import torch

    reached = torch.onnx.export
    monkeypatch.setattr(
        torch.onnx,
        "export",
        lambda *args, **options: reached(*args, **options | {"opset_version": 18}),
    )
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match="its operators need opset 18"):
        keras_pvt.export(keras_pvt.PVTBackbone(SHALLOW, (*SIZE, 3)), path, "onnx", opset=17)
    assert not path.exists()
