// Twenty-eight mistakes, each beside the same kernel without it: NAME_wrong and NAME_right, for test_planted_bugs.py.
#include "tg.h"

static constexpr int N = 64;  // threads of a block

#define BOTH(name, PARAMETERS, ARGUMENTS)                                                  \
    extern "C" __global__ void name##_wrong PARAMETERS { name<true> ARGUMENTS; }           \
    extern "C" __global__ void name##_right PARAMETERS { name<false> ARGUMENTS; }          \
    TG_LAUNCHABLE(name##_wrong)                                                            \
    TG_LAUNCHABLE(name##_right)

// 1. A barrier is missing between writing shared memory and reading what another thread wrote.
template <bool WRONG>
__device__ void missing_barrier(const float* x, float* y) {
    __shared__ float seen[N];
    seen[threadIdx.x] = x[threadIdx.x];
    if (!WRONG) __syncthreads();
    y[threadIdx.x] = seen[(threadIdx.x + 1) % N];
}
BOTH(missing_barrier, (const float* x, float* y), (x, y))

// 2. A barrier is missing before shared memory is written again, which others still read.
template <bool WRONG>
__device__ void write_after_read(const float* x, float* y) {
    __shared__ float seen[N];
    float sum = 0.0f;
    for (int turn = 0; turn < 3; turn++) {
        if (!WRONG || turn == 0) __syncthreads();
        seen[threadIdx.x] = x[threadIdx.x] * float(turn + 1);
        __syncthreads();
        sum += seen[(threadIdx.x + 32) % N];
    }
    y[threadIdx.x] = sum;
}
BOTH(write_after_read, (const float* x, float* y), (x, y))

// 3. A store one element beyond the array.
template <bool WRONG>
__device__ void store_beyond(const float* x, float* y) {
    y[threadIdx.x + (WRONG ? 1 : 0)] = x[threadIdx.x];
}
BOTH(store_beyond, (const float* x, float* y), (x, y))

// 4. A load one element before the array.
template <bool WRONG>
__device__ void load_before(const float* x, float* y) {
    y[threadIdx.x] = x[int(threadIdx.x) - (WRONG ? 1 : 0)];
}
BOTH(load_before, (const float* x, float* y), (x, y))

// 5. A static shared array is left by one element.
template <bool WRONG>
__device__ void beyond_static_shared(const float* x, float* y) {
    __shared__ float seen[N];
    seen[threadIdx.x + (WRONG ? 1 : 0)] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = seen[threadIdx.x];
}
BOTH(beyond_static_shared, (const float* x, float* y), (x, y))

// 6. Dynamic shared memory is left by one element.
template <bool WRONG>
__device__ void beyond_dynamic_shared(const float* x, float* y) {
    TG_DYNAMIC_SHARED(float, seen);
    seen[threadIdx.x + (WRONG ? 1 : 0)] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = seen[threadIdx.x];
}
BOTH(beyond_dynamic_shared, (const float* x, float* y), (x, y))

// 7. An asynchronous copy is not waited for.
template <bool WRONG>
__device__ void missing_wait(const float* x, float* y) {
    __shared__ float seen[N];
    tg_copy_async<4>(&seen[threadIdx.x], &x[threadIdx.x], 4);
    tg_copy_commit();
    if (!WRONG) tg_copy_wait<0>();
    __syncthreads();
    y[threadIdx.x] = seen[threadIdx.x];
    tg_copy_wait<0>();
}
BOTH(missing_wait, (const float* x, float* y), (x, y))

// 8. Of two groups of copies only the first is waited for, and the second is read.
template <bool WRONG>
__device__ void wait_for_too_few(const float* x, float* y) {
    __shared__ float seen[2][N];
    for (int half = 0; half < 2; half++) {
        tg_copy_async<4>(&seen[half][threadIdx.x], &x[threadIdx.x], 4);
        tg_copy_commit();
    }
    tg_copy_wait<WRONG ? 1 : 0>();
    __syncthreads();
    y[threadIdx.x] = seen[0][threadIdx.x] + seen[1][threadIdx.x];
    tg_copy_wait<0>();
}
BOTH(wait_for_too_few, (const float* x, float* y), (x, y))

// 9. A copy is left behind.
template <bool WRONG>
__device__ void copy_left_behind(const float* x, float* y) {
    __shared__ float seen[N];
    tg_copy_async<4>(&seen[threadIdx.x], &x[threadIdx.x], 4);
    tg_copy_commit();
    if (!WRONG) tg_copy_wait<0>();
    y[threadIdx.x] = x[threadIdx.x];
}
BOTH(copy_left_behind, (const float* x, float* y), (x, y))

// 10. Rows are taken to be farther apart than they are.
template <bool WRONG>
__device__ void wrong_stride(const float* x, float* y, int rows, int columns, int stride) {
    const int r = int(threadIdx.x) / columns, c = int(threadIdx.x) % columns;
    if (r < rows) y[r * columns + c] = x[r * (WRONG ? stride : columns) + c];
}
BOTH(wrong_stride, (const float* x, float* y, int rows, int columns, int stride), (x, y, rows, columns, stride))

// 11. Static shared memory is read before it is written.
template <bool WRONG>
__device__ void unwritten_static(const float* x, float* y) {
    __shared__ float sum[2];
    const int half = int(threadIdx.x) / 32;
    if (!WRONG && threadIdx.x % 32 == 0) sum[half] = 0.0f;
    __syncthreads();
    if (threadIdx.x % 32 == 0) sum[half] += x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = sum[half];
}
BOTH(unwritten_static, (const float* x, float* y), (x, y))

// 12. Dynamic shared memory is read before it is written.
template <bool WRONG>
__device__ void unwritten_dynamic(const float* x, float* y) {
    TG_DYNAMIC_SHARED(float, seen);
    if (!WRONG || threadIdx.x != 5) seen[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = seen[(threadIdx.x + 1) % N];
}
BOTH(unwritten_dynamic, (const float* x, float* y), (x, y))

// 13. Half of the block is at one barrier, the other half at another.
template <bool WRONG>
__device__ void divergent_barrier(const float* x, float* y) {
    __shared__ float seen[N];
    seen[threadIdx.x] = x[threadIdx.x];
    if (WRONG && threadIdx.x < N / 2) __syncthreads();
    else __syncthreads();
    y[threadIdx.x] = seen[(threadIdx.x + 1) % N];
}
BOTH(divergent_barrier, (const float* x, float* y), (x, y))

// 14. Some threads never come to a barrier.
template <bool WRONG>
__device__ void barrier_for_some(const float* x, float* y) {
    if (!WRONG || threadIdx.x % 2 == 0) __syncthreads();
    y[threadIdx.x] = x[threadIdx.x] + __shfl_xor_sync(TG_ALL_LANES, 0.0f, 1);
}
BOTH(barrier_for_some, (const float* x, float* y), (x, y))

// 15. A lane calls a collective whose mask does not name it.
template <bool WRONG>
__device__ void outside_its_mask(const float* x, float* y) {
    y[threadIdx.x] = __shfl_xor_sync(WRONG ? 0xffffu : TG_ALL_LANES, x[threadIdx.x], 1);
}
BOTH(outside_its_mask, (const float* x, float* y), (x, y))

// 16. A shuffle in a branch that half of the lanes take, with the mask of all.
template <bool WRONG>
__device__ void shuffle_in_a_branch(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (!WRONG || threadIdx.x % 32 < 16) v = __shfl_xor_sync(TG_ALL_LANES, v, 1);
    y[threadIdx.x] = v;
}
BOTH(shuffle_in_a_branch, (const float* x, float* y), (x, y))

// 17. Four numbers are read at once from an address that is no multiple of 16.
template <bool WRONG>
__device__ void misaligned(const float* x, float* y) {
    if (threadIdx.x >= 8) return;
    const float4 v = *reinterpret_cast<const float4*>(x + threadIdx.x * 4 + (WRONG ? 1 : 0));
    y[threadIdx.x] = v.x + v.y + v.z + v.w;
}
BOTH(misaligned, (const float* x, float* y), (x, y))

// 18. Threads add to one number without atomics; each order of threads gives the right sum here.
template <bool WRONG>
__device__ void plain_sum(const float* x, float* y) {
    if (WRONG) y[0] += x[threadIdx.x];
    else atomicAdd(y, x[threadIdx.x]);
}
BOTH(plain_sum, (const float* x, float* y), (x, y))

// 19. The last block of a ragged array works beyond its end.
template <bool WRONG>
__device__ void ragged_edge(const float* x, float* y, int count) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (WRONG || i < count) y[i] = x[i];
}
BOTH(ragged_edge, (const float* x, float* y, int count), (x, y, count))

// 20. An index overflows 32 bits.
template <bool WRONG>
__device__ void overflow(const float* x, float* y, int rows, int stride) {
    const int64_t at = WRONG ? int64_t(rows * stride) : int64_t(rows) * stride;
    y[threadIdx.x] = at < 0 ? -1.0f : x[threadIdx.x];
}
BOTH(overflow, (const float* x, float* y, int rows, int stride), (x, y, rows, stride))

// 21. A thread's own arrays are too large for its stack.
template <bool WRONG>
__device__ float recursive(volatile float* y, int n) {
    volatile float own[256];
    own[n % 256] = float(n);
    return n == 0 ? 0.0f : own[n % 256] + recursive<WRONG>(y, n - 1);
}
template <bool WRONG>
__device__ void stack(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x] + recursive<WRONG>(y, WRONG ? 1000 : 3);
}
BOTH(stack, (const float* x, float* y), (x, y))

// 22. A shift by as many bits as there are.
template <bool WRONG>
__device__ void shift(const float* x, float* y, int lanes) {
    const unsigned mask = WRONG ? (1u << lanes) - 1 : lanes == 32 ? TG_ALL_LANES : (1u << lanes) - 1;
    y[threadIdx.x] = x[threadIdx.x] + float(__popc(mask) * 0);
}
BOTH(shift, (const float* x, float* y, int lanes), (x, y, lanes))

// 23. A plain store to what others add to atomically, and no barrier between.
template <bool WRONG>
__device__ void store_beside_atomics(const float* x, float* y) {
    if (threadIdx.x == 0) y[0] = 0.0f;
    if (!WRONG) __syncthreads();
    atomicAdd(y, x[threadIdx.x]);
}
BOTH(store_beside_atomics, (const float* x, float* y), (x, y))

// 24. Blocks add to one number without atomics.
template <bool WRONG>
__device__ void sum_of_blocks(const float* x, float* y) {
    __syncthreads();  // which is of no help: it is about this block
    if (WRONG && threadIdx.x == 0) y[0] += x[blockIdx.x];
    if (!WRONG && threadIdx.x == 0) atomicAdd(y, x[blockIdx.x]);
    __syncthreads();
}
BOTH(sum_of_blocks, (const float* x, float* y), (x, y))

// 25. A counter in shared memory does not begin at zero.
template <bool WRONG>
__device__ void unwritten_counter(const float* x, float* y) {
    __shared__ int count;
    if (!WRONG && threadIdx.x == 0) count = 0;
    __syncthreads();
    atomicAdd(&count, 1);
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x] + float(count);
}
BOTH(unwritten_counter, (const float* x, float* y), (x, y))

