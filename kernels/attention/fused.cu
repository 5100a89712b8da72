// Softmax attention and its gradients, without the weights in memory:  p = softmax(q k^T scale + mask),  y = (p m) v with
// m what dropout multiplies by;  ds = p (m (dy v^T) - sum(dy y)) scale,  dq = ds k,  dk = ds^T q,  dv = (p m)^T dy.
//
// Idea                  Online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): a tile of queries meets the keys
//                       tile by tile, and what has been added up is scaled down when a larger score comes.  The gradients
//                       compute the weights again from the kept log-sum-exp: one kernel for each tile of queries (dq),
//                       one for each tile of keys (dk and dv), so nothing is added up by atomics.
// Maps threads to data  256 threads, 16 x 16; thread (i, j) has the scores of the queries R i .. R i + R - 1 and the keys
//                       j, j + 16, ..., and of the result the same queries and the columns 4 j .. 4 j + 3, 64 + 4 j, ...
//                       blockIdx.x counts the tiles of a matrix, then the matrices of the batch.
// FLOPs and bytes       2 T S (D + Dv) forward, 2 T S (4 D + 3 Dv) backward (the scores are computed three times in all),
//                       half of it if causal; q, k, v, y are read or written once for each tile of the other side.
// Needs                 float32, float16 or bfloat16, computed in float32; matrices C-contiguous; columns up to 32, 64,
//                       128 or 256 (an entry each); dynamic shared memory.  Any architecture from sm_80.
// Improves on           naive.cu, by 64 queries that share what is read of the keys, and 16 products for 8 numbers read
//                       from shared memory.
// Limits                The tensor cores are idle.  Head sizes are rounded up to the next entry.
#include "tg.h"
#include "attention.h"

static constexpr int THREADS = 256, SIDE = 16;

// A tile: rows of DP columns, padded so that 8 threads that read 4 numbers of neighbouring rows meet different banks.
template <int DP>
using Row = float[DP + 4];

// `rows` rows of a matrix into a tile of HIGH rows; zeros beyond them and beyond the last column.
template <int HIGH, int DP, class T>
__device__ void fetch(Row<DP>* tile, const T* from, int rows, int width) {
    const bool aligned = in_packs<4>(from, width);
    for (int i = int(threadIdx.x); i < HIGH * DP / 4; i += THREADS) {
        const int r = i / (DP / 4), c = i % (DP / 4) * 4;
        const Pack<T, 4> x = load<4>(from + int64_t(r) * width + c, r < rows ? width - c : 0, aligned);
        *reinterpret_cast<float4*>(&tile[r][c]) = {float(x.of[0]), float(x.of[1]), float(x.of[2]), float(x.of[3])};
    }
}

