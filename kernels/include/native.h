// For the CPU kernels (.cpp): the export mark and the arithmetic that compilers do not vectorise by themselves.
#pragma once

#include <stdint.h>
#include <string.h>

#define TG_EXPORT extern "C" __attribute__((visibility("default")))

template <class T>
struct Format;

template <>
struct Format<float> {
    using Bits = uint32_t;
    static constexpr int mantissa = 23, bias = 127, degree = 7;
    static constexpr float round = 0x1.8p23f;               // adding it rounds to an integer, held in the low bits
    static constexpr float ln2_high = 0x1.62e4p-1f;         // 15 bits: its product with an exponent is exact
    static constexpr float ln2_low = 0x1.7f7d1cp-20f;       // ln 2 - ln2_high
    static constexpr float exp_is_zero = -104.0f;           // exp of this and of all below rounds to zero
};

template <>
struct Format<double> {
    using Bits = uint64_t;
    static constexpr int mantissa = 52, bias = 1023, degree = 13;
    static constexpr double round = 0x1.8p52;
    static constexpr double ln2_high = 0x1.62e42fefap-1;    // 36 bits
    static constexpr double ln2_low = 0x1.cf79abc9e3b3ap-40;
    static constexpr double exp_is_zero = -746.0;
};

// 2**k for an integer-valued k in the range of normal exponents.
template <class T>
inline T power_of_two(T k) {
    using F = Format<T>;
    k += F::round;
    typename F::Bits bits;
    memcpy(&bits, &k, sizeof bits);
    bits = (bits + F::bias) << F::mantissa;
    memcpy(&k, &bits, sizeof bits);
    return k;
}

// exp(x) for x <= 0, to about 1 ulp, gradual underflow included; NaN gives NaN.  No branch and no table, so that a
// loop around it becomes vector code: exp(x) = 2**k exp(r) with r = x - k ln 2, |r| <= ln(2) / 2, and Taylor's series.
template <class T>
inline T exp_of_nonpositive(T x) {
    using F = Format<T>;
    x = x < F::exp_is_zero ? F::exp_is_zero : x;
    const T k = (x * T(1.4426950408889634) + F::round) - F::round;
    const T r = (x - k * F::ln2_high) - k * F::ln2_low;
    T p = 0;
    T factorial = 1;
    for (int n = 2; n <= F::degree; n++) factorial *= T(n);
    for (int n = F::degree; n >= 1; n--) {
        p = (p + T(1) / factorial) * r;
        factorial /= T(n);
    }
    p += T(1);
    const T half = (k * T(0.5) + F::round) - F::round;  // in two steps: 2**k itself may not be a normal number
    return p * power_of_two(half) * power_of_two(k - half);
}
