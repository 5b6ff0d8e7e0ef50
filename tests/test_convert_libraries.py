"""The layouts of libraries: they load what is written here strictly, and say the same.

mmdetection needs mmcv, which is built for each PyTorch. In its place stand a few lines of PyTorch
that take a state dict by mmdetection's names.
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import recipe
from conftest import LINEAR, TINY, V2, assert_same, perturb

import keras_pvt
from keras_pvt.conversion import (
    CheckpointError,
    cast,
    differences,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.maps.entries import classifier_map
from keras_pvt.families import named
from keras_pvt.variants import VARIANTS

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.one_backend("moves arrays of weights")

# With a second block, so that numbers of blocks show.
DEEP = dataclasses.replace(V2, depths=(1, 2, 2, 1))
DEEP_LINEAR = dataclasses.replace(LINEAR, depths=(1, 2, 2, 1))
CONFIGS = {"pvt": TINY, "pvt_v2": DEEP, "linear": DEEP_LINEAR}
CASES = [(name, layout) for name, row in CONFIGS.items() for layout in named(row.family).layouts]
BACKBONES = ("mmdetection", "timm_features")
IMAGES = (72, 104)


@functools.cache
def models(name):
    """A classifier of logits and a backbone of any size, with the same weights."""
    config = CONFIGS[name]
    pair = (
        keras_pvt.classifier(config, input_shape=(None, None, 3), classifier_activation=None),
        keras_pvt.PVTBackbone(config),
    )
    for model in pair:
        perturb(model)
    return pair


def emptied(model):
    """The model with other values, so that a load shows."""
    for variable in model.variables:
        variable.assign(np.full(variable.shape, 0.25, "float32"))
    return model


@pytest.fixture
def pair(request):
    """A classifier and a backbone of a configuration, which get their weights back."""
    yield models(request.param)
    for model in models(request.param):
        perturb(model)


def images(size=IMAGES):
    return recipe.images(*size)


def as_torch(array):
    return torch.from_numpy(array.transpose(0, 3, 1, 2).copy())


def close(ours, theirs, tolerance):
    """Whether maps or vectors agree; maps are NCHW in theirs."""
    theirs = theirs.detach().numpy()
    theirs = theirs.transpose(0, 2, 3, 1) if theirs.ndim == 4 else theirs
    ours = keras.ops.convert_to_numpy(ours)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() < tolerance


def levels(backbone, x):
    return list(keras.Model(backbone.input, backbone.pyramid_outputs)(x).values())


# ---- there and back


@pytest.mark.parametrize(("pair", "layout"), CASES, indirect=["pair"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_round_trips_are_exact(pair, layout, suffix, tmp_path):
    for model in pair:
        if model is pair[0] and layout in BACKBONES:
            with pytest.raises(ValueError, match=f"weights that the {layout} layout has no names"):
                to_torch(model, layout)
            continue
        if model is pair[1] and layout in named(model.config.family).whole:
            with pytest.raises(ValueError, match="has no PVT without a head"):
                to_torch(model, layout)
            continue
        official, state = to_torch(model), to_torch(model, layout)
        save_checkpoint(state, tmp_path / f"x{suffix}")
        report = load_checkpoint(emptied(model), dict(read_checkpoint(tmp_path / f"x{suffix}")))
        assert set(report.skipped) <= {"pos_embed4"}  # PVT's, of which the first row is the token's
        assert not report.notices
        assert_same(to_torch(model), official)
        assert_same(to_torch(model, layout), state)


@pytest.mark.parametrize(("pair", "layout"), CASES, indirect=["pair"])
@pytest.mark.parametrize("prefix", ["backbone.", "module.", "module.backbone."])
def test_prefixes_of_detectors_and_wrappers(pair, layout, prefix):
    _, backbone = pair
    if layout == "kecam" or layout in named(backbone.config.family).whole:
        pytest.skip("no torch code has this layout in a detector")
    wanted = to_torch(backbone)
    state = {f"{prefix}{key}": array for key, array in to_torch(backbone, layout).items()}
    if "backbone" in prefix:
        state[f"{prefix.removesuffix('backbone.')}neck.0.weight"] = np.zeros(3, "float32")
    load_checkpoint(emptied(backbone), state)
    assert_same(to_torch(backbone), wanted)


@pytest.mark.parametrize(("pair", "layout"), CASES, indirect=["pair"])
def test_a_backbone_takes_a_classifier_of_any_layout(pair, layout):
    classifier, backbone = pair
    if layout in BACKBONES:
        pytest.skip("which has none")
    report = load_checkpoint(emptied(backbone), dict(to_torch(classifier, layout)))
    assert {reason for key, reason in report.skipped.items() if key != "pos_embed4"} <= {
        "the model has no place for it",
        "in part: no place for the row of class_token/position",
    }
    assert not differences(backbone, dict(to_torch(classifier)))


@pytest.mark.parametrize(
    ("pair", "layout"),
    [("pvt_v2", "timm"), ("pvt_v2", "timm_features"), ("linear", "huggingface"),
     ("pvt_v2", "mmdetection"), ("linear", "kecam")],
    indirect=["pair"],
)  # fmt: skip
def test_a_classifier_takes_a_backbone_with_a_new_head_only(pair, layout):
    classifier, backbone = pair
    state = dict(to_torch(backbone, layout))
    with pytest.raises(CheckpointError, match=r"2 missing: (head\.|classifier\.|predictions/)"):
        load_checkpoint(emptied(classifier), state)
    assert all((np.asarray(weight) == 0.25).all() for weight in classifier.get_weights())
    report = load_checkpoint(classifier, state, new_head=True)
    assert report.notices == ["the checkpoint has no head: the new head of 7 classes is untrained"]
    assert not differences(backbone, state)


@pytest.mark.parametrize("pair", ["pvt"], indirect=True)
def test_pvt_s_class_token_is_not_in_mmdetection(pair):
    classifier, backbone = pair
    state = dict(to_torch(backbone, "mmdetection"))
    with pytest.raises(CheckpointError, match=r"4 missing: pos_embed4; cls_token; norm\.weight; n"):
        load_checkpoint(classifier, state, new_head=True)


@pytest.mark.parametrize(
    ("name", "layout", "first"),
    [
        ("pvt_v2", "huggingface", "encoder.layers.0.patch_embedding.proj.weight"),
        ("pvt_v2", "timm", "patch_embed.proj.weight"),
        ("pvt_v2", "timm_features", "patch_embed.proj.weight"),
        ("pvt_v2", "mmdetection", "layers.0.0.projection.weight"),
        ("pvt_v2", "kecam", "stem_conv/0"),
        ("pvt", "mmdetection", "layers.0.1.0.pos_embed"),
    ],
)
def test_backbones_have_the_keys_of_the_library_s(name, layout, first):
    assert next(iter(to_torch(models(name)[1], layout))) == first


# ---- transformers


def transformers_config(config):
    import transformers

    return transformers.PvtV2Config(
        image_size=config.image_size,
        depths=list(config.depths),
        hidden_sizes=list(config.embed_dims),
        num_attention_heads=list(config.num_heads),
        mlp_ratios=list(config.mlp_ratios),
        sr_ratios=list(config.sr_ratios),
        patch_sizes=list(config.patch_sizes),
        strides=list(config.patch_strides),
        linear_attention=config.linear,
        num_labels=config.classes,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def with_official_epsilons(model):
    """Its norms all have 1e-6, where the official patch embeddings and reductions have 1e-5."""
    for name, module in model.named_modules():
        if name.endswith((".patch_embedding.layer_norm", ".attention.layer_norm")):
            assert module.eps == 1e-6
            module.eps = 1e-5
    return model


@pytest.mark.parametrize("name", ["pvt_v2", "linear"])
def test_transformers_loads_ours_and_agrees(name, tmp_path):
    import transformers
    from safetensors.torch import load_file

    classifier, backbone = models(name)
    config, x = transformers_config(CONFIGS[name]), images()
    for model, path in ((classifier, "classifier"), (backbone, "backbone")):
        save_checkpoint(to_torch(model, "huggingface"), tmp_path / f"{path}.safetensors")
    theirs = transformers.PvtV2ForImageClassification(config).eval()
    theirs.load_state_dict(load_file(tmp_path / "classifier.safetensors"), strict=True)
    logits = classifier(x)
    assert close(logits, theirs(as_torch(x)).logits, 2e-4)
    assert not close(logits, theirs(as_torch(x)).logits, 1e-6)
    assert close(logits, with_official_epsilons(theirs)(as_torch(x)).logits, 1e-5)
    for kind in (transformers.PvtV2Model, transformers.PvtV2Backbone):
        theirs = with_official_epsilons(kind(config).eval())
        theirs.load_state_dict(load_file(tmp_path / "backbone.safetensors"), strict=True)
        maps = levels(backbone, x)
        if kind is transformers.PvtV2Backbone:
            for ours, level in zip(maps, theirs(as_torch(x)).feature_maps, strict=True):
                assert close(ours, level, 2e-5)
        else:
            assert close(maps[-1], theirs(as_torch(x)).last_hidden_state, 2e-5)


@pytest.mark.parametrize("kind", ["PvtV2ForImageClassification", "PvtV2Model", "PvtV2Backbone"])
@pytest.mark.parametrize("pair", ["pvt_v2", "linear"], indirect=True)
def test_files_of_transformers_are_read(pair, kind, tmp_path):
    import transformers

    model = pair[kind != "PvtV2ForImageClassification"]
    theirs = getattr(transformers, kind)(transformers_config(pair[1].config))
    theirs.save_pretrained(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    report = load_checkpoint(emptied(model), path)
    assert not report.skipped
    again = to_torch(model, "huggingface")
    assert again.keys() == theirs.state_dict().keys()
    for key, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(again[key], tensor.numpy())


def test_the_official_weights_of_b0_by_way_of_transformers(tmp_path):
    """The golden's logits, by a file with Hugging Face's names, and by their own model."""
    import transformers

    ours = keras_pvt.classifier("pvt_v2_b0", classifier_activation=None)
    load_checkpoint(ours, recipe.state_dict("pvt_v2_b0"))
    save_checkpoint(to_torch(ours, "huggingface"), tmp_path / "x.safetensors")
    load_checkpoint(emptied(ours), tmp_path / "x.safetensors")
    x = recipe.images(224, 224)
    with recipe.golden("pvt_v2_b0") as golden:
        wanted = golden["224x224/logits"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(x)), wanted, rtol=0, atol=2e-5)
    config = transformers_config(VARIANTS["pvt_v2_b0"])
    theirs = transformers.PvtV2ForImageClassification(config).eval()
    state = {key: torch.from_numpy(a) for key, a in to_torch(ours, "huggingface").items()}
    theirs.load_state_dict(state, strict=True)
    apart = np.abs(theirs(as_torch(x)).logits.detach().numpy() - wanted).max()
    assert 1e-6 < apart < 2e-4


# ---- timm, where it is installed


def timm_model(name, **options):
    timm = pytest.importorskip("timm")
    config = CONFIGS[name]
    return timm.create_model(
        "pvt_v2_b0",
        depths=config.depths,
        embed_dims=config.embed_dims,
        num_heads=config.num_heads,
        mlp_ratios=config.mlp_ratios,
        sr_ratios=config.sr_ratios,
        linear=config.linear,
        **options,
    ).eval()


@pytest.mark.parametrize("linear", [False, True])
def test_timm_loads_ours_and_agrees(linear):
    pytest.importorskip("timm")
    name = "linear" if linear else "pvt_v2"
    config = dataclasses.replace(CONFIGS[name], patch_sizes=(7, 3, 3, 3))  # timm has no others
    classifier = keras_pvt.classifier(
        config, input_shape=(None, None, 3), classifier_activation=None
    )
    backbone = keras_pvt.PVTBackbone(config)
    for model in (classifier, backbone):
        perturb(model)
    x = images()
    for model, layout, options in (
        (classifier, "timm", {"num_classes": config.classes}),
        (backbone, "timm", {"num_classes": 0, "global_pool": ""}),
        (backbone, "timm_features", {"features_only": True}),
    ):
        theirs = timm_model(name, **options)
        state = to_torch(model, layout)
        theirs.load_state_dict({k: torch.from_numpy(a) for k, a in state.items()}, strict=True)
        outputs = theirs(as_torch(x))
        if layout == "timm_features":
            for ours, level in zip(levels(model, x), outputs, strict=True):
                assert close(ours, level, 1e-5)
        else:
            assert close(model(x), outputs, 1e-6 if model is classifier else 1e-5)
        saved = {key: tensor.numpy() for key, tensor in theirs.state_dict().items()}
        load_checkpoint(emptied(model), saved)
        assert_same(to_torch(model, layout), saved)
        perturb(model)


# ---- mmdetection, by PyTorch


class ByMMDetectionsNames:
    """Maps of a backbone, from a state dict with the names that mmdetection's code gives them.

    Source: mmdetection 3.3.0, mmdet/models/backbones/pvt.py: names of the modules, and that
    attention is torch's own, whose weights of queries, keys and values are one tensor.
    """

    def __init__(self, state, config):
        self.state = {key: torch.from_numpy(array) for key, array in state.items()}
        self.config = config
        self.used = set()

    def weights(self, name):
        self.used |= {f"{name}.weight", f"{name}.bias"}
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def norm(self, x, name, epsilon):
        """Of rows `(B, N, C)`."""
        return F.layer_norm(x, x.shape[-1:], *self.weights(name), epsilon)

    def conv(self, x, name, **options):
        return F.conv2d(x, *self.weights(name), **options)

    def attention(self, x, name, heads, ratio, size):
        keys = x
        if f"{name}.sr.weight" in self.state:
            keys = self.conv(as_map(x, size), f"{name}.sr", stride=ratio)
            keys = self.norm(rows(keys), f"{name}.norm", 1e-5)
        attention = torch.nn.MultiheadAttention(x.shape[-1], heads, batch_first=True)
        own = {key: f"{name}.attn.{key}" for key in attention.state_dict()}
        self.used |= {*own.values()}
        attention.load_state_dict({key: self.state[full] for key, full in own.items()})
        return attention(x, keys, keys, need_weights=False)[0]

    def feed_forward(self, x, name, size):
        overlapping = self.config.family == "pvt_v2"
        x = self.conv(as_map(x, size), f"{name}.layers.0")
        if overlapping:
            x = self.conv(x, f"{name}.layers.1", padding=1, groups=x.shape[1])
        return rows(self.conv(F.gelu(x), f"{name}.layers.{4 if overlapping else 3}"))

    def __call__(self, x):
        maps, config = [], self.config
        overlapping = config.family == "pvt_v2"
        for i in range(4):
            kernel = config.patch_sizes[i]
            options = {"stride": config.steps[i], "padding": kernel // 2 if overlapping else 0}
            x = self.conv(x, f"layers.{i}.0.projection", **options)
            size = x.shape[2:]
            x = self.norm(rows(x), f"layers.{i}.0.norm", 1e-5)
            if not overlapping:
                self.used.add(f"layers.{i}.1.0.pos_embed")
                x = x + self.state[f"layers.{i}.1.0.pos_embed"]
            for block in range(config.depths[i]):
                name = f"layers.{i}.1.{block if overlapping else block + 1}"
                heads, ratio = config.num_heads[i], config.sr_ratios[i]
                y = self.norm(x, f"{name}.norm1", 1e-6)
                x = x + self.attention(y, f"{name}.attn", heads, ratio, size)
                x = x + self.feed_forward(self.norm(x, f"{name}.norm2", 1e-6), f"{name}.ffn", size)
            if overlapping:
                x = self.norm(x, f"layers.{i}.2", 1e-6)
            x = as_map(x, size)
            maps.append(x)
        return maps


def rows(x):
    return x.flatten(2).transpose(1, 2)


def as_map(x, size):
    return x.transpose(1, 2).unflatten(2, size)


@pytest.mark.parametrize(("name", "size"), [("pvt", (64, 64)), ("pvt_v2", IMAGES)])
def test_mmdetection_s_names_mean_what_its_code_does(name, size):
    backbone = models(name)[1]
    state = to_torch(backbone, "mmdetection")
    theirs = ByMMDetectionsNames(state, CONFIGS[name])
    x = images(size)
    with torch.no_grad():
        maps = theirs(as_torch(x))
    assert theirs.used == state.keys()
    for ours, level in zip(levels(backbone, x), maps, strict=True):
        assert close(ours, level, 2e-5)


@pytest.mark.parametrize("name", ["pvt_tiny", "pvt_v2_b0"])
def test_mmdetection_s_names_give_the_official_maps(name):
    backbone = keras_pvt.PVTBackbone(name)
    load_checkpoint(backbone, recipe.state_dict(name))
    theirs = ByMMDetectionsNames(to_torch(backbone, "mmdetection"), backbone.config)
    with torch.no_grad():
        maps = theirs(as_torch(recipe.images(224, 224)))
    with recipe.golden(name) as file:
        golden = dict(file)
    for level, level_map in zip(backbone.config.levels, maps, strict=True):
        level_map = level_map.permute(0, 2, 3, 1).numpy()
        rms = golden[f"224x224/{level}/norm"] / np.sqrt(level_map.size)
        np.testing.assert_allclose(
            recipe.sample(level_map) / rms, golden[f"224x224/{level}/sample"] / rms, atol=2e-5
        )


# Written down from mmdetection's code: shapes of stage 1 and of what is special.
SHAPES = {
    "pvt_v2": {
        "layers.0.0.projection.weight": (8, 3, 7, 7),
        "layers.0.1.0.attn.attn.in_proj_weight": (24, 8),
        "layers.0.1.0.attn.attn.in_proj_bias": (24,),
        "layers.0.1.0.attn.attn.out_proj.weight": (8, 8),
        "layers.0.1.0.attn.sr.weight": (8, 8, 4, 4),
        "layers.0.1.0.ffn.layers.0.weight": (24, 8, 1, 1),
        "layers.0.1.0.ffn.layers.1.weight": (24, 1, 3, 3),
        "layers.0.1.0.ffn.layers.4.weight": (8, 24, 1, 1),
        "layers.0.2.weight": (8,),
    },
    "pvt": {
        "layers.0.0.projection.weight": (8, 3, 4, 4),
        "layers.0.1.0.pos_embed": (1, 256, 8),
        "layers.0.1.1.attn.attn.in_proj_weight": (24, 8),
        "layers.0.1.1.ffn.layers.0.weight": (24, 8, 1, 1),
        "layers.0.1.1.ffn.layers.3.weight": (8, 24, 1, 1),
        "layers.1.1.2.norm1.weight": (12,),
        "layers.3.1.0.pos_embed": (1, 4, 28),
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_in_mmdetection(name):
    state = to_torch(models(name)[1], "mmdetection")
    assert {key: state[key].shape for key in SHAPES[name]} == SHAPES[name]


@pytest.mark.parametrize(
    ("name", "layout", "count"),
    [
        ("pvt_tiny", "mmdetection", 140),
        ("pvt_v2_b0", "mmdetection", 160),
        ("pvt_v2_b0", "timm", 178),
        ("pvt_v2_b2_li", "timm", 346),
        ("pvt_v2_b0", "timm_features", 176),
        ("pvt_v2_b0", "huggingface", 194),
        ("pvt_v2_b2_li", "huggingface", 378),
        ("pvt_v2_b0", "kecam", 178),
        ("pvt_v2_b2_li", "kecam", 346),
    ],
)
def test_tensors_of_the_libraries_own_models(name, layout, count):
    """As many as were counted in mmdetection 3.3, timm 1.0.31, transformers 5.23, kecam 1.4.3."""
    entries = classifier_map(VARIANTS[name], layout)
    assert len([key for entry in entries for key in entry.torch]) == count


# Of timm 1.0.31, which cannot always be installed: it needs a torchvision for the PyTorch there is.
IN_TIMM = [
    "patch_embed.proj.weight",
    "patch_embed.norm.bias",
    "stages{}0.blocks.0.norm1.weight",
    "stages{}0.blocks.0.attn.q.weight",
    "stages{}0.blocks.0.attn.kv.bias",
    "stages{}0.blocks.0.attn.proj.weight",
    "stages{}0.blocks.0.attn.sr.weight",
    "stages{}0.blocks.0.attn.norm.weight",
    "stages{}0.blocks.0.norm2.bias",
    "stages{}0.blocks.0.mlp.fc1.weight",
    "stages{}0.blocks.0.mlp.dwconv.weight",
    "stages{}0.blocks.0.mlp.fc2.weight",
    "stages{}0.norm.weight",
    "stages{}1.downsample.proj.weight",
    "stages{}1.downsample.norm.bias",
    "stages{}1.blocks.1.norm1.weight",
    "stages{}3.norm.bias",
]


@pytest.mark.parametrize(("layout", "mark"), [("timm", "."), ("timm_features", "_")])
def test_names_in_timm(layout, mark):
    keys = to_torch(models("pvt_v2")[1], layout).keys()
    assert {key.format(mark) for key in IN_TIMM} <= keys
    assert ("head.bias" in to_torch(models("pvt_v2")[0], "timm")) == ("head.bias" not in keys)


# ---- kecam, by Keras's own writer and reader of its format


# From kecam 1.4.3: by layers in a block, kind of layer.
IN_BLOCK = {
    "attn_ln": "norm",
    "attn_query": "dense",
    "attn_key_value": "dense",
    "attn_out": "dense",
    "attn_kv_sr_conv": "conv",
    "attn_kv_sr_ln": "norm",
    "mlp_ln": "norm",
    "mlp_1_dense": "dense",
    "mlp_mid_dw_conv": "depthwise",
    "mlp_2_dense": "dense",
}


def kecam_layers(config):
    """A Keras model with the layers of kecam's, by their names; it computes nothing of use."""
    inputs, pieces = [], []

    def add(name, kind, width, outputs=0, side=1):
        x = keras.Input((None, None, width))
        layer = {
            "norm": lambda: keras.layers.LayerNormalization(name=name),
            "dense": lambda: keras.layers.Dense(outputs, name=name),
            "conv": lambda: keras.layers.Conv2D(outputs, side, name=name),
            "depthwise": lambda: keras.layers.DepthwiseConv2D(side, name=name),
        }[kind]()
        inputs.append(x)
        pieces.append(layer(x))

    channels = 3
    for n, (depth, dim, side) in enumerate(
        zip(config.depths, config.embed_dims, config.patch_sizes, strict=True), 1
    ):
        stem, ratio = "stem" if n == 1 else f"stack{n}_downsample", config.sr_ratios[n - 1]
        add(f"{stem}_conv", "conv", channels, dim, side)
        add(f"{stem}_ln", "norm", dim)
        hidden, channels = dim * config.mlp_ratios[n - 1], dim
        for number in range(1, depth + 1):
            for name, kind in IN_BLOCK.items():
                if "sr" in name and ratio == 1 and not config.linear:
                    continue
                width = hidden if name in ("mlp_mid_dw_conv", "mlp_2_dense") else dim
                outputs = {"attn_key_value": 2 * dim, "mlp_1_dense": hidden}.get(name, dim)
                side = 3 if kind == "depthwise" else 1 if config.linear else ratio
                add(f"stack{n}_block{number}_{name}", kind, width, outputs, side)
        add(f"stack{n}_block{depth}_output_ln", "norm", dim)
    add("predictions", "dense", channels, config.classes)
    return keras.Model(inputs, pieces)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("pair", ["pvt_v2", "linear"], indirect=True)
