// Matrix product: c[z][i][j] = activation(sum_k a[z][i][k] * b[z][k][j] + bias[j]) + residual[z][i][j], in ordinary
// multiply-adds of float32 (no TF32).
//
// Idea                  A block computes a tile of 128 x 128 entries, a thread 8 x 8 of them, in registers: 16 numbers
//                       from shared memory serve 64 multiply-adds.  K is walked in steps of 16.  While one pair of
//                       tiles is multiplied the next is on its way from memory into registers, and goes into the other
//                       half of shared memory afterwards, so there is one barrier a step.
// Maps threads to data  256 threads, 8 warps in 4 rows of 2; a warp has 32 x 64 entries, a lane four squares of 4 x 4:
//                       its reads of shared memory are four numbers wide and without bank conflicts.  blockIdx.x counts
//                       the tiles of a matrix, eight rows of them at a time (neighbours share what they read, through
//                       the L2 cache), then the matrices.
// FLOPs and bytes       2 M N K; a and b are read from memory once for every 128 columns or rows: 4 M N K / 64 bytes.
// Needs                 float32, float16 or bfloat16, added in float32; a and b contiguous as they are or transposed
//                       (one kernel for each of the four pairs: the letters say n or t for a and b), matrices of a
//                       batch any distance apart (0: broadcast); c contiguous; bias and residual or none.  256 threads.
//                       Any architecture from sm_80.
// Improves on           tiled.cu, by 4 multiply-adds for each number read from shared memory, in place of 4 for 5.
// Limits                M, N and K below 2**31.  Small matrices leave most of a GPU idle: a tile is a block, and K is
//                       never split.  The tensor cores are idle.
#include "tg.h"
#include "epilogue.h"

static constexpr int SIDE = 128, DEPTH = 16, THREADS = 256, WIDTH = 4, ROW = SIDE + 4, TOGETHER = 8;
static constexpr int PIECES = SIDE * DEPTH / WIDTH / THREADS;  // four-number pieces of a tile that a thread carries

// One operand: tiles of `SIDE` rows (of a; columns of b) and `DEPTH` steps of K.  ALONG_K: its neighbours in memory are
// steps of K.  In shared memory it is [step][row] in either case.
template <class T, bool ALONG_K>
struct Operand {
    static constexpr int LINE = (ALONG_K ? DEPTH : SIDE) / WIDTH, LINES = THREADS / LINE;  // pieces in a line of a tile
    const T* at;  // this thread's first piece
    int64_t hop;  // from one of its pieces to the next
    int rows;     // how many there are from that piece on
    bool aligned;
    Pack<T, WIDTH> carried[PIECES];

    static __device__ int line() { return int(threadIdx.x) / LINE; }
    static __device__ int place() { return int(threadIdx.x) % LINE * WIDTH; }

    // stride: between the lines of the stored matrix.
    __device__ Operand(const T* from, int rows_, int stride, int first_row, bool aligned_) : aligned(aligned_) {
        at = from + (ALONG_K ? int64_t(first_row + line()) * stride + place()
                             : int64_t(line()) * stride + first_row + place());
        hop = int64_t(LINES) * stride;
        rows = rows_ - first_row - (ALONG_K ? line() : place());
    }

    // left: how much of K there is from the first step of the tile on.
    __device__ void fetch(int left) {
        const int steps = left - (ALONG_K ? place() : line()), lines = ALONG_K ? rows : steps;
        TG_UNROLL
        for (int p = 0; p < PIECES; p++)
            carried[p] = load<WIDTH>(at + p * hop, p * LINES < lines ? (ALONG_K ? steps : rows) : 0, aligned);
        at += ALONG_K ? DEPTH : PIECES * hop;  // to the next step
    }

    __device__ void put(float (*tile)[ROW]) const {
        TG_UNROLL
        for (int p = 0; p < PIECES; p++) {
            float4 x = {float(carried[p].of[0]), float(carried[p].of[1]), float(carried[p].of[2]),
                        float(carried[p].of[3])};
            if (ALONG_K) {
                tile[place()][line() + p * LINES] = x.x;
                tile[place() + 1][line() + p * LINES] = x.y;
                tile[place() + 2][line() + p * LINES] = x.z;
                tile[place() + 3][line() + p * LINES] = x.w;
            } else {
                *reinterpret_cast<float4*>(&tile[line() + p * LINES][place()]) = x;
            }
        }
    }
};

