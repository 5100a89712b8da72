// A step of gradient descent for many parameters at once:  g = g + decay p;  buffer = momentum buffer + g;
//     p = p - lr buffer      (Nesterov: p = p - lr g - lr momentum buffer; without momentum: p = p - lr g)
//
// Idea                  One launch for up to 40 parameters, one pass over each of their arrays.
// Maps threads to data  A block takes 8192 numbers of one parameter, a thread 16 bytes at a time.
// FLOPs and bytes       2 to 7 per number; p and the buffer are read and written, g is read: 12 or 20 bytes in float32.
// Needs                 float32, float16 or bfloat16 (all arrays alike), computed in float32; C-contiguous; the buffers
//                       null where there is no momentum; 256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Numbers of two bytes are rounded after each step: small steps are lost.
#include "tg.h"
#include "tensors.h"

template <class T>
__device__ void sgd(const Tensors<T>& params, const Tensors<const T>& grads, const Tensors<T>& buffers,
                    const Values<int64_t>& sizes, float lr, float momentum, float decay, int nesterov) {
    constexpr int W = WIDE<T>;
    const Chunk chunk(sizes);
    T *const p = params.at[chunk.tensor], *const b = buffers.at[chunk.tensor];
    const T* const g = grads.at[chunk.tensor];
    const bool wide = sixteen(p, W) && sixteen(g, W) && sixteen(b, W);
    chunk.packs<W>([=](int64_t i) {
        const int64_t left = chunk.end - i;
        Pack<T, W> x = load<W>(p + i, left, wide), kept{};
        const Pack<T, W> d = load<W>(g + i, left, wide);
        if (b) kept = load<W>(b + i, left, wide);
        TG_UNROLL
        for (int e = 0; e < W; e++) {
            const float old = float(x.of[e]), slope = float(d.of[e]) + decay * old;
            float step = slope;
            if (b) {
                const float moved = float(kept.of[e]) * momentum + slope;
                kept.of[e] = T(moved);
                step = nesterov ? slope + momentum * moved : moved;
            }
            x.of[e] = T(old - lr * step);
        }
        store(p + i, x, left, wide);
        if (b) store(b + i, kept, left, wide);
    });
}

#define KERNEL(suffix, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(256)                                                                \
        sgd_##suffix(Tensors<T> params, Tensors<const T> grads, Tensors<T> buffers, Values<int64_t> sizes, float lr, \
                     float momentum, float decay, int nesterov) {                                                    \
        sgd<T>(params, grads, buffers, sizes, lr, momentum, decay, nesterov);                                        \
    }                                                                                                                \
    TG_LAUNCHABLE(sgd_##suffix)
TG_FOR_EACH_TYPE(KERNEL)
