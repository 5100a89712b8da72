// The one header that every .cu file includes.  It makes the same source compile for a GPU (nvcc, NVRTC) and, through
// the emulator, for the host (any C++17 compiler).
#pragma once

#ifdef __CUDACC__

#ifdef __CUDACC_RTC__  // NVRTC has no standard headers
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned;
using int64_t = long long;
using uint64_t = unsigned long long;
#define INFINITY __int_as_float(0x7f800000)
#else
#include <stdint.h>
#endif

// Shared memory whose size the launch decides.
#define TG_DYNAMIC_SHARED(type, name)                                            \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                \
    type* name = reinterpret_cast<type*>(name##_bytes)

// The loop below is written out: what it indexes stays in registers.
#define TG_UNROLL _Pragma("unroll")
#define TG_PRAGMA(words) _Pragma(#words)
#define TG_UNROLL_BY(times) TG_PRAGMA(unroll times)

// Makes a kernel callable from the host side; a GPU needs nothing for that.
#define TG_LAUNCHABLE(kernel)

#else
#include "emulator.h"
#define TG_UNROLL
#define TG_UNROLL_BY(times)
#endif

constexpr unsigned TG_ALL_LANES = 0xffffffffu;
constexpr unsigned TG_WARP = 32;

#include "ptx.h"
#include "types.h"
#include "fold.h"
