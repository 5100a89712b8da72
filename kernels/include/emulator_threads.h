// What an emulated thread does: waits at barriers, exchanges values with its warp, copies asynchronously.
#pragma once

#include "emulator_memory.h"

namespace emulator {

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

}  // namespace emulator
