// A kernel that takes a number of clock cycles and does nothing else.
//
// Idea                  Read the multiprocessor's clock until it has gone far enough.  As a lead it holds the queue up
//                       while the host fills it, so that events behind it measure kernels and not launches; as a
//                       fixed piece of work its time says how fast the clock runs.
// Maps threads to data  One thread, no data.
// FLOPs and bytes       None.
// Needs                 One block.  Any architecture.
// Improves on           - (the first rung)
// Limits                Overshoots by the few dozen cycles of one turn of its loop.
#include "tg.h"

extern "C" __global__ void wait_cycles(int64_t cycles) {
    const int64_t start = tg_cycles();
    while (tg_cycles() - start < cycles) {
    }
}
TG_LAUNCHABLE(wait_cycles)
