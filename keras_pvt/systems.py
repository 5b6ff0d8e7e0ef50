"""The systems: one record each, read by conversion, export, training, the commands and the docs.

Standard library only, so that tools can read the records without Keras. A record names code as
"package.module:name", which `System.load` imports when it is used. So a module that reads the
records imports none of the systems, and imports go one way.

A system of your own is a model, a key map and a record:

    register(System("fcos", title="FCOS", task="detection", model="my_package.fcos:FCOS", ...))
"""

import dataclasses
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Literal

from keras_pvt.records import Reference, Registry, resolve

Task = Literal["classification", "features", "detection", "segmentation"]


@dataclasses.dataclass(frozen=True)
class KeyNames:
    """The names that one library has for the weights of a system.

    Args:
        key_map: `(config, model) -> list[Entry]`, from the row of the backbone and the model, or
            an outline of it (see `System.outline`), to every weight.
        start: how some keys begin in these names, and in no others; "official" needs none.
    """

    key_map: Reference
    start: str = ""


@dataclasses.dataclass(frozen=True)
class System:
    """A kind of model, and who does what with it.

    Fields that name code are an object, or "package.module:name", see `load`.

    Args:
        name: identifier, which recipes and commands take, and `model.system` is.
        title: for people.
        task: what the model answers.
        model: the class, or the function that builds one.
        from_arrays: `(arrays, size=None, logits=False) -> model`, untrained, with the widths of a
            checkpoint, see `keras_pvt.conversion.build.SystemArrays`; `size` is (height, width)
            in pixels, None for what is open, and `logits` leaves softmax out.
        cost: `(config, height, width, classes=...) -> list[Part]`, see `keras_pvt.flops`.
        size: (height, width) in pixels of the images that the paper counts the cost for; None:
            what the variant was trained on.
        counts: `(parts) -> str`, what other counters say of the cost; None: nothing.
        names: for each layout of names the keys of a checkpoint, "official" first; empty where
            the family of the backbone knows all keys.
        newer: `(state) -> state`, with the newer of the names that a library has had for a
            weight; None: there are no older ones.
        mark: path of a variable that this system has, and no other.
        classes: `(get) -> int`, how many classes the shapes of a checkpoint tell; `get` gives the
            array of the path of a variable. None: the row of the backbone has it.
        per_class: how the paths of the variables begin whose shapes depend on the number of
            classes: what a new set of classes has to learn anew.
        numbers: paths of the variables with a row for each of what a model may have in another
            number, and the argument that is it, "num_" and what it counts.
        outline: attributes of the model that a key map asks for, as they are taken to be of a
            checkpoint whose model is not known yet; of what is counted, more than there will be.
        recipe: class of the recipes that train it; None: it is not trained by itself.
        build: `(recipe, num_classes) -> (model, backbone)`, ready to be compiled and trained.
        trainer: subclass of `keras_pvt.training.trainer.Trainer`.
        masks: whether it learns from outlines of objects, too.
        serve: `(model) -> model`, what is exported of a trained one, such as a model that ends in
            boxes; None: itself.
        options: `(model) -> dict`, the arguments that `model` built it with, in JSON's types, but
            for its backbone, name and dtype; by default what `DensePredictionModel.store_config`
            keeps. Checkpoints carry them, see `keras_pvt.conversion.description`.
        untold: those that the answers depend on and no shape of a weight tells, by their names,
            with what published models have. Without them no model is made of a checkpoint.
    """

    name: str
    title: str
    task: Task
    model: Reference
    from_arrays: Reference
    cost: Reference
    size: tuple[int, int] | None = None
    counts: Reference = None
    names: Mapping[str, KeyNames] = dataclasses.field(default_factory=dict)
    newer: Reference = None
    mark: str = ""
    classes: Reference = None
    per_class: tuple[str, ...] = ()
    numbers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    outline: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Reference = None
    build: Reference = None
    trainer: Reference = None
    masks: bool = False
    serve: Reference = None
    options: Reference = "keras_pvt.models.dense_prediction:options_of"
    untold: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def load(self, field: str) -> Any:
        """What a field refers to, imported now.

        Args:
            field: name of a field that names code.
        """
        return resolve(getattr(self, field))

    def key_map(self, layout: str, config, model=None, **known) -> list:
        """Every weight of a model, or of one that is not known yet, in the order of its library.

        Args:
            layout: of names; of one that the system does not have, the official.
            config: row of the backbone.
            model: None for one that is not known yet.
            known: what is known of that, over `outline`.
        """
        names = self.names_in(layout)
        if model is None:
            model = SimpleNamespace(**{**self.outline, **known})
        return resolve(names.key_map)(config, model)

    def names_in(self, layout: str) -> KeyNames:
        """The names of a layout; the official ones where there are no others."""
        return self.names.get(layout, self.names["official"])


