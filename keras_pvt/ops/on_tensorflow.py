"""What TensorFlow has operations for that Keras does not offer as they are."""

import numpy as np
import tensorflow as tf


def device():
    """See `keras_pvt.ops.device`."""
    for kind in ("TPU", "GPU"):
        found = tf.config.get_visible_devices(kind)
        if found:
            name = tf.config.experimental.get_device_details(found[0]).get("device_name", kind)
            return f"{kind.lower()}:0 ({name})", len(found)
    return "cpu", 1


def resize(x, height, width, interpolation, align_corners):
    """See `keras_pvt.ops.resize`. Both are operations of TFLite too."""
    if interpolation == "nearest":
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=(height, width))
    y = tf.raw_ops.ResizeBilinear(
        images=x,
        size=(height, width),
        align_corners=align_corners,
        half_pixel_centers=not align_corners,
    )
    return tf.cast(y, x.dtype)  # it is float32 whatever x is


class _Own(np.ndarray):
    """An array of which TensorFlow need not take the copy that it asks every array for."""

    def copy(self, order="C"):
        return self


def assign_without_copy(variable, array):
    """See `keras_pvt.ops.assign_without_copy`.

    Keras's own way copies the array twice, and reads what it wrote: for the many small weights
    of a PVT that takes longer than reading their file.
    """
    target, tensor = variable.value, tf.constant(array.view(_Own))
    if tensor.dtype != target.dtype:
        tensor = tf.cast(tensor, target.dtype)
    target.assign(tensor, read_value=False)


def argmax(x):
    """See `keras_pvt.ops.argmax`."""
    return tf.argmax(x, axis=-1, output_type=tf.int32)


def on_host(function, shape, *tensors):
    """See `keras_pvt.ops.on_host`."""
    result = tf.numpy_function(function, tensors, tf.int32, stateful=False)
    result.set_shape(shape)
    return result


def replica_share(loss):
    """See `keras_pvt.ops.replica_share`."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