// 26. The next copy is issued while others still read what is there.
template <bool WRONG>
__device__ void copy_too_early(const float* x, float* y) {
    __shared__ float seen[N];
    seen[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = seen[(threadIdx.x + 32) % N];
    if (!WRONG) __syncthreads();
    tg_copy_async<4>(&seen[threadIdx.x], &x[threadIdx.x], 4);
    tg_copy_commit();
    __syncthreads();
    tg_copy_wait<0>();
}
BOTH(copy_too_early, (const float* x, float* y), (x, y))

// 27. A copy takes what lies beyond the array.
template <bool WRONG>
__device__ void copy_from_beyond(const float* x, float* y) {
    __shared__ float seen[N];
    tg_copy_async<4>(&seen[threadIdx.x], &x[threadIdx.x + 1], WRONG || threadIdx.x + 1 < N ? 4 : 0);
    tg_copy_commit();
    tg_copy_wait<0>();
    y[threadIdx.x] = seen[threadIdx.x];
}
BOTH(copy_from_beyond, (const float* x, float* y), (x, y))

// 28. Lanes that shall meet do not name the same ones.
template <bool WRONG>
__device__ void masks_differ(const float* x, float* y) {
    const unsigned mask = WRONG && threadIdx.x % 32 < 16 ? 0x1ffffu : TG_ALL_LANES;
    y[threadIdx.x] = __shfl_xor_sync(mask, x[threadIdx.x], 1);
}
BOTH(masks_differ, (const float* x, float* y), (x, y))
