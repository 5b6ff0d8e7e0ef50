"""Models that Keras has quantized, or given LoRA, as plain checkpoints; the oracle is Keras."""

import keras
import numpy as np
import pytest
from conftest import LINEAR, SHALLOW, V2, assert_same, perturb

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.conversion import (
    CheckpointError,
    differences,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.plain import PlainWeights
from keras_pvt.conversion.readers.quantized import plain_layers
from keras_pvt.exporting.subject import float32_twin

pytestmark = [
    pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method"),
    pytest.mark.one_backend("moves arrays of weights"),
]

# Widths of 8 to 28: groups of 8 rows leave a rest, and 7 classes half a byte.
BY_GROUPS = keras.quantizers.Int4QuantizationConfig(block_size=8)
BY_OUTPUT = keras.quantizers.Int4QuantizationConfig(block_size=-1)
MODES = {
    "int8": {"mode": "int8"},
    "int4": {"mode": "int4"},
    "int4 by groups": {"config": BY_GROUPS},
    "int4 by output": {"config": BY_OUTPUT},
    "float8": {"mode": "float8"},
}


def small(config=SHALLOW, **options):
    model = keras_pvt.classifier(config, input_shape=(64, 64, 3), **options)
    perturb(model)
    return model


def give_lora(model, rng, kinds=(keras.layers.Dense, keras.layers.Conv2D)):
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
    for layer in layers:
        layer.enable_lora(2, lora_alpha=3)
        layer.lora_kernel_b.assign(0.1 * rng.standard_normal(layer.lora_kernel_b.shape))
    return layers


def predictions(model, rng):
    return model.predict(rng.standard_normal((2, 64, 64, 3)).astype("float32"), verbose=0)


def by_keras(layer) -> np.ndarray:
    """The kernel that a dense layer multiplies by: what it makes of the identity."""
    if layer.quantization_mode == "float8":
        return np.array(layer.kernel)
    inputs = keras.ops.eye(layer.input_spec.axes[-1])
    kernel = layer(inputs) - layer(keras.ops.zeros_like(inputs))
    return keras.ops.convert_to_numpy(kernel)


@pytest.mark.parametrize(("config", "reductions"), [(SHALLOW, 3), (V2, 3), (LINEAR, 4)])
def test_lora_is_in_the_kernels(tmp_path, config, reductions):
    model = small(config)
    before = to_torch(model)
    layers = give_lora(model, np.random.default_rng(1))
    assert len(layers) == 5 * 4 + 1 + 4 + reductions  # dense ones, patches; depthwise has none
    head = model.get_layer("head")
    added = np.float64(head.lora_kernel_a) @ np.float64(head.lora_kernel_b)
    state = to_torch(model)
    np.testing.assert_allclose(
        state["head.weight"], before["head.weight"] + 1.5 * added.T, atol=1e-6
    )
    save_checkpoint(state, tmp_path / "x.safetensors")
    plain = keras_pvt.classifier(config, weights=tmp_path / "x.safetensors")
    found, wanted = (predictions(m, np.random.default_rng(2)) for m in (plain, model))
    assert np.abs(wanted - predictions(small(config), np.random.default_rng(2))).max() > 0.01
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not differences(model, state)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_lora_is_in_what_keras_writes(tmp_path, suffix):
    model = small()
    give_lora(model, np.random.default_rng(1))
    (model.save if suffix == ".keras" else model.save_weights)(tmp_path / f"x{suffix}")
    plain = small()
    load_checkpoint(plain, tmp_path / f"x{suffix}")
    assert_close(to_torch(plain), to_torch(model), 1e-6)


def test_lora_is_in_copies_of_a_model(tmp_path, rng):
    """In what `save_model` writes, and in the model in float32 that is exported."""
    model = small()
    give_lora(model, rng)
    keras_pvt.save_model(model, tmp_path / "x.keras", [*"abcdefg"])
    wanted = predictions(model, np.random.default_rng(2))
    for copy in (keras_pvt.load_model(tmp_path / "x.keras").model, float32_twin(model)):
        np.testing.assert_allclose(predictions(copy, np.random.default_rng(2)), wanted, atol=1e-6)


def test_loading_lets_lora_begin_anew():
    model, state = small(), to_torch(small())
    layers = give_lora(model, np.random.default_rng(1))
    report = load_checkpoint(model, state)
    assert report.notices == [f"the LoRA of {len(layers)} layers begins anew"]
    assert_same(to_torch(model), state)
    assert all(np.array(layer.lora_kernel_a).any() for layer in layers)  # so that it can learn


def assert_close(left, right, atol):
    assert left.keys() == right.keys()
    for key in left:
        assert left[key].dtype == right[key].dtype
        np.testing.assert_allclose(left[key], right[key], atol=atol, err_msg=key)


@pytest.mark.parametrize(
    ("mode", "lora"),
    [*((mode, False) for mode in MODES), *((mode, True) for mode in MODES if mode != "float8")],
)
def test_quantized_kernels_are_what_keras_multiplies_by(mode, lora):
    """With LoRA on top too, which Keras has for all but float8."""
    model = small()
    model.quantize(**MODES[mode])
    if lora:
        give_lora(model, np.random.default_rng(1), keras.layers.Dense)
    dense = [part for part in model._flatten_layers() if isinstance(part, keras.layers.Dense)]
    assert {part.quantization_mode for part in dense} == {mode.split()[0]}
    weights = PlainWeights(model)
    for layer in dense:
        kernel = weights[f"{layer.path}/kernel"]
        assert kernel.dtype == np.float32
        np.testing.assert_allclose(kernel, by_keras(layer), atol=2e-6, err_msg=layer.path)
    assert len(weights) == len(small().weights)
    plain = small()
    report = load_checkpoint(plain, to_torch(model))
    assert not report.skipped
    # Keras rounds what goes in too in int8, and all in float8, where it keeps the floats.
    wanted = small() if mode == "float8" else model
    found, wanted = (predictions(m, np.random.default_rng(2)) for m in (plain, wanted))
    np.testing.assert_allclose(found, wanted, atol=0.02 if mode == "int8" else 1e-5)


def test_half_precision_stays():
    model = small(dtype="bfloat16")
    model.quantize("int8")
    kernel = to_torch(model)["block2.0.mlp.fc1.weight"]
    assert kernel.dtype.name == "bfloat16"
    wanted = to_torch(small())["block2.0.mlp.fc1.weight"]
    np.testing.assert_allclose(kernel.astype("float32"), wanted, atol=0.02)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("mode", MODES)
def test_files_are_read_as_models_are(tmp_path, caplog, mode, suffix):
    model = small()
    model.quantize(**MODES[mode])
    (model.save if suffix == ".keras" else model.save_weights)(tmp_path / f"x{suffix}")
    plain = small()
    assert not load_checkpoint(plain, tmp_path / f"x{suffix}").skipped
    assert_same(to_torch(plain), to_torch(model))
    (said,) = {record.message for record in caplog.records}
    assert said.endswith(f"the numbers that they stand for: 21 in {mode.split()[0]}")


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_few_outputs(tmp_path, mode, bias, outputs):
    """Of one output, a kernel of 4 bits has as many columns as one of 8."""
    layer = keras.layers.Dense(outputs, use_bias=bias, name="layer")
    model = keras.Sequential([keras.Input((5,)), layer])
    perturb(model)
    model.quantize(mode, **({"config": BY_OUTPUT} if mode == "int4" else {}))
    model.save(tmp_path / "x.keras")
    arrays = read_checkpoint(tmp_path / "x.keras")
    assert list(arrays) == ["layer/0", "layer/1"][: 1 + bias]
    np.testing.assert_allclose(arrays["layer/0"], by_keras(layer), atol=1e-6)


def test_the_command(tmp_path, capsys, caplog):
    model = keras_pvt.PVTNano(weights="cifar10")
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    dest = tmp_path / "plain.safetensors"
    assert main(["convert", str(tmp_path / "int8.keras"), str(dest)]) == 0
    assert "pvt_nano" in capsys.readouterr().out
    assert "in int8" in caplog.text
    assert_same(read_checkpoint(dest), to_torch(model))
    images = np.random.default_rng(3).standard_normal((4, 32, 32, 3)).astype("float32")
    found, wanted = (
        m.predict(images, verbose=0) for m in (keras_pvt.PVTNano(weights=str(dest)), model)
    )
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_what_is_quantized_in_another_way_is_refused(tmp_path, capsys):
    model = small()
    config = keras.quantizers.GPTQConfig(dataset=["a"], tokenizer=str.split)
    model.get_layer("head").quantize("gptq", config=config)
    with pytest.raises(ValueError, match=r"layer 'head' of model 'pvt' is quantized \(gptq\)"):
        to_torch(model)
    model.save_weights(tmp_path / "x.weights.h5")
    dest = tmp_path / "y.safetensors"
    assert main(["convert", str(tmp_path / "x.weights.h5"), str(dest)]) == 1
    assert "layer 'head' is quantized, in a way that is not read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.weights.h5"]


