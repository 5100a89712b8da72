// Kernels that are right, and kernels with one mistake each, for test_emulator.py.
#include "tg.h"

// out[i] = x[i + 1], by way of shared memory.
template <bool WITH_BARRIER>
__device__ void rotate(const float* x, float* out) {
    TG_DYNAMIC_SHARED(float, slots);
    slots[threadIdx.x] = x[threadIdx.x];
    if (WITH_BARRIER) __syncthreads();
    out[threadIdx.x] = slots[(threadIdx.x + 1) % blockDim.x];
}
extern "C" __global__ void rotate_right(const float* x, float* out) { rotate<true>(x, out); }
extern "C" __global__ void rotate_without_barrier(const float* x, float* out) { rotate<false>(x, out); }
TG_LAUNCHABLE(rotate_right)
TG_LAUNCHABLE(rotate_without_barrier)

// Where am I?  One number per thread of the grid.
extern "C" __global__ void where(int* out) {
    const int block = int((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
    const int thread = int((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
    const int threads = int(blockDim.x * blockDim.y * blockDim.z);
    out[block * threads + thread] = block * 100000 + thread * 100 + int(tg_lane());
}
TG_LAUNCHABLE(where)

// The second half leaves before the barrier: allowed, the barrier counts those that are left.
extern "C" __global__ void leave_early(float* out) {
    if (threadIdx.x >= blockDim.x / 2) return;
    __syncthreads();
    out[threadIdx.x] = 1.0f;
}
TG_LAUNCHABLE(leave_early)

// All lanes of each half warp exchange among themselves, the halves at different times.
extern "C" __global__ void half_warps(int* out) {
    const bool low = threadIdx.x < 16;
    const unsigned mask = low ? 0x0000ffffu : 0xffff0000u;
    int value = int(threadIdx.x);
    if (low) value = __shfl_xor_sync(mask, value, 1);
    value = __shfl_xor_sync(mask, value, 8);
    out[threadIdx.x] = value;
}
TG_LAUNCHABLE(half_warps)

extern "C" __global__ void barrier_for_half(float* out) {
    if (threadIdx.x % 2 == 0) __syncthreads();
    else __shfl_xor_sync(TG_ALL_LANES, 1.0f, 1);
    out[threadIdx.x] = 1.0f;
}
TG_LAUNCHABLE(barrier_for_half)

extern "C" __global__ void outside_its_mask(float* out) { out[threadIdx.x] = __shfl_xor_sync(0xfu, 1.0f, 1); }
TG_LAUNCHABLE(outside_its_mask)

extern "C" __global__ void shared_not_written(float* out) {
    TG_DYNAMIC_SHARED(float, slots);
    out[threadIdx.x] = slots[threadIdx.x];
    slots[threadIdx.x] = 1.0f;  // the next block must not see it
}
TG_LAUNCHABLE(shared_not_written)

extern "C" __global__ void beyond_shared(float* out) {
    TG_DYNAMIC_SHARED(float, slots);
    slots[threadIdx.x + 1] = 1.0f;
    out[threadIdx.x] = 1.0f;
}
TG_LAUNCHABLE(beyond_shared)

extern "C" __global__ void beyond_array(float* out, int past) { out[int(threadIdx.x) + past] = 1.0f; }
TG_LAUNCHABLE(beyond_array)

extern "C" __global__ void read_beyond(const float* x, float* out, int past) {
    out[threadIdx.x] = x[int(threadIdx.x) + past];
}
TG_LAUNCHABLE(read_beyond)

__device__ int deep(volatile int* n) { return *n <= 0 ? 0 : (*n -= 1, deep(n) + *n); }
extern "C" __global__ void deep_recursion(int* out) {
    volatile int n = 1 << 30;
    out[0] = deep(&n);
}
TG_LAUNCHABLE(deep_recursion)

extern "C" __global__ void collectives(int* out) {
    const int me = int(threadIdx.x);
    out[me] = __shfl_sync(TG_ALL_LANES, me, 5);
    out[64 + me] = __shfl_down_sync(TG_ALL_LANES, me, 3);
    out[128 + me] = __shfl_up_sync(TG_ALL_LANES, me, 3);
    out[192 + me] = __shfl_down_sync(TG_ALL_LANES, me, 3, 8);
    out[256 + me] = __shfl_sync(TG_ALL_LANES, me, 5, 8);
    out[320 + me] = int(__ballot_sync(TG_ALL_LANES, me % 2 == 0));
    out[384 + me] = __any_sync(TG_ALL_LANES, me % 32 == 7);
    out[448 + me] = __all_sync(TG_ALL_LANES, me % 32 != 7);
    out[512 + me] = __syncthreads_count(me % 3 == 0);
}
TG_LAUNCHABLE(collectives)

extern "C" __global__ void atomics(float* total, int* largest, int* smallest, unsigned* swapped) {
    atomicAdd(total, 1.0f);
    atomicMax(largest, int(threadIdx.x));
    atomicMin(smallest, -int(threadIdx.x));
    atomicCAS(swapped, 7u, 9u);
}
TG_LAUNCHABLE(atomics)

extern "C" __global__ void copies(const float* x, float* out, int valid) {
    TG_DYNAMIC_SHARED(float, slots);
    tg_copy_async<16>(slots + threadIdx.x * 4, x + threadIdx.x * 4, valid);
    tg_copy_commit();
    tg_copy_wait<0>();
    __syncthreads();
    const int from = int(threadIdx.x + 1) % 64;
    for (int e = 0; e < 4; e++) out[from * 4 + e] = slots[from * 4 + e];
}
TG_LAUNCHABLE(copies)

extern "C" __global__ void unaligned_copy(const float* x, float*) {
    TG_DYNAMIC_SHARED(float, slots);
    tg_copy_async<16>(slots + threadIdx.x * 4 + 1, x + threadIdx.x * 4, 16);
    tg_copy_commit();
    tg_copy_wait<0>();
}
TG_LAUNCHABLE(unaligned_copy)
