"""Backpropagation in forty lines, on plain numbers, beside the real engine: both give the same gradients.

python examples/scalar_engine.py
"""

import heapq
import itertools
import math

import tinygrad_lm as tg

newest_first = itertools.count(0, -1)


class Value:
    """A number that remembers what it was computed from, and the slope along each way."""

    def __init__(self, data, *ways):
        self.data, self.ways, self.grad, self.rank = data, ways, 0.0, next(newest_first)

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other.data), (other, self.data))

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self, 1.0 - t * t))

    def backward(self):
        """The chain rule, newest value first: when a value's turn comes, all that used it has already spoken."""
        self.grad, queue, queued = 1.0, [(self.rank, self)], {self}
        while queue:
            value = heapq.heappop(queue)[1]
            for source, slope in value.ways:
                source.grad += slope * value.grad
                if source not in queued:
                    queued.add(source)
                    heapq.heappush(queue, (source.rank, source))


def expression(a, b):
    c = a * b + a  # a is used three times: its gradient is a sum over three ways
    return (c * a + b).tanh()


def main():
    a, b = Value(0.5), Value(-0.25)
    expression(a, b).backward()
    x, y = tg.Tensor(0.5, requires_grad=True, dtype="float64"), tg.Tensor(-0.25, requires_grad=True, dtype="float64")
    expression(x, y).backward()
    print(f"forty lines:  d/da = {a.grad:.12f}   d/db = {b.grad:.12f}")
    print(f"the engine:   d/da = {x.grad.item():.12f}   d/db = {y.grad.item():.12f}")
    assert math.isclose(a.grad, x.grad.item(), rel_tol=1e-14) and math.isclose(b.grad, y.grad.item(), rel_tol=1e-14)


if __name__ == "__main__":
    main()
