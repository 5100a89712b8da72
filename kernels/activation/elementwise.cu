// Activations and their gradients:  y = f(x),  dx = dy f'(x), for the f of activation.h.
//
// Idea                  Bound by memory: each thread moves 16 bytes at a time, and all arithmetic hides behind that.
// Maps threads to data  Thread t of the grid takes the pack t of each array.
// FLOPs and bytes       Up to about 60 per element (erfc); each element is read once and written once.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous.  256 threads.  Any architecture
//                       from sm_80.
// Improves on           - (the first rung)
// Limits                A bias is not added here but where the product is made (epilogue.h).
#include "tg.h"
#include "activation.h"

template <class T, bool GRADIENT>
__device__ void each(const T* __restrict__ dy, const T* __restrict__ x, T* __restrict__ y, int64_t count, int which) {
    constexpr int W = WIDE<T>;
    const int64_t at = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * W;
    if (at >= count) return;
    const Pack<T, W> in = load<W>(x + at, count - at, sixteen(x, W));
    Pack<T, W> out;
    if (GRADIENT) {
        const Pack<T, W> g = load<W>(dy + at, count - at, sixteen(dy, W));
        TG_UNROLL
        for (int e = 0; e < W; e++) out.of[e] = T(float(g.of[e]) * slope(which, float(in.of[e])));
    } else {
        TG_UNROLL
        for (int e = 0; e < W; e++) out.of[e] = T(activate(which, float(in.of[e])));
    }
    store(y + at, out, count - at, sixteen(y, W));
}

#define KERNELS(suffix, T)                                                                                  \
    extern "C" __global__ void activation_##suffix(const T* x, T* y, int64_t count, int which) {            \
        each<T, false>(nullptr, x, y, count, which);                                                        \
    }                                                                                                       \
    TG_LAUNCHABLE(activation_##suffix)                                                                      \
    extern "C" __global__ void activation_grad_##suffix(const T* dy, const T* x, T* dx, int64_t count,      \
                                                        int which) {                                        \
        each<T, true>(dy, x, dx, count, which);                                                             \
    }                                                                                                       \
    TG_LAUNCHABLE(activation_grad_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
