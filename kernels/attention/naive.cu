// Softmax attention and its gradients, as the formulas are written:  p = softmax(q k^T scale + mask),  y = (p m) v with m
// what dropout multiplies by;  ds = p (m (dy v^T) - sum(dy y)) scale,  dq = ds k,  dk = ds^T q,  dv = (p m)^T dy.
//
// Idea                  A block computes one row of the result, with the row of weights that it needs in shared memory.
// Maps threads to data  blockIdx.x = a query (for y and dq) or a key (for dk and dv), then the matrices of the batch.
//                       The threads share the keys (or queries) first, then the columns of the result.
// FLOPs and bytes       2 T S (D + Dv) forward, 2 T S (4 D + 3 Dv) backward (the scores are computed three times); all
//                       of k and v is read from the caches for every query.
// Needs                 float32, float16 or bfloat16, computed in float32; matrices C-contiguous; a row of the weights,
//                       and for the gradients two, in shared memory (4 bytes each, 160 KiB together).  128 threads, and
//                       shared memory for 4 numbers more.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Everything is read again for every row.  Bound by the caches.
#include "tg.h"
#include "attention.h"

static constexpr int THREADS = 128;

// The sum of f(0) .. f(count - 1), in four sums: one would round four times as often.
template <class F>
TG_INLINE float total(int count, F f) {
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        a += f(i);
        b += f(i + 1);
        c += f(i + 2);
        d += f(i + 3);
    }
    for (; i < count; i++) a += f(i);
    return (a + b) + (c + d);
}

template <class T>
TG_INLINE float dot(const T* a, const T* b, int width) {
    return total(width, [=](int c) { return float(a[c]) * float(b[c]); });
}

template <class T>
__device__ void forward(const Attention<T>& a, T* y, float* lse) {
    TG_DYNAMIC_SHARED(float, p);  // the row of weights, then scratch for folds
    const Team<true> team(p + a.keys);
    const int64_t b = blockIdx.x / a.queries;
    const int t = int(blockIdx.x % a.queries);
    const T *q = a.q_of(b) + int64_t(t) * a.width, *k = a.k_of(b), *v = a.v_of(b);
    float top = -INFINITY;
    for (int j = team.rank; j < a.keys; j += team.size) {
        p[j] = a.score(b, t, j, dot(q, k + int64_t(j) * a.width, a.width));
        top = fmaxf(top, p[j]);
    }
    top = team.largest(top);
    if (top == -INFINITY) top = 0.0f;  // nothing to look at; -inf minus itself would be NaN
    float sum = 0.0f;
    for (int j = team.rank; j < a.keys; j += team.size) {
        p[j] = expf(p[j] - top);
        sum += p[j];
    }
    sum = team.sum(sum);
    if (sum == 0.0f) sum = 1.0f;
    for (int j = team.rank; j < a.keys; j += team.size) p[j] = p[j] / sum * a.dropped(b, t, j);
    __syncthreads();
    for (int c = team.rank; c < a.value_width; c += team.size) {
        const float sum = total(a.keys, [=](int j) { return p[j] * float(v[int64_t(j) * a.value_width + c]); });
        y[blockIdx.x * int64_t(a.value_width) + c] = T(sum);
    }
    if (team.rank == 0) lse[blockIdx.x] = top + logf(sum);
}

// sums[t] = sum over the columns of dy y, a block for each row.
template <class T>
__device__ void row_sums(const T* dy, const T* y, float* sums, int value_width) {
    __shared__ float per_warp[TG_WARP];
    const Team<true> team(per_warp);
    float sum = 0.0f;
    for (int c = team.rank; c < value_width; c += team.size)
        sum += float(dy[blockIdx.x * int64_t(value_width) + c]) * float(y[blockIdx.x * int64_t(value_width) + c]);
    sum = team.sum(sum);
    if (team.rank == 0) sums[blockIdx.x] = sum;
}

