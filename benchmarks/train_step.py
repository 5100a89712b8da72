"""One GPT training step on the CPU, plain NumPy reference against torch eager, alternating step by step.

    python benchmarks/train_step.py [--kernels reference] [--rounds N] [--threads 2] [--profile] [--json FILE]

The model has 4 layers, 4 heads, width 128, a context of 64 and 65 characters; 12 sequences a step; forward, backward,
gradient clipping to 1.0, AdamW (fused on torch's side).  Both sides begin with the same weights and see the same
batches; the losses and gradient norms of the first 20 steps are printed side by side and must agree before a time is
believed.  ``--profile`` says where our time goes instead.  Needs torch (not for ``--profile``).

Each side runs in a process of its own.  In one process OpenBLAS's threads and torch's OpenMP threads would both wait
for work by spinning, each on the cores that the other is computing on, and the step of either would be several times
slower than for any user of one of the two.  Here the idle side sleeps in a read, and every timed step comes after
untimed ones during which the other side's threads fall asleep and the caches fill: what is timed is a step in the midst
of training.  Within a step both libraries' threads wait as they do by default; passive waiting would only slow them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

try:
    import tinygrad_lm as tg
    from tinygrad_lm import bench
    from tinygrad_lm.backend import Unavailable, load_table
    from tinygrad_lm.core import OPS
    from tinygrad_lm.models import GPT, GPTConfig
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

VOCAB, LAYERS, WIDTH, HEADS, CONTEXT, BATCH = 65, 4, 128, 4, 64, 12
Step = Callable[[], tuple[float, float]]  # one training step: (loss, gradient norm)


def weights(layers: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Initial weights of both sides, by the names that both models use."""
    rng = np.random.default_rng(seed)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": np.ones(WIDTH, np.float32), f"{name}.bias": np.zeros(WIDTH, np.float32)}

    def table(name: str, rows: int, columns: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": (0.02 * rng.standard_normal((rows, columns))).astype(np.float32)}

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return table(name, outputs, inputs) | {f"{name}.bias": np.zeros(outputs, np.float32)}

    named = table("tokens", VOCAB, WIDTH) | table("positions", CONTEXT, WIDTH) | norm("norm")
    for i in range(layers):
        named |= norm(f"blocks.{i}.norm1") | norm(f"blocks.{i}.norm2")
        named |= linear(f"blocks.{i}.attention.qkv", WIDTH, 3 * WIDTH)
        named |= linear(f"blocks.{i}.attention.output", WIDTH, WIDTH)
        named |= linear(f"blocks.{i}.expand", WIDTH, 4 * WIDTH) | linear(f"blocks.{i}.contract", 4 * WIDTH, WIDTH)
    return named


def batches(batch: int, seed: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless (ids, targets), (batch, CONTEXT) each.

    Every sequence counts up by a step of its own: something to learn, so that the losses of two sides that do not do
    the same drift apart.
    """
    rng = np.random.default_rng(seed)
    while True:
        start, stride = rng.integers(0, VOCAB, (batch, 1)), rng.integers(1, 5, (batch, 1))
        text = (start + stride * np.arange(CONTEXT + 1)) % VOCAB
        yield text[:, :-1], text[:, 1:]


# ------------------------------------------------------------------------------------------------------------- our side


def our_model(layers: int = LAYERS) -> Any:
    model = GPT(GPTConfig(vocab_size=VOCAB, layers=layers, width=WIDTH, heads=HEADS, context=CONTEXT, bias=True))
    model.load_state_dict(weights(layers))
    return model


def our_step(model: Any, batch: int = BATCH, phase: Callable[[str], Any] | None = None) -> Step:
    """``phase(name)``, if given, makes a context manager around each part of the step."""
    parameters = list(model.parameters())
    optimizer = tg.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    stream = batches(batch)
    phase = phase or _unobserved

    def step() -> tuple[float, float]:
        ids, targets = next(stream)
        with phase("forward"):
            loss = model.loss(ids, targets)
        with phase("backward"):
            loss.backward()
        with phase("clip"):
            norm = tg.optim.clip_grad_norm_(parameters, 1.0)
        with phase("AdamW"):
            optimizer.step()
            optimizer.zero_grad()
        return loss.item(), float(norm)

    return step


@contextmanager
def _unobserved(name: str) -> Iterator[None]:
    yield


def ours(kernels: str) -> Step:
    tg.set_kernels(kernels)
    return our_step(our_model())


# --------------------------------------------------------------------------------------------------------- torch's side


def torch_model(layers: int = LAYERS) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention = nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH), "output": nn.Linear(WIDTH, WIDTH)})
            self.expand, self.contract = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            q, k, v = [
                part.view(-1, CONTEXT, HEADS, WIDTH // HEADS).transpose(1, 2)  # (B, H, T, D)
                for part in self.attention["qkv"](self.norm1(x)).split(WIDTH, 2)
            ]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.attention["output"](y.transpose(1, 2).reshape(-1, CONTEXT, WIDTH))
            return x + self.contract(F.gelu(self.expand(self.norm2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCAB, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks, self.norm = nn.ModuleList([Block() for _ in range(layers)]), nn.LayerNorm(WIDTH)

        def loss(self, ids: Any, targets: Any) -> Any:
            x = self.tokens(ids) + self.positions(torch.arange(CONTEXT))
            for block in self.blocks:
                x = block(x)
            return F.cross_entropy(F.linear(self.norm(x), self.tokens.weight).view(-1, VOCAB), targets.reshape(-1))

    model = Model()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights(layers).items()})
    return model


def torch_step(model: Any, batch: int = BATCH) -> Step:
    import torch

    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    stream = batches(batch)

    def step() -> tuple[float, float]:
        ids, targets = map(torch.from_numpy, next(stream))
        loss = model.loss(ids, targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item(), norm.item()

    return step


def theirs(threads: int) -> Step:
    import torch

    torch.set_num_threads(threads)
    return torch_step(torch_model())


# -------------------------------------------------------------------------------------------------------------- reports


def thread_settings(threads: int) -> dict[str, str]:
    """Environment of a worker: each library asks a variable of its own how many threads to start."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def against_torch(kernels: str, steps: int, rounds: int, threads: int, json_file: str | None) -> int:
    bench.require("torch")
    # A worker's environment is read before its first import.  Torch's process needs no OpenBLAS threads at all.
    settings = thread_settings(threads)
    with (
        bench.Worker(ours, kernels, env=settings) as our_worker,
        bench.Worker(theirs, threads, env=settings | {"OPENBLAS_NUM_THREADS": "1"}) as their_worker,
    ):
        pairs = [(our_worker(), their_worker()) for _ in range(steps)]
        print(f"step  {'loss: ' + kernels:>20}  {'torch':>10}  {'gradient norm: ' + kernels:>25}  {'torch':>10}")
        for k, ((our_loss, our_norm), (their_loss, their_norm)) in enumerate(pairs, 1):
            print(f"{k:4}  {our_loss:20.6f}  {their_loss:10.6f}  {our_norm:25.6f}  {their_norm:10.6f}")
        losses, norms = np.abs(np.diff(np.array(pairs), axis=1))[:, 0].max(axis=0)
        found = bench.compare(our_worker, their_worker, rounds=rounds, min_time=0, names=(kernels, "torch"))
    ours_ms, theirs_ms = (t * 1e3 for t in found.medians)
    print(f"\n{found}")
    print(f"median step with {threads} threads each: {kernels} {ours_ms:.1f} ms, torch {theirs_ms:.1f} ms")
    return bench.report(
        [
            bench.Figure(f"time of a step: {kernels} / torch eager", found.ratio, 2.5),
            bench.Figure(f"largest difference of losses, {steps} steps", losses, 1e-4),
            bench.Figure(f"largest difference of gradient norms, {steps} steps", norms),
        ],
        json_file=json_file,
        comparison=found.record(),
        losses={kernels: [p[0][0] for p in pairs], "torch": [p[1][0] for p in pairs]},
    )


# -------------------------------------------------------------------------------------------------------------- profile


def profiled(kernels: str, steps: int) -> Callable[[], tuple[dict[str, float], list[dict[str, Any]]]]:
    """What measures (seconds of each phase, rows of phase, op, calls and seconds), all per step.

    The kernel table is the probe: an entry for every op that reads the clock around what would have run.
    """
    phases: defaultdict[str, float] = defaultdict(float)
    ops: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    current, inner = "", 0.0  # the phase; seconds spent in ops that the running op has called

    def probe(name: str, body: Callable, kernel: Callable | None) -> Callable:
        def timed(xp: Any, *arrays: Any, **params: Any) -> Any:
            nonlocal inner
            before, inner = inner, 0.0
            start = time.perf_counter()
            result = kernel(xp, *arrays, **params) if kernel else NotImplemented
            if result is NotImplemented:
                result = body(xp, *arrays, **params)
            took = time.perf_counter() - start
            row = ops[current, name]
            row[0] += 1
            row[1] += took - inner
            inner = before + took
            return result

        return timed

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        nonlocal current
        current, start = name, time.perf_counter()
        yield
        phases[name] += time.perf_counter() - start

    table = load_table(kernels)
    tg.set_kernels({name: probe(name, op.forward, table.get(name)) for name, op in OPS.items()})
    step = our_step(our_model(), phase=phase)

    def run() -> tuple[dict[str, float], list[dict[str, Any]]]:
        for _ in range(3):
            step()
        phases.clear()
        ops.clear()
        for _ in range(steps):
            step()
        rows = [{"phase": p, "op": op, "calls": n / steps, "seconds": t / steps} for (p, op), (n, t) in ops.items()]
        return {name: t / steps for name, t in phases.items()}, rows

    return run


def profile(kernels: str, threads: int, steps: int, json_file: str | None) -> int:
    with bench.Worker(profiled, kernels, steps, env=thread_settings(threads)) as worker:
        phases, rows = worker()
    total = sum(phases.values())
    print(f"one step, {kernels} kernels, {threads} threads: {total * 1e3:.1f} ms (mean of {steps}, with the probes)\n")
    print(f"{'':30}  {'calls':>5}  {'forward ms':>10}  {'backward ms':>11}  {'share':>6}")

    def line(name: str, calls: float | None, forward: float, backward: float) -> None:
        count, share = "" if calls is None else f"{calls:.0f}", (forward + backward) / total
        print(f"{name:30}  {count:>5}  {forward * 1e3:10.2f}  {backward * 1e3:11.2f}  {share:6.1%}")

    def spent(phase: str, op: str | None = None) -> float:
        return sum(r["seconds"] for r in rows if r["phase"] == phase and op in (None, r["op"]))

    names = {r["op"] for r in rows}
    for name in sorted(names, key=lambda name: -spent("forward", name) - spent("backward", name)):
        line(name, sum(r["calls"] for r in rows if r["op"] == name), spent("forward", name), spent("backward", name))
    rest = (phases[p] - spent(p) for p in ("forward", "backward"))
    line("tape and rules' own arithmetic", None, *rest)
    for name in ("clip", "AdamW"):
        line(name, None, 0, phases[name])
    return bench.report(
        [bench.Figure(f"one step: {name}", seconds * 1e3, unit="ms") for name, seconds in phases.items()],
        json_file=json_file,
        ops=rows,
    )


def kernels_word(word: str) -> str:
    """The type of ``--kernels``: a table that loads on this machine."""
    try:
        load_table(word)
    except (ValueError, Unavailable) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=kernels_word, default="reference", help="our kernel table (reference)")
    parser.add_argument("--steps", type=int, default=20, help="steps whose losses are compared, or to profile (20)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of four timed steps, after those (15)")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side (2)")
    parser.add_argument("--profile", action="store_true", help="say where our time goes, without torch")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    for name, least in (("rounds", 4), ("threads", 1), ("steps", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    if options.profile:
        return profile(options.kernels, options.threads, options.steps, options.json)
    return against_torch(options.kernels, options.steps, options.rounds, options.threads, options.json)


if __name__ == "__main__":
    sys.exit(main())
