"""What decays, how fast each depth learns, and AdamW against an independent calculation."""

import keras
import numpy as np
import pytest
from conftest import assert_same, perturb

import keras_pvt
from keras_pvt import training
from keras_pvt.training.callbacks import AveragedWeights
from keras_pvt.training.layerwise import layer_factors
from keras_pvt.training.optimizer import not_decayed


@pytest.fixture
def model(tiny_config):
    model = keras_pvt.classifier(tiny_config, classifier_activation=None)
    perturb(model)
    return model


def test_measuring_averaged_weights_changes_no_bit(model, rng):
    images = rng.standard_normal((4, 64, 64, 3)).astype("float32")
    labels = np.eye(7, dtype="float32")[:4]
    model.compile(training.make_optimizer("adamw", model, 1e-2, 0.1, ema=0.9), "mse")
    for _ in range(2):
        model.train_on_batch(images, labels)
    before = arrays(model), arrays(model.optimizer)
    plain = model.evaluate(images, labels, verbose=0)
    averaged = model.evaluate(images, labels, verbose=0, callbacks=[AveragedWeights()])
    assert averaged != plain
    for one, other in zip(before, (arrays(model), arrays(model.optimizer)), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kind", ["adamw", "muon", "layerwise"])
def test_weights_are_averaged_after_each_update(rng, kind, accumulate):
    """As timm does; Keras counts batches, in which accumulated gradients move no weight."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    more = {"factors": {model.layers[0].kernel.path: 0.5}} if kind == "layerwise" else {}
    name = "muon" if kind == "muon" else "adamw"
    optimizer = training.make_optimizer(
        name, model, 0.1, 0.0, ema=0.75, accumulate=accumulate, **more
    )
    model.compile(optimizer, "mse")
    inputs, outputs = (rng.standard_normal((8, n)).astype("float32") for n in (4, 2))

    def weights():
        return [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.trainable_variables]

    before = weights()
    for batch in range(1, 3 * accumulate + 2):
        model.train_on_batch(inputs, outputs)
        now = weights()
        if batch <= accumulate:  # up to the first update, which is taken whole
            wanted = now
        elif batch % accumulate == 0:
            wanted = [0.75 * old + 0.25 * new for old, new in zip(wanted, now, strict=True)]
        assert np.array_equal(now[0], before[0]) == (batch % accumulate != 0)
        before = now
        for one, other in zip(wanted, optimizer._model_variables_moving_average, strict=True):
            found = keras.ops.convert_to_numpy(other.value)
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


def arrays(owner):
    return {v.path: np.array(keras.ops.convert_to_numpy(v.value)) for v in owner.variables}


@pytest.mark.one_backend("reads names")
def test_what_does_not_decay(model):
    """Vectors and the class token; all position tables decay, as the official code has it."""
    exempt = {variable.path for variable in not_decayed(model)}
    decayed = {variable.path for variable in model.trainable_variables} - exempt
    assert {path.rsplit("/")[-1] for path in exempt} == {"bias", "gamma", "beta", "token"}
    assert {path.rsplit("/")[-1] for path in decayed} == {"kernel", "table", "position"}


@pytest.mark.one_backend("reads names")
def test_all_decay_or_all_but_norms(model):
    """As in PVTv2's 3x detectors, where biases do, and as in those of 1x."""
    norms = {v.path for v in model.trainable_variables if v.name in ("gamma", "beta")}
    for more, kept in (({}, set()), ({"decay_norms": False}, norms)):
        optimizer = training.make_optimizer("adamw", model, 1e-3, 0.1, decay_all=True, **more)
        assert set(optimizer.get_config()["no_decay"]) == kept
    assert norms


def test_depth_decides_the_rate(model):
    factors = layer_factors(model, 0.5)  # six blocks
    assert factors["stage1_patch_embedding/proj/kernel"] == 0.5**7
    assert factors["stage1_position/table"] == 0.5**7
    assert factors["stage1_block0/norm1/gamma"] == 0.5**6
    assert factors["stage2_patch_embedding/proj/kernel"] == 0.5**6
    assert factors["stage3_block1/attention/query/kernel"] == 0.5**2
    assert factors["class_token/token"] == 0.5**2
    assert factors["stage4_block0/attention/query/kernel"] == 0.5
    assert factors["norm/gamma"] == factors["head/kernel"] == 1
    assert factors.keys() == {variable.path for variable in model.trainable_variables}


@pytest.mark.one_backend("reads names")
@pytest.mark.parametrize("nested", [False, True])
def test_depth_decides_the_rate_of_a_model_inside_another(tiny_config, nested):
    backbone = keras_pvt.classifier(tiny_config, include_top=False, pooling="avg")
    alone = layer_factors(backbone, 0.5)
    inner = keras.Sequential([backbone]) if nested else backbone
    head = keras.layers.Dense(5)
    first = keras.layers.Conv2D(3, 1)
    model = keras.Sequential([keras.Input((64, 64, 3)), first, inner, head])
    factors = layer_factors(model, 0.5)
    assert factors.pop(head.kernel.path) == factors.pop(head.bias.path) == 1
    assert factors.pop(first.kernel.path) == factors.pop(first.bias.path) == 0.5**7
    assert factors == alone
    assert min(alone.values()) == 0.5**7


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize("options", [{"layer_decay": 0.5}, {"frozen_steps": 4}])
def test_rates_by_layer_need_layers_of_a_pvt(options):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="other")
    with pytest.raises(ValueError, match=r"model 'other' has no layers .* stage1_block0"):
        training.make_optimizer("adamw", model, 0.1, 0.0, **options)
    assert set(layer_factors(model, 1.0).values()) == {1.0}