SYSTEMS: Registry[System] = Registry("system")
register, named = SYSTEMS.register, SYSTEMS.named


def of_model(model) -> System | None:
    """The system that a model is; None for a classifier, a backbone, and what is none of ours.

    Those two are recognised by their layers, see `keras_pvt.families.config_of`.
    """
    return SYSTEMS.get(getattr(model, "system", None) or "")


@dataclasses.dataclass(frozen=True)
class NamesOf:
    """The names of the systems of a task, those registered later among them.

    Args:
        task: of the systems.
    """

    task: Task

    def __iter__(self) -> Iterator[str]:
        return (name for name, system in SYSTEMS.items() if system.task == self.task)


# Where detectors and segmenters agree. The sizes are those that the paper counts costs for.
_DETECTION: dict[str, Any] = {
    "task": "detection",
    "size": (800, 1280),
    "recipe": "keras_pvt.recipes.detection:DetectionRecipe",
    "trainer": "keras_pvt.detection.train:DetectionTrainer",
    "serve": "keras_pvt.detection.serving:ends_in_boxes",
}
_SEGMENTATION: dict[str, Any] = {
    "task": "segmentation",
    "size": (512, 512),
    "recipe": "keras_pvt.recipes.segmentation:SegmentationRecipe",
    "trainer": "keras_pvt.segmentation.train:SegmentationTrainer",
}

