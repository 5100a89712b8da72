// Random words, uniform numbers, masks, and dropout, from Philox4x32-10 (philox.h): element i of a draw is a function of
// (seed, stream, i) alone, with the bits that every other backend gives.
//
// Idea                  A thread computes whole blocks of four words and writes what they make, 16 bytes at a time: no
//                       state, no memory but the result.
// Maps threads to data  Thread t of the grid takes the elements 4 t .. 4 t + 3 (64-bit ones 2 t and 2 t + 1; of dropout on
//                       numbers of two bytes 8 t .. 8 t + 7).
// FLOPs and bytes       20 integer products and 60 other operations for four words; each element is written once, and x of
//                       dropout is read once.
// Needs                 C-contiguous arrays: uint32 and uint64 words, float32 uniform numbers, masks of booleans; dropout
//                       of float32, float16 or bfloat16.  256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Normal numbers are made elsewhere, from 64-bit words.
#include "tg.h"
#include "philox.h"

TG_INLINE int64_t thread_of_grid() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

template <class T, class F>
__device__ void four(T* out, int64_t count, uint64_t seed, uint64_t stream, F f) {
    const int64_t at = thread_of_grid() * 4;
    if (at >= count) return;
    const Words words = philox(uint64_t(at) / 4, seed, stream);
    Pack<T, 4> pack;
    TG_UNROLL
    for (int e = 0; e < 4; e++) pack.of[e] = f(words.of[e]);
    store(out + at, pack, count - at, reinterpret_cast<uint64_t>(out) % sizeof(pack) == 0);
}

extern "C" __global__ void random_words_32(uint32_t* out, int64_t count, uint64_t seed, uint64_t stream) {
    four(out, count, seed, stream, [](uint32_t word) { return word; });
}
TG_LAUNCHABLE(random_words_32)

extern "C" __global__ void random_words_64(uint64_t* out, int64_t count, uint64_t seed, uint64_t stream) {
    const int64_t at = thread_of_grid() * 2;
    if (at >= count) return;
    const Words words = philox(uint64_t(at) / 2, seed, stream);
    out[at] = uint64_t(words.of[1]) << 32 | words.of[0];
    if (at + 1 < count) out[at + 1] = uint64_t(words.of[3]) << 32 | words.of[2];
}
TG_LAUNCHABLE(random_words_64)

// Multiples of 2**-24 in [0, 1): exact.
extern "C" __global__ void random_uniform_f32(float* out, int64_t count, uint64_t seed, uint64_t stream) {
    four(out, count, seed, stream, [](uint32_t word) { return float(word >> 8) * 0x1p-24f; });
}
TG_LAUNCHABLE(random_uniform_f32)

// Whether an element is kept: its word is not below the threshold.
extern "C" __global__ void random_mask(bool* out, int64_t count, uint64_t seed, uint64_t stream, uint32_t threshold) {
    four(out, count, seed, stream, [=](uint32_t word) { return word >= threshold; });
}
TG_LAUNCHABLE(random_mask)

template <class T>
__device__ void dropout(const T* __restrict__ x, T* __restrict__ y, int64_t count, uint64_t seed, uint64_t stream,
                        uint32_t threshold, float kept) {
    constexpr int W = WIDE<T>;
    const int64_t at = thread_of_grid() * W;
    if (at >= count) return;
    Pack<T, W> pack = load<W>(x + at, count - at, sixteen(x, W));
    TG_UNROLL
    for (int four = 0; four < W; four += 4) {
        const Words words = philox(uint64_t(at + four) / 4, seed, stream);
        TG_UNROLL
        for (int e = 0; e < 4; e++) {
            const float factor = words.of[e] < threshold ? 0.0f : kept;
            pack.of[four + e] = T(float(pack.of[four + e]) * factor);
        }
    }
    store(y + at, pack, count - at, sixteen(y, W));
}

#define KERNEL(suffix, T)                                                                                             \
    extern "C" __global__ void dropout_##suffix(const T* x, T* y, int64_t count, uint64_t seed, uint64_t stream,      \
                                                uint32_t threshold, float kept) {                                     \
        dropout<T>(x, y, count, seed, stream, threshold, kept);                                                       \
    }                                                                                                                 \
    TG_LAUNCHABLE(dropout_##suffix)
TG_FOR_EACH_TYPE(KERNEL)
