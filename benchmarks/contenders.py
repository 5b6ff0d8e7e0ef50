"""What the benchmarks compare: one prepared call per contender, of PVT and of PVTv2.

Every contender has random weights of its own and gets images that are already in its own
layout, so that nothing but the forward pass, or a training step, is measured.
"""

import dataclasses
import functools
import importlib
import pathlib
import sys
import types
from collections.abc import Callable

import numpy as np

from keras_pvt.variants import VARIANTS

OURS, ZEROMODELS, HUGGING_FACE, UPSTREAM = "keras_pvt", "zeromodels", "hugging face", "official"
RATE = 1e-4  # of learning, in a training step


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure: a variant, the side of the images in pixels, and the batch."""

    variant: str
    size: int
    batch: int = 1

    def images(self) -> np.ndarray:
        """Random ones, channels last."""
        images = np.random.default_rng(0).standard_normal((self.batch, self.size, self.size, 3))
        return images.astype("float32")


def prepare(
    contender: str, case: Case, upstream: pathlib.Path | None = None, precision: str = "float32"
) -> Callable:
    """Build a contender and return its forward pass, which waits for the result.

    Args:
        contender: one of the four names above.
        case: what to run.
        upstream: checkout of whai362/PVT; only `UPSTREAM` needs it.
        precision: "float32" or "bfloat16", of weights and images.
    """
    if contender in BUILDERS:
        import keras

        keras.config.set_dtype_policy(precision)
        return keras_call(BUILDERS[contender](case), case.images())
    return torch_call(torch_model(contender, case, upstream), case.images(), precision)


def prepare_step(contender: str, case: Case, upstream: pathlib.Path | None = None) -> Callable:
    """Build a contender and return its training step, which waits for the loss; see `prepare`."""
    labels = np.random.default_rng(1).integers(0, 1000, case.batch)
    if contender not in BUILDERS:
        return _torch_step(torch_model(contender, case, upstream), case.images(), labels)
    import keras

    model, images = BUILDERS[contender](case), case.images()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(RATE), loss)
    return lambda: model.train_on_batch(images, labels)


def _torch_step(model, images: np.ndarray, labels: np.ndarray) -> Callable:
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_model(contender: str, case: Case, upstream: pathlib.Path | None):
    """The module of one of the two contenders that are torch's."""
    if contender == HUGGING_FACE:
        return hugging_face(case)
    # PVT is built for 224 pixels, as its checkpoints are; it resizes its positions itself.
    family = VARIANTS[case.variant].family
    return getattr(_official_module(upstream, family), case.variant)()


def keras_call(model, images: np.ndarray) -> Callable:
    """The inference call of a Keras model, compiled where the backend has a compiler."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        weights = [v.value for v in model.trainable_variables]
        state = [v.value for v in model.non_trainable_variables]
        x = jax.device_put(images)
        forward = jax.jit(lambda *args: model.stateless_call(*args, training=False)[0])
        return lambda: jax.block_until_ready(forward(weights, state, x))
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(images)
        forward = tf.function(lambda x: model(x, training=False))
        return lambda: [output.numpy() for output in keras.tree.flatten(forward(x))]
    import torch

    x = torch.from_numpy(images)

    def eager():
        with torch.no_grad():
            return model(x, training=False)

    return eager


def gflops(call: Callable) -> float:
    """1e9 multiply-adds of convolutions, dense layers and attention in a call of torch, or of Keras
    on PyTorch, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


def torch_call(model, images: np.ndarray, precision: str = "float32") -> Callable:
    """The eager inference call of a torch module, which takes channels-first images."""
    import torch

    dtype = getattr(torch, precision)
    model.eval().to(dtype)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(dtype)

    def eager():
        with torch.no_grad():
            return model(x)

    return eager


def build_ours(case: Case):
    """Our classifier, which ends in logits."""
    import keras_pvt

    return keras_pvt.classifier(
        case.variant, input_shape=(case.size, case.size, 3), classifier_activation=None
    )


def build_zeromodels(case: Case):
    """zeromodels' classifier, which ends in logits; its size is fixed when it is built."""
    config = VARIANTS[case.variant]
    if config.family == "pvt":
        from zeromodels.models.pvt import PvtImageClassify

        return PvtImageClassify(depths=config.depths, image_size=case.size)
    from zeromodels.models.pvt_v2 import PvtV2ImageClassify

    return PvtV2ImageClassify(
        hidden_sizes=config.embed_dims,
        depths=config.depths,
        mlp_ratios=config.mlp_ratios,
        linear_attention=config.linear,
        image_size=case.size,
    )


BUILDERS = {OURS: build_ours, ZEROMODELS: build_zeromodels}


def hugging_face(case: Case):
    """transformers' classifier, built for the size of the case."""
    from transformers import (
        PvtConfig,
        PvtForImageClassification,
        PvtV2Config,
        PvtV2ForImageClassification,
    )

    config = VARIANTS[case.variant]
    depths = list(config.depths)
    if config.family == "pvt_v2":
        return PvtV2ForImageClassification(
            PvtV2Config(
                hidden_sizes=list(config.embed_dims),
                depths=depths,
                mlp_ratios=list(config.mlp_ratios),
                linear_attention=config.linear,
                num_labels=1000,
            )
        )
    # At another size than it was built for, its position tables do not fit.
    return PvtForImageClassification(
        PvtConfig(depths=depths, image_size=case.size, num_labels=1000)
    )


@functools.cache
def _official_module(checkout: pathlib.Path, name: str) -> types.ModuleType:
    """The official `classification/NAME.py`, with stand-ins for what it takes from timm."""
    from torch import nn

    # At a rate of dropping of 0, none of these does anything but initialise weights.
    stand_ins = {
        "timm.models.layers": {
            "DropPath": nn.Identity,
            "to_2tuple": lambda size: (size, size),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "timm.models.registry": {"register_model": lambda function: function},
        "timm.models.vision_transformer": {"_cfg": dict},
    }
    modules = {one: types.ModuleType(one) for one in ("timm", "timm.models", *stand_ins)}
    for module, members in stand_ins.items():
        vars(modules[module]).update(members)
    folder = str(checkout / "classification")
    before = dict(sys.modules)
    sys.modules.update(modules)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for module in modules:
            sys.modules.pop(module)
            if module in before:
                sys.modules[module] = before[module]
