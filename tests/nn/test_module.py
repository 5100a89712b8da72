import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn


class Net(nn.Module):
    seen: np.ndarray

    def __init__(self):
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(2)])
        self.last = nn.Linear(4, 2)
        self.register_buffer("seen", np.zeros(2))
        self.scale = nn.Parameter(np.ones(2, np.float32))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x) * self.scale


NAMES = ["seen", "scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.1.weight"]
NAMES += ["last.weight", "last.bias"]


def test_parameters_buffers_and_modules_are_found_by_name():
    net = Net()
    assert list(net.state_dict()) == NAMES
    assert [n for n, _ in net.named_parameters()] == NAMES[1:]
    assert [n for n, _ in net.named_buffers()] == ["seen"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1", "last"]
    assert [n for n, _ in net.named_children()] == ["first", "blocks", "last"]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())
    assert net.num_parameters() == 2 + 3 * 4 + 4 + 16 + 16 + 8 + 2


def test_nothing_is_shared_between_instances():
    a, b = Net(), Net()
    a.register_forward_hook(lambda *_: None)
    a.register_buffer("more", np.zeros(1))
    a.eval()
    assert b.training and not b._hooks and [n for n, _ in b.named_buffers()] == ["seen"]
    assert not {id(p) for p in a.parameters()} & {id(p) for p in b.parameters()}
    assert nn.Module._hooks == () and nn.Module._buffers == () and nn.Module.training is True


def test_a_shared_parameter_counts_once_and_is_saved_under_each_name():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    vars(net)["2"].weight = vars(net)["0"].weight
    assert net.num_parameters() == 9
    assert [n for n, _ in net.named_parameters()] == ["0.weight"]
    assert list(net.state_dict()) == ["0.weight", "2.weight"]


def test_a_module_used_twice_runs_twice():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(net(x).detach().numpy(), layer(layer(x)).detach().numpy())
    assert len(net) == 2 and len(list(net.modules())) == 2


@pytest.mark.parametrize("bad", [[nn.ReLU()], (nn.ReLU(),), {"a": nn.ReLU()}])
def test_a_plain_list_of_modules_is_refused(bad):
    net: Any = nn.Module()
    net._others = bad  # a private name: somebody else's modules
    assert list(net.parameters()) == []
    net.layers = bad
    with pytest.raises(TypeError, match=r"Module\.layers is a plain (list|tuple|dict).*use nn\.ModuleList"):
        list(net.parameters())


def test_train_and_eval_reach_every_module_and_return_it():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_zero_grad_and_frozen_parameters():
    net = Net()
    net.first.weight.requires_grad_(False)
    net(np.ones((2, 3), np.float32)).sum().backward()
    assert net.first.weight.grad is None and net.last.weight.grad is not None
    assert "first.weight" in dict(net.named_parameters()) and "first.weight" in net.state_dict()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_state_round_trip_is_in_place_and_keeps_dtypes():
    a, b = Net(), Net()
    a.seen[...] = 7
    before = {n: p.data for n, p in b.named_parameters()}
    saved = {n: v.astype(np.float64) for n, v in a.state_dict().items()}
    b.load_state_dict(saved)
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], value)
    assert all(p.data is before[n] and p.dtype == np.float32 for n, p in b.named_parameters())
    saved["seen"][...] = 1
    assert (b.seen == 7).all()


def test_a_buffer_may_be_assigned_and_stays_in_the_state():
    net = Net()
    net.seen = net.seen + 1
    assert (net.state_dict()["seen"] == 1).all()


def test_a_state_that_does_not_fit_is_refused_in_one_line_and_nothing_is_written():
    net = Net()
    before = {n: v.copy() for n, v in net.state_dict().items()}
    state = {n: v + 1 for n, v in net.state_dict().items()}
    state["extra"] = state.pop("first.bias")
    state["last.weight"] = np.zeros((5, 4))
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert "\n" not in text and "Net" in text
    assert "missing: first.bias" in text and "unexpected: extra" in text
    assert "of another shape: last.weight (5, 4), not (2, 4)" in text
    with pytest.raises(ValueError, match="another shape") as caught:
        net.load_state_dict(state, strict=False)
    assert "missing" not in str(caught.value)
    assert all((before[n] == v).all() for n, v in net.state_dict().items())


def test_not_strict_loads_what_fits():
    net = Net()
    net.load_state_dict({"scale": np.full(2, 3.0), "extra": np.zeros(1)}, strict=False)
    assert (net.scale.data == 3).all()


def test_a_long_list_of_problems_is_cut():
    net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(10)])
    with pytest.raises(ValueError, match="missing: 0.weight, 0.bias, 1.weight, 1.bias, 2.weight and 15 more"):
        net.load_state_dict({})


def test_forward_hooks_see_and_may_replace_the_output():
    layer, seen = nn.ReLU(), []
    watch = layer.register_forward_hook(lambda module, args, output: seen.append((module, args[0], output)))
    double = layer.register_forward_hook(lambda module, args, output: output * 2)
    x = tg.Tensor([-1.0, 2.0])
    assert layer(x).tolist() == [0, 4]
    assert seen[0][0] is layer and seen[0][1] is x and seen[0][2].tolist() == [0, 2]
    double()
    double()  # removing twice is harmless
    assert layer(x).tolist() == [0, 2] and len(seen) == 2
    watch()
    layer(x)
    assert len(seen) == 2


class Failing(nn.Module):
    def forward(self, x):
        raise KeyError("broken")


def test_an_exception_says_which_module_it_came_through():
    inner = Failing()
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), inner))
    with pytest.raises(KeyError) as caught:
        net(tg.Tensor([1.0]))
    assert caught.value.__notes__ == ["in Sequential.1.1 (Failing)"]
    with pytest.raises(KeyError) as caught:
        inner(1)
    assert caught.value.__notes__ == ["in Failing"]


def test_the_path_goes_through_lists_and_shows_settings():
    net = Net()
    vars(net.blocks)["1"].weight = nn.Parameter(np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError) as caught:
        net(np.ones((2, 3), np.float32))
    assert "in Net.blocks.1 (Linear(5, 4, bias=False))" in caught.value.__notes__


def test_the_path_ends_at_a_module_that_does_not_own_the_next():
    stranger = Failing()

    class Outer(nn.Module):
        def forward(self, x):
            return stranger(x)

    with pytest.raises(KeyError) as caught:
        Outer()(1)
    assert caught.value.__notes__ == ["in Failing"]


def test_forward_must_be_defined():
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_repr_is_a_tree_with_shapes_and_counts_and_writes_equal_neighbours_once():
    net = Net()
    vars(net.last)["bias"].requires_grad_(False)
    assert repr(net) == "\n".join(
        [
            "Net: 60 parameters: seen (2,) fixed, scale (2,)",
            "  first: Linear(3, 4): 16 parameters: weight (4, 3), bias (4,)",
            "  blocks: ModuleList: 32 parameters",
            "    0 to 1, each: Linear(4, 4, bias=False): 16 parameters: weight (4, 4)",
            "  last: Linear(4, 2): 10 parameters: weight (2, 4), bias (2,) fixed",
        ]
    )


def test_a_module_can_be_copied():
    net = Net()
    twin = copy.deepcopy(net)
    assert list(twin.state_dict()) == NAMES
    twin.scale.data += 1
    assert (net.scale.data == 1).all() and isinstance(twin.scale, nn.Parameter)


def test_moving_to_where_it_is_keeps_the_parameters():
    net = Net()
    before = list(net.parameters())
    assert net.to("cpu") is net
    assert all(p is q for p, q in zip(net.parameters(), before, strict=True))
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        net.to("tpu")