def adamw(value, gradients, rates, decay):
    """Loshchilov and Hutter's AdamW, written out for one weight."""
    mean = square = np.zeros_like(value)
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        value = value * (1 - decay * rate)
        value = value - rate * (mean / (1 - 0.9**step)) / (
            np.sqrt(square / (1 - 0.999**step)) + 1e-8
        )
    return value


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_adamw(model, rng, layer_decay):
    optimizer = training.make_optimizer(
        "adamw", model, 0.01, 0.3, clip_norm=None, layer_decay=layer_decay
    )
    before = [np.array(v) for v in model.trainable_variables]
    # None near 0: Keras adds epsilon before it corrects the bias of the second moment.
    gradients = [
        [(rng.choice([-1, 1], v.shape) * rng.uniform(0.1, 2, v.shape)).astype("float32")
         for _ in range(3)]
        for v in before
    ]  # fmt: skip
    for step in range(3):
        optimizer.apply(
            [keras.ops.convert_to_tensor(g[step]) for g in gradients], model.trainable_variables
        )
    factors = layer_factors(model, layer_decay)
    exempt = {variable.path for variable in not_decayed(model)}
    for variable, old, steps in zip(model.trainable_variables, before, gradients, strict=True):
        rates = [0.01 * factors[variable.path]] * 3
        expected = adamw(old, steps, rates, 0 if variable.path in exempt else 0.3)
        np.testing.assert_allclose(
            np.array(variable), expected, atol=2e-6, rtol=2e-5, err_msg=variable.path
        )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_start(model, rng, accumulate):
    """Steps are batches, however many of them move the weights together."""
    optimizer = training.make_optimizer(
        "adamw", model, 0.01, 0.1, frozen_steps=2 * accumulate, accumulate=accumulate
    )
    moved = []
    for _ in range(3 * accumulate):
        before = {v.path: np.array(v) for v in model.trainable_variables}
        gradients = [
            keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32"))
            for v in model.trainable_variables
        ]
        optimizer.apply(gradients, model.trainable_variables)
        moved.append(
            {v.path for v in model.trainable_variables if (np.array(v) != before[v.path]).any()}
        )
    head = {"head/kernel", "head/bias", "norm/gamma", "norm/beta"}
    updates = moved[accumulate - 1 :: accumulate]
    assert sum(map(bool, moved)) == len(updates) == 3
    assert updates[0] == updates[1] == head
    assert updates[2] == {variable.path for variable in model.trainable_variables}


@pytest.mark.one_backend("test_frozen_start has each", full=True)
def test_a_batch_of_the_frozen_time_moves_no_frozen_weight(model):
    optimizer = training.make_optimizer("adamw", model, 0.01, 0.1, frozen_steps=3, accumulate=2)
    ones = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    table = model.get_layer("stage1_position").table
    before = np.array(table)
    for _ in range(4):  # the second update has the third batch in it
        optimizer.apply(ones, model.trainable_variables)
    np.testing.assert_array_equal(np.array(table), before)
    for _ in range(2):
        optimizer.apply(ones, model.trainable_variables)
    assert (np.array(table) != before).all()


KINDS = {
    "adamw": {"name": "adamw"},
    "layerwise": {"name": "adamw", "layer_decay": 0.5, "frozen_steps": 4},
    "muon": {"name": "muon", "not_muon": ["^head/"]},
}