@pytest.mark.parametrize("kind", ["whole", "weights"])
def test_kecam_s_files_are_read(pair, kind, tmp_path):
    """Keras 3 still writes whole models in the format of Keras 2."""
    theirs, path = kecam_layers(pair[1].config), tmp_path / "kecam.h5"
    perturb(theirs)
    if kind == "whole":
        theirs.save(path)
    else:
        import h5py
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    classifier = emptied(pair[0])
    assert len(read_checkpoint(path)) == len(theirs.weights)
    assert not load_checkpoint(classifier, path).skipped
    state = to_torch(classifier, "kecam")
    for layer in theirs.layers:
        for number, variable in enumerate(layer.weights):
            np.testing.assert_array_equal(state[f"{layer.name}/{number}"], variable)


@pytest.mark.parametrize("pair", ["pvt_v2", "linear"], indirect=True)
def test_keras_reads_the_files_for_kecam(pair, tmp_path):
    save_checkpoint(to_torch(pair[0], "kecam"), tmp_path / "ours.h5")
    theirs = kecam_layers(pair[1].config)
    theirs.load_weights(tmp_path / "ours.h5", by_name=True)
    state = to_torch(pair[0], "kecam")
    layers = {layer.name: layer for layer in theirs.layers if layer.weights}
    assert {key.partition("/")[0] for key in state} == layers.keys()
    for key, array in state.items():
        layer, _, number = key.partition("/")
        np.testing.assert_array_equal(layers[layer].weights[int(number)], array)
    assert_same(read_checkpoint(tmp_path / "ours.h5"), state)


