// The most multiply-adds that a core can do: steps of x = x * scale + shift on chains of vectors, float32 and float64.
//
// Idea                  Nothing but fused multiply-adds, on registers.  Ten chains do not wait for each other, so that
//                       the latency of an instruction is hidden (4 cycles, two a cycle: eight would do); nothing is
//                       read, so that memory is not what limits it.
// Maps threads to data  One thread, no data; every core is given a call of its own.
// FLOPs and bytes       2 per chain, lane and step; none.
// Needs                 GCC's or Clang's vectors, as wide as the instruction set that it is compiled for has them.
// Improves on           - (the first rung)
// Limits                Without fused multiply-adds (plain x86-64) a product and a sum are two instructions.
#include "native.h"

#if defined(__AVX512F__)
static constexpr int BYTES = 64;
#elif defined(__AVX__)
static constexpr int BYTES = 32;
#else
static constexpr int BYTES = 16;
#endif
static constexpr int CHAINS = 10;

template <class T>
static double chains(int64_t steps) {
    typedef T Vector __attribute__((vector_size(BYTES)));
    Vector x[CHAINS];
    for (int c = 0; c < CHAINS; c++) x[c] = Vector{} + T(c);
    const Vector scale = Vector{} + T(0.5), shift = Vector{} + T(1);
    for (int64_t step = 0; step < steps; step++)
        for (int c = 0; c < CHAINS; c++) x[c] = x[c] * scale + shift;
    Vector sum = x[0];
    for (int c = 1; c < CHAINS; c++) sum += x[c];
    double total = 0;
    for (size_t lane = 0; lane < BYTES / sizeof(T); lane++) total += double(sum[lane]);
    return total;  // or the compiler would remove what nobody reads: 2 for every lane and chain, after many steps
}

TG_EXPORT double fma_float32(int64_t steps) { return chains<float>(steps); }
TG_EXPORT double fma_float64(int64_t steps) { return chains<double>(steps); }
TG_EXPORT int64_t fma_flops_float32() { return 2 * CHAINS * BYTES / int64_t(sizeof(float)); }
TG_EXPORT int64_t fma_flops_float64() { return 2 * CHAINS * BYTES / int64_t(sizeof(double)); }
