"""Timing that can be trusted: paired comparisons with a verdict, worker processes, and the record of where it ran."""

from tinygrad_lm.bench.devices import on_device
from tinygrad_lm.bench.figures import Figure, report, require
from tinygrad_lm.bench.machine import environment
from tinygrad_lm.bench.paired import Comparison, Verdict, compare, seconds
from tinygrad_lm.bench.results import document, load, save, unlike
from tinygrad_lm.bench.roofline import Placed, Roofline
from tinygrad_lm.bench.rows import Case, Row, measure, sweep
from tinygrad_lm.bench.timing import Timing, do_bench
from tinygrad_lm.bench.workers import Worker
from tinygrad_lm.bench.workloads import function_of, workload

__all__ = [
    "Case",
    "Comparison",
    "Figure",
    "Placed",
    "Roofline",
    "Row",
    "Timing",
    "Verdict",
    "Worker",
    "compare",
    "do_bench",
    "document",
    "environment",
    "function_of",
    "load",
    "measure",
    "on_device",
    "report",
    "require",
    "save",
    "seconds",
    "sweep",
    "unlike",
    "workload",
]
