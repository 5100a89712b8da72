// Convolution over two axes and its gradients: the sums as they are written (conv.h says what is summed).
//
// Idea                  A thread for each element of the result; for a weight, whose sum is long, a block.
// Maps threads to data  Thread t of the grid takes element t, neighbours neighbouring places.  *_weight_*: blockIdx.x = a
//                       weight, thread t takes the places t, t + 128, ... of all samples.
// FLOPs and bytes       2 for each pair that meets (the gradient of x looks at all pairs); everything comes from the caches.
// Needs                 float32, float16 or bfloat16, added in float32; C-contiguous (samples, channels, high, wide); any
//                       stride, padding, dilation and groups.  128 threads.  Any architecture from sm_80.
// Improves on           - (the first rung)
// Limits                Two loads for every multiply-add.  An image has fewer than 2**31 elements.
#include "tg.h"
#include "conv.h"

static constexpr int THREADS = 128;

TG_INLINE int64_t element() { return int64_t(blockIdx.x) * THREADS + threadIdx.x; }

template <class T>
__device__ void forward(const Conv& s, const T* __restrict__ x, const T* __restrict__ w, T* __restrict__ y) {
    const int64_t i = element();
    if (i >= int64_t(s.samples) * s.outs * s.places()) return;
    const int place = int(i % s.places()), p = place / s.out_wide, q = place % s.out_wide;
    const int o = int(i / s.places() % s.outs), first = o / s.width() * s.depth();
    const T* image = x + (i / s.places() / s.outs * s.channels + first) * s.space();
    w += int64_t(o) * s.depth() * s.taps();
    float sum = 0.0f;
    for (int c = 0; c < s.depth(); c++)
        for (int a = 0; a < s.kernel_high; a++) {
            const int h = p * s.stride_high - s.before_high + a * s.dilation_high;
            if (h < 0 || h >= s.high) continue;
            for (int b = 0; b < s.kernel_wide; b++) {
                const int v = q * s.stride_wide - s.before_wide + b * s.dilation_wide;
                if (v >= 0 && v < s.wide)
                    sum += float(image[(c * s.high + h) * s.wide + v]) * float(w[(c * s.kernel_high + a) * s.kernel_wide + b]);
            }
        }
    y[i] = T(sum);
}

template <class T>
__device__ void of_input(const Conv& s, const T* __restrict__ dy, const T* __restrict__ w, T* __restrict__ dx) {
    const int64_t i = element();
    if (i >= int64_t(s.samples) * s.channels * s.space()) return;
    const int place = int(i % s.space()), h = place / s.wide, v = place % s.wide;
    const int c = int(i / s.space() % s.channels), group = c / s.depth();
    const T* image = dy + (i / s.space() / s.channels * s.outs + group * s.width()) * s.places();
    w += (int64_t(group) * s.width() * s.depth() + c % s.depth()) * s.taps();
    float sum = 0.0f;
    for (int o = 0; o < s.width(); o++)
        for (int a = 0; a < s.kernel_high; a++) {
            const int p = Conv::output(h, a, s.stride_high, s.before_high, s.dilation_high, s.out_high);
            if (p < 0) continue;
            for (int b = 0; b < s.kernel_wide; b++) {
                const int q = Conv::output(v, b, s.stride_wide, s.before_wide, s.dilation_wide, s.out_wide);
                if (q >= 0)
                    sum += float(image[(o * s.out_high + p) * s.out_wide + q]) *
                           float(w[int64_t(o) * s.depth() * s.taps() + a * s.kernel_wide + b]);
            }
        }
    dx[i] = T(sum);
}

template <class T>
__device__ void of_weight(const Conv& s, const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dw) {
    __shared__ float per_warp[TG_WARP];
    const Team<true> team(per_warp);
    const int tap = int(blockIdx.x) % s.taps(), a = tap / s.kernel_wide, b = tap % s.kernel_wide;
    const int c = int(blockIdx.x) / s.taps() % s.depth(), o = int(blockIdx.x) / s.taps() / s.depth();
    const int channel = o / s.width() * s.depth() + c;
    float total = 0.0f, part = 0.0f;  // of sums of 64
    int count = 0;
    for (int64_t i = team.rank; i < int64_t(s.samples) * s.places(); i += team.size) {
        const int64_t n = i / s.places();
        const int place = int(i % s.places());
        const int h = place / s.out_wide * s.stride_high - s.before_high + a * s.dilation_high;
        const int v = place % s.out_wide * s.stride_wide - s.before_wide + b * s.dilation_wide;
        if (h < 0 || h >= s.high || v < 0 || v >= s.wide) continue;
        part += float(dy[(n * s.outs + o) * s.places() + place]) * float(x[(n * s.channels + channel) * s.space() + h * s.wide + v]);
        if (++count % 64 == 0) {
            total += part;
            part = 0.0f;
        }
    }
    total = team.sum(total + part);
    if (team.rank == 0) dw[blockIdx.x] = T(total);
}

#define KERNELS(suffix, T)                                                                                            \
    extern "C" __global__ void conv_direct_##suffix(const T* x, const T* w, T* y, TG_CONV) {                          \
        forward<T>(TG_CONV_OF, x, w, y);                                                                              \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_direct_##suffix)                                                                               \
    extern "C" __global__ void conv_direct_input_##suffix(const T* dy, const T* w, T* dx, TG_CONV) {                  \
        of_input<T>(TG_CONV_OF, dy, w, dx);                                                                           \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_direct_input_##suffix)                                                                         \
    extern "C" __global__ void conv_direct_weight_##suffix(const T* x, const T* dy, T* dw, TG_CONV) {                 \
        of_weight<T>(TG_CONV_OF, x, dy, dw);                                                                          \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_direct_weight_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
