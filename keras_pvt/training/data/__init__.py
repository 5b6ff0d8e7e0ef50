"""Labelled images for training, from folders or tensorflow-datasets, and batches of them."""

from typing import TYPE_CHECKING

from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.training.data.batches import ImageBatches
    from keras_pvt.training.data.folder import FolderImages
    from keras_pvt.training.data.images import Images
    from keras_pvt.training.data.memory import InMemory
    from keras_pvt.training.data.opening import open_images, open_train_and_val
    from keras_pvt.training.data.tfds import TfdsImages

__all__ = [
    "FolderImages",
    "ImageBatches",
    "Images",
    "InMemory",
    "TfdsImages",
    "open_images",
    "open_train_and_val",
]

__getattr__ = importer(
    __name__,
    {
        "batches": ("ImageBatches",),
        "folder": ("FolderImages",),
        "images": ("Images",),
        "memory": ("InMemory",),
        "opening": ("open_images", "open_train_and_val"),
        "tfds": ("TfdsImages",),
    },
)
