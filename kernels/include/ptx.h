// Every PTX instruction that a kernel uses, one wrapper function each: a device body, and a host body that does the
// same.  No other file contains inline assembly (the emulator's fibre switch apart), so every kernel runs emulated.
#pragma once

#ifdef __CUDACC__
#define TG_INLINE __device__ __forceinline__
#else
#include <chrono>
#define TG_INLINE inline
#endif
#define TG_WRAPPER TG_INLINE  // marks those of this file

// mov.u32 %laneid: the place of this thread in its warp, 0 to 31, whatever the shape of the block.
TG_WRAPPER unsigned tg_lane() {
#ifdef __CUDACC__
    unsigned lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
#else
    return emulator::lane();
#endif
}

// mov.u64 %clock64: cycles of this multiprocessor's clock.  On the host: nanoseconds.
TG_WRAPPER int64_t tg_cycles() {
#ifdef __CUDACC__
    int64_t cycles;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(cycles));
    return cycles;
#else
    return int64_t(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
#endif
}

// The float with these bits (mov.b32).
TG_WRAPPER float tg_float(uint32_t bits) {
#ifdef __CUDACC__
    float x;
    asm("mov.b32 %0, %1;" : "=f"(x) : "r"(bits));
    return x;
#else
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
#endif
}

// cvt.rn.f16.f32 and back: float16 as its bits, rounded to the nearest, ties to even.
TG_WRAPPER uint16_t tg_half(float x) {
#ifdef __CUDACC__
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    const _Float16 half = static_cast<_Float16>(x);
    uint16_t bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
#endif
}

TG_WRAPPER float tg_float_of_half(uint16_t bits) {
#ifdef __CUDACC__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    return float(half);
#endif
}

// cvt.rn.bf16.f32: bfloat16 as its bits, rounded to the nearest, ties to even.
TG_WRAPPER uint16_t tg_bfloat16(float x) {
#ifdef __CUDACC__
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return uint16_t(bits >> 16 | 64);  // stays NaN
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}
