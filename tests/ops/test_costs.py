"""FLOPs of calls whose number is known."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm import OPS


def ones(*shape):
    return np.ones(shape)


COSTS = [
    ("matmul", [ones(3, 4), ones(4, 5)], {}, 2 * 3 * 4 * 5),
    ("matmul", [ones(4), ones(4)], {}, 2 * 4),
    ("matmul", [ones(4), ones(4, 5)], {}, 2 * 4 * 5),
    ("matmul", [ones(2, 3, 4), ones(4)], {}, 2 * 2 * 3 * 4),
    ("matmul", [ones(2, 3, 4), ones(4, 5)], {}, 2 * 2 * 3 * 4 * 5),
    ("matmul", [ones(3, 4), ones(2, 4, 5)], {}, 2 * 2 * 3 * 4 * 5),
    ("matmul", [ones(6, 1, 3, 4), ones(2, 4, 5)], {}, 2 * 6 * 2 * 3 * 4 * 5),
    ("linear", [ones(2, 3, 4), ones(5, 4)], {}, 2 * 2 * 3 * 4 * 5),
    ("dot", [ones(2, 3), ones(4, 3, 5)], {}, 2 * 2 * 3 * 4 * 5),
    ("dot", [ones(), ones(5)], {}, 2 * 5),
    ("inner", [ones(2, 3), ones(4, 3)], {}, 2 * 2 * 3 * 4),
    ("outer", [ones(2), ones(3)], {}, 2 * 3),
    ("vecdot", [ones(2, 3), ones(3)], {}, 2 * 2 * 3),
    ("tensordot", [ones(2, 3, 4), ones(3, 4, 5)], {"axes": 2}, 2 * 2 * 3 * 4 * 5),
    ("tensordot", [ones(2, 3), ones(5, 2)], {"axes": (0, 1)}, 2 * 2 * 3 * 5),
    ("tensordot", [ones(2), ones(3)], {"axes": 0}, 2 * 2 * 3),
    ("trace", [ones(3, 3)], {}, 3),
    ("trace", [ones(5, 2, 4)], {"axis1": 1, "axis2": -1}, 5 * 2),
    ("einsum", [ones(2, 3), ones(3, 4)], {"subscripts": "ij,jk->ik"}, 2 * 2 * 3 * 4),
    ("einsum", [ones(2, 3), ones(3, 4), ones(4)], {"subscripts": "ij,jk,k->i"}, 3 * 2 * 3 * 4),
    ("sort", [ones(0)], {}, 0),
    ("sort", [ones(1)], {}, 1),
    ("sort", [ones(2, 4)], {}, 8 * 4),
    ("inv", [ones(5, 3, 3)], {}, 2 * 5 * 27),
    ("rnn", [ones(7, 2, 3), ones(2, 4), ones(4, 3), ones(4, 4)], {}, 2 * 7 * 2 * (12 + 16)),
    ("lstm", [ones(7, 2, 3), ones(2, 4), ones(2, 4), ones(16, 3), ones(16, 4), ones(16)], {}, 2 * 14 * 4 * (12 + 16)),
]


@pytest.mark.parametrize(("name", "arrays", "params", "flops"), COSTS)
def test_flops(name, arrays, params, flops):
    assert OPS[name].facts["cost"](*arrays, **params) == flops
