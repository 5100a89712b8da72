// Softmax over rows, its logarithm, and the gradients of both.  With top the largest and s the sum of exp(x - top):
//     y = exp(x - top) / s                    dx = y (dy - sum(dy y))
//     y = x - top - log s                     dx = dy - exp(y) sum(dy)
//
// Idea                  A row is read once and kept in registers while its maximum, its sum and its result are taken;
//                       a row that is too long for that is read three times.  A sum over a warp is five shuffles, over
//                       a block one number per warp in shared memory and five shuffles more.
// Maps threads to data  *_short_*: a warp for each row of up to 1024 columns, four rows in a block.  *_long_*: a block
//                       for each row.  A thread takes 16 neighbouring bytes at a time, neighbouring threads the next.
// FLOPs and bytes       2 exponentials and 5 other operations per element; each element is read once (a long row: once
//                       from memory and twice from the caches) and written once.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous, fewer than 2**31 rows;
//                       blockDim.x a multiple of 32; shared memory for one float per warp.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Rows whose length is no multiple of 16 bytes are read number by number.  NaN anywhere makes the
//                       row NaN; a row of -inf alone becomes 0 (its logarithm stays -inf), as in the reference.
#include "tg.h"
#include "rows.h"

static constexpr float LEAST = -3.402823466e38f;  // the finite one

template <class T, bool LONG, bool LOGARITHM>
__device__ void forward(const T* __restrict__ x, T* __restrict__ y, int64_t rows, int64_t columns) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 1> row(team, {x}, team.row(), columns);
    float top = row.largest([](int64_t, float v) { return v; });
    if (top < LEAST) top = 0.0f;  // -inf minus itself would be NaN
    float sum = row.sum([=](int64_t, float v) { return expf(v - top); });
    if (sum == 0.0f) sum = 1.0f;
    const float log_sum = LOGARITHM ? logf(sum) : 0.0f;
    row.put(y, team.row(), [=](int64_t, float v) { return LOGARITHM ? v - top - log_sum : expf(v - top) / sum; });
}

template <class T, bool LONG, bool LOGARITHM>
__device__ void gradient(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, int64_t rows,
                         int64_t columns) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 2> both(team, {dy, y}, team.row(), columns);
    if (LOGARITHM) {
        float held = both.sum([](int64_t, float, float v) { return expf(v); });
        const float passes = held > 0.0f ? 1.0f : 0.0f;  // a row of -inf alone passes nothing
        const float sum = both.sum([=](int64_t, float g, float) { return g * passes; });
        both.put(dx, team.row(), [=](int64_t, float g, float v) { return g * passes - expf(v) * sum; });
    } else {
        const float sum = both.sum([](int64_t, float g, float v) { return g * v; });
        both.put(dx, team.row(), [=](int64_t, float g, float v) { return v * (g - sum); });
    }
}

#define KERNELS(suffix, T)                                                                                          \
    TG_ROWS(softmax, suffix, (const T* x, T* y, int64_t rows, int64_t columns),                                     \
            (forward<T, LONG, false>(x, y, rows, columns)))                                                         \
    TG_ROWS(log_softmax, suffix, (const T* x, T* y, int64_t rows, int64_t columns),                                 \
            (forward<T, LONG, true>(x, y, rows, columns)))                                                          \
    TG_ROWS(softmax_grad, suffix, (const T* dy, const T* y, T* dx, int64_t rows, int64_t columns),                  \
            (gradient<T, LONG, false>(dy, y, dx, rows, columns)))                                                   \
    TG_ROWS(log_softmax_grad, suffix, (const T* dy, const T* y, T* dx, int64_t rows, int64_t columns),              \
            (gradient<T, LONG, true>(dy, y, dx, rows, columns)))
TG_FOR_EACH_TYPE(KERNELS)
