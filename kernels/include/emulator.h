// CUDA on the host: a plain C++17 compiler builds and runs an unchanged .cu file.  A test device, not a product path.
//
// Every CUDA thread is a fibre; blocks run one after another; a fibre runs until it meets a barrier or a warp
// collective that others have not reached yet, so the order of threads, warps and blocks is ours to choose: forward,
// reverse or random.
//
// Found: wrong results under some order of threads; a barrier or collective that some threads never reach, or reach at
// another place (reported with file and line, not hung); a lane outside its own mask; copies that nobody waited for, and
// what is read before its copy was waited for; reads of shared memory that nobody wrote (all of it is filled with NaN
// before every block); accesses beyond dynamic shared memory, an argument array or the stack (guard pages).
// Found by the sanitizers, with file and line (backend/sanitize.py): accesses beyond any array, races whose result is
// right in every order, misaligned accesses, overflowing integers.
// Not found: missing fences between proxies, bank conflicts, anything about speed.
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

// ---- shared memory that nobody has written ------------------------------------------------------------------------

#ifdef TG_MEMORY
// The compiler calls __asan_load4_noabort(address) and the like at an access (its kernel mode, with functions of our
// own), so it is known which bytes of shared memory have been written; another one that is read is reported, with the
// place in the code, once.  It does not call them where it sees that an access stays inside a static array; so unwritten
// memory holds a pattern besides, and what differs from it has been written.
#define TG_UNSEEN __attribute__((no_sanitize_address, noinline))
struct Region {
    char* first = nullptr;
    size_t bytes = 0;
    bool* written = nullptr;
};
inline Region regions[2];  // static, dynamic
inline void* reported[64];

TG_UNSEEN inline char pattern(const char* at) { return "\xb5\xd9\x6b\xf7"[reinterpret_cast<uintptr_t>(at) % 4]; }

TG_UNSEEN inline void mark(const void* p, size_t bytes, bool written) {
    for (Region& region : regions)
        for (size_t i = 0; i < bytes; i++) {
            const char* at = static_cast<const char*>(p) + i;
            if (at >= region.first && at < region.first + region.bytes) region.written[at - region.first] = written;
        }
}

TG_UNSEEN inline void forget(void* p, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) static_cast<char*>(p)[i] = pattern(static_cast<char*>(p) + i);
    mark(p, bytes, false);
}

TG_UNSEEN inline void watch(Region& region, void* first, size_t bytes) {
    if (region.bytes != bytes) region.written = static_cast<bool*>(realloc(region.written, bytes));
    region.first = static_cast<char*>(first);
    region.bytes = bytes;
    forget(first, bytes);
}

// Of up to four bytes: whether one is in no way known to have been written.
TG_UNSEEN inline bool unwritten(const char* p, size_t bytes) {
    bool any = false;
    for (Region& region : regions)
        for (const char* at = p; at < p + bytes; at++) {
            if (at < region.first || at >= region.first + region.bytes || region.written[at - region.first]) continue;
            if (*at != pattern(at)) return false;
            any = true;
        }
    return any;
}

TG_UNSEEN inline void check(const void* p, size_t bytes, void* caller) {
    bool wrong = false;
    for (size_t i = 0; i < bytes; i += 4)
        wrong |= unwritten(static_cast<const char*>(p) + i, bytes - i < 4 ? bytes - i : 4);
    if (!wrong) return;
    for (void*& seen : reported) {
        if (seen == caller) return;
        if (seen) continue;
        seen = caller;
        fprintf(stderr, "UNWRITTEN %p read of shared memory that nobody wrote, or whose copy was not waited for\n", caller);
        return;
    }
}
#else
inline void mark(const void*, size_t, bool) {}
inline void forget(void* p, size_t bytes) {  // not by memset, whose stores the thread sanitizer would not see
    for (size_t i = 0; i < bytes; i++) static_cast<volatile char*>(p)[i] = char(0xff);
}
#endif

#if !defined(__SANITIZE_ADDRESS__) || defined(TG_MEMORY)
alignas(16) inline thread_local char anchor;  // so that there is something, and that it is there

