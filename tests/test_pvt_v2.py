"""PVTv2: each part, and whole models at odd sizes, against torch's own operations."""

import dataclasses
import functools
import importlib

import contracts
import keras
import numpy as np
import pytest
import recipe
from conftest import LINEAR, SHALLOW, V2, perturb

import keras_pvt
from keras_pvt import conversion, families, flops, layers, ops
from keras_pvt.variants import VARIANTS, PVTConfig

torch = pytest.importorskip("torch")
F = torch.nn.functional

WIDE, DEEP = (64, 128, 320, 512), (3, 4, 6, 3)
# By the official code: depths, channels, ratios of the feed-forward, parameters.
TABLE = {
    "pvt_v2_b0": ((2, 2, 2, 2), (32, 64, 160, 256), (8, 8, 4, 4), 3_666_760),
    "pvt_v2_b1": ((2, 2, 2, 2), WIDE, (8, 8, 4, 4), 14_009_000),
    "pvt_v2_b2": (DEEP, WIDE, (8, 8, 4, 4), 25_362_856),
    "pvt_v2_b2_li": (DEEP, WIDE, (8, 8, 4, 4), 22_553_512),
    "pvt_v2_b3": ((3, 4, 18, 3), WIDE, (8, 8, 4, 4), 45_238_696),
    "pvt_v2_b4": ((3, 8, 27, 3), WIDE, (8, 8, 4, 4), 62_556_072),
    "pvt_v2_b5": ((3, 6, 40, 3), WIDE, (4, 4, 4, 4), 81_956_008),
}


@pytest.mark.one_backend("reads a table")
def test_table_is_the_paper_s():
    assert {*keras_pvt.list_variants("pvt_v2")} - {"pvt_v2_nano"} == {*TABLE}
    for name, (depths, widths, ratios, _) in TABLE.items():
        config = VARIANTS[name]
        assert (config.depths, config.embed_dims, config.mlp_ratios) == (depths, widths, ratios)
        assert config.num_heads == (1, 2, 5, 8)
        assert config.sr_ratios == (8, 4, 2, 1)
        assert config.patch_sizes == (7, 3, 3, 3)
        assert config.patch_strides == config.steps == (4, 2, 2, 2)
        assert config.levels == ("P2", "P3", "P4", "P5")
        assert config.linear == (name == "pvt_v2_b2_li")
        assert config.min_size == (1 if config.linear else 29)


# Features of a model from official weights, by torch alone and in its layout.


def norm(x, state, name, epsilon):
    """Over the channels of a map `(B, C, H, W)`."""
    weights = state[f"{name}.weight"], state[f"{name}.bias"]
    y = F.layer_norm(x.permute(0, 2, 3, 1), weights[0].shape, *weights, epsilon)
    return y.permute(0, 3, 1, 2)


def dense(x, state, name):
    """Of each cell of a map: a convolution of 1 x 1."""
    kernel = state[f"{name}.weight"]
    return F.conv2d(x, kernel.reshape(*kernel.shape[:2], 1, 1), state[f"{name}.bias"])


def conv(x, state, name, **options):
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def attention(x, state, name, heads, reduction, linear):
    reduced = x
    if linear:
        reduced = conv(F.adaptive_avg_pool2d(x, 7), state, f"{name}.sr")
        reduced = F.gelu(norm(reduced, state, f"{name}.norm", 1e-5))
    elif reduction > 1:
        reduced = norm(conv(x, state, f"{name}.sr", stride=reduction), state, f"{name}.norm", 1e-5)
    query = dense(x, state, f"{name}.q").flatten(2).unflatten(1, (heads, -1))
    both = dense(reduced, state, f"{name}.kv").flatten(2)
    key, value = both.unflatten(1, (2, heads, -1)).unbind(1)
    scores = torch.einsum("bhcq,bhck->bhqk", query, key) * query.shape[2] ** -0.5
    y = torch.einsum("bhqk,bhck->bhcq", scores.softmax(-1), value)
    return dense(y.flatten(1, 2).unflatten(2, x.shape[2:]), state, f"{name}.proj")


def feed_forward(x, state, name, linear):
    x = dense(x, state, f"{name}.fc1")
    x = F.relu(x) if linear else x
    x = conv(x, state, f"{name}.dwconv.dwconv", padding=1, groups=x.shape[1])
    return dense(F.gelu(x), state, f"{name}.fc2")


