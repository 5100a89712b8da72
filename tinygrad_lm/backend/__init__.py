"""Layer 1: how arrays are computed.  Array modules, kernel tables, random bits; everything that knows a device."""

from tinygrad_lm.backend.philox import Generator, default_generator, dropout_mask, manual_seed
from tinygrad_lm.backend.record import (
    BACKENDS,
    BY_TYPE,
    CPU,
    Backend,
    Unavailable,
    backend_of,
    get_backend,
    is_float,
    kernels_in_use,
    load_table,
    on_swap,
    register_backend,
    set_kernels,
    table_of,
    use_kernels,
    widest_float,
)

__all__ = [
    "BACKENDS",
    "BY_TYPE",
    "CPU",
    "Backend",
    "Generator",
    "Unavailable",
    "backend_of",
    "default_generator",
    "dropout_mask",
    "get_backend",
    "is_float",
    "kernels_in_use",
    "load_table",
    "manual_seed",
    "on_swap",
    "register_backend",
    "set_kernels",
    "table_of",
    "use_kernels",
    "widest_float",
]
