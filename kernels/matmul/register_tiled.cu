// Matrix product: c[z][i][j] = sum_k a[z][i][k] * b[z][k][j], float32, in ordinary multiply-adds (no TF32).
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
// Needs                 float32; a and b contiguous as they are or transposed (one kernel for each of the four pairs:
//                       the letters say n or t for a and b), matrices of a batch any distance apart (0: broadcast); c
//                       contiguous.  256 threads.  Any architecture from sm_80.
// Improves on           tiled.cu, by 4 multiply-adds for each number read from shared memory, in place of 4 for 5.
// Limits                M, N and K below 2**31.  Small matrices leave most of a GPU idle: a tile is a block, and K is never split.
#include "tg.h"

static constexpr int SIDE = 128, DEPTH = 16, THREADS = 256, WIDE = 4, ROW = SIDE + 4, TOGETHER = 8;
static constexpr int PIECES = SIDE * DEPTH / WIDE / THREADS;  // four-number pieces of a tile that a thread carries

// Four neighbours of a stored matrix, 0 where it ends: `left` says how many there are.
TG_WRAPPER float4 four(const float* p, int left, bool aligned) {
    if (left >= WIDE && aligned) return *reinterpret_cast<const float4*>(p);
    float4 v = {0.0f, 0.0f, 0.0f, 0.0f};
    if (left > 0) v.x = p[0];
    if (left > 1) v.y = p[1];
    if (left > 2) v.z = p[2];
    if (left > 3) v.w = p[3];
    return v;
}

// One operand: tiles of `SIDE` rows (of a; columns of b) and `DEPTH` steps of K.  ALONG_K: its neighbours in memory are
// steps of K.  In shared memory it is [step][row] in either case.
template <bool ALONG_K>
struct Operand {
    static constexpr int LINE = (ALONG_K ? DEPTH : SIDE) / WIDE, LINES = THREADS / LINE;  // pieces in a line of a tile
    const float* at;  // this thread's first piece
    int64_t hop;      // from one of its pieces to the next
    int lines, along;  // how many there are from that piece on, across and along memory
    bool aligned;
    float4 carried[PIECES];

    // stride: between the lines of the stored matrix.
    __device__ Operand(const float* from, int rows, int K, int stride, int first_row, bool aligned_)
        : aligned(aligned_) {
        const int line = int(threadIdx.x) / LINE, place = int(threadIdx.x) % LINE * WIDE;
        at = from + (ALONG_K ? int64_t(first_row + line) * stride + place : int64_t(line) * stride + first_row + place);
        hop = int64_t(LINES) * stride;
        lines = (ALONG_K ? rows - first_row : K) - line;
        along = (ALONG_K ? K : rows - first_row) - place;
    }

    __device__ void fetch() {
        TG_UNROLL
        for (int p = 0; p < PIECES; p++) carried[p] = four(at + p * hop, p * LINES < lines ? along : 0, aligned);
        at += ALONG_K ? DEPTH : PIECES * hop;  // to the next step
        (ALONG_K ? along : lines) -= DEPTH;
    }

    __device__ void put(float (*tile)[ROW]) const {
        const int line = int(threadIdx.x) / LINE, place = int(threadIdx.x) % LINE * WIDE;
        TG_UNROLL
        for (int p = 0; p < PIECES; p++) {
            if (ALONG_K) {
                tile[place][line + p * LINES] = carried[p].x;
                tile[place + 1][line + p * LINES] = carried[p].y;
                tile[place + 2][line + p * LINES] = carried[p].z;
                tile[place + 3][line + p * LINES] = carried[p].w;
            } else {
                *reinterpret_cast<float4*>(&tile[line + p * LINES][place]) = carried[p];
            }
        }
    }
};

TG_WRAPPER bool sixteen(const float* p, int stride) {
    return reinterpret_cast<uint64_t>(p) % 16 == 0 && stride % WIDE == 0;
}

