// One value out of many threads: over a warp by shuffles, over a block through shared memory.  The order of additions
// is fixed, so a result is the same in every run.
#pragma once

struct Plus {
    static __device__ float spare() { return 0.0f; }  // changes nothing
    __device__ float operator()(float a, float b) const { return a + b; }
};
struct Larger {  // passes over NaN
    static __device__ float spare() { return -INFINITY; }
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <class Fold>
TG_INLINE float warp_fold(float value, Fold fold) {
    TG_UNROLL
    for (int distance = TG_WARP / 2; distance > 0; distance /= 2)
        value = fold(value, __shfl_xor_sync(TG_ALL_LANES, value, distance));
    return value;
}

// Threads that share a row: a warp each (WHOLE_WARPS) or the block, whose `per_warp` has a number for each warp.
template <bool BLOCK>
struct Team {
    float* per_warp;
    int rank, size;

    __device__ explicit Team(float* scratch)
        : per_warp(scratch), rank(BLOCK ? int(threadIdx.x) : int(threadIdx.x % TG_WARP)),
          size(BLOCK ? int(blockDim.x) : int(TG_WARP)) {}

    // Which row of the grid this thread works on.
    __device__ int64_t row() const {
        return BLOCK ? int64_t(blockIdx.x) : int64_t(blockIdx.x) * (blockDim.x / TG_WARP) + threadIdx.x / TG_WARP;
    }

    // Every thread gets the fold of the values of all.
    template <class Fold>
    __device__ float fold(float value, Fold how) const {
        value = warp_fold(value, how);
        if (!BLOCK) return value;
        const unsigned lane = threadIdx.x % TG_WARP, warp = threadIdx.x / TG_WARP, warps = blockDim.x / TG_WARP;
        __syncthreads();  // the last fold may still be reading
        if (lane == 0) per_warp[warp] = value;
        __syncthreads();
        return warp_fold(lane < warps ? per_warp[lane] : Fold::spare(), how);
    }
    __device__ float sum(float value) const { return fold(value, Plus()); }
    __device__ float largest(float value) const { return fold(value, Larger()); }
};
