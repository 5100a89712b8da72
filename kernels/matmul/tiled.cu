// Matrix product: c[z][i][j] = activation(sum_k a[z][i][k] * b[z][k][j] + bias[j]) + residual[z][i][j].
//
// Idea                  A block computes a tile of 32 x 32 entries.  It walks along K in steps of 32: all threads
//                       together copy a tile of a and one of b into shared memory, wait, and take their terms there.
// Maps threads to data  256 threads, 8 rows of 32; a thread has four entries of one column, 8 rows apart.
//                       blockIdx.x counts the tiles of a matrix, then the matrices.
// FLOPs and bytes       2 M N K; a and b are read from memory once for every 32 columns or rows: 4 M N K / 16 bytes.
// Needs                 float32, float16 or bfloat16, added in float32; any strides of a and b (0 where a batch is
//                       broadcast); c contiguous; bias and residual or none.  256 threads.  Any architecture from sm_80.
// Improves on           naive.cu, by reading each entry once for 32 uses instead of once for each.
// Limits                Five reads from shared memory for four multiply-adds: bound by those.
#include "tg.h"
#include "epilogue.h"

static constexpr int SIDE = 32, ROWS = 8, EACH = SIDE / ROWS;

template <class T>
__device__ void product(const T* a, const T* b, T* c, Epilogue<T> finish, int64_t M, int64_t N, int64_t K,
                        int64_t a_batch, int64_t a_row, int64_t a_column, int64_t b_batch, int64_t b_row,
                        int64_t b_column) {
    __shared__ float tile_a[SIDE][SIDE + 1], tile_b[SIDE][SIDE + 1];  // one more: columns lie in different banks
    const int64_t across = (N + SIDE - 1) / SIDE, down = (M + SIDE - 1) / SIDE;
    const int64_t z = blockIdx.x / (across * down), tile = blockIdx.x % (across * down);
    const int64_t top = tile / across * SIDE, left = tile % across * SIDE;
    const int row = int(threadIdx.x) / SIDE, column = int(threadIdx.x) % SIDE;
    a += z * a_batch;
    b += z * b_batch;

    float sum[EACH] = {};
    for (int64_t first = 0; first < K; first += SIDE) {
        for (int e = 0; e < EACH; e++) {
            const int r = row + e * ROWS;
            const int64_t i = top + r, j = left + column;
            tile_a[r][column] = i < M && first + column < K ? float(a[i * a_row + (first + column) * a_column]) : 0.0f;
            tile_b[r][column] = first + r < K && j < N ? float(b[(first + r) * b_row + j * b_column]) : 0.0f;
        }
        __syncthreads();
        for (int k = 0; k < SIDE; k++)
            for (int e = 0; e < EACH; e++) sum[e] += tile_a[row + e * ROWS][k] * tile_b[k][column];
        __syncthreads();  // before the tiles are overwritten
    }
    for (int e = 0; e < EACH; e++) {
        const int64_t i = top + row + e * ROWS, j = left + column, at = (z * M + i) * N + j;
        if (i < M && j < N) c[at] = finish(sum[e], at, j);
    }
}

#define KERNEL(suffix, T)                                                                                             \
    extern "C" __global__ void matmul_tiled_##suffix(                                                                 \
        const T* a, const T* b, T* c, const T* bias, const T* residual, int activation, int64_t M, int64_t N,         \
        int64_t K, int64_t a_batch, int64_t a_row, int64_t a_column, int64_t b_batch, int64_t b_row,                  \
        int64_t b_column) {                                                                                           \
        product<T>(a, b, c, {bias, residual, activation}, M, N, K, a_batch, a_row, a_column, b_batch, b_row, b_column); \
    }                                                                                                                 \
    TG_LAUNCHABLE(matmul_tiled_##suffix)
TG_FOR_EACH_TYPE(KERNEL)
