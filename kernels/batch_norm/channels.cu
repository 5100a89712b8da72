// Batch norm of channels and its gradients.  x[n][c][s]; with m, v the mean and variance of channel c over n and s,
// r = 1 / sqrt(v + eps), h = (x - m) r:     y = h weight + bias      dweight = sum of dy h,  dbias = sum of dy
//     dx = r weight (dy - mean(dy) - h mean(dy h))
//
// Idea                  A channel is cut into parts.  A part takes its mean and the squares around that mean, the second
//                       time from the caches, and the parts are put together in order: as accurate as two passes over
//                       memory, at the price of one.
// Maps threads to data  *_parts_*: a block for each channel (blockIdx.x) and part (blockIdx.y) of `high` values of the
//                       channel.  *_finish_*: a thread for each channel.  *_apply_*: thread t takes the pack t of 16 bytes.
// FLOPs and bytes       8 per element; forward reads x twice and writes y, the gradients read dy and x twice and write dx.
// Needs                 float32, float16 or bfloat16, computed in float32; C-contiguous (samples, channels, space);
//                       weight and bias of the same dtype or absent; 256 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Where space is 1 (no spatial axes) the values of a channel lie far apart, and reads are narrow.
#include "tg.h"

static constexpr int THREADS = 256;

// Sums over the values of this block's part of its channel: f(place, sums) adds what one value contributes.
template <int COUNT, class F>
__device__ void part_sums(float (&sum)[COUNT], int64_t channels, int64_t samples, int64_t space, int64_t high, F f) {
    __shared__ float per_warp[TG_WARP];
    const Team<true> team(per_warp);
    const int64_t first = blockIdx.y * high, whole = samples * space, end = first + high < whole ? first + high : whole;
    TG_UNROLL
    for (int k = 0; k < COUNT; k++) sum[k] = 0.0f;
    for (int64_t i = first + team.rank; i < end; i += team.size)
        f((i / space * channels + blockIdx.x) * space + i % space, sum);
    TG_UNROLL
    for (int k = 0; k < COUNT; k++) sum[k] = team.sum(sum[k]);
}

// part[c][p]: how many values, a number m near their mean, and the sums of x - m and of (x - m)^2.
template <class T>
__device__ void parts(const T* __restrict__ x, float* __restrict__ part, int64_t channels, int64_t samples,
                      int64_t space, int64_t high) {
    const int64_t left = samples * space - blockIdx.y * high;
    const float count = float(left < high ? left : high);
    float sum[1], apart[2];
    part_sums(sum, channels, samples, space, high, [=](int64_t at, float (&s)[1]) { s[0] += float(x[at]); });
    const float m = sum[0] / count;
    part_sums(apart, channels, samples, space, high, [=](int64_t at, float (&s)[2]) {
        const float v = float(x[at]) - m;
        s[0] += v;
        s[1] += v * v;
    });
    if (threadIdx.x != 0) return;
    part += (int64_t(blockIdx.x) * gridDim.y + blockIdx.y) * 4;
    part[0] = count;
    part[1] = m;
    part[2] = apart[0];  // not quite 0: m is rounded
    part[3] = apart[1];
}

TG_INLINE void finish(const float* __restrict__ part, float* __restrict__ mean, float* __restrict__ scale,
                      float* __restrict__ variance, int64_t channels, int64_t parts, float eps) {
    const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    part += c * parts * 4;
    const float near = part[1];  // all differences are from here: they are small, and so are their errors
    float count = 0.0f, sum = 0.0f, squares = 0.0f;
    for (int64_t p = 0; p < parts; p++) {
        const float n = part[p * 4], d = part[p * 4 + 1] - near, s = part[p * 4 + 2];
        count += n;
        sum += s + n * d;
        squares += part[p * 4 + 3] + 2.0f * d * s + n * d * d;
    }
    const float apart = sum / count, v = squares / count - apart * apart;
    mean[c] = near + apart;
    variance[c] = v;
    scale[c] = 1.0f / sqrtf(v + eps);
}

template <class T, class F>
__device__ void each(T* __restrict__ out, int64_t count, int64_t channels, int64_t space, bool aligned, F f) {
    constexpr int W = WIDE<T>;
    const int64_t at = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * W;
    if (at >= count) return;
    Pack<T, W> y;
    if (space % W == 0) {  // a pack lies in one channel
        f(at, at / space % channels, y);
    } else {
        TG_UNROLL
        for (int e = 0; e < W; e++)
            if (at + e < count) {
                Pack<T, W> one;
                f(at + e, (at + e) / space % channels, one);
                y.of[e] = one.of[0];
            }
    }
    store(out + at, y, count - at, aligned);
}

template <class T>
__device__ void apply(const T* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ scale,
                      const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, int64_t count,
                      int64_t channels, int64_t space) {
    constexpr int W = WIDE<T>;
    const bool whole = space % W == 0;
    each(y, count, channels, space, sixteen(y, W), [=](int64_t at, int64_t c, Pack<T, W>& out) {
        const Pack<T, W> in = load<W>(x + at, whole ? count - at : 1, whole && sixteen(x, W));
        const float m = mean[c], slope = scale[c], w = weight ? float(weight[c]) : 1.0f, b = bias ? float(bias[c]) : 0.0f;
        TG_UNROLL
        for (int e = 0; e < W; e++) out.of[e] = T((float(in.of[e]) - m) * slope * w + b);
    });
}