template <class T>
__device__ void of_queries(const Attention<T>& a, const T* dy, const float* lse, const float* sums, T* dq) {
    TG_DYNAMIC_SHARED(float, ds);
    const int64_t b = blockIdx.x / a.queries;
    const int t = int(blockIdx.x % a.queries);
    const T *q = a.q_of(b) + int64_t(t) * a.width, *k = a.k_of(b), *v = a.v_of(b);
    const T* g = dy + blockIdx.x * int64_t(a.value_width);
    for (int j = int(threadIdx.x); j < a.keys; j += THREADS) {
        const float p = expf(a.score(b, t, j, dot(q, k + int64_t(j) * a.width, a.width)) - lse[blockIdx.x]);
        const float dp = dot(g, v + int64_t(j) * a.value_width, a.value_width) * a.dropped(b, t, j);
        ds[j] = p * (dp - sums[blockIdx.x]) * a.scale;
    }
    __syncthreads();
    for (int c = int(threadIdx.x); c < a.width; c += THREADS) {
        const float sum = total(a.keys, [=](int j) { return ds[j] * float(k[int64_t(j) * a.width + c]); });
        dq[blockIdx.x * int64_t(a.width) + c] = T(sum);
    }
}

template <class T>
__device__ void of_keys(const Attention<T>& a, const T* dy, const float* lse, const float* sums, T* dk, T* dv) {
    TG_DYNAMIC_SHARED(float, p);
    float* const ds = p + a.queries;
    const int64_t b = blockIdx.x / a.keys;
    const int j = int(blockIdx.x % a.keys);
    const T *q = a.q_of(b), *k = a.k_of(b) + int64_t(j) * a.width, *v = a.v_of(b) + int64_t(j) * a.value_width;
    const T* g = dy + b * a.queries * a.value_width;
    for (int t = int(threadIdx.x); t < a.queries; t += THREADS) {
        const int64_t row = b * a.queries + t;
        const float weight = expf(a.score(b, t, j, dot(q + int64_t(t) * a.width, k, a.width)) - lse[row]);
        const float kept = a.dropped(b, t, j);
        p[t] = weight * kept;
        ds[t] = weight * (dot(g + int64_t(t) * a.value_width, v, a.value_width) * kept - sums[row]) * a.scale;
    }
    __syncthreads();
    for (int c = int(threadIdx.x); c < a.width + a.value_width; c += THREADS) {
        const bool of_key = c < a.width;
        const int at = of_key ? c : c - a.width, wide = of_key ? a.width : a.value_width;
        const float *const left = of_key ? ds : p;
        const T* const right = (of_key ? q : g) + at;
        const float sum = total(a.queries, [=](int t) { return left[t] * float(right[int64_t(t) * wide]); });
        (of_key ? dk : dv)[blockIdx.x * int64_t(wide) + at] = T(sum);
    }
}

#define KERNELS(suffix, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                             \
        attention_naive_##suffix(TG_ATTENTION(T), T* y, float* lse) {                                                 \
        forward<T>(TG_ATTENTION_OF, y, lse);                                                                          \
    }                                                                                                                 \
    TG_LAUNCHABLE(attention_naive_##suffix)                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                             \
        attention_naive_sums_##suffix(const T* dy, const T* y, float* sums, int value_width) {                        \
        row_sums<T>(dy, y, sums, value_width);                                                                        \
    }                                                                                                                 \
    TG_LAUNCHABLE(attention_naive_sums_##suffix)                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                             \
        attention_naive_queries_##suffix(TG_ATTENTION(T), const T* dy, const float* lse, const float* sums, T* dq) {  \
        of_queries<T>(TG_ATTENTION_OF, dy, lse, sums, dq);                                                            \
    }                                                                                                                 \
    TG_LAUNCHABLE(attention_naive_queries_##suffix)                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS) attention_naive_keys_##suffix(                              \
        TG_ATTENTION(T), const T* dy, const float* lse, const float* sums, T* dk, T* dv) {                            \
        of_keys<T>(TG_ATTENTION_OF, dy, lse, sums, dk, dv);                                                           \
    }                                                                                                                 \
    TG_LAUNCHABLE(attention_naive_keys_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
