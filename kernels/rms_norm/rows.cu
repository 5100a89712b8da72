// RMS norm over rows, and its gradients.  With s = 1 / sqrt(mean of x^2 + eps), h = x s, dh = dy weight:
//     y = h weight              dx = (dh - h mean(dh h)) s                  dweight = sum of dy h
//
// Idea                  That of layer_norm/rows.cu, without the mean.
// Maps threads to data  As there: a warp or a block for each row; sums over rows in parts.
// FLOPs and bytes       5 per element; forward reads and writes each once; the gradients read dy and x twice and write
//                       dx.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous; at least one column; weight of
//                       the same dtype or absent; s is float32.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Rows whose length is no multiple of 16 bytes are read number by number.
#include "tg.h"
#include "rows.h"
#include "columns.h"

template <class T, bool LONG>
__device__ void forward(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y,
                        float* __restrict__ scale, int64_t rows, int64_t columns, float eps) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 1> row(team, {x}, team.row(), columns);
    const float s = 1.0f / sqrtf(row.sum([](int64_t, float v) { return v * v; }) / float(columns) + eps);
    row.put(y, team.row(), [=](int64_t c, float v) { return v * s * (weight ? float(weight[c]) : 1.0f); });
    if (team.rank == 0) scale[team.row()] = s;
}

template <class T, bool LONG>
__device__ void gradient(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ weight,
                         const float* __restrict__ scale, T* __restrict__ dx, int64_t rows, int64_t columns) {
    TG_DYNAMIC_SHARED(float, per_warp);
    const Team<LONG> team(per_warp);
    if (team.row() >= rows) return;
    Rows<T, LONG, 2> both(team, {dy, x}, team.row(), columns);
    const float s = scale[team.row()];
    const auto dh = [=](int64_t c, float g) { return weight ? g * float(weight[c]) : g; };
    const float b = both.sum([=](int64_t c, float g, float v) { return dh(c, g) * (v * s); }) / float(columns);
    both.put(dx, team.row(), [=](int64_t c, float g, float v) { return (dh(c, g) - v * s * b) * s; });
}

template <class T>
__device__ void sums(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ scale,
                     float* __restrict__ part, int64_t rows, int64_t columns, int64_t high) {
    const T* const from[2] = {dy, x};
    column_sums<1>(from, part, rows, columns, high, [=](int64_t r, int64_t, const float (&v)[2], float (&term)[1]) {
        term[0] = v[0] * (v[1] * scale[r]);
    });
}

template <class T>
__device__ void totals(const float* part, T* dweight, int64_t parts, int64_t columns) {
    T* const out[1] = {dweight};
    column_totals<T, 1>(part, out, parts, columns);
}

#define KERNELS(suffix, T)                                                                                            \
    TG_ROWS(rms_norm, suffix,                                                                                         \
            (const T* x, const T* weight, T* y, float* scale, int64_t rows, int64_t columns, float eps),              \
            (forward<T, LONG>(x, weight, y, scale, rows, columns, eps)))                                              \
    TG_ROWS(rms_norm_grad, suffix,                                                                                    \
            (const T* dy, const T* x, const T* weight, const float* scale, T* dx, int64_t rows, int64_t columns),     \
            (gradient<T, LONG>(dy, x, weight, scale, dx, rows, columns)))                                             \
    extern "C" __global__ void rms_norm_columns_##suffix(const T* dy, const T* x, const float* scale, float* part,    \
                                                         int64_t rows, int64_t columns, int64_t high) {               \
        sums<T>(dy, x, scale, part, rows, columns, high);                                                             \
    }                                                                                                                 \
    extern "C" __global__ void rms_norm_totals_##suffix(const float* part, T* dweight, int64_t parts,                 \
                                                        int64_t columns) {                                            \
        totals<T>(part, dweight, parts, columns);                                                                     \
    }                                                                                                                 \
    TG_LAUNCHABLE(rms_norm_columns_##suffix)                                                                          \
    TG_LAUNCHABLE(rms_norm_totals_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
