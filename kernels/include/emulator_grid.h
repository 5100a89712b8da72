// Running a grid: whose turn it is, what a deadlock says, what happens to a thread that touches forbidden memory.
#pragma once

#include "emulator_threads.h"

namespace emulator {

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
