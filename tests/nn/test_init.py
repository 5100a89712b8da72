import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.nn import Parameter, init


def weight(*shape):
    return Parameter(np.full(shape, 9.0, np.float32))


# (out, in, kernel) = (200, 50, 4): fan in 200, fan out 800
@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (init.normal_, 1.0, None),
        (lambda w, generator: init.normal_(w, std=0.02, generator=generator), 0.02, None),
        (lambda w, generator: init.uniform_(w, -0.5, 0.5, generator), 0.5 / 3**0.5, 0.5),
        (init.xavier_uniform_, (2 / 1000) ** 0.5, (6 / 1000) ** 0.5),
        (init.xavier_normal_, (2 / 1000) ** 0.5, None),
        (init.kaiming_uniform_, (2 / 200) ** 0.5, (6 / 200) ** 0.5),
        (init.kaiming_normal_, (2 / 200) ** 0.5, None),
        (lambda w, generator: init.kaiming_uniform_(w, 1.0, generator), (1 / 200) ** 0.5, (3 / 200) ** 0.5),
        (lambda w, generator: init.xavier_normal_(w, 5 / 3, generator), 5 / 3 * (2 / 1000) ** 0.5, None),
    ],
)
def test_spread_bound_and_source(fill, std, bound):
    a, b = weight(200, 50, 4), weight(200, 50, 4)
    array = a.data
    assert fill(a, generator=tg.Generator(4)) is a and a.data is array  # in place
    fill(b, generator=tg.Generator(4))
    np.testing.assert_array_equal(a.data, b.data)
    assert abs(a.data.mean()) < 0.03 * std
    assert abs(a.data.std() / std - 1) < 0.02
    assert bound is None or 0.99 * bound < abs(a.data).max() <= bound


def test_constants_and_means():
    assert (init.zeros_(weight(3)).data == 0).all()
    assert (init.ones_(weight(3)).data == 1).all()
    assert abs(init.normal_(weight(10_000), mean=5.0, generator=tg.Generator(1)).data.mean() - 5) < 0.05


def test_fans_need_a_matrix():
    assert init.fans(weight(2, 3)) == (3, 2)
    with pytest.raises(ValueError, match=r"weight of shape \(out, in, \*kernel\), got \(3,\)"):
        init.kaiming_normal_(weight(3))