TG_INLINE float four_products(float4 a, float4 b, float sum) {
    return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

// sum[i][j] += row (R y + i) of a . row (x + 16 j) of b.
template <int R, int C, int DP>
__device__ void products(float (&sum)[R][C], const Row<DP>* a, const Row<DP>* b) {
    const int x = int(threadIdx.x) % SIDE, y = int(threadIdx.x) / SIDE;
    TG_UNROLL_BY(4)
    for (int c = 0; c < DP; c += 4) {
        float4 right[C];
        TG_UNROLL
        for (int j = 0; j < C; j++) right[j] = *reinterpret_cast<const float4*>(&b[x + SIDE * j][c]);
        TG_UNROLL
        for (int i = 0; i < R; i++) {
            const float4 left = *reinterpret_cast<const float4*>(&a[R * y + i][c]);
            TG_UNROLL
            for (int j = 0; j < C; j++) sum[i][j] = four_products(left, right[j], sum[i][j]);
        }
    }
}

// The columns of a result that a thread has: GROUPS groups of EACH neighbours, 16 EACH apart.
template <int DP>
struct Columns {
    static constexpr int EACH = DP < 64 ? DP / SIDE : 4, GROUPS = DP / SIDE / EACH, ALL = EACH * GROUPS;
    static __device__ int at(int c) { return c / EACH * SIDE * EACH + int(threadIdx.x) % SIDE * EACH + c % EACH; }
};

// sum[i][c] += the sum over n < HIGH of w[R y + i][n] b[n][column c] or, TRANSPOSED, of w[n][R y + i] b[n][column c].
template <int R, int HIGH, bool TRANSPOSED, int DP, int WIDTH>
__device__ void weighted(float (&sum)[R][Columns<DP>::ALL], const float (*w)[WIDTH], const Row<DP>* b) {
    const int y = int(threadIdx.x) / SIDE;
    TG_UNROLL_BY(4)
    for (int n = 0; n < HIGH; n++) {
        float left[R];
        TG_UNROLL
        for (int i = 0; i < R; i++) left[i] = TRANSPOSED ? w[n][R * y + i] : w[R * y + i][n];
        TG_UNROLL
        for (int c = 0; c < Columns<DP>::ALL; c++) {
            const float right = b[n][Columns<DP>::at(c)];
            TG_UNROLL
            for (int i = 0; i < R; i++) sum[i][c] += left[i] * right;
        }
    }
}

// to[first + R y + i][column c] = sum[i][c] factor[i], for the rows and columns that there are.
template <int R, int DP, class T>
__device__ void put(T* to, const float (&sum)[R][Columns<DP>::ALL], int first, int rows, int width) {
    const int y = int(threadIdx.x) / SIDE;
    TG_UNROLL
    for (int i = 0; i < R; i++) {
        const int row = first + R * y + i;
        TG_UNROLL
        for (int c = 0; c < Columns<DP>::ALL; c++)
            if (row < rows && Columns<DP>::at(c) < width) to[int64_t(row) * width + Columns<DP>::at(c)] = T(sum[i][c]);
    }
}

// Folds over the 16 threads that share a row of scores.
template <class Fold>
TG_INLINE float row_fold(float value, Fold fold) {
    TG_UNROLL
    for (int distance = SIDE / 2; distance > 0; distance /= 2)
        value = fold(value, __shfl_xor_sync(TG_ALL_LANES, value, distance));
    return value;
}

template <class T, int DP, int M, int N>
__device__ void forward(const Attention<T>& a, T* y_, float* lse) {
    constexpr int R = M / SIDE, C = N / SIDE, ALL = Columns<DP>::ALL;
    TG_DYNAMIC_SHARED(Row<DP>, of_q);
    Row<DP>* const of_k = of_q + M;  // and then v
    float(*const weights)[N + 4] = reinterpret_cast<float(*)[N + 4]>(of_k + N);
    const int x = int(threadIdx.x) % SIDE, y = int(threadIdx.x) / SIDE, tiles = (a.queries - 1) / M + 1;
    const int64_t b = blockIdx.x / tiles;
    const int first = int(blockIdx.x % tiles) * M, end = a.end_of(first + M - 1 < a.queries ? first + M - 1 : a.queries - 1);
    const T *k = a.k_of(b), *v = a.v_of(b);

    float sum[R][ALL] = {}, top[R], total[R] = {};
    TG_UNROLL
    for (int i = 0; i < R; i++) top[i] = -INFINITY;
    fetch<M, DP>(of_q, a.q_of(b) + int64_t(first) * a.width, a.queries - first, a.width);
    for (int n = 0; n < end; n += N) {
        __syncthreads();  // the values of the last tile were still read
        fetch<N, DP>(of_k, k + int64_t(n) * a.width, a.keys - n, a.width);
        __syncthreads();
        float s[R][C] = {};
        products<R, C, DP>(s, of_q, of_k);
        TG_UNROLL
        for (int i = 0; i < R; i++) {
            const int t = first + R * y + i;
            float larger = top[i], part = 0.0f;
            TG_UNROLL
            for (int j = 0; j < C; j++) {
                s[i][j] = a.score(b, t, n + x + SIDE * j, s[i][j]);
                larger = fmaxf(larger, s[i][j]);
            }
            larger = row_fold(larger, Larger());
            const float base = larger == -INFINITY ? 0.0f : larger;  // -inf minus itself would be NaN
            TG_UNROLL
            for (int j = 0; j < C; j++) {
                const float p = expf(s[i][j] - base);
                part += p;
                weights[R * y + i][x + SIDE * j] = p * a.dropped(b, t, n + x + SIDE * j);
            }
            const float shrink = expf(top[i] - base);
            top[i] = larger;
            total[i] = total[i] * shrink + row_fold(part, Plus());
            TG_UNROLL
            for (int c = 0; c < ALL; c++) sum[i][c] *= shrink;
        }
        __syncthreads();
        fetch<N, DP>(of_k, v + int64_t(n) * a.value_width, a.keys - n, a.value_width);
        __syncthreads();
        weighted<R, N, false, DP>(sum, weights, of_k);
    }
    TG_UNROLL
    for (int i = 0; i < R; i++) {
        const int t = first + R * y + i;
        const float whole = total[i] == 0.0f ? 1.0f : total[i];
        TG_UNROLL
        for (int c = 0; c < ALL; c++) sum[i][c] /= whole;
        if (x == 0 && t < a.queries) lse[b * a.queries + t] = (top[i] == -INFINITY ? 0.0f : top[i]) + logf(whole);
    }
    put<R, DP>(y_ + b * a.queries * a.value_width, sum, first, a.queries, a.value_width);
}

// The weights of a tile, times what dropout says (p), and ds, from the tiles of q, k, dy and v.
template <class T, int DP, int R, int C>
__device__ void slopes(const Attention<T>& a, int64_t b, int first, int n, const Row<DP>* of_q, const Row<DP>* of_k,
                       const Row<DP>* of_dy, const Row<DP>* of_v, const float* lse, const float* sums,
                       float (&p)[R][C], float (&ds)[R][C]) {
    const int x = int(threadIdx.x) % SIDE, y = int(threadIdx.x) / SIDE;
    products<R, C, DP>(p, of_q, of_k);
    products<R, C, DP>(ds, of_dy, of_v);
    TG_UNROLL
    for (int i = 0; i < R; i++) {
        const int t = first + R * y + i;
        const bool there = t < a.queries;
        const float l = there ? lse[b * a.queries + t] : 0.0f, sum = there ? sums[b * a.queries + t] : 0.0f;
        TG_UNROLL
        for (int j = 0; j < C; j++) {
            const int key = n + x + SIDE * j;
            const bool pair = there && key < a.keys;
            const float weight = pair ? expf(a.score(b, t, key, p[i][j]) - l) : 0.0f;
            const float kept = pair ? a.dropped(b, t, key) : 0.0f;
            ds[i][j] = pair ? weight * (ds[i][j] * kept - sum) * a.scale : 0.0f;
            p[i][j] = weight * kept;
        }
    }
}

template <int R, int C, int WIDTH>
__device__ void keep(float (*tile)[WIDTH], const float (&values)[R][C]) {
    const int x = int(threadIdx.x) % SIDE, y = int(threadIdx.x) / SIDE;
    TG_UNROLL
    for (int i = 0; i < R; i++)
        TG_UNROLL
        for (int j = 0; j < C; j++) tile[R * y + i][x + SIDE * j] = values[i][j];
}

template <class T, int DP, int M, int N>
__device__ void of_queries(const Attention<T>& a, const T* dy, const float* lse, const float* sums, T* dq) {
    constexpr int R = M / SIDE, C = N / SIDE;
    TG_DYNAMIC_SHARED(Row<DP>, of_q);
    Row<DP>*const of_dy = of_q + M, *const of_k = of_dy + M, *const of_v = of_k + N;
    float(*const slope)[N + 4] = reinterpret_cast<float(*)[N + 4]>(of_v + N);
    const int tiles = (a.queries - 1) / M + 1;
    const int64_t b = blockIdx.x / tiles;
    const int first = int(blockIdx.x % tiles) * M, end = a.end_of(first + M - 1 < a.queries ? first + M - 1 : a.queries - 1);
    const T *k = a.k_of(b), *v = a.v_of(b);
    fetch<M, DP>(of_q, a.q_of(b) + int64_t(first) * a.width, a.queries - first, a.width);
    fetch<M, DP>(of_dy, dy + (b * a.queries + first) * a.value_width, a.queries - first, a.value_width);
    float sum[R][Columns<DP>::ALL] = {};
    for (int n = 0; n < end; n += N) {
        __syncthreads();  // the last tile was still read
        fetch<N, DP>(of_k, k + int64_t(n) * a.width, a.keys - n, a.width);
        fetch<N, DP>(of_v, v + int64_t(n) * a.value_width, a.keys - n, a.value_width);
        __syncthreads();
        float p[R][C] = {}, ds[R][C] = {};
        slopes<T, DP>(a, b, first, n, of_q, of_k, of_dy, of_v, lse, sums, p, ds);
        keep(slope, ds);
        __syncthreads();
        weighted<R, N, false, DP>(sum, slope, of_k);
    }
    put<R, DP>(dq + b * a.queries * a.width, sum, first, a.queries, a.width);
}

template <class T, int DP, int M, int N>
__device__ void of_keys(const Attention<T>& a, const T* dy, const float* lse, const float* sums, T* dk, T* dv) {
    constexpr int R = M / SIDE, C = N / SIDE;
    TG_DYNAMIC_SHARED(Row<DP>, of_q);
    Row<DP>*const of_dy = of_q + M, *const of_k = of_dy + M, *const of_v = of_k + N;
    float(*const kept)[N + 4] = reinterpret_cast<float(*)[N + 4]>(of_v + N);  // the weights, then ds
    const int tiles = (a.keys - 1) / N + 1;
    const int64_t b = blockIdx.x / tiles;
    const int n = int(blockIdx.x % tiles) * N;
    const T *q = a.q_of(b), *g = dy + b * a.queries * a.value_width;
    fetch<N, DP>(of_k, a.k_of(b) + int64_t(n) * a.width, a.keys - n, a.width);
    fetch<N, DP>(of_v, a.v_of(b) + int64_t(n) * a.value_width, a.keys - n, a.value_width);
    float of_key[C][Columns<DP>::ALL] = {}, of_value[C][Columns<DP>::ALL] = {};
    for (int first = a.first_of(n) / M * M; first < a.queries; first += M) {
        __syncthreads();  // the last tile was still read
        fetch<M, DP>(of_q, q + int64_t(first) * a.width, a.queries - first, a.width);
        fetch<M, DP>(of_dy, g + int64_t(first) * a.value_width, a.queries - first, a.value_width);
        __syncthreads();
        float p[R][C] = {}, ds[R][C] = {};
        slopes<T, DP>(a, b, first, n, of_q, of_k, of_dy, of_v, lse, sums, p, ds);
        keep(kept, p);
        __syncthreads();
        weighted<C, M, true, DP>(of_value, kept, of_dy);
        __syncthreads();
        keep(kept, ds);
        __syncthreads();
        weighted<C, M, true, DP>(of_key, kept, of_q);
    }
    put<C, DP>(dk + b * a.keys * a.width, of_key, n, a.keys, a.width);
    put<C, DP>(dv + b * a.keys * a.value_width, of_value, n, a.keys, a.value_width);
}

// sums[t] = sum over the columns of dy y, a warp for each row.
template <class T>
__device__ void row_sums(const T* dy, const T* y, float* sums, int64_t rows, int width) {
    const int64_t row = int64_t(blockIdx.x) * (THREADS / TG_WARP) + threadIdx.x / TG_WARP;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int c = int(tg_lane()); c < width; c += int(TG_WARP)) sum += float(dy[row * width + c]) * float(y[row * width + c]);
    sum = warp_fold(sum, Plus());
    if (tg_lane() == 0) sums[row] = sum;
}