template <class T, bool A_TRANSPOSED, bool B_TRANSPOSED>
__device__ void product(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, Epilogue<T> finish, int M,
                        int N, int K, int64_t a_batch, int64_t b_batch) {
    __shared__ __align__(16) float space[4][DEPTH][ROW];  // two tiles of a, two of b; in the end half of the result
    float (*const tile_a)[DEPTH][ROW] = space, (*const tile_b)[DEPTH][ROW] = space + 2;
    const int across = (N - 1) / SIDE + 1, down = (M - 1) / SIDE + 1;  // all blocks are fewer than 2**31
    const int z = int(blockIdx.x) / (across * down), tile = int(blockIdx.x) % (across * down);
    const int band = tile / (across * TOGETHER) * TOGETHER, inside = tile % (across * TOGETHER);
    const int high = down - band < TOGETHER ? down - band : TOGETHER;
    const int top = (band + inside % high) * SIDE, left = inside / high * SIDE;
    a += z * a_batch;
    b += z * b_batch;

    const int a_stride = A_TRANSPOSED ? M : K, b_stride = B_TRANSPOSED ? K : N;
    Operand<T, !A_TRANSPOSED> of_a(a, M, a_stride, top, in_packs<WIDTH>(a, a_stride));
    Operand<T, B_TRANSPOSED> of_b(b, N, b_stride, left, in_packs<WIDTH>(b, b_stride));
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const int row = warp / 2 * 32 + lane / 8 * WIDTH, column = warp % 2 * 64 + lane % 8 * WIDTH;  // of the first square

    float sum[8][8] = {};
    of_a.fetch(K);
    of_b.fetch(K);
    of_a.put(tile_a[0]);
    of_b.put(tile_b[0]);
    __syncthreads();
    int half = 0;
    for (int left_of_k = K; left_of_k > 0; left_of_k -= DEPTH) {
        const bool more = left_of_k > DEPTH;
        if (more) {
            of_a.fetch(left_of_k - DEPTH);
            of_b.fetch(left_of_k - DEPTH);
        }
        TG_UNROLL
        for (int k = 0; k < DEPTH; k++) {
            float y[8];
            *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(&tile_b[half][k][column]);
            *reinterpret_cast<float4*>(y + 4) = *reinterpret_cast<const float4*>(&tile_b[half][k][column + 32]);
            TG_UNROLL
            for (int h = 0; h < 8; h += 4) {  // four rows at a time: eight would take too many registers
                float x[4];
                *reinterpret_cast<float4*>(x) = *reinterpret_cast<const float4*>(&tile_a[half][k][row + h * 4]);
                TG_UNROLL
                for (int i = 0; i < 4; i++)
                    TG_UNROLL
                    for (int j = 0; j < 8; j++) sum[h + i][j] += x[i] * y[j];
            }
        }
        half ^= 1;
        if (more) {
            of_a.put(tile_a[half]);
            of_b.put(tile_b[half]);
        }
        __syncthreads();
    }

    // By way of shared memory: whole rows are written together, and a loop finishes them entry by entry.
    const bool aligned = in_packs<WIDTH>(c, N);
    float (*const staged)[ROW] = space[0];
    TG_UNROLL
    for (int lower = 0; lower < 2; lower++) {
        TG_UNROLL
        for (int i = 0; i < 4; i++)
            TG_UNROLL
            for (int j = 0; j < 8; j += WIDTH)
                *reinterpret_cast<float4*>(&staged[warp / 2 * 16 + lane / 8 * WIDTH + i][column + j / 4 * 32]) =
                    *reinterpret_cast<const float4*>(&sum[lower * 4 + i][j]);
        __syncthreads();
        for (int piece = int(threadIdx.x); piece < SIDE / 2 * SIDE / WIDTH; piece += THREADS) {
            const int at_row = piece / (SIDE / WIDTH), at_column = piece % (SIDE / WIDTH) * WIDTH;
            const int i = top + at_row / 16 * 32 + lower * 16 + at_row % 16, j = left + at_column;
            if (i >= M || j >= N) continue;
            const int64_t at = (int64_t(z) * M + i) * N + j;
            Pack<T, WIDTH> y;
            for (int e = 0; e < WIDTH; e++)
                y.of[e] = j + e < N ? finish(staged[at_row][at_column + e], at + e, j + e) : T(0.0f);
            store(c + at, y, N - j, aligned);
        }
        __syncthreads();
    }
}

#define KERNEL(name, T, A_TRANSPOSED, B_TRANSPOSED)                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                         \
        name(const T* a, const T* b, T* c, const T* bias, const T* residual, int activation, int M, int N, int K,    \
             int64_t a_batch, int64_t b_batch) {                                                                     \
        product<T, A_TRANSPOSED, B_TRANSPOSED>(a, b, c, {bias, residual, activation}, M, N, K, a_batch, b_batch);    \
    }                                                                                                                \
    TG_LAUNCHABLE(name)
#define KERNELS(suffix, T)                                         \
    KERNEL(matmul_register_tiled_nn_##suffix, T, false, false)     \
    KERNEL(matmul_register_tiled_nt_##suffix, T, false, true)      \
    KERNEL(matmul_register_tiled_tn_##suffix, T, true, false)      \
    KERNEL(matmul_register_tiled_tt_##suffix, T, true, true)
TG_FOR_EACH_TYPE(KERNELS)