register(
    System(
        "classifier",
        title="classifier",
        task="classification",
        model="keras_pvt.models.classifier:classifier",
        from_arrays="keras_pvt.models.classifier:from_arrays",
        options="keras_pvt.models.classifier:options_of",
        cost="keras_pvt.flops:classifier",
        recipe="keras_pvt.recipes.classification:ClassificationRecipe",
        build="keras_pvt.models.classifier:from_recipe",
        trainer="keras_pvt.classification.train:ClassificationTrainer",
    )
)
register(
    System(
        "backbone",
        title="backbone",
        task="features",
        model="keras_pvt.models.backbone:PVTBackbone",
        from_arrays="keras_pvt.models.backbone:PVTBackbone.from_arrays",
        options="keras_pvt.models.backbone:options_of",
        cost="keras_pvt.flops:backbone",
    )
)
register(
    System(
        "semantic_fpn",
        title="Semantic FPN",
        model="keras_pvt.segmentation.models.semantic_fpn:SemanticFPN",
        from_arrays="keras_pvt.segmentation.models.semantic_fpn:SemanticFPN.from_arrays",
        build="keras_pvt.segmentation.models.semantic_fpn:SemanticFPN.from_recipe",
        cost="keras_pvt.flops:semantic_fpn",
        names={"official": KeyNames("keras_pvt.conversion.maps.semantic_fpn:key_map")},
        mark="logits/kernel",
        classes="keras_pvt.conversion.maps.semantic_fpn:classes",
        per_class=("logits/",),
        **_SEGMENTATION,
    )
)
register(
    System(
        "trans2seg",
        title="Trans2Seg",
        model="keras_pvt.segmentation.models.trans2seg:Trans2Seg",
        from_arrays="keras_pvt.segmentation.models.trans2seg:Trans2Seg.from_arrays",
        build="keras_pvt.segmentation.models.trans2seg:Trans2Seg.from_recipe",
        cost="keras_pvt.flops:trans2seg",
        counts="keras_pvt.flops.trans2seg:counts",
        names={"official": KeyNames("keras_pvt.conversion.maps.trans2seg:key_map")},
        mark="prototypes/table",
        classes="keras_pvt.conversion.maps.trans2seg:classes",
        per_class=("prototypes/",),
        outline={"depth": 32, "skip_level": "P2", "embed_dim": 0},  # 0: what it splits is whole
        **_SEGMENTATION,
    )
)
register(
    System(
        "retinanet",
        title="RetinaNet",
        model="keras_pvt.detection.models.retinanet:RetinaNet",
        from_arrays="keras_pvt.detection.models.retinanet:RetinaNet.from_arrays",
        build="keras_pvt.detection.models.retinanet:RetinaNet.from_recipe",
        cost="keras_pvt.flops:retinanet",
        names={
            "official": KeyNames("keras_pvt.conversion.maps.retinanet:key_map"),
            "mmdetection": KeyNames(
                "keras_pvt.conversion.maps.retinanet:mmdetection_map",
                start="backbone.layers.0.0.projection.",
            ),
        },
        mark="class_conv0/kernel",
        classes="keras_pvt.conversion.maps.retinanet:classes",
        per_class=("class_logits/",),
        outline={"head_depth": 32},
        untold={"anchor_side": 4.0},
        **_DETECTION,
    )
)
register(
    System(
        "mask_rcnn",
        title="Mask R-CNN",
        model="keras_pvt.detection.models.mask_rcnn:MaskRCNN",
        from_arrays="keras_pvt.detection.models.mask_rcnn:MaskRCNN.from_arrays",
        build="keras_pvt.detection.models.mask_rcnn:MaskRCNN.from_recipe",
        cost="keras_pvt.flops:mask_rcnn",
        names={
            "official": KeyNames("keras_pvt.conversion.maps.mask_rcnn:key_map"),
            "mmdetection": KeyNames(
                "keras_pvt.conversion.maps.mask_rcnn:mmdetection_map",
                start="backbone.layers.0.0.projection.",
            ),
        },
        mark="proposal_conv/kernel",
        classes="keras_pvt.conversion.maps.mask_rcnn:classes",
        per_class=("box_head/class_logits/", "box_head/box_deltas/", "mask_head/logits/"),
        masks=True,
        outline={"mask_depth": 32, "masks": True},
        untold={"anchor_side": 8.0},
        **_DETECTION,
    )
)
register(
    System(
        "detr",
        title="DETR",
        model="keras_pvt.detection.models.detr:DETR",
        from_arrays="keras_pvt.detection.models.detr:DETR.from_arrays",
        build="keras_pvt.detection.models.detr:DETR.from_recipe",
        cost="keras_pvt.flops:detr",
        names={
            "official": KeyNames("keras_pvt.conversion.maps.detr:official_map"),
            "facebook": KeyNames(
                "keras_pvt.conversion.maps.detr:facebook_map",
                start="transformer.decoder.layers.0.",
            ),
            "huggingface": KeyNames(
                "keras_pvt.conversion.maps.detr:huggingface_map",
                start="model.decoder.layers.0.",
            ),
        },
        newer="keras_pvt.conversion.maps.detr:newer",
        mark="queries/table",
        classes="keras_pvt.conversion.maps.detr:classes",
        per_class=("class_logits/",),
        numbers={"queries/table": "num_queries"},
        outline={"depth": 32},
        untold={"num_heads": 8},
        **_DETECTION,
    )
)
