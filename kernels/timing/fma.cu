// The most multiply-adds that a GPU's ordinary units can do: out[i] = what became of eight numbers, float32.
//
// Idea                  Nothing but fused multiply-adds, on registers.  Eight chains per thread do not wait for each
//                       other, so that the latency of an instruction is hidden; nothing is read, so that memory is not
//                       what limits it.
// Maps threads to data  Every thread has numbers of its own and writes one at the end, or the compiler would remove it.
// FLOPs and bytes       16 per thread and step; 4 bytes written per thread.
// Needs                 One float of output per thread, steps a multiple of 4.  Any architecture.
// Improves on           - (the first rung)
// Limits                Ordinary units only; what the tensor cores can do, a product of matrices shows.
#include "tg.h"

extern "C" __global__ void fma_chains(float* __restrict__ out, float scale, float shift, int steps) {
    constexpr int CHAINS = 8;
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    float x[CHAINS];
    for (int k = 0; k < CHAINS; ++k) x[k] = float(threadIdx.x + k);
    for (int step = 0; step < steps; step += 4)
        for (int k = 0; k < 4 * CHAINS; ++k) x[k % CHAINS] = fmaf(x[k % CHAINS], scale, shift);  // unrolled, all 32
    float sum = 0.0f;
    for (int k = 0; k < CHAINS; ++k) sum += x[k];
    out[i] = sum;
}
TG_LAUNCHABLE(fma_chains)