inline int poison_if_ours(dl_phdr_info* info, size_t, void*) {
    const auto here = reinterpret_cast<ElfW(Addr)>(&state);
    const ElfW(Phdr)* own = nullptr;
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) & header = info->dlpi_phdr[i];
        const ElfW(Addr) start = info->dlpi_addr + header.p_vaddr;
        if (header.p_type == PT_LOAD && here >= start && here - start < header.p_memsz) ours = true;
        if (header.p_type == PT_TLS) own = &header;
    }
    if (ours && own && info->dlpi_tls_data) {
        as_new(info->dlpi_tls_data, own->p_memsz);
        memset(info->dlpi_tls_data, 0xff, own->p_memsz);
#ifdef TG_MEMORY
        watch(regions[0], info->dlpi_tls_data, own->p_memsz);
#endif
    }
    return ours;
}

// Fills all that this thread has of its own in this library, which is the static shared memory of its kernels.
inline void poison_static() {
    anchor = 0;
    dl_iterate_phdr(poison_if_ours, nullptr);
}
#else
inline void poison_static() {}
#endif

// Before a block runs.
inline void poison_shared() {
    poison_static();
#ifdef TG_SANITIZED
    state.shared_array.reset(new char[state.shared_bytes]);
    memset(state.shared_array.get(), 0xff, state.shared_bytes);
#ifdef TG_MEMORY
    watch(regions[1], state.shared_array.get(), state.shared_bytes);
#endif
#else
    state.shared->poison();
#endif
}

// ---- what a thread does -------------------------------------------------------------------------------------------

FIBRE_UNSEEN inline void pause() { fibre_switch(state.current->fibre, state.scheduler); }

inline void describe(const Thread& thread, const Place& place, const char* what) {
    const uint3 b = state.block_index, t = thread.index;
    char at[160] = "";
    if (place.line) snprintf(at, sizeof at, "%s:%d: ", place.name(), place.line);
    snprintf(state.error, sizeof state.error, "%sblock (%u, %u, %u), thread (%u, %u, %u): %s", at, b.x, b.y, b.z, t.x, t.y,
             t.z, what);
}

[[noreturn]] inline void fail(const Place& place, const char* what) {
    describe(*state.current, place, what);
    for (;;) pause();  // the scheduler sees the error and never comes back
}

[[noreturn]] inline void fail_apart(const Place& place, const char* what, const Place& other) {
    char text[240];
    snprintf(text, sizeof text, "%s %s:%d", what, other.name(), other.line);
    fail(place, text);
}

inline void wait_until_changed(const unsigned& generation, unsigned seen, const Place& place, unsigned mask) {
    Thread& thread = *state.current;
    thread.waits_for = &generation;
    thread.seen = seen;
    thread.place = place;
    thread.mask = mask;
    pause();  // the scheduler resumes a thread only when it need not wait
    thread.waits_for = nullptr;
}

inline void open_barrier() {
    state.at_barrier = 0;
    state.barrier_total = state.barrier_sum;
    state.barrier_sum = 0;
    state.barrier_generation++;
}

// The sum over all threads of what each brings.
inline int barrier(const Place& place, int brought) {
    const Quiet quiet;
    const unsigned seen = state.barrier_generation;
    ordered_before(&state.barrier_order[seen % 2]);
    if (state.at_barrier == 0) state.barrier_place = place;
    else if (!(place == state.barrier_place))
        fail_apart(place, "is at a barrier, while others of its block are at another one,", state.barrier_place);
    state.barrier_sum += brought;
    if (++state.at_barrier == state.alive) open_barrier();
    else wait_until_changed(state.barrier_generation, seen, place, 0);
    ordered_after(&state.barrier_order[seen % 2]);
    return state.barrier_total;
}

inline unsigned lane() { return state.current->rank % WARP; }

inline unsigned threads_per_block() { return state.block.x * state.block.y * state.block.z; }

// The lanes of this thread's warp, fewer than 32 in the last one of a ragged block.
inline unsigned lanes_of_warp() {
    const unsigned lanes = threads_per_block() - state.current->rank / WARP * WARP;
    return lanes < WARP ? (1u << lanes) - 1 : 0xffffffffu;
}