def pyramid(config, state, images):
    """The four maps, channels last."""
    state = {key: torch.tensor(array).double() for key, array in state.items()}
    x, maps = torch.tensor(images).double().permute(0, 3, 1, 2), []
    for n in range(4):
        patch, step = config.patch_sizes[n], config.patch_strides[n]
        name = f"patch_embed{n + 1}"
        x = conv(x, state, f"{name}.proj", stride=step, padding=patch // 2)
        x = norm(x, state, f"{name}.norm", 1e-5)
        for number in range(config.depths[n]):
            name = f"block{n + 1}.{number}"
            y = norm(x, state, f"{name}.norm1", 1e-6)
            heads = config.num_heads[n], config.sr_ratios[n]
            x = x + attention(y, state, f"{name}.attn", *heads, config.linear)
            y = norm(x, state, f"{name}.norm2", 1e-6)
            x = x + feed_forward(y, state, f"{name}.mlp", config.linear)
        x = norm(x, state, f"norm{n + 1}", 1e-6)
        maps.append(x.permute(0, 2, 3, 1).numpy())
    return maps


def from_torch(config, size):
    """The pyramid and the classifier of a configuration, and their official weights."""
    rng = np.random.default_rng(5)
    shapes = families.named(config.family).load("shapes")(config)
    state = {
        key: (
            (len(shape) == 1 and key.endswith("weight"))
            + rng.standard_normal(shape) / max(3, np.sqrt(np.prod(shape[1:])))
        ).astype("float32")
        for key, shape in shapes.items()
    }
    backbone = keras_pvt.PVTBackbone(config, (*size, 3))
    classifier = keras_pvt.classifier(
        config, input_shape=(*size, 3), include_top=False, pooling="avg"
    )
    for model in (backbone, classifier):
        conversion.load_checkpoint(model, state)
    return keras.Model(backbone.input, backbone.pyramid_outputs), classifier, state


SIZES = [(29, 29), (33, 63), (100, 75), (65, 65), (96, 128)]


@pytest.mark.parametrize(
    "config",
    [pytest.param(V2, marks=pytest.mark.full("test_goldens.py has such a variant")), LINEAR],
    ids=["reduced", "pooled"],
)
def test_any_size(config):
    model, classifier, state = from_torch(config, (None, None))
    for size in [*SIZES, *([(1, 1), (7, 9), (24, 3)] if config.linear else [])]:
        images = recipe.images(*size)
        expected = pyramid(config, state, images)
        found = contracts.compiled(model)(images)
        for level, (name, y) in zip(expected, found.items(), strict=True):
            y = keras.ops.convert_to_numpy(y)
            assert y.shape == level.shape, (size, name)
            np.testing.assert_allclose(y, level, atol=2e-5, err_msg=f"{size} {name}")
        features = keras.ops.convert_to_numpy(contracts.compiled(classifier)(images))
        np.testing.assert_allclose(features, expected[-1].mean((1, 2)), atol=2e-5)


@pytest.mark.parametrize(
    "config",
    [V2, pytest.param(LINEAR, marks=pytest.mark.full("as with reductions"))],
    ids=["reduced", "pooled"],
)
def test_a_size_that_is_known_changes_nothing(config):
    model, _, state = from_torch(config, (33, 63))
    images = recipe.images(33, 63)
    for level, y in zip(pyramid(config, state, images), model(images).values(), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(y), level, atol=2e-5)


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 6), (3, 4), (7, 7), (13, 16), (25, 33), (56, 56), (76, 105)]
)
def test_pooling_is_torch_s(size, rng):
    """Keras 3.15.1's own gives NaN on JAX, and TensorFlow's fails with open sizes."""
    x = rng.standard_normal((2, *size, 5)).astype("float32")
    expected = F.adaptive_avg_pool2d(torch.tensor(x.transpose(0, 3, 1, 2)).double(), 7)
    expected = expected.numpy().transpose(0, 2, 3, 1)
    found = keras.ops.convert_to_numpy(ops.pool(keras.ops.convert_to_tensor(x), 7))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    half = ops.pool(keras.ops.convert_to_tensor(x.astype("float16")), 7)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(half), expected, atol=2e-3)


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (8, 2)])
def test_depthwise_convolution_and_its_gradient(size, rng):
    x = rng.standard_normal((2, *size, 6)).astype("float32")
    layer = layers.ConvFeedForward(4, 6)
    layer.build(x.shape)
    perturb(keras.Sequential([keras.Input(x.shape[1:]), layer]))
    kernel = keras.ops.convert_to_numpy(layer.depthwise.kernel)
    bias = keras.ops.convert_to_numpy(layer.depthwise.bias)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = F.conv2d(
        theirs, torch.tensor(kernel.transpose(2, 3, 0, 1)), torch.tensor(bias), padding=1, groups=6
    )
    (y**2).sum().backward()
    found = ops.depthwise_conv(layer.depthwise, keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), y.detach().numpy().transpose(0, 2, 3, 1), atol=2e-6
    )
    slope = contracts.gradient(lambda v: ops.depthwise_conv(layer.depthwise, v) ** 2, x)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(slope), theirs.grad.numpy().transpose(0, 2, 3, 1), atol=2e-5
    )


