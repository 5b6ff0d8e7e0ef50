"""What there is to say of a model that goes to a hub."""

import dataclasses
from collections.abc import Sequence

import keras

from keras_pvt import families, systems
from keras_pvt.conversion.description import Description, describe, is_names
from keras_pvt.conversion.fit import without_free
from keras_pvt.families import Family, Rates
from keras_pvt.models.inputs import image_shape, takes_pixels
from keras_pvt.models.trained_model import TrainedModel
from keras_pvt.systems import System
from keras_pvt.utils.images import default_resize_size
from keras_pvt.variants import VARIANTS, PVTConfig


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and what another library has to be told of it.

    Args:
        model: built by keras_pvt.
        trained: the same with what is known of its use, or None.
        description: how it was built, with the names of its classes.
        system: record of what it is.
        config: row of its backbone.
        rates: of dropping, in training.
    """

    model: keras.Model
    trained: TrainedModel | None
    description: Description
    system: System
    config: PVTConfig
    rates: Rates

    @classmethod
    def of(cls, model: keras.Model | TrainedModel, classes: Sequence[str] | None) -> "Subject":
        """What a model tells of itself.

        Args:
            model: of keras_pvt.
            classes: names of what it tells apart; None: those of a trained model, if it is one.
        Raises:
            ValueError: a model that keras_pvt did not build; names that are none, or of another
                number than the model has outputs.
        """
        trained = model if isinstance(model, TrainedModel) else None
        if classes is None and trained is not None:
            classes = trained.classes
        bare: keras.Model = model.model if isinstance(model, TrainedModel) else model
        if not getattr(bare, "inputs", None):
            raise ValueError(f"{bare!r:.80} is no model that keras_pvt built.")
        names = None if classes is None else tuple(map(str, classes))
        described = dataclasses.replace(describe(bare), classes=names)
        config, system = families.config_of(bare), systems.SYSTEMS[described.system]
        subject = cls(bare, trained, described, system, config, families.rates_of(bare))
        if names is not None and not is_names(names):
            raise ValueError(f"`classes` must be different names; got {', '.join(names)[:80]}.")
        count = subject.outputs
        if names is not None and system.name == "classifier" and len(names) != count:
            raise ValueError(f"the model gives {count or 'no'} classes; got {len(names)} names.")
        return subject

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of what the model tells apart, in the order of its outputs."""
        return self.description.classes

    @property
    def backbone(self) -> Description:
        """How its backbone was built, whose weights tell no classes."""
        facts = self.description.backbone
        row = {**facts["variant"], "classes": PVTConfig.classes}
        return Description("backbone", {**facts, "variant": row})

    @property
    def family(self) -> Family:
        """The family of the backbone."""
        return families.named(self.config.family)

    @property
    def outputs(self) -> int | None:
        """How many classes a classifier tells apart; None: it has no head, or is no classifier."""
        if self.system.name != "classifier" or not self.description.options.get("include_top"):
            return None
        return self.model.output_shape[-1]

    @property
    def variant(self) -> str | None:
        """Name of the row that the backbone has, whatever its image size and its classes."""
        rows = {without_free(row): name for name, row in VARIANTS.items()}
        return rows.get(without_free(self.config))

    @property
    def channels(self) -> int:
        """Of the images."""
        return image_shape(self.model)[-1]

    @property
    def pixels(self) -> bool:
        """Whether the model takes 0..255, and normalises inside."""
        return takes_pixels(self.model)

    @property
    def side(self) -> int:
        """Pixels of a side of the crop that the model was made for."""
        height, width = image_shape(self.model)[1:3]
        return height if height is not None and height == width else self.config.image_size

    @property
    def short_side(self) -> int:
        """Pixels of the shorter side of an image before the crop."""
        return default_resize_size(self.side)


def refuse(subject: Subject, library: str, why: str) -> ValueError:
    """The error of a model that a library has no place for.

    Args:
        subject: the model.
        library: its name for people.
        why: what it lacks.
    """
    return ValueError(
        f"model {subject.model.name!r} is a {subject.system.title} of {subject.family.title}: "
        f'{library} {why}. library="keras" takes any model of keras_pvt.'
    )
