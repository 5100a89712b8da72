// A step of Adam (Kingma and Ba 2015) or AdamW for many parameters at once.  Coupled decay: g = g + decay p;
// decoupled: p = (1 - lr decay) p first.  Then
//     m = beta1 m + (1 - beta1) g      v = beta2 v + (1 - beta2) g^2      p = p - rate m / (sqrt(v) + small)
//
// Idea                  One launch for up to 40 parameters, one pass over each of their four arrays; both corrections of
//                       the start from zeros are in rate = lr root / (1 - beta1^t), small = eps root, with
//                       root = sqrt(1 - beta2^t), which are numbers of a parameter.
// Maps threads to data  A block takes 8192 numbers of one parameter, a thread 16 bytes at a time.
// FLOPs and bytes       About 12 per number; p, m, v are read and written, g is read: 28 bytes in float32.
// Needs                 float32, float16 or bfloat16 (all four arrays alike), computed in float32; C-contiguous;
//                       256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Numbers of two bytes are rounded after each step: small steps are lost.
#include "tg.h"
#include "tensors.h"

template <class T>
__device__ void adam(const Tensors<T>& params, const Tensors<const T>& grads, const Tensors<T>& means,
                     const Tensors<T>& squares, const Values<int64_t>& sizes, const Values<float>& rates,
                     const Values<float>& smalls, float beta1, float beta2, float rest1, float rest2, float decay,
                     float keep) {
    constexpr int W = WIDE<T>;
    const Chunk chunk(sizes);
    T *const p = params.at[chunk.tensor], *const m = means.at[chunk.tensor], *const v = squares.at[chunk.tensor];
    const T* const g = grads.at[chunk.tensor];
    const float rate = rates.at[chunk.tensor], small = smalls.at[chunk.tensor];
    const bool wide = sixteen(p, W) && sixteen(m, W) && sixteen(v, W) && sixteen(g, W);
    chunk.packs<W>([=](int64_t i) {
        const int64_t left = chunk.end - i;
        Pack<T, W> a = load<W>(p + i, left, wide), b = load<W>(m + i, left, wide), c = load<W>(v + i, left, wide);
        const Pack<T, W> d = load<W>(g + i, left, wide);
        TG_UNROLL
        for (int e = 0; e < W; e++) {
            const float old = float(a.of[e]) * keep, slope = float(d.of[e]) + decay * float(a.of[e]);
            const float mean = float(b.of[e]) * beta1 + slope * rest1;
            const float square = float(c.of[e]) * beta2 + slope * slope * rest2;
            a.of[e] = T(old - mean / (sqrtf(square) + small) * rate);
            b.of[e] = T(mean);
            c.of[e] = T(square);
        }
        store(p + i, a, left, wide);
        store(m + i, b, left, wide);
        store(v + i, c, left, wide);
    });
}

#define KERNEL(suffix, T)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) adam_##suffix(                                                  \
        Tensors<T> params, Tensors<const T> grads, Tensors<T> means, Tensors<T> squares, Values<int64_t> sizes,       \
        Values<float> rates, Values<float> smalls, float beta1, float beta2, float rest1, float rest2, float decay,   \
        float keep) {                                                                                                 \
        adam<T>(params, grads, means, squares, sizes, rates, smalls, beta1, beta2, rest1, rest2, decay, keep);        \
    }                                                                                                                 \
    TG_LAUNCHABLE(adam_##suffix)
TG_FOR_EACH_TYPE(KERNEL)