def test_what_no_h5_file_holds(tmp_path):
    classifier = models("pvt_v2")[0]
    with pytest.raises(ValueError, match="is of the kecam layout; 'patch_embed1"):
        save_checkpoint(to_torch(classifier), tmp_path / "x.h5")
    with pytest.raises(ValueError, match="cannot hold bfloat16"):
        save_checkpoint(cast(to_torch(classifier, "kecam"), "bfloat16"), tmp_path / "x.h5")
    with pytest.raises(ValueError, match="the suffix must be one of"):
        save_checkpoint(to_torch(classifier, "kecam"), tmp_path / "x.weights.h5")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def h5(tmp_path):
    """A good file for kecam, to be broken."""
    save_checkpoint(to_torch(models("pvt_v2")[0], "kecam"), tmp_path / "x.h5")
    return tmp_path / "x.h5"


# Keras 2 has names of layers in names of variables.
DATASET = "stem_conv/stem_conv/0"


def dangling(file):
    import h5py

    del file[DATASET]
    file[DATASET] = h5py.ExternalLink("/etc/passwd", "/")


def absent(file):
    del file[DATASET]


def of_nothing(file):
    file["stem_conv"].attrs["weight_names"] = np.array(["../../x"], "S")


def through_a_dataset(file):
    file["stem_conv"].attrs["weight_names"] = np.array([f"stem_conv/0/{x}" for x in "ab"], "S")


