"""The records of the families: a small one, added here, is built, converted and counted."""

import dataclasses

import keras
import pytest
from conftest import TINY, assert_same, perturb

import keras_pvt
from keras_pvt import families, flops, variants
from keras_pvt.cli import main
from keras_pvt.conversion import read_checkpoint, save_checkpoint, to_torch
from keras_pvt.conversion.layouts import SAME
from keras_pvt.conversion.maps.entries import Entry, conv, dense, norm
from keras_pvt.detection import RetinaNet

pytestmark = pytest.mark.one_backend("the records, not the arithmetic")

CODE = ("pyramid", "features", "config_of", "key_map", "shapes", "told", "min_size",
        "backbone_cost", "classifier_cost")  # fmt: skip


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=list(families.FAMILIES))
def test_what_a_record_names_exists(family):
    for field in CODE:
        assert callable(family.load(field)), field


@keras.saving.register_keras_serializable("toy")
class Shift(keras.layers.Layer):
    """A number a channel, so that a layer has a weight of its own kind."""

    def build(self, shape):
        self.table = self.add_weight(shape=(shape[-1],), initializer="zeros", name="table")

    def call(self, x):
        return x + self.table


def pyramid(images, config, rates, dtype=None):
    maps, x = {}, images
    for n, (dim, patch) in enumerate(zip(config.embed_dims, config.patch_sizes, strict=True), 1):
        x = keras.layers.Conv2D(dim, 3, patch, "same", name=f"stage{n}_patch_embedding_proj")(x)
        x = keras.layers.LayerNormalization(epsilon=1e-5, name=f"stage{n}_block0_norm1")(x)
        x = Shift(name=f"stage{n}_norm")(x)
        maps[f"stage{n}_norm"] = x
    return maps


def features(images, config, rates, dtype=None):
    *_, x = pyramid(images, config, rates, dtype).values()
    return keras.layers.GlobalAveragePooling2D(name="mean")(x)


def config_of(model):
    layers = {layer.name: layer for layer in model.layers}
    try:
        embeddings = [layers[f"stage{n}_patch_embedding_proj"] for n in (1, 2, 3, 4)]
    except KeyError:
        raise ValueError("no toy") from None
    return dataclasses.replace(
        TOY,
        embed_dims=tuple(layer.filters for layer in embeddings),
        classes=layers["head"].units if "head" in layers else TOY.classes,
    )


def key_map(config, layout):
    entries = []
    for n in (1, 2, 3, 4):
        theirs = f"stem{n}" if layout == "official" else f"toy.stem{n}"
        entries += conv(f"{theirs}.conv", f"stage{n}_patch_embedding_proj")
        entries += norm(f"{theirs}.norm", f"stage{n}_block0_norm1")
        entries.append(Entry((f"{theirs}.shift",), (f"stage{n}_norm/table",), SAME))
    return entries + dense(("head" if layout == "official" else "toy.head",), "head")


