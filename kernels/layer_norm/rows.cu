// Layer norm over rows, and its gradients.  With m the mean, s = 1 / sqrt(variance + eps), h = (x - m) s, dh = dy weight:
//     y = h weight + bias       dx = (dh - mean(dh) - h mean(dh h)) s       dweight = sum of dy h,  dbias = sum of dy
//
// Idea                  A row is read once and kept in registers while its mean, its variance around that mean and its
//                       result are taken.  The sums over rows are taken in parts, which a last kernel adds up in order.
// Maps threads to data  *_short_*: a warp for each row of up to 1024 columns.  *_long_*: a block for each row.
//                       *_columns_*: 8 warps take every eighth of some rows, a lane 16 bytes of them.  *_totals_*: a
//                       thread for each column.
// FLOPs and bytes       8 per element; forward reads and writes each once; the gradients read dy and x twice, once for
//                       dx and once for the sums, and write dx.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous; at least one column; weight and
//                       bias of the same dtype or absent; m and s are float32.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Rows whose length is no multiple of 16 bytes are read number by number.
#include "tg.h"
#include "rows.h"
#include "columns.h"

template <class T, bool LONG>
__device__ void forward(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias,
                        T* __restrict__ y, float* __restrict__ mean, float* __restrict__ scale, int64_t rows,
                        int64_t columns, float eps) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 1> row(team, {x}, team.row(), columns);
    const float m = row.sum([](int64_t, float v) { return v; }) / float(columns);
    const float variance = row.sum([=](int64_t, float v) { return (v - m) * (v - m); }) / float(columns);
    const float s = 1.0f / sqrtf(variance + eps);
    row.put(y, team.row(), [=](int64_t c, float v) {
        const float h = (v - m) * s;
        return h * (weight ? float(weight[c]) : 1.0f) + (bias ? float(bias[c]) : 0.0f);
    });
    if (team.rank == 0) {
        mean[team.row()] = m;
        scale[team.row()] = s;
    }
}

template <class T, bool LONG>
__device__ void gradient(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ weight,
                         const float* __restrict__ mean, const float* __restrict__ scale, T* __restrict__ dx,
                         int64_t rows, int64_t columns) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 2> both(team, {dy, x}, team.row(), columns);
    const float m = mean[team.row()], s = scale[team.row()];
    const auto dh = [=](int64_t c, float g) { return weight ? g * float(weight[c]) : g; };
    const float a = both.sum([=](int64_t c, float g, float) { return dh(c, g); }) / float(columns);
    const float b = both.sum([=](int64_t c, float g, float v) { return dh(c, g) * ((v - m) * s); }) / float(columns);
    both.put(dx, team.row(), [=](int64_t c, float g, float v) { return (dh(c, g) - a - (v - m) * s * b) * s; });
}

template <class T>
__device__ void sums(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ mean,
                     const float* __restrict__ scale, float* __restrict__ part, int64_t rows, int64_t columns,
                     int64_t high) {
    const T* const from[2] = {dy, x};
    column_sums<2>(from, part, rows, columns, high, [=](int64_t r, int64_t, const float (&v)[2], float (&term)[2]) {
        term[0] = v[0] * ((v[1] - mean[r]) * scale[r]);
        term[1] = v[0];
    });
}

template <class T>
__device__ void totals(const float* part, T* dweight, T* dbias, int64_t parts, int64_t columns) {
    T* const out[2] = {dweight, dbias};
    column_totals<T, 2>(part, out, parts, columns);
}

#define KERNELS(suffix, T)                                                                                             \
    TG_ROWS(layer_norm, suffix,                                                                                        \
            (const T* x, const T* weight, const T* bias, T* y, float* mean, float* scale, int64_t rows,                \
             int64_t columns, float eps),                                                                              \
            (forward<T, LONG>(x, weight, bias, y, mean, scale, rows, columns, eps)))                                   \
    TG_ROWS(layer_norm_grad, suffix,                                                                                   \
            (const T* dy, const T* x, const T* weight, const float* mean, const float* scale, T* dx, int64_t rows,     \
             int64_t columns),                                                                                         \
            (gradient<T, LONG>(dy, x, weight, mean, scale, dx, rows, columns)))                                        \
    extern "C" __global__ void layer_norm_columns_##suffix(const T* dy, const T* x, const float* mean,                 \
                                                           const float* scale, float* part, int64_t rows,              \
                                                           int64_t columns, int64_t high) {                            \
        sums<T>(dy, x, mean, scale, part, rows, columns, high);                                                        \
    }                                                                                                                  \
    extern "C" __global__ void layer_norm_totals_##suffix(const float* part, T* dweight, T* dbias, int64_t parts,      \
                                                          int64_t columns) {                                           \
        totals<T>(part, dweight, dbias, parts, columns);                                                               \
    }                                                                                                                  \
    TG_LAUNCHABLE(layer_norm_columns_##suffix)                                                                         \
    TG_LAUNCHABLE(layer_norm_totals_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
