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

#ifdef __CUDACC__
#define TG_CALLER
#else
#define TG_CALLER , const char *file = __builtin_FILE(), int line = __builtin_LINE()  // where it was called
#endif

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

// cp.async: BYTES (4, 8 or 16) from global to shared memory, of which the first `valid` are read and the others 0, on
// their way until tg_copy_wait says that they have arrived.  Both addresses are multiples of BYTES.
template <int BYTES>
TG_WRAPPER void tg_copy_async(void* shared, const void* global, int valid TG_CALLER) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "a copy has 4, 8 or 16 bytes");
#ifdef __CUDACC__
    const unsigned to = unsigned(__cvta_generic_to_shared(shared));
    if (BYTES == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid) : "memory");
    else asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(BYTES), "r"(valid) : "memory");
#else
    emulator::begin_copy(shared, global, BYTES, valid, {file, line});
#endif
}

// cp.async.commit_group: this thread's copies since the last one are a group.
TG_WRAPPER void tg_copy_commit() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulator::state.current->groups++;
#endif
}

// cp.async.wait_group: wait until no more than the newest PENDING groups of this thread are on their way.
template <int PENDING>
TG_WRAPPER void tg_copy_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#else
    emulator::finish_copies(PENDING);
#endif
}
