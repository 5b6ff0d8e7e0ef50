"""What no shape of a weight tells travels with a checkpoint: settings, and names of classes."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
from conftest import TINY, assert_same, perturb

import keras_pvt
from keras_pvt import systems
from keras_pvt.cli import main
from keras_pvt.conversion import (
    Checkpoint,
    CheckpointError,
    Description,
    describe,
    load_checkpoint,
    model_from_checkpoint,
    read_checkpoint,
    recognised,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion import description as description_module
from keras_pvt.conversion.readers import keras_config
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.segmentation import SemanticFPN, Trans2Seg
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("moves arrays of weights")

# A row that no variant is like, and nothing as it is by default but for the classes, which are of a
# head, and a pyramid has none.
ROW = dataclasses.replace(
    TINY, num_heads=(2, 3, 4, 7), epsilon=1e-4, reduction_epsilon=1e-3, classes=1000
)
SIZE = (64, 96)


def backbone(row=ROW):
    return keras_pvt.PVTBackbone(
        row,
        (*SIZE, 3),
        drop_rate=0.1,
        attention_drop_rate=0.2,
        drop_path_rate=0.7,
        include_preprocessing=True,
    )


def classifier(**options):
    return keras_pvt.classifier(
        ROW, input_shape=(*SIZE, 1), drop_path_rate=0.1, include_preprocessing=True, **options
    )


MODELS = {
    "classifier": lambda: classifier(classes=3, classifier_activation=None),
    "classifier of pooled maps": lambda: classifier(include_top=False, pooling="max"),
    "classifier of maps": lambda: classifier(include_top=False),
    "backbone": backbone,
    "retinanet": lambda: RetinaNet(backbone(), 5, 12, 1, anchor_side=2.5),
    "mask_rcnn": lambda: MaskRCNN(
        backbone(), 5, 12, 16, anchor_side=3.0, masks=False, sampled_anchors=16, sampled_boxes=8,
        compared_anchors=20, proposals=10,
    ),
    "detr": lambda: DETR(
        backbone(), 5, 7, 16, depth=1, num_heads=8, hidden_dim=24, drop_rate=0.3, auxiliary=False,
        padded=False,
    ),
    "semantic_fpn": lambda: SemanticFPN(backbone(), 5, 12, 8, drop_rate=0.3, full_size=False),
    "trans2seg": lambda: Trans2Seg(
        backbone(), 5, "P3", 16, depth=1, num_heads=4, head_width=8, class_chunk=2, full_size=False
    ),
}  # fmt: skip


def made(name):
    model = MODELS[name]()
    perturb(model)
    return model


@pytest.fixture(scope="module")
def retinanet():
    return made("retinanet")


def answers(model):
    images = np.random.default_rng(3).uniform(0, 255, (1, *model.inputs[0].shape[1:]))
    found = keras.tree.flatten(model(images.astype("float32"), training=False))
    return [keras.ops.convert_to_numpy(answer) for answer in found]


def convert(capsys, *words) -> str:
    assert main(["convert", *map(str, words)]) == 0
    return capsys.readouterr().out


def refused(capsys, *words) -> str:
    assert main(["convert", *map(str, words)]) == 1
    return capsys.readouterr().err


def test_there_is_one_of_each_record():
    assert {name.split()[0] for name in MODELS} >= systems.SYSTEMS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_it_comes_back_as_it_was_built(name, tmp_path, capsys):
    """By a .safetensors and by a .keras file: every setting, and every number that it gives."""
    model = made(name)
    first, there, back = (tmp_path / file for file in ("a.safetensors", "b.keras", "c.safetensors"))
    save_checkpoint(to_torch(model), first)
    convert(capsys, first, there)
    convert(capsys, there, back)
    loaded = keras.saving.load_model(there)
    again, _ = model_from_checkpoint(recognised(read_checkpoint(back)))
    for one in (loaded, again):
        assert describe(one) == describe(model)
        if name.split()[0] != "classifier":  # a plain functional model's has no arguments
            assert one.get_config() == model.get_config()
        for theirs, ours in zip(answers(one), answers(model), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


# Small, with widths by which a checkpoint is told, and what none tells.
PLAIN = {
    "retinanet": ({"neck_width": 12, "head_depth": 1}, "anchor_side", 2.0),
    "mask_rcnn": ({"neck_width": 12, "head_width": 24}, "anchor_side", 2.0),
    "detr": ({"embed_dim": 64, "depth": 1, "num_queries": 3, "hidden_dim": 24}, "num_heads", 8),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_not_said_is_asked_for(name, tmp_path, capsys):
    options, key, value = PLAIN[name]
    pyramid = keras_pvt.PVTBackbone("pvt_nano")
    model = systems.SYSTEMS[name].load("model")(pyramid, 5, **options, **{key: value})
    perturb(model)
    plain, other, whole = (tmp_path / file for file in ("a.npz", "b.pth", "c.safetensors"))
    save_checkpoint(to_torch(model), plain)
    assert f"--set {key}=VALUE" in refused(capsys, plain, whole)
    with pytest.raises(CheckpointError, match=f"tells its {key}.*published ones have"):
        model_from_checkpoint(recognised(read_checkpoint(plain)))
    said = convert(capsys, plain, other, "--set", f"{key}={value}")
    assert f"b.pth stores only weights, not {key}={value}; .safetensors and .keras do" in said
    assert "only weights" not in convert(capsys, plain, whole, "--set", f"{key}={value}")
    again, _ = model_from_checkpoint(recognised(read_checkpoint(whole)))
    assert again.get_config()[key] == value
    assert f"no setting '{key}s'" in refused(capsys, plain, whole, "--set", f"{key}s={value}")


def test_a_row_of_ones_own_without_its_description(tmp_path, capsys):
    save_checkpoint(to_torch(made("backbone")), tmp_path / "a.npz")
    assert "no variant has these keys and widths" in refused(
        capsys, tmp_path / "a.npz", tmp_path / "b.keras"
    )


def test_a_variants_widths_with_other_heads(tmp_path, capsys):
    row = dataclasses.replace(keras_pvt.PVTBackbone("pvt_nano").config, num_heads=(2, 4, 10, 4))
    model = keras_pvt.PVTBackbone(row)
    save_checkpoint(to_torch(model), tmp_path / "a.safetensors")
    found = recognised(read_checkpoint(tmp_path / "a.safetensors"))
    assert found.variant is None
    assert found.known
    said = convert(capsys, tmp_path / "a.safetensors", tmp_path / "b.npz")
    assert "not backbone.num_heads=[2, 4, 10, 4], backbone.epsilon" in said
    assert "a pvt of its own" in said
    setting = ["--set", "backbone.num_heads=2,4,10,4"]
    convert(capsys, tmp_path / "b.npz", tmp_path / "c.keras", *setting)
    assert keras.saving.load_model(tmp_path / "c.keras").config.num_heads == (2, 4, 10, 4)


def test_a_variant_that_is_named_has_the_last_word(tmp_path, capsys):
    row = dataclasses.replace(keras_pvt.PVTBackbone("pvt_nano").config, num_heads=(2, 4, 10, 4))
    save_checkpoint(to_torch(keras_pvt.PVTBackbone(row)), tmp_path / "a.safetensors")
    words = [tmp_path / "a.safetensors", tmp_path / "b.keras", "--variant", "pvt_nano"]
    assert "pvt_nano" in convert(capsys, *words)
    assert keras.saving.load_model(tmp_path / "b.keras").config.num_heads == (1, 2, 5, 8)


def test_a_map_of_a_width_that_two_levels_have():
    row = dataclasses.replace(ROW, embed_dims=(8, 12, 12, 28))
    model = Trans2Seg(backbone(row), 5, "P4", 16, depth=1, num_heads=4, head_width=8)
    state = to_torch(model)
    again, _ = model_from_checkpoint(recognised(state))
    assert again.skip_level == "P4"
    state.description = dataclasses.replace(state.description, options={})
    with pytest.raises(CheckpointError, match=r"as P3 and P4 have: say which by --set skip_level"):
        model_from_checkpoint(recognised(state))
    again, _ = model_from_checkpoint(recognised(state), options={"skip_level": "P3"})
    assert again.skip_level == "P3"


# ---- weights of one configuration into a model of another


def test_loading_compares_what_answers_depend_on(retinanet, tmp_path):
    save_checkpoint(to_torch(retinanet), tmp_path / "a.safetensors")
    other = RetinaNet(backbone(), 5, 12, 1)
    with pytest.raises(
        CheckpointError, match=r"1 configured otherwise: anchor_side 2\.5 in the check.*4\.0 in the"
    ):
        load_checkpoint(other, tmp_path / "a.safetensors")
    load_checkpoint(other, dict(read_checkpoint(tmp_path / "a.safetensors")))
    assert_same(to_torch(other), to_torch(retinanet))
    with pytest.raises(
        CheckpointError, match=r"num_heads \[2, 3, 4, 7\] in the check.*\[1, 2, 5, 4\]"
    ):
        keras_pvt.PVTBackbone(TINY, weights=str(tmp_path / "a.safetensors"))
    keras_pvt.PVTBackbone(ROW, (None, None, 3), weights=str(tmp_path / "a.safetensors"))


NANO = dataclasses.replace(VARIANTS["pvt_nano"], num_heads=(2, 4, 10, 4))
V2 = dataclasses.replace(
    VARIANTS["pvt_v2_nano"], embed_dims=(8, 12, 24, 28), num_heads=(2, 3, 4, 7)
)


def of_row(kind, row):
    if kind == "classifier":  # a functional model, whose file has a row in no place
        return keras_pvt.classifier(row, input_shape=(32, 32, 3))
    backbone = keras_pvt.PVTBackbone(row, (64, 64, 3))
    return backbone if kind == "backbone" else SemanticFPN(backbone, 5, 12, 8)


@pytest.mark.parametrize("kind", ["classifier", "backbone", "semantic_fpn"])
@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        (TINY, "num_heads", (2, 3, 4, 7)),
        (V2, "num_heads", (1, 2, 8, 4)),
        (TINY, "epsilon", 1e-5),
        (TINY, "reduction_epsilon", 1e-4),
        (V2, "patch_strides", (1, 2, 2, 2)),
    ],
)
def test_a_keras_file_is_compared_too(kind, row, name, value, tmp_path):
    path = tmp_path / "a.keras"
    other, model = of_row(kind, row), of_row(kind, dataclasses.replace(row, **{name: value}))
    perturb(model)
    model.save(path)
    before = to_torch(other)
    with pytest.raises(CheckpointError, match=f"1 configured otherwise: {name} .* in the checkp"):
        load_checkpoint(other, path)
    assert_same(to_torch(other), before)
    load_checkpoint(other, dict(read_checkpoint(path)))
    assert_same(to_torch(other), to_torch(model))
    again = of_row(kind, dataclasses.replace(row, **{name: value}))
    load_checkpoint(again, path)
    assert_same(to_torch(again), to_torch(model))


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [("retinanet", "anchor_side", (2.5, 4.0)), ("detr", "num_heads", (8, 2))],
)
def test_a_keras_file_of_a_detector_is_compared_too(kind, name, values, tmp_path):
    first, second = (
        RetinaNet(keras_pvt.PVTBackbone(NANO), 5, 12, 1, anchor_side=value)
        if kind == "retinanet"
        else DETR(keras_pvt.PVTBackbone(NANO), 5, 7, 16, depth=1, num_heads=value, hidden_dim=24)
        for value in values
    )
    first.save(tmp_path / "a.keras")
    with pytest.raises(CheckpointError, match=f"1 configured otherwise: {name} {values[0]} in the"):
        load_checkpoint(second, tmp_path / "a.keras")
    again, _ = model_from_checkpoint(recognised(read_checkpoint(tmp_path / "a.keras")))
    assert describe(again).options[name] == values[0]
    assert describe(again).backbone["variant"]["num_heads"] == list(NANO.num_heads)


def with_config(path, change):
    """A copy of a .keras file with another text of its configuration."""
    other = path.with_name("other.keras")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as copy:
        for name in archive.namelist():
            text = archive.read(name)
            copy.writestr(name, change(text) if name == "config.json" else text)
    return other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-9], "its config.json is damaged"),
        (lambda text: b"[" * 100_000, "its config.json is damaged"),
        (lambda text: text[:-1] + b', "config": {}}', "its config.json is damaged: it has a key"),
        (lambda text: text.replace(b"[2, 3, 4, 7]", b"[2, 3, 4, 99999]"), "99999. in the check"),
        (lambda text: text.replace(b"[2, 3, 4, 7]", b'{"a": "b"}'), "{'a': 'b'} in the checkpoint"),
        (lambda text: text.replace(b"[2, 3, 4, 7]", b"1" * 4000), "1{80} in the checkpoint"),
    ],
)
def test_a_configuration_of_a_keras_file_is_not_trusted(change, message, tmp_path):
    backbone().save(tmp_path / "a.keras")
    model = backbone()
    before = to_torch(model)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(model, with_config(tmp_path / "a.keras", change))
    assert_same(to_torch(model), before)


def test_a_configuration_of_a_keras_file_is_bounded(tmp_path, monkeypatch):
    backbone().save(tmp_path / "a.keras")
    monkeypatch.setattr(keras_config, "LARGEST", 500)
    with pytest.raises(CheckpointError, match=r"its config.json has more than 500 bytes"):
        read_checkpoint(tmp_path / "a.keras")


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b'{"config": []}',
        b'{"config": {"layers": [3, {"name": "stage1_block0"}]}}',
        b'{"config": {"variant": "pvt_tiny"}, "registered_name": "keras_pvt>PVTBackbone"}',
        b'{"config": {"variant": {"family": [1]}}, "registered_name": "keras_pvt>PVTBackbone"}',
        b'{"config": {"num_units": 1e300}, "registered_name": "keras_pvt>RetinaNet"}',
    ],
)
def test_a_configuration_that_says_nothing_is_none(text, tmp_path):
    model = backbone()
    perturb(model)
    model.save(tmp_path / "a.keras")
    again = backbone()
    load_checkpoint(again, with_config(tmp_path / "a.keras", lambda _: text))
    assert_same(to_torch(again), to_torch(model))


# ---- a description is as little to be trusted as the rest of a file


def with_facts(state, **changes):
    facts = json.loads(state.description.text())
    for path, value in changes.items():
        *folders, name = path.split("__")
        table = facts
        for folder in folders:
            table = table[folder]
        table[name] = value
    return json.dumps(facts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options__weights": "imagenet"}, "RetinaNet has no setting 'weights'"),
        ({"options__name": "x"}, "RetinaNet has no setting 'name'"),
        ({"options__backbone": {}}, "RetinaNet has no setting 'backbone'"),
        ({"options__drop_rate": 0.5}, "RetinaNet has no setting 'drop_rate'"),
        ({"backbone__weights": "imagenet"}, "PVTBackbone has no setting 'weights'"),
        ({"backbone__variant": "pvt_tiny"}, "the row of a backbone is a table"),
        ({"backbone__variant__layers": 3}, "PVTConfig has no setting 'layers'"),
        ({"backbone__variant__family": "pvt_v9"}, "no family 'pvt_v9'"),
        ({"backbone__variant__epsilon": "small"}, "`epsilon` of PVTConfig cannot be small"),
        ({"backbone__variant__depths": [1, 2]}, "must be four integers"),
        ({"backbone__variant__depths": [1, 2, 2, True]}, "`depths` of PVTConfig cannot be"),
        ({"backbone__variant__depths": [1, 2, 3, 1]}, "depths of the backbone is .1, 2, 2, 1. by"),
        ({"backbone__variant__embed_dims": [8, 12, 24, 28]}, "embed_dims of the backbone is"),
        ({"backbone__variant__mlp_ratios": [3, 2, 4, 9]}, "mlp_ratios of the backbone is"),
        ({"backbone__variant__sr_ratios": [4, 2, 2, 2]}, "sr_ratios of the backbone is"),
        ({"backbone__variant__patch_sizes": [4, 2, 2, 4]}, "patch_sizes of the backbone is"),
        ({"backbone__variant__image_size": 4096}, "image_size of the backbone is 64 by"),
        ({"backbone__variant__num_heads": [3, 3, 4, 7]}, "must divide `embed_dims`"),
        ({"backbone__input_shape": [64, 96]}, "`input_shape` of a backbone cannot be"),
        ({"backbone__input_shape": [64, 1 << 16, 3]}, "`input_shape` of a backbone cannot be"),
        ({"backbone__input_shape": [64, 96, 1]}, "images have 1 channels, and its weights are for"),
        ({"backbone__include_preprocessing": 1}, "`include_preprocessing` of PVTBackbone cannot"),
        ({"backbone__drop_rate": 1.5}, "between 0 and 1"),
        ({"options__num_classes": 6}, "num_classes of this RetinaNet is 5 by its weights, and 6"),
        ({"options__head_depth": 2}, "head_depth of this RetinaNet is 1 by its weights, and 2"),
        ({"options__anchor_side": float("nan")}, "`anchor_side` of RetinaNet cannot be nan"),
        ({"options__anchor_side": [2.5]}, "`anchor_side` of RetinaNet cannot be"),
        ({"options__anchor_side": -1}, "above 0"),
        ({"system": "detr"}, "tells its anchor_side"),
    ],
)
def test_what_no_model_has_is_refused(retinanet, changes, message):
    state = to_torch(retinanet)
    state.description = Description.from_text(with_facts(state, **changes))
    with pytest.raises(CheckpointError, match=message):
        model_from_checkpoint(recognised(state))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "is a list"),
        ("{}", "version None"),
        ('{"version": 2, "system": "detr"}', "version 2"),
        ('{"version": 1}', "its system is None"),
        ('{"version": 1, "system": ""}', "its system is"),
        ('{"version": 1, "system": "detr", "code": "x"}', "says 'code', which nobody reads"),
        ('{"version": 1, "system": "detr", "system": "detr"}', "a key twice"),
        ('{"version": 1, "system": "detr", "options": []}', "its options is"),
        ('{"version": 1, "system": "detr", "classes": ["a", "a"]}', "its classes is"),
        ('{"version": 1, "system": "detr", "classes": "ab"}', "its classes is"),
        ('{"version": 1, "system": "detr", "size": [1, 0]}', "its size is"),
        ('{"version": 1, "system": "detr", "size": ' + "9" * 5000 + "}", "damaged"),
        ('{"a":' + "[" * 100_000, "damaged"),
        (" " * 300, "no text of at most 200 characters"),
    ],
)
def test_metadata_that_cannot_be(tmp_path, text, message, monkeypatch):
    from safetensors.numpy import save_file

    monkeypatch.setattr(description_module, "LARGEST", 200 if text.isspace() else 1 << 22)
    arrays = {"w": np.zeros(2, "float32")}
    save_file(arrays, tmp_path / "a.safetensors", {"format": "pt", "keras_pvt": text})
    with pytest.raises(CheckpointError, match=message) as error:
        read_checkpoint(tmp_path / "a.safetensors")
    assert len(str(error.value)) < 400


def test_metadata_of_others_is_read_over(tmp_path):
    from safetensors.numpy import save_file

    for metadata in (None, {"format": "pt", "anything": "{"}):
        save_file({"w": np.zeros(2, "float32")}, tmp_path / "a.safetensors", metadata)
        assert read_checkpoint(tmp_path / "a.safetensors").description is None


def test_an_activation_of_keras_has_its_name(monkeypatch):
    """Without Keras's `serialize`, which imports TensorFlow; that is for others."""
    serialized = []
    monkeypatch.setattr(keras.activations, "serialize", serialized.append)
    for activation in ("softmax", "sigmoid"):
        model = keras_pvt.classifier(TINY, classes=2, classifier_activation=activation)
        assert describe(model).options["classifier_activation"] == activation
    assert not serialized

    def own(x):
        return x

    describe(keras_pvt.classifier(TINY, classes=2, classifier_activation=own))
    assert serialized == [own]


