"""Tensor: what it can be made of, what it says of itself, and how it goes back into the world of arrays."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor


def test_what_a_tensor_is_made_of():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor([[1, 2], [3, 4]]).dtype == np.int64
    assert Tensor(1.5).shape == () and Tensor(True).dtype == bool
    for dtype in (np.float16, np.float32, np.float64, np.int8, bool):
        array = np.ones(3, dtype)
        assert Tensor(array).data is array
    assert Tensor(np.float64(2.0)).dtype == np.float64 and type(Tensor(np.float64(2.0)).data) is np.ndarray
    assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert Tensor(np.arange(3), dtype="float32", requires_grad=True).requires_grad
    assert Tensor(Tensor([1.0])).data.shape == (1,)
    with pytest.raises(TypeError, match="a tensor holds numbers"):
        Tensor("text")
    with pytest.raises(TypeError, match="a tensor holds numbers"):
        Tensor([None])


def test_the_default_dtype_is_switched_in_a_block():
    with tg.default_dtype(np.float64):
        assert tg.default_dtype() == np.float64 and Tensor([1.0]).dtype == np.float64
    assert tg.default_dtype() == np.float32 and Tensor([1.0]).dtype == np.float32
    with pytest.raises(TypeError, match="must be floating, got int64"):
        tg.default_dtype(int)


def test_what_it_says_of_itself():
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    assert (x.shape, x.ndim, x.size, x.dtype, x.device, len(x)) == ((2, 3), 2, 6, np.float32, "cpu", 2)
    assert x.requires_grad and x.is_leaf and not (x * 2).is_leaf and Tensor([1.0]).is_leaf
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(Tensor([1.0], requires_grad=True)) == "Tensor([1.], requires_grad=True)"
    assert repr(Tensor([1.0], requires_grad=True) * 2) == "Tensor([2.], op=multiply)"
    assert repr(Tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"
    assert repr(Tensor([True])) == "Tensor([ True])" and repr(Tensor([3])) == "Tensor([3])"


def test_zero_dimensions_stay_arrays():
    x = Tensor(np.array(2.0), requires_grad=True)
    for y in (x * 2, x.sum(), tg.exp(x), x[...], x.reshape(1)[0], tg.stack([x, x])[1], x.max()):
        assert type(y.data) is np.ndarray and y.shape == ()
        x.grad = None
        y.backward()
        assert type(x.grad.data) is np.ndarray and x.grad.shape == ()


def test_numbers_come_out():
    x = Tensor(2.5)
    assert Tensor([2.5]).item() == 2.5 and (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert Tensor([[1, 2]]).tolist() == [[1, 2]] and [10, 20][Tensor(1)] == 20
    with pytest.raises(ValueError):
        bool(Tensor([1.0, 2.0]))
    with pytest.raises(TypeError):
        len(Tensor(1.0))


def test_requires_grad_is_turned_on_and_off():
    x = Tensor([1.0])
    assert x.requires_grad_() is x and x.requires_grad
    x.sum().backward()
    x.requires_grad_()  # already: the gradient stays
    assert x.grad is not None
    x.requires_grad_(False)
    assert not x.requires_grad and x.grad is None
    with pytest.raises(RuntimeError, match="only a leaf can stop requiring a gradient; use detach"):
        (x.requires_grad_() * 2).requires_grad_(False)


def test_moving_to_where_it_is():
    x = Tensor([1.0])
    assert x.to("cpu") is x
    with pytest.raises(ValueError, match="unknown device 'tpu': expected 'cpu' or 'cuda'"):
        x.to("tpu")


def test_deep_copies_of_leaves():
    x = Tensor([1.0, 2.0], requires_grad=True)
    twin, plain = copy.deepcopy([x, Tensor([3.0])])
    assert twin.requires_grad and not plain.requires_grad and twin.node is not x.node
    twin.data += 1
    assert x.tolist() == [1.0, 2.0]
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    with pytest.raises(RuntimeError, match=r"detach\(\) this tensor first"):
        copy.deepcopy(x * 2)


def test_a_number_that_is_written_to_later_is_not_remembered():
    """What the tape keeps of a Python number is the number."""
    n = 3.0
    x = Tensor([2.0], requires_grad=True)
    y = x * n
    n = 4.0
    y.backward()
    assert x.grad.tolist() == [3.0]


def test_a_sum_of_python():
    x = Tensor([1.0, 2.0], requires_grad=True)
    sum(x).backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("generator", [tg.Generator(3), tg.default_generator()])
def test_generators_are_plain_state(generator):
    assert generator.state() == pickle.loads(pickle.dumps(generator.state()))


def test_a_history_is_not_lost_by_wrapping_it_again():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="requires a gradient already"):
        Tensor(x * 2)
    assert not Tensor(x.detach()).requires_grad


def test_complex_numbers_carry_no_gradient():
    with pytest.raises(TypeError, match="only floating tensors can require gradients, this one is complex128"):
        Tensor(np.array([1j]), requires_grad=True)


def test_numpy_may_ask_a_tracked_tensor_for_its_shape():
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    assert np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6


def test_an_array_of_the_asked_dtype_is_not_copied():
    a = np.arange(3.0)
    assert Tensor(a, dtype="float64").data is a and Tensor(a).data is a
    assert Tensor(a, dtype="float32").data.dtype == np.float32


def test_a_gradient_that_is_assigned_is_the_same_tensor():
    x = Tensor([1.0, 2.0], requires_grad=True)
    g = Tensor([0.5, 0.25])
    x.grad = g
    assert x.grad is g


def test_numpy_may_ask_for_a_dtype():
    x = Tensor([1.0, 2.0])
    assert np.asarray(x, dtype="float64").dtype == np.float64 and np.asarray(x).dtype == np.float32
    assert not np.shares_memory(np.array(x), x.data) and np.shares_memory(np.asarray(x), x.data)


def test_moving_elsewhere(monkeypatch):
    """A pretended device: a backend that computes on the CPU, too."""
    moved = []

    class Elsewhere:
        @staticmethod
        def from_numpy(array):
            moved.append(array)
            return array.copy()

    monkeypatch.setattr("tinygrad_lm.core.tensor.get_backend", lambda device: Elsewhere)
    leaf = Tensor([1.0, 2.0], requires_grad=True)
    there = leaf.to("cuda")
    assert moved == [leaf.data] and there.requires_grad and there.is_leaf and there.tolist() == [1.0, 2.0]
    assert not Tensor([1.0]).to("cuda").requires_grad
    with pytest.raises(RuntimeError, match="a computed tensor cannot change its device"):
        (leaf * 2.0).to("cuda")


def test_rows_stand_below_each_other():
    x = Tensor([[1.0, 2.5], [3.0, -4.0]])
    assert repr(x) == "Tensor([[ 1. ,  2.5],\n        [ 3. , -4. ]])"
