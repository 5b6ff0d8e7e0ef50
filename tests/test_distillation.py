"""Losses of distillation against their formulas, and a fit that moves the student alone."""

import keras
import numpy as np
import pytest
from conftest import TINY, V2

import keras_pvt
from keras_pvt.training.distillation import with_teacher

pytestmark = pytest.mark.one_backend("losses of Keras", full=True)


def small(classes):
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Dense(classes)(inputs))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_loss(kind, rng):
    student, teacher = (rng.normal(size=(5, 7)).astype("float32") * 3 for _ in range(2))
    labels = np.eye(7, dtype="float32")[rng.integers(0, 7, 5)]
    inputs = keras.Input((14,))  # the logits of both, which each model gives a half of
    models = [keras.Model(inputs, inputs[:, half : half + 7]) for half in (0, 7)]
    distiller = with_teacher(*models, kind, weight=0.3, temperature=2.0)
    distiller.compile("sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    x, y = (keras.ops.convert_to_tensor(a) for a in (np.hstack([student, teacher]), labels))
    loss = distiller.compute_loss(x, y, distiller(x))

    own = -(labels * log_softmax(student)).sum(-1).mean()
    if kind == "hard":
        chosen = teacher.argmax(-1)
        theirs = -log_softmax(student)[np.arange(5), chosen].mean()
    else:
        p, q = log_softmax(teacher / 2), log_softmax(student / 2)
        theirs = 4 * (np.exp(p) * (p - q)).sum(-1).mean()
    np.testing.assert_allclose(float(loss), 0.7 * own + 0.3 * theirs, rtol=1e-5)


def dense():
    return small(7), small(7)


def pvt_v2():
    """PVTv2 that learns from PVT."""
    shape, logits = (96, 104, 3), {"classifier_activation": None}
    return tuple(keras_pvt.classifier(config, input_shape=shape, **logits) for config in (V2, TINY))


@pytest.mark.parametrize("models", [dense, pvt_v2])
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_only_the_student_learns(kind, models, rng):
    student, teacher = models()
    distiller = with_teacher(student, teacher, kind)
    distiller.compile(
        keras.optimizers.AdamW(0.01),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    before = [[np.array(v) for v in model.weights] for model in (student, teacher)]
    images = rng.normal(size=(8, *student.input_shape[1:])).astype("float32")
    labels = np.eye(7, dtype="float32")[rng.integers(0, 7, 8)]
    logs = distiller.fit(images, labels, batch_size=4, epochs=2, verbose=0).history
    assert {"loss", "accuracy"} <= logs.keys()
    moved = [
        any((np.array(v) != old).any() for v, old in zip(model.weights, values, strict=True))
        for model, values in zip((student, teacher), before, strict=True)
    ]
    assert moved == [True, False]


def test_bad_input():
    with pytest.raises(ValueError, match="hard or soft; got 'firm'"):
        with_teacher(small(7), small(7), "firm")
    with pytest.raises(ValueError, match=r"teacher gives \(None, 5\) and the student \(None, 7\)"):
        with_teacher(small(7), small(5))