def test_a_record_that_forgets_is_noticed(retinanet, monkeypatch):
    def from_arrays(arrays, size, logits):
        return RetinaNet(arrays.backbone(*size), 5, 12, 1)

    forgetful = dataclasses.replace(systems.SYSTEMS["retinanet"], from_arrays=from_arrays)
    monkeypatch.setitem(systems.SYSTEMS, "retinanet", forgetful)
    with pytest.raises(CheckpointError, match=r"came out with anchor_side 4\.0, not 2\.5"):
        model_from_checkpoint(recognised(to_torch(retinanet)))


def test_a_file_that_was_written_otherwise_is_noticed(retinanet, tmp_path, capsys, monkeypatch):
    """The command compares what it wrote, also where the weights are right."""
    save_checkpoint(to_torch(retinanet), tmp_path / "a.safetensors")

    def forget(state, path):
        facts = dataclasses.replace(state.description, options={"anchor_side": 2.5})
        save_checkpoint(Checkpoint(state, facts), path)

    monkeypatch.setattr(keras_pvt.conversion, "save_checkpoint", forget)
    words = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    assert "what was written is built otherwise" in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


# ---- names of classes


def test_names_of_classes_travel(tmp_path, capsys):
    """From a trained model into a checkpoint and back, with the size that it is for."""
    names = ["ant", "bee", "cat", "dog", "eel"]
    model = RetinaNet(keras_pvt.PVTBackbone("pvt_nano", include_preprocessing=True), 5, 12, 1)
    there, lost, back = (tmp_path / file for file in ("b.safetensors", "b.npz", "c.keras"))
    keras_pvt.save_model(model, tmp_path / "a.keras", names, size=(48, 64))
    convert(capsys, tmp_path / "a.keras", there)
    assert read_checkpoint(there).description.classes == tuple(names)
    assert "the names of 5 classes" in convert(capsys, there, lost)
    convert(capsys, there, back)
    trained = keras_pvt.load_model(back)
    assert (trained.classes, trained.size, trained.pixels) == (tuple(names), (48, 64), True)


def test_names_of_classes_are_given_to_a_file(tmp_path):
    state = to_torch(made("backbone"))
    save_checkpoint(state, tmp_path / "a.safetensors", classes=["a", "b"])
    assert read_checkpoint(tmp_path / "a.safetensors").description.classes == ("a", "b")
    with pytest.raises(ValueError, match="must be different names; got 'a', 'a'"):
        save_checkpoint(state, tmp_path / "a.safetensors", classes=["a", "a"])
    for path, arrays in (("a.npz", state), ("a.safetensors", dict(state))):
        with pytest.raises(ValueError, match="names of classes go into"):
            save_checkpoint(arrays, tmp_path / path, classes=["a", "b"])
