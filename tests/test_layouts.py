"""Array layouts: both directions, with no two axes of one length."""

import numpy as np
import pytest

from keras_pvt.conversion import layouts

pytestmark = pytest.mark.one_backend("arrays of NumPy")


@pytest.mark.parametrize(
    ("layout", "torch_shapes", "keras_shapes"),
    [
        (layouts.SAME, [(7,)], [(7,)]),
        (layouts.DENSE, [(5, 3)], [(3, 5)]),
        (layouts.CONV, [(5, 3, 2, 4)], [(2, 4, 3, 5)]),
        (layouts.POSITION, [(1, 9, 5)], [(1, 3, 3, 5)]),
        (layouts.POSITION_WITH_CLASS, [(1, 10, 5)], [(1, 1, 5), (1, 3, 3, 5)]),
        (layouts.joined(layouts.DENSE), [(5, 3), (5, 3)], [(3, 10)]),
        (layouts.joined(layouts.SAME), [(5,), (5,)], [(10,)]),
    ],
)
def test_directions_are_inverse(layout, torch_shapes, keras_shapes, rng):
    arrays = [rng.standard_normal(shape).astype("float32") for shape in torch_shapes]
    there = layout.to_keras(*arrays)
    assert [x.shape for x in there] == keras_shapes
    back = layout.to_torch(*there)
    for array, again in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(array, again)


def test_permutation_of_five_axes(rng):
    """Five lengths: no axis can take another's place unseen."""
    order = (3, 0, 4, 2, 1)
    layout = layouts._permuted(order)
    array = rng.standard_normal((2, 3, 4, 5, 6))
    (there,) = layout.to_keras(array)
    assert there.shape == tuple(array.shape[axis] for axis in order)
    assert there[4, 1, 5, 3, 2] == array[1, 2, 3, 4, 5]
    np.testing.assert_array_equal(layout.to_torch(there)[0], array)


def test_kernels_say_where_each_number_goes():
    dense = np.arange(15).reshape(5, 3)
    assert layouts.DENSE.to_keras(dense)[0][2, 4] == dense[4, 2]
    conv = np.arange(120).reshape(5, 3, 2, 4)
    assert layouts.CONV.to_keras(conv)[0][1, 3, 2, 4] == conv[4, 2, 1, 3]
    rows = np.arange(45).reshape(1, 9, 5)
    assert layouts.POSITION.to_keras(rows)[0][0, 2, 1, 3] == rows[0, 2 * 3 + 1, 3]


def test_keys_come_before_values():
    key, value = np.zeros((5, 3)), np.ones((5, 3))
    (kernel,) = layouts.joined(layouts.DENSE).to_keras(key, value)
    assert (kernel[:, :5] == 0).all()
    assert (kernel[:, 5:] == 1).all()


def test_a_pyramid_has_zeros_for_the_class_row(rng):
    grid = rng.standard_normal((1, 3, 3, 5))
    (table,) = layouts.POSITION_WITH_CLASS.to_torch(None, grid)
    assert table.shape == (1, 10, 5)
    assert not table[:, 0].any()
    np.testing.assert_array_equal(table[:, 1:], grid.reshape(1, 9, 5))


@pytest.mark.parametrize("shape", [(1, 10, 5), (2, 9, 5), (9, 5)])
def test_tables_that_are_no_square(shape):
    with pytest.raises(ValueError, match=r"no square grid|not enough values"):
        layouts.POSITION.to_keras(np.zeros(shape))
