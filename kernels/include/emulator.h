// CUDA on the host: a plain C++17 compiler builds and runs an unchanged .cu file.  A test device, not a product path.
//
// Every CUDA thread is a fibre; blocks run one after another; a fibre runs until it meets a barrier or a warp
// collective that others have not reached yet, so the order of threads, warps and blocks is ours to choose: forward,
// reverse or random.
//
// Found: wrong results under some order of threads, a barrier or collective that some threads never reach (reported,
// not hung), a lane outside its own mask, reads of shared memory that nobody wrote (dynamic shared memory is filled
// with NaN before every block), accesses beyond dynamic shared memory, an argument array or the stack (guard pages).
// Not found: races whose result is right in every order, accesses that stay inside a neighbouring array, uninitialised
// static `__shared__` arrays, missing fences, bank conflicts, anything about speed.
#pragma once

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

#include "fibre.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static  // blocks run one at a time, so a plain static is shared by exactly one block
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

namespace emulator {

constexpr size_t STACK_BYTES = 64 << 10;
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t MOST_SHARED_BYTES = 227 << 10;  // of the GPUs with compute capability 9.0
constexpr unsigned WARP = 32;
constexpr size_t LARGEST_DEPOSIT = 64;

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

struct Thread {
    uint3 index{};
    unsigned rank = 0;  // in its block, x fastest
    bool done = true;
    const unsigned* waits_for = nullptr;  // a generation counter, until it differs from `seen`
    unsigned seen = 0;
    Fibre fibre;
    Guarded stack{STACK_BYTES};
};

// A place where the lanes of one mask meet and show each other a value.  Two tables, used in turn: a lane may still
// read the last one while a faster lane has begun to fill the next.
struct Meeting {
    unsigned mask, arrived = 0, generation = 0;
    alignas(16) unsigned char table[2][WARP][LARGEST_DEPOSIT];
    explicit Meeting(unsigned lanes) : mask(lanes) {}
};

struct State {
    uint3 grid{}, block{}, block_index{};
    std::vector<std::unique_ptr<Thread>> threads;
    std::vector<std::vector<std::unique_ptr<Meeting>>> warps;
    Thread* current = nullptr;
    Fibre scheduler;
    unsigned alive = 0, at_barrier = 0, barrier_generation = 0;
    std::unique_ptr<Guarded> shared;
    void (*body)(void*) = nullptr;  // the kernel with its arguments
    void* arguments = nullptr;
    uint64_t random = 1;
    char error[320] = "";
    pthread_t launching{};
    sigjmp_buf escape;  // out of a thread that touched forbidden memory
};
inline State state;

enum Order { FORWARD, REVERSE, RANDOM };

// ---- what a thread does -------------------------------------------------------------------------------------------

inline void pause() { fibre_switch(state.current->fibre, state.scheduler); }

inline void describe(const char* what) {
    const uint3 b = state.block_index, t = state.current->index;
    snprintf(state.error, sizeof state.error, "block (%u, %u, %u), thread (%u, %u, %u): %s", b.x, b.y, b.z, t.x, t.y,
             t.z, what);
}

[[noreturn]] inline void fail(const char* what) {
    describe(what);
    for (;;) pause();  // the scheduler sees the error and never comes back
}

inline void wait_until_changed(const unsigned& generation, unsigned seen) {
    state.current->waits_for = &generation;
    state.current->seen = seen;
    pause();  // the scheduler resumes a thread only when it need not wait
    state.current->waits_for = nullptr;
}

inline void open_barrier() {
    state.at_barrier = 0;
    state.barrier_generation++;
}

inline void barrier() {
    const unsigned seen = state.barrier_generation;
    if (++state.at_barrier == state.alive) open_barrier();
    else wait_until_changed(state.barrier_generation, seen);
}

inline unsigned lane() { return state.current->rank % WARP; }

inline unsigned threads_per_block() { return state.block.x * state.block.y * state.block.z; }

// The table into which every lane of `mask` has put its value; valid until the next but one meeting of that mask.
template <class T>
const unsigned char (*exchange(unsigned mask, const T& value))[LARGEST_DEPOSIT] {
    static_assert(sizeof(T) <= LARGEST_DEPOSIT && std::is_trivially_copyable<T>::value, "too large for a collective");
    const unsigned warp = state.current->rank / WARP, lanes = std::min(WARP, threads_per_block() - warp * WARP);
    if (lanes < WARP) mask &= (1u << lanes) - 1;  // lanes that the block does not have
    if (!(mask >> lane() & 1)) fail("a warp collective was called by a lane that is not in its own mask");
    auto& meetings = state.warps[warp];
    auto found = std::find_if(meetings.begin(), meetings.end(), [&](auto& m) { return m->mask == mask; });
    if (found == meetings.end()) found = meetings.insert(found, std::make_unique<Meeting>(mask));
    Meeting& meeting = **found;
    const unsigned seen = meeting.generation;
    auto* table = meeting.table[seen & 1];
    memcpy(table[lane()], &value, sizeof value);
    if (++meeting.arrived == unsigned(__builtin_popcount(mask))) {
        meeting.arrived = 0;
        meeting.generation++;
    } else {
        wait_until_changed(meeting.generation, seen);
    }
    return table;
}

template <class T>
T value_of_lane(const unsigned char (*table)[LARGEST_DEPOSIT], unsigned lane) {
    T value;
    memcpy(&value, table[lane], sizeof value);
    return value;
}

// ---- running a grid -----------------------------------------------------------------------------------------------

inline void thread_main() {
    for (;;) {
        state.body(state.arguments);
        state.current->done = true;
        state.alive--;
        if (state.at_barrier != 0 && state.at_barrier == state.alive) open_barrier();  // the dead are not waited for
        pause();
    }
}

inline uint64_t random_below(uint64_t n) {
    state.random = state.random * 6364136223846793005u + 1442695040888963407u;
    return (state.random >> 33) % n;
}

inline void arrange(std::vector<unsigned>& sequence, Order order) {
    for (size_t i = 0; i < sequence.size(); i++) sequence[i] = unsigned(i);
    if (order == REVERSE) std::reverse(sequence.begin(), sequence.end());
    if (order == RANDOM)
        for (size_t i = sequence.size(); i > 1; i--) std::swap(sequence[i - 1], sequence[random_below(i)]);
}

// Gives every thread of a warp that need not wait one turn; whether there was any.
inline bool run_warp(unsigned warp, std::vector<unsigned>& lanes, Order order) {
    bool moved = false;
    arrange(lanes, order);
    for (unsigned lane : lanes) {
        const unsigned rank = warp * WARP + lane;
        if (rank >= threads_per_block()) continue;
        Thread& thread = *state.threads[rank];
        if (thread.done || (thread.waits_for && *thread.waits_for == thread.seen)) continue;
        moved = true;
        state.current = &thread;
        fibre_switch(state.scheduler, thread.fibre);
        if (state.error[0]) return false;
    }
    return moved;
}

// A warp runs until all of its threads wait.  So the one that opens a barrier is far ahead of the others before they
// have left it: what they should have read by then, it has overwritten, unless a second barrier protects it.
inline void run_block(Order order) {
    const unsigned n = threads_per_block();
    state.alive = n;
    state.at_barrier = 0;
    state.shared->poison();
    for (auto& warp : state.warps) warp.clear();
    for (unsigned i = 0; i < n; i++) {
        Thread& thread = *state.threads[i];
        thread.index = {i % state.block.x, i / state.block.x % state.block.y, i / (state.block.x * state.block.y)};
        thread.done = false;
        thread.waits_for = nullptr;
    }
    std::vector<unsigned> warps(state.warps.size()), lanes(WARP);
    while (state.alive != 0) {
        bool moved = false;
        arrange(warps, order);
        for (unsigned warp : warps) {
            while (run_warp(warp, lanes, order)) moved = true;
            if (state.error[0]) return;
        }
        if (!moved) return describe("deadlock, waits at a barrier or warp collective that others never reach");
    }
}

inline void forbidden_access(int, siginfo_t* info, void*) {
    if (!pthread_equal(pthread_self(), state.launching)) {  // not ours: let it happen again, undisturbed
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    const void* where = info->si_addr;
    describe(state.current->stack.contains(where) ? "its stack overflowed"
             : state.shared->contains(where)      ? "access outside the dynamic shared memory"
                                                  : "access outside the arrays it was given");
    siglongjmp(state.escape, 1);
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

// Runs the whole grid; returns nullptr, or one line that says what went wrong and where.
template <class... A>
const char* launch(void (*kernel)(A...), const unsigned grid[3], const unsigned block[3], size_t shared_bytes,
                   void** arguments, unsigned order, uint64_t seed) {
    struct Call {
        void (*kernel)(A...);
        void** arguments;
    } bound{kernel, arguments};
    state.error[0] = 0;
    state.grid = {grid[0], grid[1], grid[2]};
    state.block = {block[0], block[1], block[2]};
    state.random = seed;
    state.arguments = &bound;
    state.body = [](void* p) {
        auto* c = static_cast<Call*>(p);
        call(c->kernel, c->arguments, std::index_sequence_for<A...>{});
    };
    const unsigned n = threads_per_block();
    if (n == 0 || n > MOST_THREADS) return "a block has 1 to 1024 threads";
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return "a grid has at least one block";
    if (shared_bytes > MOST_SHARED_BYTES) return "more dynamic shared memory than a block may have (227 KiB)";
    state.shared = std::make_unique<Guarded>(shared_bytes);
    state.warps.resize((n + WARP - 1) / WARP);
    while (state.threads.size() < n) {
        state.threads.push_back(std::make_unique<Thread>());
        state.threads.back()->rank = unsigned(state.threads.size() - 1);
    }
    for (unsigned i = 0; i < n; i++)  // anew each time: a failed launch leaves fibres in the middle of a kernel
        fibre_prepare(state.threads[i]->fibre, state.threads[i]->stack.data(), STACK_BYTES, thread_main);

    static char signal_stack[64 << 10];  // the handler cannot run on the stack that overflowed
    stack_t ours{}, theirs{};
    ours.ss_sp = signal_stack;
    ours.ss_size = sizeof signal_stack;
    struct sigaction handler {}, before {};
    handler.sa_sigaction = forbidden_access;
    handler.sa_flags = SA_SIGINFO | SA_ONSTACK;
    state.launching = pthread_self();
    sigaltstack(&ours, &theirs);
    sigaction(SIGSEGV, &handler, &before);
    if (sigsetjmp(state.escape, 1) == 0) {
        std::vector<unsigned> blocks(size_t(grid[0]) * grid[1] * grid[2]);
        arrange(blocks, Order(order));
        for (unsigned b : blocks) {
            state.block_index = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
            run_block(Order(order));
            if (state.error[0]) break;
        }
    }
    sigaction(SIGSEGV, &before, nullptr);
    sigaltstack(&theirs, nullptr);
    return state.error[0] ? state.error : nullptr;
}

}  // namespace emulator

// ---- the names that kernels use -----------------------------------------------------------------------------------

#define threadIdx (emulator::state.current->index)
#define blockIdx (emulator::state.block_index)
#define blockDim (emulator::state.block)
#define gridDim (emulator::state.grid)

inline void __syncthreads() { emulator::barrier(); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    auto* table = emulator::exchange(mask, value);
    return emulator::value_of_lane<T>(table, emulator::lane() ^ unsigned(distance));
}

#define TG_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::state.shared->data())

// The doors for ctypes.  To launch a kernel, shaped like cuLaunchKernel: returns nullptr or what went wrong.
#define TG_EXPORT extern "C" __attribute__((visibility("default"), used))
#define TG_LAUNCHABLE(kernel)                                                                                          \
    TG_EXPORT const char* kernel##_launch(const unsigned* grid, const unsigned* block, size_t shared_bytes,            \
                                          void** arguments, unsigned order, uint64_t seed) {                           \
        return emulator::launch(kernel, grid, block, shared_bytes, arguments, order, seed);                            \
    }

// And guarded memory for its arguments.
TG_EXPORT inline void* guarded_new(size_t bytes) { return new emulator::Guarded(bytes); }
TG_EXPORT inline void* guarded_data(void* area) { return static_cast<emulator::Guarded*>(area)->data(); }
TG_EXPORT inline void guarded_delete(void* area) { delete static_cast<emulator::Guarded*>(area); }
