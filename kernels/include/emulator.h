// CUDA on the host: a plain C++17 compiler builds and runs an unchanged .cu file.  A test device, not a product path.
//
// Every CUDA thread is a fibre; blocks run one after another; a fibre runs until it meets a barrier or a warp
// collective that others have not reached yet, so the order of threads, warps and blocks is ours to choose: forward,
// reverse or random.
//
// Found: wrong results under some order of threads; a barrier or collective that some threads never reach, or reach at
// another place (reported with file and line, not hung); a lane outside its own mask; copies that nobody waited for, and
// what is read before its copy was waited for; reads of shared memory that nobody wrote (all of it is filled with NaN
// before every block); accesses beyond dynamic shared memory, an argument array or the stack (guard pages).
// Found by the sanitizers, with file and line (backend/sanitize.py): accesses beyond any array, races whose result is
// right in every order, misaligned accesses, overflowing integers.
// Not found: missing fences between proxies, bank conflicts, anything about speed.
#pragma once

#include "cuda_names.h"