@pytest.mark.skipif(ops.BACKEND == "tensorflow", reason="computes it whole")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("part", [30, 300, 700])
def test_a_feed_forward_in_parts_is_the_whole(part, relu, rng, monkeypatch):
    """Of some rows each, of an image or two; with gradients on JAX, which come of parts too."""
    layer = layers.ConvFeedForward(4, 6, relu=relu)
    x = rng.standard_normal((3, 9, 5, 4)).astype("float32")
    layer.build(x.shape)
    perturb(keras.Sequential([keras.Input(x.shape[1:]), layer]))
    whole = contracts.run(layer, x), contracts.gradient(lambda v: layer(v) ** 2, x)
    engine = importlib.import_module(f"keras_pvt.ops.on_{ops.BACKEND}")
    monkeypatch.setattr(engine, "_PART" if ops.BACKEND == "jax" else "_HIDDEN", part)
    if ops.BACKEND == "torch":
        with torch.no_grad():
            in_parts = contracts.run(layer, x)
    else:
        in_parts = contracts.run(layer, x)
        slope = contracts.gradient(lambda v: layer(v) ** 2, x)
        np.testing.assert_allclose(slope, whole[1], atol=1e-5)
    np.testing.assert_allclose(in_parts, whole[0], atol=1e-6)


@pytest.mark.parametrize("part", [None, 30, 300])
def test_gradients_by_the_weights_of_a_feed_forward(part, rng, monkeypatch):
    """Against torch's in float64; JAX has rules of its own for them, whole and in parts."""
    if part is not None:
        if ops.BACKEND != "jax":
            pytest.skip("with gradients it computes whole maps")
        monkeypatch.setattr("keras_pvt.ops.on_jax._PART", part)
    layer = layers.ConvFeedForward(4, 6, relu=True)
    x = rng.standard_normal((3, 9, 5, 4)).astype("float32")
    layer.build(x.shape)
    perturb(keras.Sequential([keras.Input(x.shape[1:]), layer]))
    variables = [v for part in (layer.fc1, layer.depthwise, layer.fc2) for v in part.variables]
    w1, b1, kernel, bias, w2, b2 = weights = [
        torch.tensor(keras.ops.convert_to_numpy(v)).double().requires_grad_() for v in variables
    ]
    y = F.relu(torch.tensor(x).double() @ w1 + b1).permute(0, 3, 1, 2)
    y = F.conv2d(y, kernel.permute(2, 3, 0, 1), bias, padding=1, groups=6).permute(0, 2, 3, 1)
    ((F.gelu(y) @ w2 + b2) ** 2).sum().backward()

    def squared(variable, value):
        with keras.StatelessScope([(variable, value)]):
            return layer(keras.ops.convert_to_tensor(x)) ** 2

    for variable, expected in zip(variables, weights, strict=True):
        slope = contracts.gradient(
            functools.partial(squared, variable), keras.ops.convert_to_numpy(variable)
        )
        np.testing.assert_allclose(
            slope,
            expected.grad,
            atol=1e-5 * float(expected.grad.abs().max()),
            err_msg=variable.path,
        )


