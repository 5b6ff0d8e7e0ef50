"""What torch computes faster by its own functions than through Keras's layers.

torch runs each layer as it comes, and what Keras does around a call then costs as much as the
arithmetic of a small batch; elsewhere it costs only while the graph is traced.
"""

import keras
import torch
import torch.nn.functional as F

from keras_pvt.ops.shortcuts import is_plain, patches

# Hidden features of a feed-forward at a time (8 MiB in float32), which then stay in the cache.
_HIDDEN = 1 << 21
# Items of a greedy choice that are settled together.
_SETTLED = 128


def device():
    """See `keras_pvt.ops.device`."""
    place = keras.ops.zeros(()).device
    if place.type != "cuda":
        return str(place), 1
    return f"{place} ({torch.cuda.get_device_name(place)})", torch.cuda.device_count()


def is_bare(layer, x) -> bool:
    """Whether `layer(x)` does nothing that matters but `layer.call(x)`.

    Keras has to be asked where it casts, runs a hook, or has more to do than `is_plain` allows.
    """
    return (
        isinstance(x, torch.Tensor)
        and x.dtype is getattr(torch, layer.compute_dtype, None)
        and is_plain(layer)
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        and not (layer._backward_hooks or layer._backward_pre_hooks)
    )


def dense(layer, x):
    """A bare Dense layer. One kernel, where Keras adds the bias in a second pass."""
    bias = None if layer.bias is None else _value(layer.bias, x)
    return F.linear(x, _value(layer.kernel, x).T, bias)


def layer_norm(layer, x):
    """A bare LayerNormalization over the last axis."""
    gamma, beta = _value(layer.gamma, x), _value(layer.beta, x)
    return F.layer_norm(x, gamma.shape, gamma, beta, layer.epsilon)


def patch_conv(layer, x):
    """A bare Conv2D layer whose stride is its kernel, on a map of static sides.

    A matrix product: torch's convolution would first copy the kernel to another layout.
    """
    x = patches(x, layer.kernel_size[0])
    kernel = _value(layer.kernel, x).reshape(x.shape[-1], -1)
    return F.linear(x, kernel.T, _value(layer.bias, x))


def overlap_conv(layer, x, edge):
    """A bare Conv2D layer on a map with `edge` cells of 0 around it."""
    kernel = _value(layer.kernel, x).permute(3, 2, 0, 1)
    return _conv(layer, x, kernel, stride=layer.strides, padding=edge)


