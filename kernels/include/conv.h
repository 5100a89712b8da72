// What the rungs of convolution share: sizes, and which elements meet.
//     y[n][o][p][q] = sum over c, i, j of w[o][c][i][j] x[n][c][p s - b + i d][q s - b + j d], within a group.
#pragma once

struct Conv {
    int samples, channels, high, wide;    // x: (samples, channels, high, wide)
    int outs, out_high, out_wide;         // y: (samples, outs, out_high, out_wide)
    int kernel_high, kernel_wide, groups;  // w: (outs, channels / groups, kernel_high, kernel_wide)
    int stride_high, stride_wide, before_high, before_wide, dilation_high, dilation_wide;

    __device__ int depth() const { return channels / groups; }   // channels of a group
    __device__ int width() const { return outs / groups; }       // outputs of a group
    __device__ int taps() const { return kernel_high * kernel_wide; }
    __device__ int places() const { return out_high * out_wide; }
    __device__ int space() const { return high * wide; }

    // Which output reads input `at` by tap `tap` of one axis; -1 if none does.
    static __device__ int output(int at, int tap, int stride, int before, int dilation, int outputs) {
        const int far = at + before - tap * dilation, out = far / stride;
        return far >= 0 && out * stride == far && out < outputs ? out : -1;
    }
};

#define TG_CONV                                                                                                        \
    int samples, int channels, int high, int wide, int outs, int out_high, int out_wide, int kernel_high,              \
        int kernel_wide, int groups, int stride_high, int stride_wide, int before_high, int before_wide,               \
        int dilation_high, int dilation_wide
#define TG_CONV_OF                                                                                                     \
    {samples,     channels, high,        wide,        outs,        out_high,    out_wide,      kernel_high,            \
     kernel_wide, groups,   stride_high, stride_wide, before_high, before_wide, dilation_high, dilation_wide}
