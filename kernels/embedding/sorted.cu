// Rows of a table by their numbers, y[i] = weight[ids[i]], and what each row receives, dweight[r] = sum over the i with
// ids[i] = r of dy[i].
//
// Idea                  The ids are sorted beforehand, equal ones in the order in which they stood.  Where a run of equal
//                       ids begins, the rows of the run are added up, one after the other: no atomics, and the result is
//                       the same in every run.
// Maps threads to data  *_lookup_*: a warp for each id.  *_sums_*: a warp for each sorted id, 4 in a block; those that do
//                       not begin a run leave.  blockIdx.y counts pieces of 32 packs of 16 bytes of a row.
// FLOPs and bytes       An addition per number of dy, read once; rows that occur are written once.
// Needs                 float32, float16 or bfloat16, added in float32; C-contiguous; int64 ids, in range.  128 threads.
//                       Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                A row that occurs very often is added up by one warp while others are done.
#include "tg.h"

static constexpr int WARPS = 4;

TG_INLINE int64_t warp_of_grid() { return int64_t(blockIdx.x) * WARPS + threadIdx.x / TG_WARP; }

template <class T>
TG_INLINE int64_t column_of_grid() {
    return (int64_t(blockIdx.y) * TG_WARP + threadIdx.x % TG_WARP) * WIDE<T>;
}

template <class T>
__device__ void lookup(const int64_t* __restrict__ ids, const T* __restrict__ weight, T* __restrict__ y, int64_t count,
                       int64_t columns) {
    constexpr int W = WIDE<T>;
    const int64_t i = warp_of_grid(), c = column_of_grid<T>();
    if (i >= count || c >= columns) return;
    const bool aligned = sixteen(weight, columns) && sixteen(y, columns);
    store(y + i * columns + c, load<W>(weight + ids[i] * columns + c, columns - c, aligned), columns - c, aligned);
}

// order: the places of the ids, sorted by id; sorted: the ids in that order.
template <class T>
__device__ void sums(const T* __restrict__ dy, const int64_t* __restrict__ order, const int64_t* __restrict__ sorted,
                     T* __restrict__ dweight, int64_t count, int64_t columns) {
    constexpr int W = WIDE<T>;
    const int64_t first = warp_of_grid(), c = column_of_grid<T>();
    if (first >= count || c >= columns) return;
    const int64_t id = sorted[first];
    if (first > 0 && sorted[first - 1] == id) return;
    const bool aligned = sixteen(dy, columns) && sixteen(dweight, columns);
    float sum[W] = {};
    for (int64_t i = first; i < count && sorted[i] == id; i++) {
        const Pack<T, W> row = load<W>(dy + order[i] * columns + c, columns - c, aligned);
        TG_UNROLL
        for (int e = 0; e < W; e++) sum[e] += float(row.of[e]);
    }
    Pack<T, W> total;
    TG_UNROLL
    for (int e = 0; e < W; e++) total.of[e] = T(sum[e]);
    store(dweight + id * columns + c, total, columns - c, aligned);
}

#define KERNELS(suffix, T)                                                                                           \
    extern "C" __global__ void embedding_lookup_##suffix(const int64_t* ids, const T* weight, T* y, int64_t count,   \
                                                         int64_t columns) {                                          \
        lookup<T>(ids, weight, y, count, columns);                                                                   \
    }                                                                                                                \
    TG_LAUNCHABLE(embedding_lookup_##suffix)                                                                         \
    extern "C" __global__ void embedding_sums_##suffix(const T* dy, const int64_t* order, const int64_t* sorted,     \
                                                       T* dweight, int64_t count, int64_t columns) {                 \
        sums<T>(dy, order, sorted, dweight, count, columns);                                                         \
    }                                                                                                                \
    TG_LAUNCHABLE(embedding_sums_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
