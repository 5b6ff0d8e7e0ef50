"""TFLite in all its numbers: operators, delegation, size, and what quantization costs."""

import dataclasses

import keras
import numpy as np
import pytest
import recipe
from cifar10_photographs import photographs
from conftest import TINY, perturb

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.conversion import load_checkpoint
from keras_pvt.formats import QUANTIZATIONS
from keras_pvt.layers import PositionEmbedding
from keras_pvt.ops import BACKEND
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow writes TFLite")


def operators(path, delegated=False):
    """Names of the operators that the interpreter runs, as they are or once delegated."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegated else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    return [detail["op_name"] for detail in interpreter._get_ops_details()]


def partitions(path):
    return operators(path, delegated=True).count("DELEGATE")


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.full("converts three times")
@pytest.mark.parametrize(("size", "batch"), [((64, 96), 1), ((64, 96), None), ((None, None), None)])
def test_only_operators_that_are_built_in(size, batch, tmp_path):
    model = keras_pvt.classifier(TINY, input_shape=(None, None, 3))
    path = tmp_path / "model.tflite"
    keras_pvt.export(model, path, "tflite", size=size, batch_size=batch, verify=False)
    names = operators(path)
    assert len(names) > 100
    assert not [name for name in names if name.startswith(("Flex", "CUSTOM"))]
    if batch == 1:
        assert partitions(path) == 1


@pytest.fixture(scope="module")
def tiny():
    model = keras_pvt.PVTTiny(weights=None, classifier_activation=None)
    load_checkpoint(model, recipe.state_dict("pvt_tiny"))
    return model


@pytest.mark.full("converts a model four times")
def test_weights_in_fewer_bits(tiny, tmp_path):
    images, expected = recipe.images(224, 224), recipe.golden("pvt_tiny")["224x224/logits"]
    sizes = {}
    for quantize in (None, "float16", "dynamic"):
        path = tmp_path / f"{quantize}.tflite"
        exported = keras_pvt.export(
            tiny, path, "tflite", batch_size=2, quantize=quantize, verify=False
        )
        found = runtimes.load("tflite", path)(images)["predictions"]
        sizes[quantize] = exported.size
        if quantize is None:
            assert np.abs(found - expected).max() <= 2e-5
        assert cosine(found, expected) >= {"dynamic": 0.999}.get(quantize, 0.9999)
    assert sizes["float16"] <= 0.51 * sizes[None]
    assert sizes["dynamic"] <= 0.29 * sizes[None]


@pytest.mark.full("converts once more")
def test_position_tables_of_dynamic_range_are_in_float16(tmp_path, rng):
    from ai_edge_litert.interpreter import Interpreter

    maps = keras.Input((24, 40, 8))
    model = keras.Model(maps, {"y": PositionEmbedding((24, 40))(maps)})
    perturb(model)
    path = tmp_path / "model.tflite"
    keras_pvt.export(model, path, "tflite", quantize="dynamic", verify=False)
    details = Interpreter(str(path)).get_tensor_details()
    halves = [tuple(detail["shape"]) for detail in details if detail["dtype"] is np.float16]
    assert halves == [(1, 24, 40, 8)]
    assert path.stat().st_size < 3 * 24 * 40 * 8
    assert partitions(path) == 1
    x = rng.standard_normal((1, 24, 40, 8)).astype("float32")
    error = np.abs(runtimes.load("tflite", path)(x)["y"] - model(x)["y"]).max()
    assert 0 < error < 1e-3


@pytest.fixture(scope="module")
def cifar10():
    images, labels = photographs()
    order = np.random.default_rng(0).permutation(len(images))
    return keras_pvt.preprocess_input(images)[order], labels[order]


@pytest.mark.full("runs hundreds of photographs")
@pytest.mark.parametrize("variant", ["pvt_nano", "pvt_v2_nano"])
@pytest.mark.parametrize(("quantize", "lost", "parts"), [("int8", 2, 2), ("full-int8", 8, None)])
def test_int8_on_photographs(quantize, lost, parts, variant, cifar10, tmp_path):
    """`lost`: of 400 photographs, 0.5 and 2 points."""
    images, labels = cifar10
    model = keras_pvt.classifier(variant, weights="cifar10", classifier_activation=None)
    path = tmp_path / "nano.tflite"
    keras_pvt.export(
        model, path, "tflite", quantize=quantize, representative=images[:100], verify=False
    )
    run = runtimes.load("tflite", path)
    found = np.concatenate([run(image[None])["predictions"] for image in images])
    expected = model.predict(images, batch_size=100, verbose=0)
    hits, hoped = ((y.argmax(-1) == labels).sum() for y in (found, expected))
    assert hoped - hits <= lost
    assert cosine(found, expected) >= (0.999 if quantize == "int8" else 0.995)
    if parts is not None:
        assert partitions(path) <= parts


@pytest.mark.full("converts once more")
def test_int8_pyramid(tmp_path, rng):
    """P2 to P4 are read by the next stage, in int8, and are outputs in float32 all the same."""
    backbone = keras_pvt.PVTBackbone(TINY, input_shape=(64, 96, 3))
    perturb(backbone)
    images = rng.normal(size=(8, 64, 96, 3)).astype("float32")
    path = tmp_path / "model.tflite"
    keras_pvt.export(backbone, path, "tflite", quantize="int8", representative=images, verify=False)
    found = runtimes.load("tflite", path)(images[:1])
    expected = keras.Model(backbone.input, backbone.pyramid_outputs)(images[:1])
    assert found.keys() == expected.keys() == {"P2", "P3", "P4", "P5"}
    for level, features in expected.items():
        assert cosine(found[level], np.array(features)) > 0.99, level


@pytest.mark.full("converts once more")
@pytest.mark.parametrize("quantize", ["int8", "full-int8"])
def test_int8_of_the_convolution_in_a_feed_forward(quantize, tmp_path, rng):
    from ai_edge_litert.interpreter import Interpreter

    row = dataclasses.replace(
        VARIANTS["pvt_v2_nano"], embed_dims=(8, 12, 16, 24), num_heads=(1, 2, 2, 3)
    )
    model = keras_pvt.classifier(row, weights=None, classifier_activation=None)
    perturb(model)
    images = rng.normal(size=(40, 32, 32, 3)).astype("float32")
    path = tmp_path / "model.tflite"
    keras_pvt.export(
        model, path, "tflite", quantize=quantize, representative=images[:20], verify=False
    )
    run = runtimes.load("tflite", path)
    found = np.concatenate([run(image[None])["predictions"] for image in images])
    assert cosine(found, model.predict(images, verbose=0)) > 0.99
    interpreter = Interpreter(str(path))
    kinds = {one["index"]: one["dtype"] for one in interpreter.get_tensor_details()}
    convolutions = [
        [kinds[n] for n in one["inputs"]]
        for one in interpreter._get_ops_details()
        if one["op_name"] == "DEPTHWISE_CONV_2D"
    ]
    assert convolutions == [[np.int8, np.int8, np.int32]] * sum(row.depths)


@pytest.mark.full("runs hundreds of photographs")
def test_full_int8_takes_and_gives_int8(cifar10, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "nano.tflite"
    model = keras_pvt.PVTNano(weights="cifar10")
    keras_pvt.export(
        model,
        path,
        "tflite",
        quantize="full-int8",
        representative=cifar10[0][:10],
        verify=False,
    )
    interpreter = Interpreter(str(path))
    for detail in interpreter.get_input_details() + interpreter.get_output_details():
        assert detail["dtype"] is np.int8
    floats = [
        detail for detail in interpreter.get_tensor_details() if detail["dtype"] is np.float32
    ]
    assert not floats


def test_every_quantization_is_tried():
    assert set(QUANTIZATIONS) == {"float16", "dynamic", "int8", "full-int8"}