template <bool A_TRANSPOSED, bool B_TRANSPOSED>
__device__ void product(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int M, int N, int K, int64_t a_batch,
                        int64_t b_batch) {
    __shared__ __align__(16) float tile_a[2][DEPTH][ROW], tile_b[2][DEPTH][ROW];
    const int64_t across = (N - 1) / SIDE + 1, down = (M - 1) / SIDE + 1;
    const int64_t z = blockIdx.x / (across * down), tile = blockIdx.x % (across * down);
    const int64_t band = tile / (across * TOGETHER) * TOGETHER, inside = tile % (across * TOGETHER);
    const int64_t high = down - band < TOGETHER ? down - band : TOGETHER;
    const int top = int(band + inside % high) * SIDE, left = int(inside / high) * SIDE;
    a += z * a_batch;
    b += z * b_batch;
    c += z * M * int64_t(N);

    const int a_stride = A_TRANSPOSED ? M : K, b_stride = B_TRANSPOSED ? K : N;
    Operand<!A_TRANSPOSED> of_a(a, M, K, a_stride, top, sixteen(a, a_stride));
    Operand<B_TRANSPOSED> of_b(b, N, K, b_stride, left, sixteen(b, b_stride));
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const int row = warp / 2 * 32 + lane / 8 * WIDE, column = warp % 2 * 64 + lane % 8 * WIDE;  // of the first square

    float sum[8][8] = {};
    of_a.fetch();
    of_b.fetch();
    of_a.put(tile_a[0]);
    of_b.put(tile_b[0]);
    __syncthreads();
    int half = 0;
    for (int left_of_k = K; left_of_k > 0; left_of_k -= DEPTH) {
        const bool more = left_of_k > DEPTH;
        if (more) {
            of_a.fetch();
            of_b.fetch();
        }
        TG_UNROLL
        for (int k = 0; k < DEPTH; k++) {
            float x[8], y[8];
            *reinterpret_cast<float4*>(x) = *reinterpret_cast<const float4*>(&tile_a[half][k][row]);
            *reinterpret_cast<float4*>(x + 4) = *reinterpret_cast<const float4*>(&tile_a[half][k][row + 16]);
            *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(&tile_b[half][k][column]);
            *reinterpret_cast<float4*>(y + 4) = *reinterpret_cast<const float4*>(&tile_b[half][k][column + 32]);
            TG_UNROLL
            for (int i = 0; i < 8; i++)
                TG_UNROLL
                for (int j = 0; j < 8; j++) sum[i][j] += x[i] * y[j];
        }
        half ^= 1;
        if (more) {
            of_a.put(tile_a[half]);
            of_b.put(tile_b[half]);
        }
        __syncthreads();
    }

    const bool aligned = sixteen(c, N);
    const int below = M - top - row, right = N - left - column;  // entries from this thread's first one on
    c += (top + row) * int64_t(N) + left + column;
    TG_UNROLL
    for (int i = 0; i < 8; i++) {
        const int r = i / 4 * 16 + i % 4;
        if (r >= below) continue;
        TG_UNROLL
        for (int j = 0; j < 8; j += WIDE) {
            float* to = c + r * int64_t(N) + j / 4 * 32;
            if (aligned && j / 4 * 32 + WIDE <= right) {
                *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(&sum[i][j]);
            } else {
                TG_UNROLL
                for (int e = 0; e < WIDE; e++)
                    if (j / 4 * 32 + e < right) to[e] = sum[i][j + e];
            }
        }
    }
}

#define KERNEL(name, A_TRANSPOSED, B_TRANSPOSED)                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                           \
        name(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int M, int N, int K,    \
             int64_t a_batch, int64_t b_batch) {                                                                       \
        product<A_TRANSPOSED, B_TRANSPOSED>(a, b, c, M, N, K, a_batch, b_batch);                                       \
    }                                                                                                                  \
    TG_LAUNCHABLE(name)

KERNEL(matmul_register_tiled_nn, false, false)
KERNEL(matmul_register_tiled_nt, false, true)
KERNEL(matmul_register_tiled_tn, true, false)
KERNEL(matmul_register_tiled_tt, true, true)
