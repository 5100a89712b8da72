// Softmax over rows: y[r][c] = exp(x[r][c] - max_r) / sum_r, float32 and float64.
//
// Idea                  Three sweeps over a row that stays in the first-level cache: maximum, exponentials and their
//                       sum, division.  The exponential is a polynomial written out, so that the compiler turns each
//                       sweep into vector code; plain expf in a loop stays a call per element.
// Maps threads to data  One thread does all rows, whatever the machine has.
// FLOPs and bytes       One exponential (about 20 operations), one division and 3 more per element; 4 bytes (float64:
//                       8) read and as many written per element.
// Needs                 C-contiguous rows with at least one column; x and y may be the same array.
// Improves on           - (the first rung)
// Limits                Single-threaded.  Rows longer than the cache are read and written twice.  NaN anywhere makes the
//                       row NaN, a row of -inf alone becomes 0, as in the reference.
#include <limits>

#include "native.h"

// Partial sums of this many columns are added in double: the error does not grow with the length of the row.
static constexpr int64_t BLOCK = 512;

template <class T>
static void softmax_rows(const T* x, T* y, int64_t rows, int64_t columns) {
    for (int64_t row = 0; row < rows; row++, x += columns, y += columns) {
        T peak = x[0];
#pragma omp simd reduction(max : peak)
        for (int64_t c = 0; c < columns; c++) peak = x[c] > peak ? x[c] : peak;
        if (peak == -std::numeric_limits<T>::infinity()) peak = 0;  // -inf minus itself would be NaN

        double sum = 0;
        for (int64_t start = 0; start < columns; start += BLOCK) {
            const int64_t stop = start + BLOCK < columns ? start + BLOCK : columns;
            T partial = 0;
#pragma omp simd reduction(+ : partial)
            for (int64_t c = start; c < stop; c++) {
                const T e = exp_of_nonpositive(x[c] - peak);
                y[c] = e;
                partial += e;
            }
            sum += double(partial);
        }

        const T total = sum == 0 ? T(1) : T(sum);
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) y[c] /= total;
    }
}

TG_EXPORT void softmax_rows_float32(const float* x, float* y, int64_t rows, int64_t columns) {
    softmax_rows(x, y, rows, columns);
}

TG_EXPORT void softmax_rows_float64(const double* x, double* y, int64_t rows, int64_t columns) {
    softmax_rows(x, y, rows, columns);
}
