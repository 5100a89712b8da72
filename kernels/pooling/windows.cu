// Pooling over windows that are given as lists: which inputs an output reads along each axis.
//     max_pool:       y[o] = the largest x[i] that o reads, place[o] = the first such i (NaN wins);  dx[i] = the sum of dy[o]
//                     over the o that read i and whose place it is
//     resample:       y[.., o, ..] = sum over the i that o reads of weight x[.., i, ..], along one axis
//
// Idea                  Lists (start of each output's part, then inputs) instead of a formula: one kernel serves every
//                       stride, padding, dilation and adaptive window.  A gradient reads the lists of the inputs and adds
//                       up in their order: no atomics.
// Maps threads to data  Thread t of the grid takes element t of the result: neighbours read neighbouring windows.
// FLOPs and bytes       A comparison or two FLOPs for each pair of output and input; windows overlap in the caches.
// Needs                 float32, float16 or bfloat16 (sums in float32); C-contiguous; up to three axes, those that are
//                       missing given as one output that reads one input; int32 lists, int64 places.  256 threads.  Any
//                       architecture from sm_80.
// Improves on           - (the first rung)
// Limits                A plane has fewer than 2**31 elements.
#include "tg.h"

static constexpr int THREADS = 256;

// The lists of one axis: output o reads inputs[starts[o] .. starts[o + 1]).
struct Axis {
    const int *starts, *inputs;
    int outs, size;
};

TG_INLINE int64_t element() { return int64_t(blockIdx.x) * THREADS + threadIdx.x; }

template <class T>
__device__ void largest(const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ place, int64_t count,
                        const Axis& a, const Axis& b, const Axis& c) {
    const int64_t i = element();
    if (i >= count) return;
    const int outs = a.outs * b.outs * c.outs, o = int(i % outs);
    const int u = o / (b.outs * c.outs), v = o / c.outs % b.outs, w = o % c.outs;
    const int64_t plane = i / outs * (int64_t(a.size) * b.size * c.size);
    float best = 0.0f;
    int at = -1;
    for (int l = a.starts[u]; l < a.starts[u + 1]; l++)
        for (int m = b.starts[v]; m < b.starts[v + 1]; m++)
            for (int n = c.starts[w]; n < c.starts[w + 1]; n++) {
                const int from = (a.inputs[l] * b.size + b.inputs[m]) * c.size + c.inputs[n];
                const float seen = float(x[plane + from]);
                if (at < 0 || seen > best || seen != seen) {
                    best = seen;
                    at = from;
                }
            }
    y[i] = x[plane + at];
    place[i] = plane + at;
}

// The axes are those of the inputs: which outputs each is read by.
template <class T>
__device__ void spread(const T* __restrict__ dy, const int64_t* __restrict__ place, T* __restrict__ dx, int64_t count,
                       const Axis& a, const Axis& b, const Axis& c) {
    const int64_t i = element();
    if (i >= count) return;
    const int inputs = a.outs * b.outs * c.outs, o = int(i % inputs);
    const int u = o / (b.outs * c.outs), v = o / c.outs % b.outs, w = o % c.outs;
    const int64_t plane = i / inputs * (int64_t(a.size) * b.size * c.size);
    float sum = 0.0f;
    for (int l = a.starts[u]; l < a.starts[u + 1]; l++)
        for (int m = b.starts[v]; m < b.starts[v + 1]; m++)
            for (int n = c.starts[w]; n < c.starts[w + 1]; n++) {
                const int64_t at = plane + (a.inputs[l] * b.size + b.inputs[m]) * c.size + c.inputs[n];
                if (place[at] == i) sum += float(dy[at]);
            }
    dx[i] = T(sum);
}

template <class T>
__device__ void resample(const T* __restrict__ x, T* __restrict__ y, const int* __restrict__ starts,
                         const int* __restrict__ inputs, const float* __restrict__ weights, int64_t count, int64_t after,
                         int outs, int size) {
    const int64_t i = element();
    if (i >= count) return;
    const int64_t inner = i % after, o = i / after % outs, outer = i / after / outs;
    float sum = 0.0f;
    for (int n = starts[o]; n < starts[o + 1]; n++)
        sum += weights[n] * float(x[(outer * size + inputs[n]) * after + inner]);
    y[i] = T(sum);
}

#define AXIS(a) const int *a##_starts, const int *a##_inputs, int a##_outs, int a##_size
#define AXIS_OF(a) {a##_starts, a##_inputs, a##_outs, a##_size}
#define KERNELS(suffix, T)                                                                                            \
    extern "C" __global__ void max_pool_##suffix(const T* x, T* y, int64_t* place, int64_t count, AXIS(a), AXIS(b),   \
                                                 AXIS(c)) {                                                           \
        largest<T>(x, y, place, count, AXIS_OF(a), AXIS_OF(b), AXIS_OF(c));                                           \
    }                                                                                                                 \
    TG_LAUNCHABLE(max_pool_##suffix)                                                                                  \
    extern "C" __global__ void max_pool_grad_##suffix(const T* dy, const int64_t* place, T* dx, int64_t count,        \
                                                      AXIS(a), AXIS(b), AXIS(c)) {                                    \
        spread<T>(dy, place, dx, count, AXIS_OF(a), AXIS_OF(b), AXIS_OF(c));                                          \
    }                                                                                                                 \
    TG_LAUNCHABLE(max_pool_grad_##suffix)                                                                             \
    extern "C" __global__ void resample_##suffix(const T* x, T* y, const int* starts, const int* inputs,              \
                                                 const float* weights, int64_t count, int64_t after, int outs,        \
                                                 int size) {                                                          \
        resample<T>(x, y, starts, inputs, weights, count, after, outs, size);                                         \
    }                                                                                                                 \
    TG_LAUNCHABLE(resample_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
