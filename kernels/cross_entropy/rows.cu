// Cross entropy of logits and class indices, and its gradient.  With top the largest logit, l = top + log sum exp(x - top)
// and s the label smoothing:   loss = (1 - s) (l - x[target]) + s mean(l - x),   0 where the target is ignored
//                              dx[c] = (exp(x[c] - l) - (1 - s) [c = target] - s / columns) dy,   likewise
//
// Idea                  A row is read once for its largest, its sum and its loss; the probabilities are never stored.
//                       The mean over rows is taken by one block, in a fixed order, which also counts the targets.
// Maps threads to data  *_short_*: a warp for each row of up to 1024 columns.  *_long_*: a block for each row.
//                       *_total_*: one block, thread t takes the rows t, t + 1024, ...
// FLOPs and bytes       An exponential and 4 operations per logit; forward reads each once (a long row twice, the second
//                       time from the caches), the gradient reads and writes each once.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous; int64 targets; one float32 per
//                       row for the losses and for l; blockDim.x a multiple of 32 (*_total_*: 1024); shared memory for
//                       one float per warp.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                No weights of classes and no targets that are probabilities.  Targets out of range are counted,
//                       and left out.
#include "tg.h"
#include "rows.h"

TG_INLINE bool counts(int64_t target, int64_t ignored, int64_t columns) {
    return target != ignored && target >= 0 && target < columns;
}

template <class T, bool LONG>
__device__ void forward(const T* __restrict__ x, const int64_t* __restrict__ targets, float* __restrict__ losses,
                        float* __restrict__ lse, int64_t rows, int64_t columns, int64_t ignored, float smoothing) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    const int64_t r = team.row();
    if (r >= rows) return;
    Rows<T, LONG, 1> row(team, {x}, r, columns);
    const float top = row.largest([](int64_t, float v) { return v; });
    const float l = top + logf(row.sum([=](int64_t, float v) { return expf(v - top); }));
    const float mean = smoothing > 0.0f ? row.sum([=](int64_t, float v) { return l - v; }) / float(columns) : 0.0f;
    if (team.rank != 0) return;
    const int64_t target = targets[r];
    lse[r] = l;
    losses[r] = 0.0f;
    if (counts(target, ignored, columns))
        losses[r] = (1.0f - smoothing) * (l - float(x[r * columns + target])) + smoothing * mean;
}

// total[0]: the sum of the losses, divided by how many targets count if `mean` (by 1 if none does).  found[0]: how many
// count; found[1]: how many are out of range.
template <class T>
__device__ void total(const float* __restrict__ losses, const int64_t* __restrict__ targets, T* __restrict__ out,
                      int64_t* __restrict__ found, int64_t rows, int64_t columns, int64_t ignored, int mean) {
    __shared__ float per_warp[TG_WARP];
    const Team<true> team(per_warp);
    float sum = 0.0f, good = 0.0f, bad = 0.0f;  // of one thread: fewer than 2**24 rows, so that counts are exact
    for (int64_t r = team.rank; r < rows; r += team.size) {
        if (losses) sum += losses[r];
        if (counts(targets[r], ignored, columns)) good += 1.0f;
        else if (targets[r] != ignored) bad += 1.0f;
    }
    sum = team.sum(sum);
    good = team.sum(good);
    bad = team.sum(bad);
    if (team.rank != 0) return;
    found[0] = int64_t(good);
    found[1] = int64_t(bad);
    if (losses) out[0] = T(mean && good > 1.0f ? sum / good : sum);
}

template <class T, bool LONG>
__device__ void gradient(const T* __restrict__ dy, const T* __restrict__ x, const int64_t* __restrict__ targets,
                         const float* __restrict__ lse, const int64_t* __restrict__ found, T* __restrict__ dx,
                         int64_t rows, int64_t columns, int64_t ignored, float smoothing) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    const int64_t r = team.row();
    if (r >= rows) return;
    Rows<T, LONG, 1> row(team, {x}, r, columns);
    const int64_t target = targets[r];
    const float l = lse[r], flat = smoothing / float(columns);
    // found: of the mean, whose dy is one number; null where every row has its own.
    const float share = found ? float(dy[0]) / float(found[0] > 1 ? found[0] : 1) : float(dy[r]);
    if (!counts(target, ignored, columns)) {
        row.put(dx, r, [](int64_t, float) { return 0.0f; });
        return;
    }
    row.put(dx, r, [=](int64_t c, float v) {
        return (expf(v - l) - (c == target ? 1.0f - smoothing : 0.0f) - flat) * share;
    });
}

#define KERNELS(suffix, T)                                                                                           \
    TG_ROWS(cross_entropy, suffix,                                                                                   \
            (const T* x, const int64_t* targets, float* losses, float* lse, int64_t rows, int64_t columns,           \
             int64_t ignored, float smoothing),                                                                      \
            (forward<T, LONG>(x, targets, losses, lse, rows, columns, ignored, smoothing)))                          \
    TG_ROWS(cross_entropy_grad, suffix,                                                                              \
            (const T* dy, const T* x, const int64_t* targets, const float* lse, const int64_t* found, T* dx,         \
             int64_t rows, int64_t columns, int64_t ignored, float smoothing),                                       \
            (gradient<T, LONG>(dy, x, targets, lse, found, dx, rows, columns, ignored, smoothing)))                  \
    extern "C" __global__ void cross_entropy_total_##suffix(const float* losses, const int64_t* targets, T* out,     \
                                                            int64_t* found, int64_t rows, int64_t columns,           \
                                                            int64_t ignored, int mean) {                             \
        total<T>(losses, targets, out, found, rows, columns, ignored, mean);                                         \
    }                                                                                                                \
    TG_LAUNCHABLE(cross_entropy_total_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
