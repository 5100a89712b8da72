"""Module: state plus a call to operations.

There is no registration and no constructor that must be called: the parameters of a module are the `Parameter`s among
its attributes, its children the `Module`s among them, in the order in which they were assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from tinygrad_lm.backend import backend_of, get_backend
from tinygrad_lm.core import Tensor, raw


class Parameter(Tensor):
    """A Tensor that a module owns and an optimizer updates: it requires a gradient, and modules find it by its type.

    The array is kept, not copied.  `requires_grad_(False)` freezes it: it stays a parameter, and part of the state.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, dtype: Any = None):
        super().__init__(data, requires_grad, dtype)


class Module:
    """Base class of everything with parameters: assign parameters and modules to attributes, and define `forward`.

    >>> import tinygrad_lm as tg
    >>> from tinygrad_lm import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Linear(2, 16)
    ...         self.head = nn.Linear(16, 1, bias=False)
    ...
    ...     def forward(self, x):
    ...         return self.head(tg.tanh(self.hidden(x)))
    >>> Net()
    Net: 64 parameters
      hidden: Linear(2, 16): 48 parameters: weight (16, 2), bias (16,)
      head: Linear(16, 1, bias=False): 16 parameters: weight (1, 16)
    """

    # Defaults of every instance.  All are immutable and replaced by assignment, so nothing is shared between instances.
    training: bool = True
    _buffers: tuple[str, ...] = ()
    _hooks: tuple[Callable[..., Any], ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; calling the module calls this."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            output = self.forward(*args, **kwargs)
        except Exception as error:
            self._locate(error)
            raise
        for hook in self._hooks:
            replaced = hook(self, args, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_hook(self, hook: Callable[..., Any]) -> Callable[[], None]:
        """Call `hook(module, args, output)` after every forward; what it returns, if anything, replaces the output.

        Returns a function that removes the hook.
        """
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            self._hooks = tuple([h for h in self._hooks if h is not hook])

        return remove

    # ------------------------------------------------------------------------------------------------ what it owns

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, with their names.  TypeError for a list of modules, which would be lost."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple | dict) and not name.startswith("_"):
                if any(isinstance(v, Module | Parameter) for v in (value.values() if type(value) is dict else value)):
                    raise TypeError(
                        f"{type(self).__name__}.{name} is a plain {type(value).__name__}, in which parameters are not "
                        "found: use nn.ModuleList, or a name that begins with '_' if they belong to somebody else"
                    )

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named "") and all modules below it, each once."""
        return _once((path[:-1], module) for path, module in self._walk())

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their names, such as "blocks.0.norm1.weight"; a shared one once, by its first name."""
        return _once((name, value) for name, value in self._state() if isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters())

    def register_buffer(self, name: str, array: Any) -> None:
        """Make `array` an attribute (a raw array) that belongs to the state but is not learnt.

        To change it later, assign to the attribute or write into it.
        """
        setattr(self, name, Tensor(array).data)
        if name not in self._buffers:
            self._buffers = (*self._buffers, name)

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """All buffers (raw arrays) with their names."""
        return ((name, value) for name, value in self._state() if not isinstance(value, Parameter))

    def buffers(self) -> Iterator[Any]:
        return (buffer for _, buffer in self.named_buffers())

    def num_parameters(self) -> int:
        """How many numbers are learnt; shared parameters count once."""
        return sum(parameter.size for parameter in self.parameters())

    def _walk(self, path: str = "") -> Iterator[tuple[str, Module]]:
        """Every module under every name it has, parents first; a name ends in a dot."""
        yield path, self
        for name, child in self.named_children():
            yield from child._walk(f"{path}{name}.")

    def _own(self) -> Iterator[tuple[str, Any]]:
        """The parameters and buffers of this module alone."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter) or name in self._buffers:
                yield name, value

    def _state(self) -> Iterator[tuple[str, Any]]:
        """The parameters and buffers of all modules, each under every name it has."""
        return ((path + name, value) for path, module in self._walk() for name, value in module._own())

    # ------------------------------------------------------------------------------------------------ modes, devices

    def train(self, training: bool = True) -> Self:
        """Put this module and all below it into training (or evaluation) mode; returns itself."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> Self:
        """Evaluation mode: dropout does nothing."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.grad = None

    def to(self, device: str) -> Self:
        """Move parameters and buffers to `device` ('cpu' or 'cuda') and forget gradients; returns itself.

        Parameters stay the same objects.  Move before making an optimizer: its state lives where the parameters live.
        """
        for module in self.modules():
            for name, value in list(module._own()):
                if isinstance(value, Parameter):
                    value.data = _moved(value.data, device)
                else:
                    setattr(module, name, _moved(value, device))
        self.zero_grad()
        return self

    # ------------------------------------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """All parameters and buffers as a flat dictionary from name to array; a shared one under each of its names.

        The arrays themselves, not copies: later steps of an optimizer show in them.
        """
        return {name: value.data if isinstance(value, Parameter) else value for name, value in self._state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy `state` into the parameters and buffers, in place and in their own dtypes.

        ValueError, before anything is written, if an entry is missing, unexpected or of another shape; without `strict`
        missing and unexpected ones are passed over.
        """
        own = self.state_dict()
        both = [name for name in own if name in state]
        others = [name for name in both if tuple(state[name].shape) != own[name].shape]
        problems = _listed("of another shape", [f"{n} {tuple(state[n].shape)}, not {own[n].shape}" for n in others])
        if strict:
            problems += _listed("missing", [name for name in own if name not in state])
            problems += _listed("unexpected", [name for name in state if name not in own])
        if problems:
            raise ValueError(
                f"this state does not fit {type(self).__name__}: {'; '.join(problems)}; "
                "build the model with the settings that the state was saved with"
            )
        for name in both:
            own[name][...] = _moved(Tensor(raw(state[name])).data, backend_of(own[name]).device)

    # ------------------------------------------------------------------------------------------------ for people

    def extra_repr(self) -> str:
        """The settings shown in brackets behind the name of the class."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(self._tree())

    def _title(self) -> str:
        settings = self.extra_repr()
        return f"{type(self).__name__}({settings})" if settings else type(self).__name__

    def _tree(self) -> list[str]:
        """The lines of repr; neighbours that look alike are written once."""
        count = self.num_parameters()
        own = [
            f"{name} {value.shape}" + ("" if getattr(value, "requires_grad", False) else " fixed")
            for name, value in self._own()
        ]
        head = self._title() + (f": {count:,} parameters" if count else "") + (f": {', '.join(own)}" if own else "")
        runs: list[tuple[list[str], list[str]]] = []  # (names, lines)
        for name, child in self.named_children():
            lines = child._tree()
            if runs and runs[-1][1] == lines:
                runs[-1][0].append(name)
            else:
                runs.append(([name], lines))
        tree = [head]
        for names, lines in runs:
            name = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}, each"
            tree += [f"  {name}: {lines[0]}", *("  " + line for line in lines[1:])]
        return tree

    def _locate(self, error: Exception) -> None:
        """Note on `error` which module it came from: the innermost begins the path, every outer one completes it."""
        inner, below, title, at = getattr(error, "_came_through", (None, "", self._title(), -1))
        if inner is None:
            error.add_note("")
            at = len(error.__notes__) - 1
        else:
            path = next((path for path, module in self._walk() if module is inner), None)
            if path is None:  # called, but not part of this module: the path ends here
                return
            below = path + below
        error.__notes__[at] = f"in {type(self).__name__}.{below[:-1]} ({title})" if below else f"in {title}"
        error._came_through = self, below, title, at  # type: ignore[attr-defined]


def _once(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _moved(array: Any, device: str) -> Any:
    backend = backend_of(array)
    return array if backend.device == device else get_backend(device).from_numpy(backend.to_numpy(array))


def _listed(what: str, names: list[str], shown: int = 5) -> list[str]:
    """["what: a, b, c and 7 more"], or nothing if there are none."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return [f"{what}: {', '.join(names[:shown])}{more}"] if names else []