def deep(file):
    file["stem_conv"].attrs["weight_names"] = np.array(["a/" * 20], "S")


def numbers(file):
    file["stem_conv"].attrs["weight_names"] = np.array([1, 2])


def group(file):
    del file[DATASET]
    file.create_group(DATASET)


def compressed(file):
    array = file[DATASET][:]
    del file[DATASET]
    file.create_dataset(DATASET, data=array, compression="gzip")


@pytest.mark.parametrize(
    "damage",
    [dangling, absent, of_nothing, through_a_dataset, deep, numbers, group, compressed],
)
def test_damaged_files_of_keras_2(h5, damage):
    import h5py

    with h5py.File(h5, "r+") as file:
        damage(file)
    with pytest.raises(CheckpointError):
        read_checkpoint(h5)


def test_long_lists_of_names_are_in_parts(h5):
    """HDF5 holds attributes of 64 kB; Keras numbers the parts of a longer one."""
    import h5py

    whole = read_checkpoint(h5)
    with h5py.File(h5, "r+") as file:
        names = file["stem_conv"].attrs["weight_names"]
        del file["stem_conv"].attrs["weight_names"]
        for number, name in enumerate(names):
            file["stem_conv"].attrs[f"weight_names{number}"] = np.array([name])
        file.attrs["layer_names0"] = file.attrs["layer_names"]
        del file.attrs["layer_names"]
    assert_same(read_checkpoint(h5), whole)
