"""Functions of other libraries in one shape, and libraries that nobody asked for stay out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.testing.adapters import dtype_of, floating, library_of, numpy_dtype, subject_of, to_float64

X = np.random.default_rng(2).normal(size=(2, 3))


def test_nothing_heavy_is_imported():
    code = (
        "import sys; import numpy as np; import tinygrad_lm as tg\n"
        "assert tg.testing.gradcheck(tg.sin, np.ones(2))\n"
        "heavy = {'torch', 'jax', 'hypothesis', 'pytest', 'ml_dtypes'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_vectors_in_and_out():
    subject = subject_of(lambda x, n, y: {"a": x * y, "b": [tg.argmax(x), y.sum()]}, (X, 3, Tensor(X[0])))
    assert subject.names == ["input 0", "input 2"] and subject.x.shape == (9,)
    np.testing.assert_array_equal(subject(subject.x), [*(X * X[0]).ravel(), X[0].sum()])
    assert (
        subject.at(7) == (1, (1,))
        and subject.place(7) == "input 2 at index (1,)"
        and subject.spot(2) == "input 0[0, 2]"
    )
    both = subject.gradient([np.ones((2, 3)), np.array(1.0)])
    np.testing.assert_allclose(both(both.x), [*np.tile(X[0], 2), *(X.sum(0) + 1)])


@pytest.mark.parametrize("layout", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: np.broadcast_to(a[:1], (4, 3))])
def test_layouts_are_read_as_their_values(layout):
    x = layout(X)
    subject = subject_of(lambda x: x * 1.0, x)
    np.testing.assert_array_equal(subject(subject.x), x.ravel())


def test_dtypes_by_name():
    assert floating(X) and floating(np.float32(1)) and not floating(3.0) and not floating(np.arange(3))
    assert dtype_of(X) == "float64" and dtype_of("text") == ""
    assert numpy_dtype("float16") == np.float16
    assert to_float64(X) is X and to_float64(Tensor(X)) is X


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    assert library_of([1, x]).name == "torch" and dtype_of(x) == "float64"
    np.testing.assert_array_equal(to_float64(x.bfloat16()), x.detach().bfloat16().double().numpy())
    subject = subject_of(lambda x, y: x * y, (x, torch.ones(3)))
    assert subject.x.size == 6  # the other one requires no gradient
    outs, pull = subject.library.vjp(subject.f, subject.wrapped(subject.x))
    (g,) = pull([torch.ones(2, 3, dtype=torch.float64)])
    np.testing.assert_array_equal(g, np.ones((2, 3)))
    assert (
        subject.library.vjp(lambda x: [torch.ones(2)], subject.wrapped(subject.x))[1]([torch.ones(2)])[0].abs().sum()
        == 0
    )
