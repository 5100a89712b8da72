// Sums over the rows of a matrix, one for each column: what a weight or a bias that serves all rows receives.
#pragma once

// A block's share: COUNT sums for each of 32 packs of columns over `high` rows from `first` on.  f(row, column, values,
// terms) makes the COUNT terms of an element out of those of N arrays.  blockDim.x: 256, 8 warps that take every eighth
// row; blockIdx.x: which packs of columns; blockIdx.y: which rows.  part: [blockIdx.y][COUNT][columns].
template <int COUNT, class T, int N, class F>
__device__ void column_sums(const T* const (&from)[N], float* part, int64_t rows, int64_t columns, int64_t high, F f) {
    constexpr int W = WIDE<T>, WARPS = 8;
    __shared__ float seen[WARPS][COUNT][W][TG_WARP];
    const int lane = int(threadIdx.x % TG_WARP), warp = int(threadIdx.x / TG_WARP);
    const int64_t column = (int64_t(blockIdx.x) * TG_WARP + lane) * W, first = int64_t(blockIdx.y) * high;
    const int64_t end = first + high < rows ? first + high : rows;
    bool aligned = true;
    TG_UNROLL
    for (int n = 0; n < N; n++) aligned = aligned && sixteen(from[n], columns);

    float sum[COUNT][W] = {};
    for (int64_t row = first + warp; row < end; row += WARPS) {
        if (column >= columns) break;
        Pack<T, W> x[N];
        TG_UNROLL
        for (int n = 0; n < N; n++) x[n] = load<W>(from[n] + row * columns + column, columns - column, aligned);
        TG_UNROLL
        for (int e = 0; e < W; e++) {
            float value[N], term[COUNT];
            TG_UNROLL
            for (int n = 0; n < N; n++) value[n] = float(x[n].of[e]);
            f(row, column + e, value, term);
            TG_UNROLL
            for (int k = 0; k < COUNT; k++) sum[k][e] += term[k];
        }
    }
    TG_UNROLL
    for (int k = 0; k < COUNT; k++)
        TG_UNROLL
        for (int e = 0; e < W; e++) seen[warp][k][e][lane] = sum[k][e];
    __syncthreads();
    for (int i = int(threadIdx.x); i < COUNT * W * int(TG_WARP); i += WARPS * int(TG_WARP)) {
        const int at = i % TG_WARP, e = i / TG_WARP % W, k = i / (TG_WARP * W);
        const int64_t c = (int64_t(blockIdx.x) * TG_WARP + at) * W + e;
        float total = 0.0f;
        for (int w = 0; w < WARPS; w++) total += seen[w][k][e][at];
        if (c < columns) part[(int64_t(blockIdx.y) * COUNT + k) * columns + c] = total;
    }
}

// out[k][c] = the sum over `parts` of part[.][k][c], a thread for each of the `count` pairs (k, c); out[k] may be null.
template <class T, int COUNT>
__device__ void column_totals(const float* part, T* const (&out)[COUNT], int64_t parts, int64_t columns) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= COUNT * columns) return;
    float total = 0.0f;
    for (int64_t p = 0; p < parts; p++) total += part[p * COUNT * columns + i];
    TG_UNROLL
    for (int k = 0; k < COUNT; k++)
        if (i / columns == k && out[k]) out[k][i % columns] = T(total);
}
