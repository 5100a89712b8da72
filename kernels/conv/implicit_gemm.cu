// Convolution over two axes and its gradients as matrix products whose right operand is gathered, never stored:
//     y:   (outs) x (channel, tap) times (channel, tap) x (sample, place)
//     dx:  (channels) x (out, tap) times (out, tap) x (sample, place of x)
//     dw:  (outs) x (sample, place) times (sample, place) x (channel, tap)            (conv.h says who meets whom)
//
// Idea                  A block computes a tile of 64 x 64 in steps of 16, a thread 4 x 4 of it in registers.  Where an
//                       element of the gathered operand lies is a sum of a part for its column, which a thread computes
//                       once, and a part for its row, which comes from a table.  The sum for dw is long and its result
//                       small: it is cut into parts, which a last kernel adds up in order.
// Maps threads to data  256 threads; of a tile of the gathered operand a thread fetches four elements, neighbours along
//                       the places, so that loads are shared.  blockIdx.x counts the tiles of a group, then the groups;
//                       blockIdx.y the parts of the sum.
// FLOPs and bytes       2 for each pair of the product; each operand is read once for every 64 rows or columns.
// Needs                 float32, float16 or bfloat16, added in float32; C-contiguous (samples, channels, high, wide); any
//                       stride, padding, dilation and groups; the table of rows: (offset, i d, j d, offset of the weight)
//                       of int32 for each (channel, tap) or (out, tap).  256 threads.  Any architecture from sm_80.
// Improves on           direct.cu, by 16 multiply-adds for 8 numbers read from shared memory.
// Limits                An image has fewer than 2**31 elements, and so have the places of all samples.  Few outputs or
//                       channels leave most of a tile idle; with stride 2 the gradient of x multiplies three zeros of four.
#include "tg.h"
#include "conv.h"

static constexpr int SIDE = 64, DEPTH = 16, THREADS = 256, ROW = SIDE + 4, EACH = 4;

struct Tap {  // where a row of the gathered operand lies from its column's place on
    int offset, down, right, weight;
};

// sum[i][j] += the product of the tiles, of which this thread has rows 4 y .. 4 y + 3 and columns 4 x .. 4 x + 3.
TG_INLINE void multiply(float (&sum)[EACH][EACH], const float (*a)[ROW], const float (*b)[ROW]) {
    const int x = int(threadIdx.x) % 16 * EACH, y = int(threadIdx.x) / 16 * EACH;
    TG_UNROLL
    for (int k = 0; k < DEPTH; k++) {
        float left[EACH], right[EACH];
        *reinterpret_cast<float4*>(left) = *reinterpret_cast<const float4*>(&a[k][y]);
        *reinterpret_cast<float4*>(right) = *reinterpret_cast<const float4*>(&b[k][x]);
        TG_UNROLL
        for (int i = 0; i < EACH; i++)
            TG_UNROLL
            for (int j = 0; j < EACH; j++) sum[i][j] += left[i] * right[j];
    }
}

// Walks K from `first` to `end`: fetch(k, a, b) fills the tiles of the steps k .. k + 15.
template <class Fetch>
__device__ void walk(float (&sum)[EACH][EACH], int first, int end, Fetch fetch) {
    __shared__ __align__(16) float a[DEPTH][ROW], b[DEPTH][ROW];
    for (int k = first; k < end; k += DEPTH) {
        fetch(k, a, b);
        __syncthreads();
        multiply(sum, a, b);
        __syncthreads();  // before they are overwritten
    }
}

// A result with `rows` rows in a group and a column for each of `size` places of all samples: y, or dx (INPUT).
template <class T, bool INPUT>
__device__ void images(const Conv& s, const T* __restrict__ from, const T* __restrict__ w, const Tap* __restrict__ taps,
                       T* __restrict__ to) {
    const int rows = INPUT ? s.depth() : s.width(), K = (INPUT ? s.width() : s.depth()) * s.taps();
    const int size = INPUT ? s.space() : s.places(), line = INPUT ? s.wide : s.out_wide;
    const int from_size = INPUT ? s.places() : s.space(), columns = s.samples * size;
    const int across = (columns - 1) / SIDE + 1, down = (rows - 1) / SIDE + 1;
    const int group = int(blockIdx.x) / (across * down), tile = int(blockIdx.x) % (across * down);
    const int top = tile % down * SIDE, left = tile / down * SIDE;
    w += int64_t(group) * s.width() * s.depth() * s.taps();

    // The column whose elements this thread fetches: its sample and place.
    const int column = left + int(threadIdx.x) % SIDE, sample = column / size, place = column % size;
    const bool there = column < columns;
    const int h = INPUT ? place / line + s.before_high : place / line * s.stride_high - s.before_high;
    const int v = INPUT ? place % line + s.before_wide : place % line * s.stride_wide - s.before_wide;
    const T* const image = from + (int64_t(sample) * (INPUT ? s.outs : s.channels) + group * (INPUT ? s.width() : s.depth())) * from_size;

    float sum[EACH][EACH] = {};
    walk(sum, 0, K, [&](int first, float (*a)[ROW], float (*b)[ROW]) {
        TG_UNROLL
        for (int e = 0; e < DEPTH * SIDE / THREADS; e++) {
            const int k = int(threadIdx.x) / SIDE + e * (THREADS / SIDE);
            float value = 0.0f;
            if (there && first + k < K) {
                const Tap tap = taps[first + k];
                if (INPUT) {
                    const int p = (h - tap.down) / s.stride_high, q = (v - tap.right) / s.stride_wide;
                    if (h >= tap.down && v >= tap.right && p * s.stride_high == h - tap.down &&
                        q * s.stride_wide == v - tap.right && p < s.out_high && q < s.out_wide)
                        value = float(image[tap.offset + p * s.out_wide + q]);
                } else {
                    const int r = h + tap.down, c = v + tap.right;
                    if (r >= 0 && r < s.high && c >= 0 && c < s.wide) value = float(image[tap.offset + r * s.wide + c]);
                }
            }
            b[k][int(threadIdx.x) % SIDE] = value;
            // And of the weights: neighbours along K, which is how they lie.
            const int row = int(threadIdx.x) / DEPTH + e * (THREADS / DEPTH), at = first + int(threadIdx.x) % DEPTH;
            float weight = 0.0f;
            if (top + row < rows && at < K)
                weight = float(INPUT ? w[taps[at].weight + (top + row) * s.taps()] : w[int64_t(top + row) * K + at]);
            a[int(threadIdx.x) % DEPTH][row] = weight;
        }
    });
    const int x = int(threadIdx.x) % 16 * EACH, y = int(threadIdx.x) / 16 * EACH;
    TG_UNROLL
    for (int j = 0; j < EACH; j++) {
        const int n = left + x + j;
        if (n >= columns) continue;
        T* const out = to + (int64_t(n / size) * (INPUT ? s.channels : s.outs) + group * rows) * size + n % size;
        TG_UNROLL
        for (int i = 0; i < EACH; i++)
            if (top + y + i < rows) out[int64_t(top + y + i) * size] = T(sum[i][j]);
    }
}