def cost(config, height, width, channels, class_row):
    parts = []
    for n, (dim, patch) in enumerate(zip(config.embed_dims, config.patch_sizes, strict=True), 1):
        height, width = -(-height // patch), -(-width // patch)
        cells = height * width
        one = flops.conv(cells, channels, dim, 3) + flops.norm(cells, dim)
        parts.append(flops.Part(f"stage {n}", (height, width, dim), one + flops.Cost(dim)))
        channels = dim
    return parts


def classifier_cost(config, height, width, channels, classes):
    head = flops.dense(1, config.embed_dims[-1], classes)
    stages = cost(config, height, width, channels, False)
    return [*stages, flops.Part("head", (classes,), head)]


FAMILY = families.Family(
    "toy",
    title="Toy",
    pyramid=pyramid,
    features=features,
    config_of=config_of,
    key_map=key_map,
    layouts={"official": "", "other": "toy."},
    shapes=lambda config: {},
    told=lambda config, get: {},
    backbone_cost=cost,
    classifier_cost=classifier_cost,
    min_size=lambda config: 3,
    width="stage{n}_norm/table",
    cells=lambda side, patch: -(-side // patch),
)
TOY = variants.PVTConfig.__new__(variants.PVTConfig)  # a row, once there is its family


@pytest.fixture(autouse=True)
def record(monkeypatch):
    global TOY
    families.register(FAMILY)
    TOY = variants.PVTConfig(
        depths=(1, 1, 1, 1), family="toy", embed_dims=(4, 6, 8, 10), num_heads=(1, 1, 1, 1)
    )
    monkeypatch.setitem(variants.VARIANTS, "toy_tiny", TOY)
    yield
    del families.FAMILIES["toy"]


def test_backbone_and_classifier():
    backbone = keras_pvt.PVTBackbone("toy_tiny")
    assert {name: x.shape[-1] for name, x in backbone.pyramid_outputs.items()} == {
        "P2": 4, "P3": 6, "P4": 8, "P5": 10,
    }  # fmt: skip
    assert backbone.pyramid_level_inputs["P5"] == "stage4_norm"
    assert families.config_of(backbone) == TOY
    again = type(backbone).from_config(backbone.get_config())
    assert again.config == TOY
    model = keras_pvt.classifier("toy_tiny", classes=5, input_shape=(33, 47, 3))
    assert model.output_shape == (None, 5)
    assert families.config_of(model).classes == 5
    with pytest.raises(ValueError, match="is not for Toy, which has no class token"):
        keras_pvt.classifier("toy_tiny", include_top=False, pooling="token")
    with pytest.raises(ValueError, match="image height 2 is below 3"):
        keras_pvt.PVTBackbone("toy_tiny", (2, 64, 3))


@pytest.mark.parametrize("kind", ["classifier", "backbone", "retinanet"])
def test_converts_both_ways(kind, tmp_path, capsys):
    backbone = keras_pvt.PVTBackbone("toy_tiny")
    models = {
        "classifier": lambda: keras_pvt.classifier("toy_tiny"),
        "backbone": lambda: backbone,
        "retinanet": lambda: RetinaNet(backbone, 2, 12, 1),
    }
    model = models[kind]()
    perturb(model)
    state = to_torch(model)
    source, there, back = (str(tmp_path / name) for name in ("a.npz", "b.keras", "c.npz"))
    save_checkpoint(state, source)
    told = ["--set", "anchor_side=4"] if kind == "retinanet" else []  # by no weight
    assert main(["convert", source, there, *told]) == 0
    assert "toy_tiny" in capsys.readouterr().out
    assert main(["convert", there, back]) == 0
    assert_same(read_checkpoint(back), state)


def test_other_layout(tmp_path):
    model = keras_pvt.classifier("toy_tiny")
    perturb(model)
    state = to_torch(model, "other")
    assert all(key.startswith("toy.") for key in state)
    save_checkpoint(state, tmp_path / "a.npz")
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]) == 0
    assert_same(read_checkpoint(tmp_path / "b.npz"), to_torch(model))


def test_cost_in_info(capsys):
    assert main(["info", "toy_tiny"]) == 0
    out = capsys.readouterr().out
    assert f"{keras_pvt.classifier('toy_tiny').count_params():,}" in out
    assert main(["info", "toy_tiny", "--backbone", "--size", "33x47"]) == 0
    assert "9x12x4" in capsys.readouterr().out


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no family 'pvt_v3'; there are pvt,"):
        dataclasses.replace(TINY, family="pvt_v3")
    with pytest.raises(ValueError, match="there is a family 'pvt' already"):
        families.register(families.FAMILIES["pvt"])


def test_each_stage_has_its_level():
    with pytest.raises(ValueError, match=r"levels P2, P2, P3, P4: each stage must have"):
        dataclasses.replace(TINY, patch_sizes=(4, 1, 2, 2))
    assert dataclasses.replace(TINY, patch_sizes=(3, 2, 3, 2)).levels == ("P1", "P2", "P4", "P5")