// The table into which every lane of `mask` has put its value; valid until the next but one meeting of that mask.  Where
// another lane would be there is 0xff, NaN as float: on a GPU its value is undefined.
template <class T>
const unsigned char (*exchange(unsigned mask, const T& value, const char* what, const Place& place,
                               bool orders = false))[LARGEST_DEPOSIT] {
    static_assert(sizeof(T) <= LARGEST_DEPOSIT && std::is_trivially_copyable<T>::value, "too large for a collective");
    const unsigned warp = state.current->rank / WARP;
    mask &= lanes_of_warp();
    if (!(mask >> lane() & 1)) fail(place, "a warp collective was called by a lane that is not in its own mask");
    for (unsigned other = 0; other < WARP; other++)
        if (mask >> other & 1 && state.threads[warp * WARP + other]->done)
            fail(place, "a warp collective names a lane that has left the kernel");
    auto& meetings = state.warps[warp];
    auto found = std::find_if(meetings.begin(), meetings.end(), [&](auto& m) { return m->mask == mask; });
    if (found == meetings.end()) found = meetings.insert(found, std::make_unique<Meeting>(mask));
    Meeting& meeting = **found;
    if (meeting.arrived == 0) {
        meeting.place = place;
        meeting.what = what;
    } else if (!(place == meeting.place) || strcmp(what, meeting.what) != 0) {
        fail_apart(place, "is at a warp collective, while others of its mask are at another one,", meeting.place);
    }
    const unsigned seen = meeting.generation;
    auto* table = meeting.table[seen & 1];
    if (orders) ordered_before(table);
    memcpy(table[lane()], &value, sizeof value);
    if (++meeting.arrived == unsigned(__builtin_popcount(mask))) {
        meeting.arrived = 0;
        meeting.generation++;
    } else {
        wait_until_changed(meeting.generation, seen, place, mask);
    }
    if (orders) ordered_after(table);
    return table;
}

template <class T>
T value_of_lane(const unsigned char (*table)[LARGEST_DEPOSIT], unsigned lane) {
    T value;
    memcpy(&value, table[lane], sizeof value);
    return value;
}

// The value that lane `from` brings, one's own where there is no such lane.
template <class T>
T of_lane(unsigned mask, const T& value, unsigned from, const char* what, const Place& place) {
    const Quiet quiet;
    auto* table = exchange(mask, value, what, place);
    return from < WARP ? value_of_lane<T>(table, from) : value;
}

// On its way the destination is 0xff.  The source is touched at once too, so that one that is not there is found here.
inline void begin_copy(void* to, const void* from, unsigned bytes, int valid, const Place& place) {
    const Quiet quiet;
    if (valid < 0 || unsigned(valid) > bytes) fail(place, "an asynchronous copy reads from 0 to all of its bytes");
    if (reinterpret_cast<uintptr_t>(to) % bytes || (valid && reinterpret_cast<uintptr_t>(from) % bytes))
        fail(place, "an asynchronous copy is not aligned to its size");
    for (int i = 0; i < valid; i++) (void)static_cast<const volatile char*>(from)[i];
    {
        const Aloud aloud;
        forget(to, bytes);
    }
    Thread& thread = *state.current;
    thread.copies.push_back({static_cast<char*>(to), static_cast<const char*>(from), bytes, unsigned(valid), thread.groups});
    thread.place = place;
}

// Waits until at most `pending` of the newest committed groups have not arrived.
inline void finish_copies(unsigned pending) {
    const Quiet quiet;
    Thread& thread = *state.current;
    const unsigned arrived = thread.groups > pending ? thread.groups - pending : 0;
    auto rest = thread.copies.begin();
    for (auto& copy : thread.copies) {
        if (copy.group < arrived) {
            const Aloud aloud;
            if (copy.valid) memcpy(copy.to, copy.from, copy.valid);
            if (copy.valid < copy.bytes) memset(copy.to + copy.valid, 0, copy.bytes - copy.valid);
            mark(copy.to, copy.bytes, true);
        } else {
            *rest++ = copy;
        }
    }
    thread.copies.erase(rest, thread.copies.end());
}

// ---- running a grid -----------------------------------------------------------------------------------------------

inline void leave() {
    const Quiet quiet;
    if (!state.current->copies.empty()) fail(state.current->place, "leaves with copies that nobody waited for");
    ordered_before(&state.grid);
    state.current->done = true;
    state.alive--;
    if (state.at_barrier != 0 && state.at_barrier == state.alive) open_barrier();  // the dead are not waited for
}