// part[c][p]: the sums of dy h and of dy.
template <class T>
__device__ void grad_parts(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ mean,
                           const float* __restrict__ scale, float* __restrict__ part, int64_t channels,
                           int64_t samples, int64_t space, int64_t high) {
    const float m = mean[blockIdx.x], s = scale[blockIdx.x];
    float sum[2];
    part_sums(sum, channels, samples, space, high, [=](int64_t at, float (&total)[2]) {
        total[0] += float(dy[at]) * ((float(x[at]) - m) * s);
        total[1] += float(dy[at]);
    });
    if (threadIdx.x != 0) return;
    part += (int64_t(blockIdx.x) * gridDim.y + blockIdx.y) * 2;
    part[0] = sum[0];
    part[1] = sum[1];
}

// sums[c]: those of the whole channel, which dweight and dbias are as well.
template <class T>
__device__ void grad_finish(const float* __restrict__ part, float* __restrict__ sums, T* __restrict__ dweight,
                            T* __restrict__ dbias, int64_t channels, int64_t parts) {
    const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    float weight = 0.0f, bias = 0.0f;
    for (int64_t p = 0; p < parts; p++) {
        weight += part[(c * parts + p) * 2];
        bias += part[(c * parts + p) * 2 + 1];
    }
    sums[c * 2] = weight;
    sums[c * 2 + 1] = bias;
    dweight[c] = T(weight);
    dbias[c] = T(bias);
}

template <class T>
__device__ void grad_apply(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ mean,
                           const float* __restrict__ scale, const T* __restrict__ weight,
                           const float* __restrict__ sums, T* __restrict__ dx, int64_t count, int64_t channels,
                           int64_t space) {
    constexpr int W = WIDE<T>;
    const bool whole = space % W == 0;
    const float values = float(count / channels);
    each(dx, count, channels, space, sixteen(dx, W), [=](int64_t at, int64_t c, Pack<T, W>& out) {
        const bool wide = whole && sixteen(x, W) && sixteen(dy, W);
        const Pack<T, W> g = load<W>(dy + at, whole ? count - at : 1, wide), in = load<W>(x + at, whole ? count - at : 1, wide);
        const float m = mean[c], s = scale[c], slope = weight ? s * float(weight[c]) : s;
        const float b = sums[c * 2] / values, a = sums[c * 2 + 1] / values;
        TG_UNROLL
        for (int e = 0; e < W; e++) out.of[e] = T(slope * (float(g.of[e]) - a - (float(in.of[e]) - m) * s * b));
    });
}

extern "C" __global__ void batch_norm_finish(const float* part, float* mean, float* scale, float* variance,
                                             int64_t channels, int64_t parts, float eps) {
    finish(part, mean, scale, variance, channels, parts, eps);
}
TG_LAUNCHABLE(batch_norm_finish)

#define KERNELS(suffix, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_parts_##suffix(                                  \
        const T* x, float* part, int64_t channels, int64_t samples, int64_t space, int64_t high) {                    \
        parts(x, part, channels, samples, space, high);                                                               \
    }                                                                                                                 \
    TG_LAUNCHABLE(batch_norm_parts_##suffix)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_apply_##suffix(                                  \
        const T* x, const float* mean, const float* scale, const T* weight, const T* bias, T* y, int64_t count,       \
        int64_t channels, int64_t space) {                                                                            \
        apply(x, mean, scale, weight, bias, y, count, channels, space);                                               \
    }                                                                                                                 \
    TG_LAUNCHABLE(batch_norm_apply_##suffix)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_grad_parts_##suffix(                             \
        const T* dy, const T* x, const float* mean, const float* scale, float* part, int64_t channels,                \
        int64_t samples, int64_t space, int64_t high) {                                                               \
        grad_parts(dy, x, mean, scale, part, channels, samples, space, high);                                         \
    }                                                                                                                 \
    TG_LAUNCHABLE(batch_norm_grad_parts_##suffix)                                                                     \
    extern "C" __global__ void batch_norm_grad_finish_##suffix(const float* part, float* sums, T* dweight, T* dbias,  \
                                                               int64_t channels, int64_t parts) {                     \
        grad_finish(part, sums, dweight, dbias, channels, parts);                                                     \
    }                                                                                                                 \
    TG_LAUNCHABLE(batch_norm_grad_finish_##suffix)                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_grad_apply_##suffix(                             \
        const T* dy, const T* x, const float* mean, const float* scale, const T* weight, const float* sums, T* dx,    \
        int64_t count, int64_t channels, int64_t space) {                                                             \
        grad_apply(dy, x, mean, scale, weight, sums, dx, count, channels, space);                                     \
    }                                                                                                                 \
    TG_LAUNCHABLE(batch_norm_grad_apply_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
