// Shared memory before a block runs: filled with NaN, and with what is known of who has written to it.
#pragma once

#include "emulator_state.h"

namespace emulator {

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

}  // namespace emulator