#define SIZED(suffix, T, DP, M, N)                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                                            \
        attention_fused_##DP##_##suffix(TG_ATTENTION(T), T* y, float* lse) {                                         \
        forward<T, DP, M, N>(TG_ATTENTION_OF, y, lse);                                                               \
    }                                                                                                                \
    TG_LAUNCHABLE(attention_fused_##DP##_##suffix)                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_fused_queries_##DP##_##suffix(                   \
        TG_ATTENTION(T), const T* dy, const float* lse, const float* sums, T* dq) {                                  \
        of_queries<T, DP, M, N>(TG_ATTENTION_OF, dy, lse, sums, dq);                                                 \
    }                                                                                                                \
    TG_LAUNCHABLE(attention_fused_queries_##DP##_##suffix)                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_fused_keys_##DP##_##suffix(                      \
        TG_ATTENTION(T), const T* dy, const float* lse, const float* sums, T* dk, T* dv) {                           \
        of_keys<T, DP, M, N>(TG_ATTENTION_OF, dy, lse, sums, dk, dv);                                                \
    }                                                                                                                \
    TG_LAUNCHABLE(attention_fused_keys_##DP##_##suffix)
#define KERNELS(suffix, T)                                                                                           \
    SIZED(suffix, T, 32, 64, 64)                                                                                     \
    SIZED(suffix, T, 64, 64, 64)                                                                                     \
    SIZED(suffix, T, 128, 64, 64)                                                                                    \
    SIZED(suffix, T, 256, 32, 32)                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                                            \
        attention_fused_sums_##suffix(const T* dy, const T* y, float* sums, int64_t rows, int width) {               \
        row_sums<T>(dy, y, sums, rows, width);                                                                       \
    }                                                                                                                \
    TG_LAUNCHABLE(attention_fused_sums_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
