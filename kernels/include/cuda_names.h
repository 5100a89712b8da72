// CUDA's names for what the emulator does, and the doors by which a kernel is launched.
#pragma once

#include "emulator_grid.h"

#define threadIdx (emulator::state.current->index)
#define blockIdx (emulator::state.block_index)
#define blockDim (emulator::state.block)
#define gridDim (emulator::state.grid)

// Where a function is called, as its last parameters.
#define TG_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(TG_HERE) { emulator::barrier({file, line}, 0); }
inline int __syncthreads_count(int predicate, TG_HERE) { return emulator::barrier({file, line}, predicate != 0); }
inline int __syncthreads_or(int predicate, TG_HERE) { return emulator::barrier({file, line}, predicate != 0) != 0; }
inline int __syncthreads_and(int predicate, TG_HERE) { return emulator::barrier({file, line}, predicate == 0) == 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, TG_HERE) {
    const unsigned lane = emulator::lane(), group = lane - lane % unsigned(width);
    return emulator::of_lane(mask, value, group + unsigned(from) % unsigned(width), "shfl", {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width = 32, TG_HERE) {
    const unsigned lane = emulator::lane(), from = lane ^ unsigned(distance);
    const bool inside = from / unsigned(width) == lane / unsigned(width);
    return emulator::of_lane(mask, value, inside ? from : lane, "shfl_xor", {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, TG_HERE) {
    const unsigned lane = emulator::lane(), from = lane + distance;
    const bool inside = from / unsigned(width) == lane / unsigned(width);
    return emulator::of_lane(mask, value, inside ? from : lane, "shfl_down", {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, TG_HERE) {
    const unsigned lane = emulator::lane();
    const bool inside = lane % unsigned(width) >= distance;
    return emulator::of_lane(mask, value, inside ? lane - distance : lane, "shfl_up", {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, TG_HERE) {
    const emulator::Quiet quiet;
    auto* table = emulator::exchange(mask, predicate, "ballot", {file, line});
    mask &= emulator::lanes_of_warp();
    unsigned votes = 0;
    for (unsigned lane = 0; lane < emulator::WARP; lane++)
        if (mask >> lane & 1 && emulator::value_of_lane<int>(table, lane)) votes |= 1u << lane;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, TG_HERE) { return __ballot_sync(mask, predicate, file, line) != 0; }
inline int __all_sync(unsigned mask, int predicate, TG_HERE) { return __ballot_sync(mask, !predicate, file, line) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, TG_HERE) {
    const emulator::Quiet quiet;
    emulator::exchange(mask, 0, "syncwarp", {file, line}, true);
}

// Each returns what was there before.  T comes from the pointer alone: CUDA converts the value, too.
template <class T>
using TgSame = typename std::enable_if<true, T>::type;
template <class T, class... Types>
constexpr bool TG_ONE_OF = (std::is_same<T, Types>::value || ...);
template <class T>
constexpr bool TG_ATOMIC_INTEGER = TG_ONE_OF<T, int, unsigned, unsigned long long, uint64_t>;  // all that CUDA has

#define TG_WITHIN __attribute__((always_inline)) inline  // in the kernel, whose line is told

template <class T, class F>
TG_WITHIN T tg_exchange_atomically(T* p, F f) {
#ifdef TG_MEMORY
    __asan_loadN_noabort(p, sizeof *p);  // the compiler takes an atomic access for a store
#endif
    T old, made;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do made = f(old);
    while (!__atomic_compare_exchange(p, &old, &made, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
template <class T>
TG_WITHIN T atomicAdd(T* p, TgSame<T> value) {
    static_assert(TG_ATOMIC_INTEGER<T> || TG_ONE_OF<T, float, double>, "CUDA has no atomicAdd of this type");
    return tg_exchange_atomically(p, [=](T old) {
        if constexpr (std::is_same<T, int>::value) return int(unsigned(old) + unsigned(value));  // wraps around
        else return T(old + value);
    });
}
template <class T>
TG_WITHIN T atomicMax(T* p, TgSame<T> value) {
    static_assert(TG_ATOMIC_INTEGER<T> || TG_ONE_OF<T, int64_t, long long>, "CUDA has no atomicMax of this type");
    return tg_exchange_atomically(p, [=](T old) { return std::max(old, value); });
}
template <class T>
TG_WITHIN T atomicMin(T* p, TgSame<T> value) {
    static_assert(TG_ATOMIC_INTEGER<T> || TG_ONE_OF<T, int64_t, long long>, "CUDA has no atomicMin of this type");
    return tg_exchange_atomically(p, [=](T old) { return std::min(old, value); });
}
template <class T>
TG_WITHIN T atomicExch(T* p, TgSame<T> value) {
    static_assert(TG_ATOMIC_INTEGER<T> || TG_ONE_OF<T, float>, "CUDA has no atomicExch of this type");
    return tg_exchange_atomically(p, [=](T) { return value; });
}
template <class T>
TG_WITHIN T atomicCAS(T* p, TgSame<T> expected, TgSame<T> value) {
    static_assert(TG_ATOMIC_INTEGER<T>, "CUDA has no atomicCAS of this type");
    return tg_exchange_atomically(p, [=](T old) { return old == expected ? value : old; });
}
inline void __threadfence() {
    emulator::ordered_after(&emulator::state.fence_order);
    emulator::ordered_before(&emulator::state.fence_order);
}
inline void __threadfence_block() { __threadfence(); }

template <class T>
T __ldg(const T* p) {
    return *p;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned((unsigned long long)x * y >> 32); }
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline int __float_as_int(float x) { return int(__float_as_uint(x)); }
inline float __int_as_float(int bits) { return __uint_as_float(unsigned(bits)); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; }

#ifdef TG_SANITIZED
#define TG_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::state.shared_array.get())
#else
#define TG_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::state.shared->data())
#endif

// To launch a kernel, shaped like cuLaunchKernel: returns nullptr or what went wrong.
#define TG_EXPORT extern "C" __attribute__((visibility("default"), used))
#define TG_LAUNCHER(kernel)                                                                                            \
    TG_EXPORT const char* kernel##_launch(const unsigned* grid, const unsigned* block, size_t shared_bytes,            \
                                          void** arguments, unsigned order, uint64_t seed) {                           \
        return emulator::launch(kernel, grid, block, shared_bytes, arguments, order, seed);                            \
    }

#ifdef TG_SANITIZED  // a program of its own
#include "driver.h"
#define TG_LAUNCHABLE(kernel) TG_LAUNCHER(kernel) static driver::Entry kernel##_entry(#kernel, kernel##_launch);
#else  // a library for ctypes, with guarded memory for the arguments
#define TG_LAUNCHABLE(kernel) TG_LAUNCHER(kernel)
TG_EXPORT inline void* guarded_new(size_t bytes) { return new emulator::Guarded(bytes); }
TG_EXPORT inline void* guarded_data(void* area) { return static_cast<emulator::Guarded*>(area)->data(); }
TG_EXPORT inline void guarded_delete(void* area) { delete static_cast<emulator::Guarded*>(area); }
#endif