@pytest.mark.one_backend("builds models")
@pytest.mark.parametrize(("config", "side"), [(V2, 29), (LINEAR, 1)], ids=["reduced", "pooled"])
def test_a_fixed_size_may_be_as_small_as_an_open_one(config, side):
    """The last maps are smaller than the patches, which then are of zeros but for a cell."""
    anywhere, there = (keras_pvt.PVTBackbone(config, (n, n, 3)) for n in (None, side))
    perturb(anywhere)
    there.set_weights(anywhere.get_weights())
    images = recipe.images(side, side)
    found, expected = (
        keras.Model(model.input, model.pyramid_outputs).predict(images, verbose=0)
        for model in (there, anywhere)
    )
    for level, map_ in expected.items():
        np.testing.assert_allclose(found[level], map_, atol=1e-6)


@pytest.mark.parametrize(
    "policy",
    [pytest.param("mixed_float16", marks=pytest.mark.full("as bfloat16")), "mixed_bfloat16"],
)
@pytest.mark.parametrize(
    "config",
    [pytest.param(V2, marks=pytest.mark.full("as with pooling")), LINEAR],
    ids=["reduced", "pooled"],
)
def test_half_precision(config, policy):
    images = recipe.images(65, 72)
    models = [
        keras_pvt.classifier(config, classifier_activation=None, input_shape=(65, 72, 3), dtype=p)
        for p in ("float32", policy)
    ]
    for model in models:
        perturb(model)
    exact, half = (keras.ops.convert_to_numpy(model(images)) for model in models)
    assert half.dtype == "float32"
    assert np.isfinite(half).all()
    assert contracts.cosine(half, exact) > 0.999


@pytest.mark.one_backend("reads layers")
@pytest.mark.parametrize("name", ["pvt_v2_b0", "pvt_v2_b2_li"])
def test_each_norm_has_upstream_s_epsilon(name):
    model, depths = keras_pvt.classifier(name, weights=None), VARIANTS[name].depths
    norms = {
        layer.path: layer.epsilon
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.LayerNormalization)
    }
    within = {path for path in norms if "attention" in path or "patch_embedding" in path}
    reducing = sum(depths) - (0 if VARIANTS[name].linear else depths[3])
    assert (len(within), len(norms)) == (reducing + 4, reducing + 4 + 2 * sum(depths) + 4)
    assert {norms[path] for path in within} == {1e-5}
    assert {norms[path] for path in norms.keys() - within} == {1e-6}


@pytest.mark.one_backend("NumPy draws them")
def test_initial_values_are_upstream_s():
    model = keras_pvt.classifier("pvt_v2_b0", classes=5)
    found = {v.path: keras.ops.convert_to_numpy(v.value) for v in model.trainable_variables}
    for path, deviation in {
        "stage1_patch_embedding/proj/kernel": np.sqrt(2 / (49 * 32)),
        "stage2_block0/attention/sr/kernel": np.sqrt(2 / (16 * 64)),
        "stage3_block1/feed_forward/depthwise/kernel": np.sqrt(2 / 9),
        "stage3_block1/feed_forward/fc1/kernel": 0.02,
        "head/kernel": 0.02,
    }.items():
        assert found[path].std() == pytest.approx(deviation, rel=0.06), path
        assert np.abs(found[path]).max() > 2.5 * deviation, path
    assert not any(array.any() for path, array in found.items() if path.endswith("bias"))


@pytest.mark.one_backend("builds models")
def test_what_a_model_is_and_gives():
    backbone = keras_pvt.PVTBackbone("pvt_v2_b2", (100, 75, 3))
    assert backbone.pyramid_level_inputs == {f"P{n + 1}": f"stage{n}_norm" for n in (1, 2, 3, 4)}
    assert [x.shape[1:] for x in backbone.pyramid_outputs.values()] == [
        (25, 19, 64), (13, 10, 128), (7, 5, 320), (4, 3, 512),
    ]  # fmt: skip
    again = type(backbone).from_config(backbone.get_config())
    assert again.config == families.config_of(again) == VARIANTS["pvt_v2_b2"]
    model = keras_pvt.PVTV2B2Linear(weights=None, classes=7, drop_path_rate=0.3, drop_rate=0.1)
    assert families.config_of(model) == dataclasses.replace(VARIANTS["pvt_v2_b2_li"], classes=7)
    assert families.rates_of(model) == families.Rates(0.1, 0.0, 0.3)


