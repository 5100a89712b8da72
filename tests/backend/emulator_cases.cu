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

// Every lane of a warp, and those that a ragged block's last warp has.
extern "C" __global__ void votes(unsigned* out) {
    out[threadIdx.x] = __ballot_sync(TG_ALL_LANES, threadIdx.x % 3 != 0);
    out[64 + threadIdx.x] = unsigned(__any_sync(TG_ALL_LANES, threadIdx.x == 39));
    out[128 + threadIdx.x] = unsigned(__all_sync(TG_ALL_LANES, threadIdx.x != 5));
}
TG_LAUNCHABLE(votes)

// A lane that is not named, and one that there is not, have no value.
extern "C" __global__ void no_such_lane(float* out) {
    __shfl_sync(TG_ALL_LANES, 5.0f, 0);
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
    out[32 + threadIdx.x] = __shfl_down_sync(TG_ALL_LANES, 1.0f, 8);
}
TG_LAUNCHABLE(no_such_lane)

// The value of an atomic becomes what the pointer points to; integers wrap around.
extern "C" __global__ void conversions(unsigned* u, int* i, double* d, uint64_t* l) {
    atomicAdd(u, 1);
    atomicAdd(i, 2147483647);
    atomicAdd(d, 1);
    atomicAdd(l, 1u);
    atomicExch(u + 1, 7);
    atomicCAS(u + 1, 7, 8);
    atomicMax(u, 5);
    atomicMin(i, 5);
}
TG_LAUNCHABLE(conversions)

extern "C" __global__ void vectors(float* out) {
    const float4 f = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
    const float2 g = make_float2(5.0f, 6.0f);
    const int4 i = make_int4(7, 8, 9, -10);
    const int2 j = make_int2(11, -12);
    const uint4 u = make_uint4(13, 14, 15, 16);
    const uint2 v = make_uint2(17, 18);
    *reinterpret_cast<float4*>(out) = f;
    *reinterpret_cast<float2*>(out + 4) = g;
    out[6] = float(i.x + i.y + i.z + i.w);
    out[7] = float(j.x + j.y);
    out[8] = float(u.x + u.y + u.z + u.w);
    out[9] = float(v.x + v.y);
    out[10] = float(sizeof f + alignof(float4) + sizeof g + alignof(float2));
}
TG_LAUNCHABLE(vectors)

extern "C" __global__ void bits(unsigned* out, unsigned x, float f) {
    out[0] = unsigned(__popc(x));
    out[1] = unsigned(__popcll((unsigned long long)x << 8 | 1));
    out[2] = unsigned(__ffs(int(x)));
    out[3] = unsigned(__ffsll((long long)x << 20));
    out[4] = unsigned(__clz(int(x)));
    out[5] = unsigned(__clzll((long long)x));
    out[6] = __umulhi(x, x);
    out[7] = __float_as_uint(f);
    out[8] = unsigned(__float_as_int(f));
    out[9] = unsigned(__uint_as_float(__float_as_uint(f)) == f && __int_as_float(__float_as_int(f)) == f);
}
TG_LAUNCHABLE(bits)

extern "C" __global__ void wait_in_a_loop(volatile float* out) {
    while (threadIdx.x == 0 && out[63] == 0.0f) {}
    out[threadIdx.x] = 1.0f;
}
TG_LAUNCHABLE(wait_in_a_loop)

extern "C" __global__ void constant_places(float* out, const unsigned*) {
    __shared__ float pair[2];
    if (threadIdx.x == 0) {
        pair[0] = 1.0f;
        pair[1] = 2.0f;
    }
    __syncthreads();
    if (blockIdx.x == 0) out[threadIdx.x] = pair[threadIdx.x % 2];
}
TG_LAUNCHABLE(constant_places)

// The block that comes last collects what each block left.
extern "C" __global__ void fence_and_count(float* out, unsigned* finished) {
    __shared__ float left_by_blocks[1];
    if (threadIdx.x != 0) {
        if (blockIdx.x == 0) out[threadIdx.x] = 1.0f;
        return;
    }
    if (blockIdx.x != 2) out[blockIdx.x == 0 ? 0 : 64] = 1.0f;
    __threadfence();
    left_by_blocks[0] = float(atomicAdd(finished, 1));
    __threadfence();
    if (left_by_blocks[0] == 2.0f) out[0] = out[0] + out[64] + 1.0f;
}
TG_LAUNCHABLE(fence_and_count)
