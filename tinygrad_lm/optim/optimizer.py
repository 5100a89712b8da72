"""What all optimizers share: groups of parameters with their settings, and state in a flat dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tinygrad_lm.backend import backend_of, table_of
from tinygrad_lm.core import Tensor


class Optimizer:
    """Base class.  `parameters`: Tensors that require gradients, or a list of groups.

    A group is a dictionary with "params" and any settings (such as "lr") that differ from the defaults.  `groups` lists
    them with all settings filled in; a schedule assigns to them:

        for group in optimizer.groups:
            group["lr"] = schedule(step)

    A subclass defines `new_state` and `update`, on arrays; their module is that of the parameter's array.  A kernel of
    its name, where the table in use has one, updates all parameters of a group at once.
    """

    def __init__(self, parameters: Iterable[Tensor] | Iterable[dict[str, Any]], **defaults: Any):
        kind, given = type(self).__name__, list(parameters)
        groups: list[Any] = given if given and all(isinstance(g, dict) for g in given) else [{"params": given}]
        self.groups: list[dict[str, Any]] = []
        for group in groups:
            if unknown := sorted(set(group) - {"params", *defaults}):
                raise ValueError(f"{kind}: unknown setting {unknown[0]!r} in a group; known: {', '.join(defaults)}")
            self.groups.append({**defaults, **group, "params": list(group.get("params", ()))})
            self.check(self.groups[-1])
        self.params = [p for group in self.groups for p in group["params"]]
        if not self.params:
            raise ValueError(f"{kind}: there are no parameters to update")
        for p in self.params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{kind}: parameters are Tensors, or dictionaries in a list; got {type(p).__name__}")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{kind}: a parameter was given twice")
        # All state exists from the start, so a state dictionary has the same entries at every step.
        self.state: list[dict[str, Any]] = [
            self.new_state(backend_of(p.data).xp, p.data, group) for group in self.groups for p in group["params"]
        ]
        self._scratch: dict[Any, Any] = {}

    def check(self, group: dict[str, Any]) -> None:
        """ValueError for settings that make no sense."""
        for name in ("lr", "weight_decay"):
            if not group[name] >= 0:
                raise ValueError(f"{type(self).__name__}: {name} must be at least 0, got {group[name]!r}")

    def between_0_and_1(self, name: str, value: float) -> None:
        if not 0 <= value < 1:
            raise ValueError(f"{type(self).__name__}: {name} must be from 0 to below 1, got {value!r}")

    def new_state(self, xp: Any, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        """What is remembered of the array `p` from step to step: arrays of its shape and whole numbers, by name."""
        raise NotImplementedError

    def update(self, xp: Any, p: Any, g: Any, scratch: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change the array `p` in place, given its gradient `g` (not to be written) and `scratch` of the same shape."""
        raise NotImplementedError

    def step(self) -> None:
        """Update every parameter that has a gradient; frozen ones and those without one are left alone."""
        states = iter(self.state)
        for group in self.groups:
            live: dict[Any, list] = {}  # of each backend: (array, gradient, state)
            for p in group["params"]:
                state, gradient = next(states), p.grad
                if gradient is not None:
                    live.setdefault(backend_of(p.data), []).append((p.data, gradient.data, state))
            for backend, parameters in live.items():
                kernel = table_of(backend).get(type(self).__name__)
                if kernel is None or kernel(backend.xp, parameters, group) is NotImplemented:
                    for array, gradient, state in parameters:
                        self.update(backend.xp, array, gradient, self._buffer(array), state, group)

    def zero_grad(self) -> None:
        """Forget all gradients: they become None."""
        for p in self.params:
            if p.requires_grad:
                p.grad = None

    def _buffer(self, like: Any) -> Any:
        """Work space of that shape and dtype: one buffer, as large as the largest parameter, serves all."""
        flat = self._scratch.get(like.dtype)
        if flat is None:
            size = max(p.size for p in self.params if p.dtype == like.dtype)
            flat = self._scratch[like.dtype] = backend_of(like).xp.empty(size, like.dtype)
        return flat[: like.size].reshape(like.shape)

    # ------------------------------------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """The state as a flat dictionary: "3.step" is a number, "3.exp_avg" an array, both of the fourth parameter.

        The arrays themselves, not copies.  Settings are not state: they come from the constructor or from a schedule.
        """
        return {f"{i}.{name}": value for i, state in enumerate(self.state) for name, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state, which is copied.  ValueError, before anything is changed, unless it fits."""
        own = {name: tuple(getattr(value, "shape", ())) for name, value in self.state_dict().items()}
        got = {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
        problems = (
            ("missing", [n for n in own if n not in got]),
            ("unexpected", [n for n in got if n not in own]),
            ("of another shape", [f"{n} {got[n]}, not {own[n]}" for n in own if n in got and got[n] != own[n]]),
        )
        for problem, names in problems:
            if names:
                raise ValueError(
                    f"this state does not fit {type(self).__name__} of {len(self.params)} parameters: {problem}: "
                    f"{', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}; "
                    "build model and optimizer with the settings that the state was saved with"
                )
        for i, entries in enumerate(self.state):
            for name, value in entries.items():
                saved = state[f"{i}.{name}"]
                if isinstance(value, int):
                    entries[name] = int(saved)
                else:
                    value[...] = backend_of(value).from_numpy(backend_of(saved).to_numpy(saved))