@pytest.mark.one_backend("checks arguments")
def test_what_cannot_be_is_refused():
    for make, message in {
        lambda: keras_pvt.PVTBackbone("pvt_v2_b0", (28, 64, 3)): "image height 28 is below 29",
        lambda: keras_pvt.PVTV2B0(weights=None, include_top=False, pooling="token"): (
            "no class token; 'avg' gives"
        ),
        lambda: PVTConfig((1, 1, 1, 1), "pvt_v2"): r"`patch_strides` None.*overlap",
        lambda: dataclasses.replace(V2, patch_strides=(4, 3, 2, 2)): "odd and above their strides",
        lambda: dataclasses.replace(V2, patch_sizes=(7, 4, 3, 3)): "odd and above their strides",
        lambda: dataclasses.replace(V2, patch_strides=(4, 1, 2, 2)): "levels P2, P2, P3, P4",
        lambda: dataclasses.replace(SHALLOW, linear=True): 'pass family="pvt_v2"',
        lambda: dataclasses.replace(SHALLOW, patch_strides=(4, 2, 2, 2)): 'pass family="pvt_v2"',
        lambda: layers.OverlapPatchEmbedding(6, 3, 3): "odd and above `stride`.*got 3 and 3",
        lambda: layers.OverlapPatchEmbedding(6, 4, 2): "odd and above `stride`.*got 4 and 2",
        lambda: layers.EncoderBlock(12, 3, linear=True): "`linear` goes with `convolutional`",
        lambda: layers.LinearSpatialReductionAttention(12, 3)(
            np.zeros((1, 9, 12))
        ): "channels-last",
        lambda: layers.LinearSpatialReductionAttention(12, 3, 0): "pool_size.*got 0",
        lambda: layers.ConvFeedForward(5, 14)(np.zeros((1, 9, 5))): "channels-last map",
    }.items():
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.one_backend("counts from configurations")
@pytest.mark.parametrize(
    ("name", "plain", "with_norms"),
    [
        ("pvt_v2_b0", 0.5690, 0.5714),
        ("pvt_v2_b1", 2.1143, 2.1191),
        ("pvt_v2_b2", 4.0371, 4.0447),
        ("pvt_v2_b2_li", 3.9106, 3.9184),
        ("pvt_v2_b3", 6.9109, 6.9219),
        ("pvt_v2_b4", 10.1203, 10.1355),
        ("pvt_v2_b5", 11.7335, 11.7516),
    ],
)
def test_cost_is_what_the_official_counter_says(name, plain, with_norms):
    cost = flops.total(flops.classifier(VARIANTS[name], 224, 224))
    assert cost.parameters == TABLE[name][3]
    assert cost.gflops == pytest.approx(plain, abs=6e-5)
    assert cost.gflops_with_norms == pytest.approx(with_norms, abs=1.1e-4)


@pytest.mark.one_backend("counts from configurations")
@pytest.mark.parametrize("config", [V2, LINEAR], ids=["reduced", "pooled"])
def test_cost_is_that_of_the_built_layers(config):
    backbone = keras_pvt.PVTBackbone(config, (72, 101, 3))
    parts = flops.backbone(config, 72, 101)
    assert flops.total(parts).parameters == backbone.count_params()
    maps = [tuple(x.shape[1:]) for x in backbone.pyramid_outputs.values()]
    assert [part.output for part in parts] == maps
    model = keras_pvt.classifier(config, classes=5, input_shape=(72, 101, 4))
    parts = flops.classifier(config, 72, 101, channels=4, classes=5)
    assert flops.total(parts).parameters == model.count_params()


@pytest.mark.one_backend("counts from configurations")
def test_figures_of_the_systems_are_those_of_the_papers():
    """RetinaNet and Mask R-CNN at 800x1280, Semantic FPN at 512x512, with layer norms."""
    for name, cost, parameters, expected in (
        ("pvt_v2_b2", flops.retinanet, 35_099_828, 290.65),
        ("pvt_v2_b2_li", flops.retinanet, 32_290_484, 227.36),
        ("pvt_v2_b5", flops.mask_rcnn, 101_610_416, 557.1),
    ):
        total = flops.total(cost(VARIANTS[name], 800, 1280))
        assert total.parameters == parameters
        assert total.gflops_with_norms == pytest.approx(expected, abs=0.05)
    total = flops.total(flops.semantic_fpn(VARIANTS["pvt_v2_b0"], 512, 512))
    assert (total.parameters, round(total.gflops_with_norms, 2)) == (7_545_334, 25.04)
