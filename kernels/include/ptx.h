// Every PTX instruction that a kernel uses, one wrapper function each: a device body, and a host body that does the
// same.  No other file contains inline assembly (the emulator's fibre switch apart), so every kernel runs emulated.
#pragma once

#ifdef __CUDACC__
#define TG_WRAPPER __device__ __forceinline__
#else
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
