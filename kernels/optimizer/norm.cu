// The norm of many gradients together, and their scaling:  total = sum of all g^2;  g = factor g.
//
// Idea                  One launch for up to 40 arrays.  A block writes one number, the next launch adds them up, in
//                       order: no atomics.
// Maps threads to data  A block takes 8192 numbers of one array, a thread 16 bytes at a time.
// FLOPs and bytes       2 per number, each read once; scaling reads and writes each.
// Needs                 float32, float16 or bfloat16, squared and added up in float64 (a square need not fit into
//                       float32); arrays C-contiguous; 256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                float64 is slow on GPUs that are not made for computing centres: there it is bound by that.
#include "tg.h"
#include "tensors.h"

template <class T>
__device__ void squares(const Tensors<const T>& arrays, const Values<int64_t>& sizes, double* __restrict__ part) {
    constexpr int W = WIDE<T>;
    __shared__ double seen[256];
    const Chunk chunk(sizes);
    const T* const x = arrays.at[chunk.tensor];
    double total = 0.0;
    chunk.packs<W>([&](int64_t i) {
        const Pack<T, W> a = load<W>(x + i, chunk.end - i, sixteen(x, W));
        TG_UNROLL
        for (int e = 0; e < W; e++) total += double(float(a.of[e])) * double(float(a.of[e]));
    });
    seen[threadIdx.x] = total;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (int(threadIdx.x) < half) seen[threadIdx.x] += seen[threadIdx.x + half];
    }
    if (threadIdx.x == 0) part[blockIdx.x] = seen[0];
}

// out[0] = the sum of part[0 .. count).  One block of 256 threads.
extern "C" __global__ void __launch_bounds__(256) norm_total(const double* part, double* out, int64_t count) {
    __shared__ double seen[256];
    double total = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += 256) total += part[i];
    seen[threadIdx.x] = total;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (int(threadIdx.x) < half) seen[threadIdx.x] += seen[threadIdx.x + half];
    }
    if (threadIdx.x == 0) out[0] = seen[0];
}
TG_LAUNCHABLE(norm_total)

template <class T>
__device__ void scale(const Tensors<T>& arrays, const Values<int64_t>& sizes, float factor) {
    constexpr int W = WIDE<T>;
    const Chunk chunk(sizes);
    T* const x = arrays.at[chunk.tensor];
    chunk.packs<W>([=](int64_t i) {
        const bool wide = sixteen(x, W);
        Pack<T, W> a = load<W>(x + i, chunk.end - i, wide);
        TG_UNROLL
        for (int e = 0; e < W; e++) a.of[e] = T(float(a.of[e]) * factor);
        store(x + i, a, chunk.end - i, wide);
    });
}

#define KERNELS(suffix, T)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256)                                                               \
        norm_squares_##suffix(Tensors<const T> arrays, Values<int64_t> sizes, double* part) {                       \
        squares<T>(arrays, sizes, part);                                                                            \
    }                                                                                                               \
    TG_LAUNCHABLE(norm_squares_##suffix)                                                                            \
    extern "C" __global__ void __launch_bounds__(256)                                                               \
        norm_scale_##suffix(Tensors<T> arrays, Values<int64_t> sizes, float factor) {                               \
        scale<T>(arrays, sizes, factor);                                                                            \
    }                                                                                                               \
    TG_LAUNCHABLE(norm_scale_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
