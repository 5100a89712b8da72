// Softplus: y = log(1 + e^x), float32.
//
// Idea                  One element after the other, each on its own.
// Maps threads to data  Thread i takes element i.
// FLOPs and bytes       Two exponentials' worth per element; each is read once and written once.
// Needs                 float32, C-contiguous.  256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Bound by memory, four bytes at a time.
#include "tg.h"

extern "C" __global__ void my_softplus(const float* __restrict__ x, float* __restrict__ y, int64_t count) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) y[i] = fmaxf(x[i], 0.0f) + log1pf(expf(-fabsf(x[i])));
}
TG_LAUNCHABLE(my_softplus)
