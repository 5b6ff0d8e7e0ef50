"""Tasks of keras-cv and KerasHub that take a backbone for images, and what is expected."""

from tasks import keras_cv, keras_hub
from tasks.common import BACKENDS, BOXES, IMAGES, LABELS, Task, small_backbone

TASKS = [*keras_cv.TASKS, *keras_hub.TASKS]
OTHERS = {"keras_cv": keras_cv.OTHERS, "keras_hub": keras_hub.OTHERS}

__all__ = ["BACKENDS", "BOXES", "IMAGES", "LABELS", "OTHERS", "TASKS", "Task", "small_backbone"]
