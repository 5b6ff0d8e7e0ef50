"""Which weights of a PVT are divided over devices."""

import keras


def pvt_layout_map(mesh: keras.distribution.DeviceMesh) -> keras.distribution.LayoutMap:
    """Which axis of which weight of a PVT or PVTv2 is divided over the devices.

    Kernels and position tables, 99 % of the weights, by their channels out; depthwise kernels by
    the only channels that they have; the head, whose channels out are the classes, by its channels
    in. Norms, biases and the class token stay
    whole. The widths of the paper's variants divide by 8, and so do those
    of the small ones for 32 pixels.

    Args:
        mesh: of one axis, the one that batches are divided over.
    Returns:
        The layouts, for `keras.distribution.ModelParallel`, which Keras has on JAX.
    Raises:
        ValueError: a mesh of more than one axis.
    """
    (axis,) = mesh.axis_names
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[r".*attention/(query|key_value|proj)/kernel"] = (None, axis)
    layouts[r".*feed_forward/(fc1|fc2)/kernel"] = (None, axis)
    layouts[r".*(patch_embedding/proj|attention/sr)/kernel"] = (None, None, None, axis)
    layouts[r".*feed_forward/depthwise/kernel"] = (None, None, axis, None)
    layouts[r".*stage\d_position/table"] = (None, None, None, axis)
    layouts[r"(.*/)?head/kernel"] = (axis, None)
    # What each layer gives stays divided by samples. Left to choose, XLA would in places divide
    # it by channels, as the weights are, and move it about.
    layouts[r".*/output"] = (axis,)
    return layouts
