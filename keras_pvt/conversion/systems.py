"""The models that are more than a classifier or a backbone: segmenters and detectors."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

from keras_pvt.conversion.detector_map import mask_rcnn_map, retinanet_map
from keras_pvt.conversion.detr_map import DETR_NAMES, detr_map
from keras_pvt.conversion.key_map import Entry
from keras_pvt.conversion.segmenter_map import semantic_fpn_map, trans2seg_map


class System(NamedTuple):
    """A kind of model.

    Args:
        key_map: from the row of its backbone and the model, or an `Outline`, to every weight.
        prefix: what stands before the keys of the backbone.
        mark: a variable that it has, and nothing else.
        others: the same in the layouts of other libraries, by their names.
    """

    key_map: Callable[..., list[Entry]]
    prefix: str
    mark: str
    others: dict[str, "System"] = {}  # noqa: RUF012

    def in_layout(self, layout: str) -> "System":
        """The same with the names of a layout; the official ones where it has no others."""
        return self.others.get(layout, self)


def _detr(layout: str) -> System:
    return System(
        functools.partial(detr_map, layout=layout), DETR_NAMES[layout].backbone, "queries/table"
    )


SYSTEMS = {
    "semantic_fpn": System(semantic_fpn_map, "backbone.", "logits/kernel"),
    "trans2seg": System(trans2seg_map, "encoder.", "prototypes/table"),
    "retinanet": System(retinanet_map, "backbone.", "class_conv0/kernel"),
    "mask_rcnn": System(mask_rcnn_map, "backbone.", "proposal_conv/kernel"),
    "detr": _detr("official")._replace(
        others={layout: _detr(layout) for layout in DETR_NAMES if layout != "official"}
    ),
}


@dataclasses.dataclass(frozen=True)
class Outline:
    """What a map asks of its model; this says it of one that is not known yet.

    Args:
        depth: blocks of a `Trans2Seg` or `DETR`; here more than there will be.
        skip_level: any, if there is one.
        embed_dim: channels of its transformer; 0 leaves what is split there whole.
        head_depth: convolutions of a `RetinaNet`'s towers; here more than there will be.
        mask_depth: the same of a `MaskRCNN`'s mask head.
        masks: whether it has one.
    """

    depth: int = 32
    skip_level: str | None = "P2"
    embed_dim: int = 0
    head_depth: int = 32
    mask_depth: int = 32
    masks: bool = True