def test_a_quantized_model_takes_no_checkpoint():
    model, state = small(), to_torch(small())
    model.quantize("int8")
    before = [np.array(variable) for variable in model.variables]
    with pytest.raises(ValueError, match=r"is quantized \(int8\).*load them before `quantize`"):
        load_checkpoint(model, state)
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), old)


def test_weights_without_a_name_are_not_left_out():
    model = small()
    layer = model.get_layer("norm")
    layer._tracker.unlock()
    layer.more = layer.add_weight(shape=(3,), name="more")
    with pytest.raises(ValueError, match=r"1 weights that the official layout .*: norm/more"):
        to_torch(model)


GOOD = {
    "kernel": np.ones((4, 3), "int8"),
    "scale": np.ones((2, 6), "float32"),
    "zero": np.zeros((2, 6), "int8"),
    "groups": np.float32([0, 0, 1, 1]),
}


@pytest.mark.parametrize(
    "broken",
    [
        {"kernel": np.ones((4, 6), "int8")},
        {"kernel": np.ones((4, 3), "uint8")},
        {"kernel": np.ones((4, 3, 1), "int8")},
        {"scale": np.ones((), "float32")},
        {"scale": np.ones((6,), "float32")},
        {"zero": np.zeros((1, 6), "int8")},
        {"groups": np.float32([0, 0, 1])},
        {"groups": np.float32([0, 0, 1, 2])},
        {"groups": np.float32([0, 0, 1, -1])},
        {"groups": np.float32([0, 0, 1, 0.5])},
        {"groups": np.float32([0, 0, 1, np.nan])},
        {"groups": None},
    ],
    ids=str,
)
def test_damaged_layers(broken):
    def layer(parts):
        arrays = [array for array in parts.values() if array is not None]
        return {f"a/{n}": array for n, array in enumerate(arrays)}

    np.testing.assert_array_equal(plain_layers(layer(GOOD))["a/0"], [[1, 0] * 3] * 4)
    with pytest.raises(CheckpointError, match="layer 'a' is quantized, in a way that is not read"):
        plain_layers(layer(GOOD | broken))