// part[blockIdx.y]: dw, of the places first .. first + high - 1 of all samples.
template <class T>
__device__ void weights(const Conv& s, const T* __restrict__ x, const T* __restrict__ dy, const Tap* __restrict__ taps,
                        float* __restrict__ part, int high) {
    const int rows = s.width(), columns = s.depth() * s.taps(), K = s.samples * s.places();
    const int across = (columns - 1) / SIDE + 1, down = (rows - 1) / SIDE + 1;
    const int group = int(blockIdx.x) / (across * down), tile = int(blockIdx.x) % (across * down);
    const int top = tile % down * SIDE, left = tile / down * SIDE;
    const int start = int(blockIdx.y) * high, end = K - start < high ? K : start + high;
    const int lane = int(threadIdx.x) % DEPTH, line = int(threadIdx.x) / DEPTH;
    x += int64_t(group) * s.depth() * s.space();
    dy += int64_t(group) * rows * s.places();

    float sum[EACH][EACH] = {};
    walk(sum, start, end, [&](int first, float (*a)[ROW], float (*b)[ROW]) {
        const int k = first + lane, sample = k / s.places(), place = k % s.places();
        const int h = place / s.out_wide * s.stride_high - s.before_high;
        const int v = place % s.out_wide * s.stride_wide - s.before_wide;
        const T* const image = x + int64_t(sample) * s.channels * s.space();
        const T* const out = dy + int64_t(sample) * s.outs * s.places() + place;
        TG_UNROLL
        for (int e = 0; e < SIDE * DEPTH / THREADS; e++) {
            const int i = line + e * (THREADS / DEPTH);  // the row of a and the column of b that this thread fetches
            a[lane][i] = k < end && top + i < rows ? float(out[int64_t(top + i) * s.places()]) : 0.0f;
            float value = 0.0f;
            if (k < end && left + i < columns) {
                const Tap tap = taps[left + i];
                const int r = h + tap.down, c = v + tap.right;
                if (r >= 0 && r < s.high && c >= 0 && c < s.wide) value = float(image[tap.offset + r * s.wide + c]);
            }
            b[lane][i] = value;
        }
    });
    const int m = top + int(threadIdx.x) / 16 * EACH, n = left + int(threadIdx.x) % 16 * EACH;
    part += (int64_t(blockIdx.y) * s.groups + group) * rows * columns;
    TG_UNROLL
    for (int i = 0; i < EACH; i++)
        TG_UNROLL
        for (int j = 0; j < EACH; j++)
            if (m + i < rows && n + j < columns) part[int64_t(m + i) * columns + n + j] = sum[i][j];
}

template <class T>
__device__ void totals(const float* __restrict__ part, T* __restrict__ dw, int64_t count, int parts) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    float total = 0.0f;
    for (int p = 0; p < parts; p++) total += part[p * count + i];
    dw[i] = T(total);
}

#define KERNELS(suffix, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                             \
        conv_gemm_##suffix(const T* x, const T* w, const Tap* taps, T* y, TG_CONV) {                                  \
        images<T, false>(TG_CONV_OF, x, w, taps, y);                                                                  \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_gemm_##suffix)                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                             \
        conv_gemm_input_##suffix(const T* dy, const T* w, const Tap* taps, T* dx, TG_CONV) {                          \
        images<T, true>(TG_CONV_OF, dy, w, taps, dx);                                                                 \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_gemm_input_##suffix)                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                             \
        conv_gemm_weight_##suffix(const T* x, const T* dy, const Tap* taps, float* part, int rows, TG_CONV) {         \
        weights<T>(TG_CONV_OF, x, dy, taps, part, rows);                                                              \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_gemm_weight_##suffix)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                             \
        conv_gemm_totals_##suffix(const float* part, T* dw, int64_t count, int parts) {                               \
        totals<T>(part, dw, count, parts);                                                                            \
    }                                                                                                                 \
    TG_LAUNCHABLE(conv_gemm_totals_##suffix)
TG_FOR_EACH_TYPE(KERNELS)
