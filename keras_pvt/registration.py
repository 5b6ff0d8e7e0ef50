"""The classes that Keras's files can name."""

from keras_pvt import default_backend


def register_classes() -> None:
    """Import Keras, and every such class, which registers it.

    Raises:
        ImportError: no backend is installed; says what to install.
    """
    default_backend.check()
    from keras_pvt import detection, exporting, layers, segmentation, training  # noqa: F401
    from keras_pvt.models import backbone, classifier  # noqa: F401

    for package in (detection, segmentation, training):  # which import a name that is asked for
        for name in package.__all__:
            getattr(package, name)
