"""A folder that KerasHub loads: `keras_hub.models.Backbone.from_preset(folder)`."""

import pathlib

import keras

from keras_pvt.conversion import load_checkpoint, to_torch
from keras_pvt.hub.subject import Subject, refuse
from keras_pvt.utils.extras import needed_for

TITLE = "KerasHub"


def write(subject: Subject, folder: pathlib.Path) -> None:
    """Write a preset: of a backbone, or of an image classifier with its preprocessor.

    Args:
        subject: a backbone of either family, or a classifier of PVTv2.
        folder: to write into.
    Raises:
        ValueError: KerasHub has no such model.
        ImportError: it is not installed.
    """
    with needed_for('library="keras_hub"', "keras_hub"):
        from keras_pvt.hub import members

    if subject.system.names or (subject.system.name == "classifier" and not subject.outputs):
        raise refuse(subject, TITLE, "takes backbones, and classifiers with their head")
    if subject.outputs and subject.family.token is not None:
        raise refuse(
            subject, TITLE, "has no class token in its classifiers; a PVTBackbone of it is taken"
        )
    facts = dict(subject.description.backbone)
    facts["variant"], facts["input_shape"] = subject.config, tuple(facts["input_shape"])
    state = dict(to_torch(subject.model))
    backbone = members.PVTHubBackbone(**facts)
    load_checkpoint(backbone, state)
    if not subject.outputs:
        backbone.save_to_preset(str(folder))
        return
    # A model that normalises inside takes images as they are.
    plain = {"scale": None, "offset": None} if subject.pixels else {}
    converter = members.PVTImageConverter(image_size=(subject.side, subject.side), **plain)
    activation = subject.description.options["classifier_activation"]
    task = members.PVTImageClassifier(
        backbone,
        subject.outputs,
        preprocessor=members.PVTImageClassifierPreprocessor(converter),
        pooling="avg",
        activation=keras.activations.get(activation),
    )
    task.output_dense.set_weights([state["head.weight"].T, state["head.bias"]])
    task.save_to_preset(str(folder))


def usage(subject: Subject) -> str:
    """The lines of Python that load the folder, for its model card."""
    kind = "ImageClassifier" if subject.outputs else "Backbone"
    return (
        "import keras_hub\n"
        "import keras_pvt.hub  # which has the classes\n\n"
        f'model = keras_hub.models.{kind}.from_preset("hf://OWNER/NAME")'
    )
