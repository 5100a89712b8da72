// A fibre is a function with a stack of its own that can be left in the middle and resumed later.
// The emulator runs every CUDA thread of a block as one fibre, all of them on one thread of the operating system.
#pragma once

#ifdef __SANITIZE_THREAD__  // to the thread sanitizer every fibre is a thread, and a switch orders nothing
extern "C" {
void* __tsan_create_fiber(unsigned);
void* __tsan_get_current_fiber();
void __tsan_switch_to_fiber(void*, unsigned);
}
#define FIBRE_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define FIBRE_UNSEEN
#endif

#if defined(__x86_64__)

struct Fibre {
    void* stack_pointer = nullptr;
    void* thread = nullptr;  // the sanitizer's
};

// Saves the registers that a call preserves on the current stack, and continues where `to` was left.
__attribute__((naked, noinline)) inline void fibre_jump(void** /*from*/, void* /*to*/) {
    asm volatile(
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, (%rdi)\n"
        "mov %rsi, %rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
        "ret\n");
}

FIBRE_UNSEEN inline void fibre_switch(Fibre& from, Fibre& to) {
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(to.thread, 1);
#endif
    fibre_jump(&from.stack_pointer, to.stack_pointer);
}

// Makes `fibre` begin at `entry`, which must never return, on the stack [stack, stack + size).
inline void fibre_prepare(Fibre& fibre, char* stack, unsigned long size, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + size);  // 16-byte aligned, as the calling convention asks
    *--top = nullptr;                                     // where `entry` would return to: the end of a backtrace
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;  // the six registers that fibre_jump pops
    fibre.stack_pointer = top;
#ifdef __SANITIZE_THREAD__
    if (!fibre.thread) fibre.thread = __tsan_create_fiber(0);
#endif
}

// Makes `fibre` stand for what runs now.
inline void fibre_here(Fibre& fibre) {
#ifdef __SANITIZE_THREAD__
    fibre.thread = __tsan_get_current_fiber();
#endif
    (void)fibre;
}

#else  // other processors: the C library's own, about ten times slower (a system call per switch)

#include <ucontext.h>

struct Fibre {
    ucontext_t context;
};

inline void fibre_switch(Fibre& from, Fibre& to) { swapcontext(&from.context, &to.context); }

inline void fibre_prepare(Fibre& fibre, char* stack, unsigned long size, void (*entry)()) {
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = stack;
    fibre.context.uc_stack.ss_size = size;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, entry, 0);
}

inline void fibre_here(Fibre&) {}

#endif
