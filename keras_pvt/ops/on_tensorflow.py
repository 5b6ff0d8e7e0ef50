"""What TensorFlow has operations for that Keras does not offer as they are."""

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.record import could_possibly_record
from tensorflow.python.framework.op_callbacks import should_invoke_op_callbacks

_SQRT_HALF = 0.7071067811865476


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


def gelu(x):
    """See `keras_pvt.ops.gelu`.

    TensorFlow passes over memory once for each operation, and keeps what each gives for the
    gradient. Where a CPU trains, XLA computes all in one pass, and the gradient begins from `x`.
    Elsewhere TensorFlow does: a program that holds a part for XLA can be neither a TFLite file nor
    an ONNX one. XLA compiles for each shape, so that an open one stays with TensorFlow, as does all
    where `tf.debugging` checks operations.
    """
    x = tf.convert_to_tensor(x)
    trains = tf.inside_function() and could_possibly_record() and not should_invoke_op_callbacks()
    fits = trains and x.shape.is_fully_defined() and device() == ("cpu", 1)
    return (_recorded_gelu if fits else _plain_gelu)(x)


def _plain_gelu(x):
    """TensorFlow's own exact GELU lowers to Erfc, which ONNX has no operator for, and only this
    form of it is fused into the matrix product before."""
    return 0.5 * x * (1.0 + tf.math.erf(x * _SQRT_HALF))


@tf.function(jit_compile=True, autograph=False)
def _gelu(x):
    # XLA's erf ends short of -1, so that GELU would not end at 0; at -6 it is -6e-9.
    return tf.where(x < -6.0, tf.zeros_like(x), _plain_gelu(x))


@tf.function(jit_compile=True, autograph=False)
def _gelu_slope(slope, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _gelu(x)
    return tape.gradient(y, x, slope)


@tf.custom_gradient
def _recorded_gelu(x):
    return _gelu(x), lambda slope: _gelu_slope(slope, x)


def argmax(x):
    """See `keras_pvt.ops.argmax`."""
    return tf.argmax(x, axis=-1, output_type=tf.int32)


def on_host(function, shape, *tensors):
    """See `keras_pvt.ops.on_host`."""
    result = tf.numpy_function(function, tensors, tf.int32, stateful=False)
    result.set_shape(shape)
    return result


def takes_windows_singly(maps, boxes) -> bool:
    """See `keras_pvt.ops.takes_windows_singly`."""
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    # Sizes of its slices are of run time, which XLA cannot have.
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    return device() == ("cpu", 1) and not (graph and GraphOrParentsInXlaContext(graph))


def longest_window(count, sides):
    """See `keras_pvt.ops.longest_window`."""
    return tf.reduce_max(tf.reshape(count, (-1,)))


def of_first_rows(function, numbers, *tensors):
    """See `keras_pvt.ops.of_first_rows`."""
    count, all_rows = tf.maximum(1, tf.reduce_max(numbers)), tf.shape(tensors[0])[1]
    found = function(*(x[:, :count] for x in tensors))
    found = tf.pad(found, [(0, 0), (0, all_rows - count)] + [(0, 0)] * (len(found.shape) - 2))
    found.set_shape((found.shape[0], tensors[0].shape[1], *found.shape[2:]))
    return found


@tf.function
def windows_singly(maps, windows, down, across):
    """See `keras_pvt.ops.windows_singly`. The loop can be written to a TFLite file too."""
    size, channels = down.shape[2], maps[0].shape[3]
    batch, count = tf.unstack(tf.shape(windows)[:2])
    # All cells of all maps in one list, of which a window is some rows.
    sides = [tf.unstack(tf.shape(x)[1:3]) for x in maps]
    starts = [0]
    for height, width in sides[:-1]:
        starts.append(starts[-1] + batch * height * width)
    cells = tf.concat([tf.reshape(x, (-1, channels)) for x in maps], axis=0)
    n, top, rows, left, columns = tf.unstack(tf.reshape(windows, (-1, 5)), axis=1)
    height, width = (tf.gather(tf.stack([side[axis] for side in sides]), n) for axis in (0, 1))
    image = tf.range(batch * count) // count
    first = tf.gather(tf.stack(starts), n) + (image * height + top) * width + left
    places = tf.stack([first, width, rows, columns], axis=1)
    down, across = (tf.reshape(x, (-1, size, tf.shape(x)[3])) for x in (down, across))
    return tf.reshape(_products(cells, places, down, across), (batch, count, size, size, channels))


def _products(cells, places, down, across):
    """`windows_singly` of a list of cells `(M, C)`: (first cell, cells of a row of the map, rows,
    columns) of each window, `(N, 4)`."""
    size, channels = down.shape[1], cells.shape[1]

    def numbers(first, width, rows, columns):
        return first + tf.range(rows)[:, None] * width + tf.range(columns)

    def product(window):
        place, by_row, by_column = window
        first, width, rows, columns = tf.unstack(place)
        seen = tf.gather(cells, numbers(first, width, rows, columns))
        part = tf.matmul(by_row[:, :rows], tf.reshape(seen, (rows, columns * channels)))
        part = tf.reshape(part, (size, columns, channels))
        return tf.matmul(by_column[:, :columns], part)

    def add(n, slope, total):
        """The slopes of cells, and what a window adds to them."""
        first, width, rows, columns = tf.unstack(places[n])
        part = tf.matmul(across[n, :, :columns], slope[n], transpose_a=True)
        part = tf.reshape(part, (size, columns * channels))
        part = tf.matmul(down[n, :, :rows], part, transpose_a=True)
        place = tf.reshape(numbers(first, width, rows, columns), (-1, 1))
        total = tf.tensor_scatter_nd_add(total, place, tf.reshape(part, (-1, channels)))
        return n + 1, slope, total

    # Else each window would have a gradient of all cells, to be added up.
    @tf.custom_gradient
    def products(cells):
        weights = (tf.cast(x, cells.dtype) for x in (down, across))
        spec = tf.TensorSpec((size, size, channels), cells.dtype)
        found = tf.map_fn(product, (places, *weights), fn_output_signature=spec)

        def differentiate(slope):
            # Many windows lie on a cell: their sum has to keep its digits in half precision too.
            slope = tf.cast(slope, down.dtype)
            start = (0, slope, tf.zeros(tf.shape(cells), down.dtype))
            total = tf.while_loop(lambda n, *_: n < tf.shape(places)[0], add, start)[2]
            return tf.cast(total, cells.dtype)

        return found, differentiate

    return products(cells)


def replica_share(loss):
    """See `keras_pvt.ops.replica_share`."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
