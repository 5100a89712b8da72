"""Every operation on every sample that it declares: a new operation is tested by being declared."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.core import flatten
from tinygrad_lm.testing import gradcheck, gradgradcheck

from .op_cases import REGISTERED, SMOOTH, TRIALS, close, is_floating

every_operation = pytest.mark.parametrize("op", REGISTERED, ids=lambda op: op.name)
every_call = pytest.mark.parametrize("trial", TRIALS, ids=lambda t: t.id)
every_smooth_call = pytest.mark.parametrize("trial", SMOOTH, ids=lambda t: t.id)
HALF, SINGLE = np.float16, np.float32


# ------------------------------------------------------------------------------------------------ what is declared


@every_operation
def test_an_operation_is_fully_declared(op):
    assert len(op.facts["samples"]()) >= 5
    assert op.forward.__doc__ and op.function.__doc__ == op.forward.__doc__
    assert set(op.rules) == set(op.inputs), "neither a rule nor .constant(...)"


def test_samples_reach_the_corners():
    """Zero-size and 0-d arrays occur among the samples of most operations, so that tests over samples meet them."""
    shapes = [[a.shape for a in t.draw() if is_floating(a)] for t in TRIALS]
    assert sum(any(0 in s for s in each) for each in shapes) > len(REGISTERED) // 2
    assert sum(() in each for each in shapes) > len(REGISTERED) // 3


# ------------------------------------------------------------------------------------------------ values


def rounding(f, arrays, seed):
    """How far float32 may be from float64, per output: 16 times what rounding the inputs changes, and 8 roundings.

    The first term is the condition of the function, measured; the second the rounding of the result itself.
    """
    rng, unit = np.random.default_rng(seed), np.finfo(SINGLE).eps
    exact = f(*arrays)
    moved = [np.zeros(y.shape) for y in exact]
    for _ in range(5):
        nearby = [a * (1 + unit * rng.uniform(-1, 1, a.shape)) if is_floating(a) else a for a in arrays]
        moved = [np.maximum(m, np.abs(y - z)) for m, y, z in zip(moved, f(*nearby), exact, strict=True)]
    return exact, [
        16 * m.max(initial=0) + 8 * unit * np.abs(y).max(initial=0) + 1e-37 for m, y in zip(moved, exact, strict=True)
    ]


def within_rounding(single, f, arrays, seed):
    exact, bounds = rounding(f, arrays, seed)
    for y, z, bound in zip(single, exact, bounds, strict=True):
        assert np.abs(y - z).max(initial=0) <= bound


@every_call
def test_float32_agrees_with_float64(trial):
    arrays = trial.draw(SINGLE)
    results = trial.outputs(*arrays)
    if "dtype" not in trial.case.params:
        assert all(y.dtype == SINGLE for y in results)
    within_rounding(results, trial.outputs, [a.astype(float) if is_floating(a) else a for a in arrays], trial.seed)


@every_smooth_call
def test_float32_gradients_agree_with_float64(trial):
    arrays = trial.draw(SINGLE)
    cotangents = trial.cotangents(arrays)
    n = len(arrays)

    def gradients(*both):
        return trial.gradients(both[:n], both[n:])

    wide = [np.asarray(a, float) if is_floating(a) else a for a in (*arrays, *cotangents)]
    within_rounding(gradients(*arrays, *cotangents), gradients, wide, trial.seed)


@pytest.mark.parametrize("trial", [t for t in TRIALS if t.op.plain is not None], ids=lambda t: t.id)
def test_the_composed_reference_equals_the_operation(trial):
    named = dict.fromkeys(trial.op.inputs) | dict(zip(trial.op.inputs, trial.draw(), strict=False))
    named |= trial.op.params | trial.case.params
    plain = trial.op.plain(**{n: named[n] for n in inspect.signature(trial.op.plain).parameters})
    ours, reference = flatten(trial(*trial.draw()))[0], flatten(plain)[0]
    for y, z in zip(ours, reference, strict=True):
        assert np.shape(y) == np.broadcast_shapes(np.shape(y), np.shape(z))
        close(y, np.broadcast_to(z, np.shape(y)))


@every_smooth_call
def test_first_order_against_finite_differences(trial):
    f, chosen = trial.of(trial.tracked, trial.draw())
    gradcheck(f, chosen)


@every_smooth_call
def test_second_order_against_finite_differences(trial):
    f, chosen = trial.of(trial.tracked, trial.draw())
    gradgradcheck(f, chosen, atol=1e-6)


@every_smooth_call
def test_each_input_alone_gets_the_gradient_it_gets_among_others(trial):
    arrays = trial.draw()
    cotangents = trial.cotangents(arrays)
    together = trial.gradients(arrays, cotangents)
    for i, expected in zip(trial.tracked, together, strict=True):
        f, chosen = trial.of([i], arrays)
        (alone,) = tg.vjp(f, *chosen)[1](cotangents)
        np.testing.assert_array_equal(alone, expected)


@pytest.mark.parametrize("op", [op for op in REGISTERED if "kinks" in op.facts], ids=lambda op: op.name)
def test_declared_kinks_have_the_declared_values(op):
    for kink in op.facts["kinks"]:
        named = zip(op.inputs, kink.inputs, strict=False)
        leaves = [Tensor(np.array(v, float), requires_grad=op.rules[n] is not None) for n, v in named]
        y = op.function(*leaves, **kink.params)
        y.backward(np.ones(y.shape))
        for x, g in zip(leaves, kink.grads, strict=True):
            assert x.grad is not None
            np.testing.assert_array_equal(x.grad.data, np.array(g, float))


# ------------------------------------------------------------------------------------------------ rules run in two ways


@every_smooth_call
def test_rules_on_arrays_equal_rules_on_tensors(trial):
    arrays = trial.draw()
    cotangents = trial.cotangents(arrays)
    f, chosen = trial.of(trial.tracked, arrays)
    on_tensors = tg.vjp(f, *map(Tensor, chosen), create_graph=True)[1]([Tensor(u) for u in cotangents])
    for g, h in zip(trial.gradients(arrays, cotangents), on_tensors, strict=True):
        assert type(g) is np.ndarray and type(h) is Tensor and type(h.data) is np.ndarray
        np.testing.assert_array_equal(g, h.data)


@every_call
def test_arrays_in_arrays_out_and_tensors_in_tensors_out(trial):
    arrays = trial.draw()
    raw_results = flatten(trial(*arrays))[0]
    boxed = flatten(trial(*[Tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]))[0]
    assert not any(isinstance(y, Tensor) for y in raw_results)
    for y, z in zip(raw_results, boxed, strict=True):
        assert type(z) is Tensor and type(z.data) is np.ndarray and z.node is None
        np.testing.assert_array_equal(y, z.data)


@every_smooth_call
@pytest.mark.parametrize("dtype", [HALF, SINGLE, float])
def test_a_gradient_has_its_inputs_dtype_and_shape(trial, dtype):
    arrays = trial.draw(dtype)
    leaves = trial.leaves(arrays)
    weighted = [(y * u).sum() for y, u in zip(trial.outputs(*leaves), trial.cotangents(arrays), strict=True)]
    sum(weighted[1:], weighted[0]).backward()
    for i in trial.tracked:
        assert type(leaves[i].grad) is Tensor and type(leaves[i].grad.data) is np.ndarray
        assert leaves[i].grad.dtype == dtype and leaves[i].grad.shape == arrays[i].shape


# ------------------------------------------------------------------------------------------------ memory


def transposed(a):
    return np.array(a, order="F")


def strided(a):
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    view = wide[(..., *[slice(None, None, 2)] * a.ndim)]  # a view for 0-d arrays too
    view[...] = a
    return view


def reversed_(a):
    backwards = (..., *[slice(None, None, -1)] * a.ndim)
    return a[backwards].copy()[backwards]


def repeated(a):
    """The first element everywhere, through strides of 0; read-only."""
    return np.broadcast_to(a.reshape(-1)[:1].reshape((1,) * a.ndim), a.shape) if a.size else a


@every_call
@pytest.mark.parametrize("layout", [transposed, strided, reversed_, repeated])
def test_layout_does_not_matter(trial, layout):
    arrays = [
        layout(a) if isinstance(a, np.ndarray) and (is_floating(a) or layout is not repeated) else a
        for a in trial.draw()
    ]
    contiguous = [np.array(a, order="C") if isinstance(a, np.ndarray) else a for a in arrays]
    for y, z in zip(flatten(trial(*arrays))[0], flatten(trial(*contiguous))[0], strict=True):
        close(y, z)
    if trial.differentiable:
        cotangents = [layout(u) for u in trial.cotangents(contiguous)]
        expected = trial.gradients(contiguous, [np.array(u, order="C") for u in cotangents])
        for g, h in zip(trial.gradients(arrays, cotangents), expected, strict=True):
            close(g, h)


def frozen(a):
    if isinstance(a, np.ndarray):
        a.flags.writeable = False
    return a


@every_smooth_call
def test_nothing_that_is_given_is_written_to(trial):
    """Inputs and cotangents are read-only here, and so is, by debug mode, all that the tape keeps."""
    arrays = [frozen(a) for a in trial.draw()]
    cotangents = [frozen(u) for u in trial.cotangents(arrays)]
    expected = trial.gradients(trial.draw(), trial.cotangents(arrays))
    with tg.debug():
        f, chosen = trial.of(trial.tracked, arrays)
        first = tg.vjp(f, *chosen)[1](list(cotangents))
        recorded = tg.vjp(f, *map(Tensor, chosen), create_graph=True)[1]([Tensor(u) for u in cotangents])
    for g, h, e in zip(first, recorded, expected, strict=True):
        np.testing.assert_array_equal(g, e)
        np.testing.assert_array_equal(h.data, e)


@every_smooth_call
def test_no_two_arrays_are_one(trial):
    """A gradient shares memory with no other gradient, no input, no output and not with what `backward` was given."""
    arrays = trial.draw()
    leaves = trial.leaves(arrays)
    outs = trial.outputs(*leaves)
    cotangents = trial.cotangents(arrays)

    def nothing_kept_is_returned(node, g, grads):
        kept = [a for a in flatten(list(node.kept().values()))[0] if isinstance(a, np.ndarray)]
        returned = [h for h in grads if isinstance(h, np.ndarray)]
        assert not any(np.shares_memory(h, a) for h in returned for a in kept), f"{node} returned what it kept"

    with tg.watch(nothing_kept_is_returned):
        for y, u in zip(outs, cotangents, strict=True):
            y.backward(u, retain_graph=True)
    grads = [leaves[i].grad.data for i in trial.tracked if leaves[i].grad is not None]
    others = [x.data for x in leaves if isinstance(x, Tensor)] + [y.data for y in outs] + cotangents
    for i, g in enumerate(grads):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, other) for other in (*grads[:i], *others))


@every_call
def test_the_same_bits_run_to_run(trial):
    def run():
        arrays = trial.draw(SINGLE)
        results = flatten(trial(*arrays))[0]
        grads = trial.gradients(arrays, trial.cotangents(arrays)) if trial.differentiable else ()
        return [a.tobytes() for a in (*results, *grads)]

    assert run() == run()


# ------------------------------------------------------------------------------------------------ dtypes


@every_call
def test_integers_never_widen_a_float(trial):
    """Each floating input in turn is an int64 array, the others are float32: so is the result."""
    arrays = trial.draw(SINGLE)
    floats = [i for i, a in enumerate(arrays) if is_floating(a)]
    for i in floats if len(floats) > 1 and "dtype" not in trial.case.params else ():
        mixed = list(arrays)
        mixed[i] = np.ones(arrays[i].shape, np.int64)
        assert all(y.dtype == SINGLE for y in trial.outputs(*mixed))
