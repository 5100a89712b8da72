// What the emulator is made of: guarded memory, threads, the places where they meet, and what a sanitizer is told.
#pragma once

#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __SANITIZE_THREAD__
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void __tsan_java_init(unsigned long, unsigned long);
void __tsan_java_alloc(unsigned long, unsigned long);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif
#ifdef TG_MEMORY
extern "C" void __asan_loadN_noabort(void*, size_t);
#endif

#include "fibre.h"

#define __global__
#define __device__
#define __host__
// Blocks run one at a time on one thread of the operating system, so what it alone has is shared by exactly one block.
// The address sanitizer guards plain statics; otherwise they lie together, where they can be filled with NaN.
#if defined(__SANITIZE_ADDRESS__) && !defined(TG_MEMORY)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};

#define TG_VECTORS(T, name)                                                            \
    struct alignas(8) name##2 {                                                        \
        T x, y;                                                                        \
    };                                                                                 \
    struct alignas(16) name##4 {                                                       \
        T x, y, z, w;                                                                  \
    };                                                                                 \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                         \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
TG_VECTORS(float, float)
TG_VECTORS(int, int)
TG_VECTORS(unsigned, uint)

namespace emulator {

constexpr size_t STACK_BYTES = 64 << 10;
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t MOST_SHARED_BYTES = 227 << 10;  // of the GPUs with compute capability 9.0
constexpr unsigned WARP = 32;
constexpr size_t LARGEST_DEPOSIT = 64;

// What the thread sanitizer is told: who runs, what comes before what, and that the emulator's own memory is nobody's
// business.  A switch of fibres orders nothing, and neither do a shuffle and the end of a block: only barriers do.
#ifdef __SANITIZE_THREAD__
struct Quiet {
    Quiet() {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    ~Quiet() {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
};
struct Aloud {  // within a Quiet: what the kernel itself does
    Aloud() {
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    }
    ~Aloud() {
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    }
};
inline void ordered_before(void* p) { __tsan_release(p); }
inline void ordered_after(void* p) { __tsan_acquire(p); }
// Memory that begins anew: whoever touched it before does not count.  (The interface was made for Java's heap.)
inline void as_new(void* p, size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(p), length = (bytes + 7) / 8 * 8;
    static const bool once = (__tsan_java_init(at, length), true);
    (void)once;
    __tsan_java_alloc(at, length);
}
#else
struct Quiet {
    ~Quiet() {}  // so that one that is only declared is no unused variable
};
using Aloud = Quiet;
inline void ordered_before(void*) {}
inline void ordered_after(void*) {}
inline void as_new(void*, size_t) {}
#endif

// A place in a kernel's source.
struct Place {
    const char* file;
    int line;
    bool operator==(const Place& other) const { return line == other.line && strcmp(file, other.file) == 0; }
    const char* name() const { return strrchr(file, '/') ? strrchr(file, '/') + 1 : file; }
};

// Memory between two pages that nobody may touch, its end at the second one (but for rounding up to 16 bytes), filled
// with 0xff: NaN as float, -1 as int.
class Guarded {
  public:
    explicit Guarded(size_t bytes) : bytes_(bytes) {
        const size_t page = size_t(sysconf(_SC_PAGESIZE)), inner = (bytes + page - 1) / page * page;
        total_ = inner + 2 * page;
        void* all = mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED || mprotect(static_cast<char*>(all) + page, inner, PROT_READ | PROT_WRITE) != 0) abort();
        all_ = static_cast<char*>(all);
        data_ = all_ + page + inner - (bytes + 15) / 16 * 16;
        memset(all_ + page, 0xff, inner);
    }
    ~Guarded() { munmap(all_, total_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    char* data() const { return data_; }
    void poison() const { memset(data_, 0xff, bytes_); }
    bool contains(const void* p) const { return p >= all_ && p < all_ + total_; }

  private:
    size_t bytes_, total_;
    char *all_, *data_;
};

// An asynchronous copy: it arrives when its thread waits for its group, and not before.
struct Copy {
    char* to;
    const char* from;
    unsigned bytes, valid, group;
};

struct Thread {
    uint3 index{};
    unsigned rank = 0;  // in its block, x fastest
    bool done = true;
    const unsigned* waits_for = nullptr;  // a generation counter, until it differs from `seen`
    unsigned seen = 0;
    unsigned mask = 0;  // the lanes of the collective at which it waits; 0: it is a barrier
    Place place{"", 0};
    std::vector<Copy> copies;
    unsigned groups = 0;  // of copies that were committed
    Fibre fibre;
    Guarded stack{STACK_BYTES};
};

// A place where the lanes of one mask meet and show each other a value.  Two tables, used in turn: a lane may still
// read the last one while a faster lane has begun to fill the next.
struct Meeting {
    unsigned mask, arrived = 0, generation = 0;
    Place place{"", 0};  // where the first lane has called
    const char* what = "";
    alignas(16) unsigned char table[2][WARP][LARGEST_DEPOSIT];
    explicit Meeting(unsigned lanes) : mask(lanes) { memset(table, 0xff, sizeof table); }
};

struct State {
    uint3 grid{}, block{}, block_index{};
    std::vector<std::unique_ptr<Thread>> threads, of_last_block;  // none is in two blocks that follow one another, or to
                                                                  // the sanitizer all of the first came before the second
    std::vector<std::vector<std::unique_ptr<Meeting>>> warps;
    Thread* current = nullptr;
    Fibre scheduler;
    unsigned alive = 0, at_barrier = 0, barrier_generation = 0;
    int barrier_sum = 0, barrier_total = 0;  // of what the threads bring to a barrier
    Place barrier_place{"", 0};
    std::unique_ptr<char[]> barrier_order;  // two, for `ordered_before`: one may be at the next barrier before others
                                            // have left the last; each block's own
    char fence_order = 0;
    std::unique_ptr<Guarded> shared;
    std::unique_ptr<char[]> shared_array;  // the same for the sanitizers, which guard what was allocated
    size_t shared_bytes = 0;
    void (*body)(void*) = nullptr;  // the kernel with its arguments
    void* arguments = nullptr;
    uint64_t random = 1;
    char error[640] = "";
    pthread_t launching{};
    sigjmp_buf escape;  // out of a thread that touched forbidden memory
};
inline State state;

enum Order { FORWARD, REVERSE, RANDOM };

}  // namespace emulator