@pytest.mark.one_backend("a configuration")
@pytest.mark.parametrize("kind", KINDS)
def test_optimizers_survive_serialisation(model, kind):
    optimizer = training.make_optimizer(
        model=model, rate=0.01, weight_decay=0.3, accumulate=2, ema=0.9, **KINDS[kind]
    )
    assert set(optimizer.get_config()["no_decay"]) == {v.path for v in not_decayed(model)}
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is type(optimizer)
    assert copy.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(False, id="alone"),
        pytest.param(True, id="in a Sequential", marks=pytest.mark.one_backend("names")),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_weights_decay_after_a_file(tiny_config, tmp_path, rng, kind, inside):
    """And the model goes on to the same bits; gradients of 0 move what decays alone."""
    model = keras_pvt.classifier(tiny_config, classifier_activation=None)
    if inside:  # whose own name is before that of the layer, until the model is loaded
        head = [keras.layers.Dense(6, name="more"), keras.layers.Dense(5)]
        model = keras.Sequential([keras.Input((64, 64, 3)), model, *head])
    perturb(model)
    options = KINDS[kind]
    if kind == "layerwise":
        paths = [v.path for v in model.trainable_variables if "more" in v.path or "st" in v.path]
        options = {"name": "adamw", "factors": dict.fromkeys(paths, 0.5)}
    optimizer = training.make_optimizer(
        model=model, rate=0.01, weight_decay=0.3, clip_norm=None, **options
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    def apply(owner, gradients):
        before = [np.array(v) for v in owner.trainable_variables]
        owner.optimizer.apply(
            [keras.ops.convert_to_tensor(g) for g in gradients], owner.trainable_variables
        )
        pairs = zip(owner.trainable_variables, before, strict=True)
        return [n for n, (v, old) in enumerate(pairs) if (np.array(v) != old).any()]

    shapes = [v.shape for v in model.trainable_variables]
    still = [np.zeros(shape, "float32") for shape in shapes]
    exempt = {v.path for v in not_decayed(model)}
    decayed = [n for n, v in enumerate(model.trainable_variables) if v.path not in exempt]
    assert 0 < len(decayed) == len(shapes) - len(exempt) < len(shapes)
    assert apply(model, still) == apply(loaded, still) == decayed
    for _ in range(2):
        gradients = [rng.normal(size=shape).astype("float32") for shape in shapes]
        assert apply(model, gradients) == apply(loaded, gradients)
    for one, other in zip(model.trainable_variables, loaded.trainable_variables, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other), err_msg=one.path)


@pytest.mark.one_backend("names")
def test_weights_of_other_names_are_said_to_decay(model, tiny_config):
    optimizer = training.make_optimizer("adamw", model, 0.01, 0.3)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match=r"none of the \d+ weights .* all decay"):
        copy.build(other.trainable_variables)


def test_adamw_is_as_fast_as_keras_s_own(model):
    """On PyTorch Keras takes a class for it that updates all weights in one go."""
    optimizer = training.make_optimizer("adamw", model, 0.01, 0.3)
    assert isinstance(optimizer, type(keras.optimizers.AdamW()))


@pytest.mark.one_backend("configurations")
def test_optimizers_in_files_of_0_1(model):
    """Keras's own AdamW and Muon, which the files cannot say more of, and our by-layer AdamW."""
    plain = keras.optimizers.AdamW(0.01, weight_decay=0.3)
    assert type(keras.optimizers.deserialize(keras.optimizers.serialize(plain))) is type(plain)
    config = {
        "name": "layerwise_adam_w", "learning_rate": 0.01, "weight_decay": None, "clipnorm": None,
        "global_clipnorm": 1.0, "clipvalue": None, "use_ema": False, "ema_momentum": 0.99,
        "ema_overwrite_frequency": None, "loss_scale_factor": None,
        "gradient_accumulation_steps": None, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8,
        "amsgrad": False, "factors": {"head/kernel": 1.0, "stage1_position/table": 0.25},
        "decoupled_decay": 0.3, "no_decay": ["head/bias"], "frozen_steps": 4,
    }  # fmt: skip
    old = {
        "module": "keras_pvt.training.layerwise",
        "class_name": "LayerwiseAdamW",
        "registered_name": "keras_pvt>LayerwiseAdamW",
        "config": config,
    }
    found = keras.optimizers.deserialize(old)
    assert isinstance(found, training.LayerwiseAdamW)
    shown = found.get_config()
    assert {name: shown[name] for name in config} == {
        **config, "learning_rate": pytest.approx(0.01)
    }  # fmt: skip


@pytest.mark.one_backend("what Keras does", full=True)
def test_accumulated_steps_are_one_step_of_their_mean(tiny_config, rng):
    results = []
    gradient = None
    for accumulate in (1, 2):
        model = keras_pvt.classifier(tiny_config, classifier_activation=None)
        perturb(model)
        if gradient is None:
            shapes = [v.shape for v in model.trainable_variables]
            gradient = [[rng.normal(size=s).astype("float32") for s in shapes] for _ in range(2)]
        optimizer = training.make_optimizer("adamw", model, 0.01, 0.1, accumulate=accumulate)
        mean = [(a + b) / 2 for a, b in zip(*gradient, strict=True)]
        for step in [mean] if accumulate == 1 else gradient:
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in step],
                            model.trainable_variables)  # fmt: skip
        results.append([np.array(v) for v in model.trainable_variables])
    for once, twice in zip(*results, strict=True):
        np.testing.assert_allclose(once, twice, atol=1e-6)


@pytest.mark.one_backend("what is said")
def test_bad_choices(model):
    with pytest.raises(ValueError, match="adamw or muon; got 'sgd'"):
        training.make_optimizer("sgd", model, 0.01, 0.1)
    with pytest.raises(ValueError, match="work with adamw; got muon"):
        training.make_optimizer("muon", model, 0.01, 0.1, layer_decay=0.5)
    with pytest.raises(ValueError, match=r"at most 1; got 1\.5"):
        layer_factors(model, 1.5)
