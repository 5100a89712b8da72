// Every PTX instruction that a kernel uses, one wrapper function each: a device body, and a host body that does the
// same.  No other file contains inline assembly (the emulator's fibre switch apart), so every kernel runs emulated.
#pragma once

#ifdef __CUDACC__
#define TG_WRAPPER __device__ __forceinline__
#else
#include <chrono>
#define TG_WRAPPER inline
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
