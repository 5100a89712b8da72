// Numbers of two bytes, and several numbers at a time.  Kernels keep and add in float32 whatever they read and write.
#pragma once

// IEEE float16: 5 bits of exponent, 10 of fraction.
struct Half {
    uint16_t bits;
    Half() = default;
    __device__ explicit Half(float x) : bits(tg_half(x)) {}
    __device__ operator float() const { return tg_float_of_half(bits); }
};

// bfloat16: the upper half of a float32, 8 bits of exponent, 7 of fraction.
struct Bfloat16 {
    uint16_t bits;
    Bfloat16() = default;
    __device__ explicit Bfloat16(float x) : bits(tg_bfloat16(x)) {}
    __device__ operator float() const { return tg_float(uint32_t(bits) << 16); }
};

// N neighbours in memory, read and written by one instruction where they are aligned.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
    T of[N];
};

// How many numbers the widest access takes: 16 bytes.
template <class T>
constexpr int WIDE = 16 / sizeof(T);

// Whether N numbers can be read at once from p on, and from all that lies a multiple of `step` numbers from it.
template <int N, class T, class Step>
TG_INLINE bool in_packs(const T* p, Step step) {
    return reinterpret_cast<uint64_t>(p) % sizeof(Pack<T, N>) == 0 && step % N == 0;
}

// The same for 16 bytes.
template <class T>
TG_INLINE bool sixteen(const T* p, int64_t step) {
    return in_packs<WIDE<T>>(p, step);
}

// The first `left` of N neighbours, `spare` for the rest.  aligned: p is a multiple of the pack's size.
template <int N, class T>
TG_INLINE Pack<T, N> load(const T* p, int64_t left, bool aligned, T spare = T(0.0f)) {
    if (aligned && left >= N) return *reinterpret_cast<const Pack<T, N>*>(p);
    Pack<T, N> pack;
    TG_UNROLL
    for (int e = 0; e < N; e++) pack.of[e] = e < left ? p[e] : spare;
    return pack;
}

template <int N, class T>
TG_INLINE void store(T* p, const Pack<T, N>& pack, int64_t left, bool aligned) {
    if (aligned && left >= N) {
        *reinterpret_cast<Pack<T, N>*>(p) = pack;
        return;
    }
    TG_UNROLL
    for (int e = 0; e < N; e++)
        if (e < left) p[e] = pack.of[e];
}

// NAME_f32, NAME_f16 and NAME_bf16: one entry for each dtype of arrays, of a template whose first parameter it is.  Who
// needs one dtype compiles only that: -DTG_ONLY_f32.
#if defined(TG_ONLY_f32)
#define TG_FOR_EACH_TYPE(KERNEL) KERNEL(f32, float)
#elif defined(TG_ONLY_f16)
#define TG_FOR_EACH_TYPE(KERNEL) KERNEL(f16, Half)
#elif defined(TG_ONLY_bf16)
#define TG_FOR_EACH_TYPE(KERNEL) KERNEL(bf16, Bfloat16)
#else
#define TG_FOR_EACH_TYPE(KERNEL) \
    KERNEL(f32, float)           \
    KERNEL(f16, Half)            \
    KERNEL(bf16, Bfloat16)
#endif