def depthwise_conv(layer, x):
    """A bare DepthwiseConv2D layer of stride 1."""
    kernel = _value(layer.kernel, x).permute(2, 3, 0, 1)
    return _conv(layer, x, kernel, padding=kernel.shape[-1] // 2, groups=kernel.shape[0])


def _conv(layer, x, kernel, **options):
    """A convolution of a view of the map, of which Keras makes two copies, or three with padding.

    A depthwise one of a copy in torch's own layout takes 6 to 15 times as long, and so does its
    gradient.
    """
    y = F.conv2d(x.permute(0, 3, 1, 2), kernel, _value(layer.bias, x), **options)
    return y.permute(0, 2, 3, 1)


def feed_forward(fc1, fc2, x):
    """Two bare Dense layers with an exact GELU between."""
    # A plain tensor, not one of those that trace a graph, whose sizes may be symbols.
    if type(x) is not torch.Tensor or x.device.type != "cpu" or torch.is_grad_enabled():
        return dense(fc2, F.gelu(dense(fc1, x)))
    kernels = _value(fc1.kernel, x), _value(fc2.kernel, x)
    biases = _value(fc1.bias, x), _value(fc2.bias, x)
    rows = x.reshape(-1, x.shape[-1])
    y = x.new_empty(rows.shape[0], kernels[1].shape[1])
    step = max(1, _HIDDEN // kernels[0].shape[1])
    for part, out in zip(rows.split(step), y.split(step), strict=True):
        hidden = torch.ops.aten.gelu_(torch.addmm(biases[0], part, kernels[0]))
        torch.addmm(biases[1], hidden, kernels[1], out=out)
    return y.reshape(*x.shape[:-1], -1)


def conv_feed_forward(fc1, conv, fc2, x, relu):
    """`fc2(gelu(conv(fc1(x))))` of bare layers, some rows of an image at a time where that pays."""
    # A plain tensor, see `feed_forward`.
    if type(x) is not torch.Tensor or x.device.type != "cpu" or torch.is_grad_enabled():
        y = dense(fc1, x)
        return dense(fc2, F.gelu(depthwise_conv(conv, F.relu(y) if relu else y)))
    kernels = _value(fc1.kernel, x), _value(fc2.kernel, x)
    biases = _value(fc1.bias, x), _value(fc2.bias, x)
    batch, height, width, channels = x.shape
    hidden, dim = kernels[1].shape
    rows = max(1, min(height, _HIDDEN // (width * hidden)))
    images = max(1, _HIDDEN // (height * width * hidden))
    y = x.new_empty(batch, height, width, dim)
    for first in range(0, batch, images):
        for row in range(0, height, rows):
            # The convolution sees a row more above and below; of those it gives nothing is kept.
            above, end = min(row, 1), min(height, row + rows)
            part = x[first : first + images, row - above : min(height, end + 1)]
            part_sizes = part.shape
            part = torch.addmm(biases[0], part.reshape(-1, channels), kernels[0])
            part = part.relu_() if relu else part
            part = depthwise_conv(conv, part.view(*part_sizes[:3], hidden))
            part = torch.ops.aten.gelu_(part[:, above : above + end - row])
            out = y[first : first + images, row:end]
            if out.is_contiguous():
                torch.addmm(biases[1], part.reshape(-1, hidden), kernels[1], out=out.view(-1, dim))
            else:
                out.copy_(F.linear(part, kernels[1].T, biases[1]))
    return y


def attention(query, key_value, num_heads, batch, scale, visible=None):
    """See `keras_pvt.ops.attention`. The fused kernel never holds the weights."""
    channels = query.shape[-1]
    q = query.reshape(batch, -1, num_heads, channels // num_heads)
    k, v = key_value.reshape(batch, -1, 2, num_heads, channels // num_heads).unbind(2)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, heads, N, C / heads)
    mask = None if visible is None else visible[:, None, None]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return y.transpose(1, 2).reshape(query.shape)


def resize(x, height, width, interpolation="bilinear", align_corners=False):
    """See `keras_pvt.ops.resize`."""
    options = {} if interpolation == "nearest" else {"align_corners": align_corners}
    x = F.interpolate(x.permute(0, 3, 1, 2), (height, width), mode=interpolation, **options)
    return x.permute(0, 2, 3, 1)


def class_crossentropy(labels, logits):
    """See `keras_pvt.ops.class_crossentropy`. Keras would make labels as large as the logits."""
    rows = logits.reshape(-1, logits.shape[-1])
    losses = F.cross_entropy(rows, labels.reshape(-1).to(torch.int64), reduction="none")
    return losses.reshape(labels.shape)


def take_rows(x, index):
    """See `keras_pvt.ops.take_rows`. torch's `take_along_dim` cannot be exported to ONNX."""
    index = index.to(torch.int64)
    if x.ndim == 3:
        index = index[:, :, None].expand(-1, -1, x.shape[2])
    return torch.gather(x, 1, index)


def is_exporting() -> bool:
    """Whether a graph is being traced, in which a condition has no truth value."""
    return torch.compiler.is_exporting()


def fixed_point(step, x):
    """See `keras_pvt.ops.fixed_point`; for a graph that is being traced."""
    from torch._higher_order_ops import while_loop

    return while_loop(
        lambda x, before: (x != before).any(),
        lambda x, before: (step(x), x.clone()),
        (step(x), x.clone()),
    )[0]


def is_writing_onnx() -> bool:
    """See `keras_pvt.ops.is_writing_onnx`."""
    return torch.onnx.is_in_onnx_export()


def onnx_roi_align(maps, boxes, level, size, finest):
    """See `keras_pvt.ops.onnx_roi_align`."""
    batch, count = boxes.shape[:2]
    image = torch.arange(batch, device=boxes.device)[:, None].expand(batch, count).reshape(-1)
    level = level.reshape(-1, 1)
    boxes = boxes.reshape(-1, 4)
    found = boxes.new_zeros(())
    for n, x in enumerate(maps):
        own = level == n
        # A box of another level is given no area: there is nothing to do for it.
        seen = torch.onnx.ops.symbolic(
            "RoiAlign",
            (x.permute(0, 3, 1, 2).to(boxes.dtype), torch.where(own, boxes, 0.0), image),
            {
                "coordinate_transformation_mode": "half_pixel",
                "mode": "avg",
                "output_height": size,
                "output_width": size,
                "sampling_ratio": 0,
                "spatial_scale": 1 / (finest * 2**n),
            },
            dtype=boxes.dtype,
            shape=(boxes.shape[0], x.shape[3], size, size),
            version=16,
        )
        found = found + torch.where(own[:, :, None, None], seen, 0.0)
    return found.permute(0, 2, 3, 1).reshape(batch, count, size, size, -1).to(maps[0].dtype)


def runs_as_it_comes(*tensors) -> bool:
    """Whether a CPU computes these now, so that their values may say what is computed next."""
    # Plain tensors, see `feed_forward`.
    plain = all(type(x) is torch.Tensor and x.device.type == "cpu" for x in tensors)
    return plain and not torch.compiler.is_compiling()


def greedy(beats, items, valid):
    """See `keras_pvt.ops.greedy`.

    All pairs at once would be tensors of many MiB, one for each step of `beats`. Here some items
    are settled at a time, and only those that stay are held against the worse ones.
    """
    keep, count = valid.clone(), valid.shape[1]
    # Columns lie together, else torch compares a number at a time.
    items = [x.movedim(-1, 0).contiguous().movedim(0, -1) if x.ndim > 2 else x for x in items]
    for image, of_image in enumerate(keep):
        for first in range(0, count, _SETTLED):
            end = min(first + _SETTLED, count)
            own = [x[image : image + 1, first:end] for x in items]
            wins = beats(own, own)[0].triu(1)
            usable = of_image[first:end]
            before, stays = None, usable
            while before is None or not torch.equal(stays, before):
                before, stays = stays, usable & ~wins[stays].any(dim=0)
            usable.copy_(stays)
            if end < count:
                worse = [x[image : image + 1, end:] for x in items]
                beaten = beats([x[:, stays] for x in own], worse)[0].any(dim=0)
                of_image[end:].logical_and_(~beaten)
    return keep


def takes_windows_singly(maps, boxes) -> bool:
    """See `keras_pvt.ops.takes_windows_singly`."""
    return runs_as_it_comes(*maps, boxes)


def longest_window(count, sides):
    """See `keras_pvt.ops.longest_window`."""
    return int(count.max()) if count.numel() else 1


def of_first_rows(function, numbers, *tensors):
    """See `keras_pvt.ops.of_first_rows`."""
    count = max(1, int(numbers.max()))
    found = function(*(x[:, :count] for x in tensors))
    rest = found.new_zeros(found.shape[0], tensors[0].shape[1] - count, *found.shape[2:])
    return torch.cat([found, rest], dim=1)


def windows_singly(maps, windows, down, across):
    """See `keras_pvt.ops.windows_singly`."""
    return _Windows.apply(windows, down, across, *maps)


class _Windows(torch.autograd.Function):
    """Neither way holds more than a window at a time, nor copies one."""

    @staticmethod
    def forward(ctx, windows, down, across, *maps):
        dtype, shapes = maps[0].dtype, [x.shape for x in maps]
        ctx.save_for_backward(windows, down, across)
        ctx.dtype, ctx.shapes = dtype, shapes
        batch, count, size, _ = down.shape
        found = maps[0].new_empty(batch * count, size, size, maps[0].shape[3])
        whole = [x.contiguous() for x in maps]
        each = _each_window(windows, down.to(dtype), across.to(dtype), whole)
        for out, (window, left, right) in zip(found, each, strict=True):
            rows, columns, channels = window.shape
            part = torch.mm(left, window.view(rows, columns * channels))
            torch.matmul(right, part.view(size, columns, channels), out=out)
        return found.view(batch, count, size, size, -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        windows, down, across = ctx.saved_tensors
        # Many windows lie on a cell: their sum has to keep its digits in half precision too.
        dtype = torch.promote_types(slope.dtype, torch.float32)
        slopes = [slope.new_zeros(shape, dtype=dtype) for shape in ctx.shapes]
        each = _each_window(windows, down.to(dtype), across.to(dtype), slopes)
        for own, (window, left, right) in zip(slope.to(dtype).flatten(0, 1), each, strict=True):
            rows, columns, channels = window.shape
            part = torch.matmul(right.T, own).view(-1, columns * channels)
            window.view(rows, columns * channels).addmm_(left.T, part)
        return None, None, None, *(x.to(ctx.dtype) for x in slopes)


def _each_window(windows, down, across, maps):
    """Of each, a view `(rows, columns, C)` of its map, and its matrices `(s, rows)` and `(s,
    columns)`."""
    for image, *of_image in zip(range(len(windows)), windows.tolist(), down, across, strict=True):
        for (n, top, rows, left, columns), by_row, by_column in zip(*of_image, strict=True):
            window = maps[n][image, top : top + rows, left : left + columns]
            yield window, by_row[:, :rows], by_column[:, :columns]


def _value(variable, x):
    """The variable in the dtype, and on the device, of `x`."""
    return variable.value.to(x.device, x.dtype)