FIBRE_UNSEEN inline void thread_main() {
    ordered_after(&state.block_index);
    state.body(state.arguments);
    leave();
    for (;;) pause();
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

struct Wait {
    char text[64];
    explicit Wait(const Thread& thread) {
        if (thread.mask) snprintf(text, sizeof text, "a warp collective of the lanes 0x%08x", thread.mask);
        else snprintf(text, sizeof text, "a barrier");
    }
};

// Every thread waits: for whom?
inline void deadlock() {
    const Thread *first = nullptr, *other = nullptr;
    unsigned left = 0;
    for (unsigned i = 0; i < threads_per_block(); i++) {
        const Thread& thread = *state.threads[i];
        if (thread.done) left++;
        else if (!first) first = &thread;
        else if (!other && (thread.mask != first->mask || !(thread.place == first->place))) other = &thread;
    }
    char text[300];
    if (other)
        snprintf(text, sizeof text, "deadlock, waits at %s, while thread (%u, %u, %u) waits at %s, %s:%d",
                 Wait(*first).text, other->index.x, other->index.y, other->index.z, Wait(*other).text,
                 other->place.name(), other->place.line);
    else
        snprintf(text, sizeof text, "deadlock, waits at %s that others never reach (%u threads have left the kernel)",
                 Wait(*first).text, left);
    describe(*first, first->place, text);
}

// A warp runs until all of its threads wait.  So the one that opens a barrier is far ahead of the others before they
// have left it: what they should have read by then, it has overwritten, unless a second barrier protects it.
inline void run_block(Order order) {
    const unsigned n = threads_per_block();
    state.alive = n;
    state.at_barrier = 0;
    state.barrier_sum = 0;
    state.barrier_order = std::make_unique<char[]>(2);
    poison_shared();
    for (auto& warp : state.warps) warp.clear();
#ifdef __SANITIZE_THREAD__
    state.threads.swap(state.of_last_block);
#endif
    while (state.threads.size() < n) {
        state.threads.push_back(std::make_unique<Thread>());
        state.threads.back()->rank = unsigned(state.threads.size() - 1);
    }
    for (unsigned i = 0; i < n; i++) {
        Thread& thread = *state.threads[i];
        thread.index = {i % state.block.x, i / state.block.x % state.block.y, i / (state.block.x * state.block.y)};
        thread.done = false;
        thread.waits_for = nullptr;
        thread.copies.clear();
        thread.groups = 0;
        fibre_prepare(thread.fibre, thread.stack.data(), STACK_BYTES, thread_main);
    }
    ordered_before(&state.block_index);
    std::vector<unsigned> warps(state.warps.size()), lanes(WARP);
    while (state.alive != 0) {
        bool moved = false;
        arrange(warps, order);
        for (unsigned warp : warps) {
            while (run_warp(warp, lanes, order)) moved = true;
            if (state.error[0]) return;
        }
        if (!moved) return deadlock();
    }
}

inline void forbidden_access(int, siginfo_t* info, void*) {
    if (!pthread_equal(pthread_self(), state.launching)) {  // not ours: let it happen again, undisturbed
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    const void* where = info->si_addr;
    describe(*state.current, {"", 0},
             state.current->stack.contains(where) ? "its stack overflowed"
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
    const Quiet quiet;
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
    if (n == 0 || std::max({block[0], block[1], block[2]}) > MOST_THREADS || n > MOST_THREADS)
        return "a block has 1 to 1024 threads";
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return "a grid has at least one block";
    if (grid[0] > 0x7fffffff || grid[1] > 0xffff || grid[2] > 0xffff)
        return "a grid has at most 2147483647, 65535 and 65535 blocks along its axes";
    if (block[2] > 64) return "a block has at most 64 threads along its last axis";
    if (shared_bytes > MOST_SHARED_BYTES) return "more dynamic shared memory than a block may have (227 KiB)";
    state.shared = std::make_unique<Guarded>(shared_bytes);
    fibre_here(state.scheduler);
    state.shared_bytes = shared_bytes;
    state.warps.resize((n + WARP - 1) / WARP);

    const auto run_all = [&] {
        std::vector<unsigned> blocks(size_t(grid[0]) * grid[1] * grid[2]);
        arrange(blocks, Order(order));
        for (unsigned b : blocks) {
            state.block_index = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
            run_block(Order(order));
            if (state.error[0]) break;
        }
        ordered_after(&state.grid);
    };
#ifdef TG_SANITIZED
    run_all();
#else
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
    if (sigsetjmp(state.escape, 1) == 0) run_all();
    sigaction(SIGSEGV, &before, nullptr);
    sigaltstack(&theirs, nullptr);
#endif
    return state.error[0] ? state.error : nullptr;
}

}  // namespace emulator

// ---- the names that kernels use -----------------------------------------------------------------------------------

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
