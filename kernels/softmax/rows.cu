// Softmax over rows: y[r][c] = exp(x[r][c] - max_r) / sum_r, float32.
//
// Idea                  One block per row.  Three sweeps over the row: its maximum, the sum of the exponentials, the
//                       result.  A sum over the block is five shuffles in every warp, one number per warp in shared
//                       memory, and five shuffles more.
// Maps threads to data  blockIdx.x = row; thread t takes the columns t, t + blockDim.x, ...: neighbours share loads.
// FLOPs and bytes       2 exponentials, 3 subtractions or divisions and 2 reductions per element; 4 bytes read and 4
//                       written per element from memory, two more reads from cache while the row stays there.
// Needs                 float32, C-contiguous, at least one column, fewer than 2**31 rows and columns; blockDim.x a
//                       multiple of 32; shared memory for one float per warp.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                A row longer than the caches is read three times from memory; short rows leave most of a block
//                       idle.  NaN anywhere makes the row NaN, a row of -inf alone becomes 0, as in the reference.
#include "tg.h"

static constexpr float LEAST = -3.402823466e38f;  // the finite one

struct Larger {
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Plus {
    __device__ float operator()(float a, float b) const { return a + b; }
};

// Folds one value per thread into one for the block and gives it to every thread.  `spare` is what a lane without a
// warp of its own contributes: a value that changes nothing.
template <class Fold>
__device__ float block_fold(float value, float spare, float* per_warp, Fold fold) {
    const unsigned lane = tg_lane(), warp = threadIdx.x / TG_WARP, warps = blockDim.x / TG_WARP;
    for (int distance = 16; distance > 0; distance /= 2)
        value = fold(value, __shfl_xor_sync(TG_ALL_LANES, value, distance));
    __syncthreads();  // the last fold may still be reading
    if (lane == 0) per_warp[warp] = value;
    __syncthreads();
    value = lane < warps ? per_warp[lane] : spare;
    for (int distance = 16; distance > 0; distance /= 2)
        value = fold(value, __shfl_xor_sync(TG_ALL_LANES, value, distance));
    return value;
}

extern "C" __global__ void softmax_rows(const float* __restrict__ x, float* __restrict__ y, int columns) {
    TG_DYNAMIC_SHARED(float, per_warp);
    x += int64_t(blockIdx.x) * columns;
    y += int64_t(blockIdx.x) * columns;
    const int first = int(threadIdx.x), step = int(blockDim.x);

    float peak = x[0];  // fmaxf passes over NaN; the sum below does not
    for (int64_t c = first; c < columns; c += step) peak = fmaxf(peak, x[c]);
    peak = block_fold(peak, x[0], per_warp, Larger());
    if (peak < LEAST) peak = 0.0f;  // -inf minus itself would be NaN

    float sum = 0.0f;  // of sums of 64: one by one, a long row would round a thousand times as often
    for (int64_t from = first; from < columns; from += 64 * int64_t(step)) {
        float part = 0.0f;
        const int64_t to = from + 64 * int64_t(step) < columns ? from + 64 * int64_t(step) : columns;
        for (int64_t c = from; c < to; c += step) part += expf(x[c] - peak);
        sum += part;
    }
    sum = block_fold(sum, 0.0f, per_warp, Plus());
    if (sum == 0.0f) sum = 1.0f;

    for (int64_t c = first; c < columns; c += step) y[c] = expf(x[c] - peak) / sum;
}
TG_LAUNCHABLE(softmax_rows)
