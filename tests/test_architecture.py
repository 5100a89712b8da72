"""The order of the rooms, read from the source: who may import whom, and what may be mentioned where."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

import tinygrad_lm

ROOT = Path(tinygrad_lm.__file__).parent
LAYERS = [
    {"config"},
    {"backend"},
    {"core"},
    {"ops"},
    {"nn"},
    {"optim"},
    {"models", "data"},
    {"train"},
    {"testing", "study"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
LAYER = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}
FILES = [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path):
    """(line, dotted name) of everything imported anywhere in a file, inside functions too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write the import out, from tinygrad_lm"
            if node.module != "tinygrad_lm":
                yield node.lineno, node.module
            yield from [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from [(node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant)]


def strings(path):
    """(line, value) of every string constant that is no docstring."""
    tree = parsed(path)
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def short(path):
    return str(path.relative_to(ROOT))


def test_every_file_belongs_to_a_room():
    assert len(FILES) > 40 and {room_of(p) for p in FILES} <= set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_down_only(path):
    room = room_of(path)
    for line, name in imported(path):
        package, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if package != "tinygrad_lm" or target.startswith("_"):
            continue
        if target not in LAYER:  # the package's face, `import tinygrad_lm as tg`: only a program may use it
            assert LAYER[room] >= LAYER["cli"], f"{path}:{line} imports {name}: name the room"
        elif target != room:
            assert LAYER[target] < LAYER[room], f"{path}:{line}: {room} is not above {target} and must not import it"


def test_cupy_is_imported_in_one_file_only():
    users = {short(p) for p in FILES for _, name in imported(p) if name.split(".")[0] == "cupy"}
    assert users <= {"backend/cuda.py"}


def is_device(node):
    return isinstance(node, ast.Constant) and node.value in ("cpu", "cuda", "gpu", "cupy", "numpy")


ABOVE = [p for p in FILES if room_of(p) in ("core", "ops", "nn", "optim", "models")]


@pytest.mark.parametrize("path", ABOVE, ids=short)
def test_no_device_is_asked_for_above_the_seam(path):
    for node in ast.walk(parsed(path)):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            assert name not in ("cupy", "is_gpu", "is_cuda", "on_gpu"), f"{where} asks for a device"
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            sides += [e for s in sides if isinstance(s, ast.Tuple | ast.List | ast.Set) for e in s.elts]
            assert not any(map(is_device, sides)), f"{where} compares with a device's name"
            if any(isinstance(s, ast.Name) and s.id == "xp" for s in sides):
                raise AssertionError(f"{where} asks which array module it has")


def test_no_class_in_ops_has_a_backward():
    for path in FILES:
        if room_of(path) != "ops":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.Name | ast.Attribute):
                name = getattr(node, "name", getattr(node, "id", getattr(node, "attr", "")))
                assert name != "backward", f"{path}:{node.lineno}: a derivative is a rule, @thing.vjp(...)"


def test_core_names_no_operation():
    """The walk speaks to gradients through + and a few methods; no operation is called, looked up or told apart."""
    operations = {op.name for op in tinygrad_lm.OPS.values()} - {"where"}  # which is also a word of ours, for a place
    for path in FILES:
        if room_of(path) != "core":
            continue
        local = {n.id for n in ast.walk(parsed(path)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in local:
                assert node.func.id not in operations - vars(builtins).keys(), f"{path}:{node.lineno}"
        for line, text in strings(path):
            assert text not in operations, f"{path}:{line} names the operation {text}"


def test_the_rooms_below_know_nothing_of_what_is_above():
    """No room of the engine mentions words of the trade above it."""
    for path in FILES:
        if room_of(path) in ("config", "backend", "core"):
            names = {n.id for n in ast.walk(parsed(path)) if isinstance(n, ast.Name)}
            assert not names & {"Module", "Parameter", "optimizer", "epoch", "vocabulary", "tokenizer"}, path
