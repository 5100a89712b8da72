// Matrix product: c[z][i][j] = activation(sum_k a[z][i][k] * b[z][k][j] + bias[j]) + residual[z][i][j].
//
// Idea                  One thread per entry of the result; the sum as it is written.
// Maps threads to data  The block's 256 threads are 8 rows of 32 columns, so a warp reads one entry of a and 32
//                       neighbours of b at a time.  blockIdx.x counts the tiles of a matrix, then the matrices.
// FLOPs and bytes       2 M N K; nothing is kept, so a and b come from the caches 2 M N K times 4 bytes.
// Needs                 float32, float16 or bfloat16, added in float32; any strides of a and b (0 where a batch is
//                       broadcast); c contiguous; bias and residual or none.  256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Bound by loads from the caches: two for every multiply-add.
#include "tg.h"
#include "epilogue.h"

static constexpr int ROWS = 8, COLUMNS = 32;

template <class T>
__device__ void product(const T* a, const T* b, T* c, Epilogue<T> finish, int64_t M, int64_t N, int64_t K,
                        int64_t a_batch, int64_t a_row, int64_t a_column, int64_t b_batch, int64_t b_row,
                        int64_t b_column) {
    const int64_t across = (N + COLUMNS - 1) / COLUMNS, down = (M + ROWS - 1) / ROWS;
    const int64_t z = blockIdx.x / (across * down), tile = blockIdx.x % (across * down);
    const int64_t i = tile / across * ROWS + threadIdx.x / COLUMNS, j = tile % across * COLUMNS + threadIdx.x % COLUMNS;
    if (i >= M || j >= N) return;
    a += z * a_batch + i * a_row;
    b += z * b_batch + j * b_column;
    float sum = 0.0f;
    for (int64_t k = 0; k < K; k++) sum += float(a[k * a_column]) * float(b[k * b_row]);
    const int64_t at = (z * M + i) * N + j;
    c[at] = finish(sum, at, j);
}

#define KERNEL(suffix, T)                                                                                             \
    extern "C" __global__ void matmul_naive_##suffix(                                                                 \
        const T* a, const T* b, T* c, const T* bias, const T* residual, int activation, int64_t M, int64_t N,         \
        int64_t K, int64_t a_batch, int64_t a_row, int64_t a_column, int64_t b_batch, int64_t b_row,                  \
        int64_t b_column) {                                                                                           \
        product<T>(a, b, c, {bias, residual, activation}, M, N, K, a_batch, a_row, a_column, b_batch, b_row, b_column); \
    }                                                                                                                 \
    TG_LAUNCHABLE(matmul_naive_##suffix)
TG_FOR_EACH_TYPE(KERNEL)
