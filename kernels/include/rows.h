// Rows of a matrix, each shared by a warp or a block: what softmax, the norms and the losses have in common.
#pragma once

// N arrays with rows of `columns` neighbours, all swept together.  A short row is read once and stays in registers, a
// long one is read again in every sweep, from the caches where it fits there.
template <class T, bool LONG, int N>
struct Rows {
    static constexpr int W = WIDE<T>, PACKS = LONG ? 1 : 32 / W;  // that a thread of a short row keeps
    static constexpr int SHORT = PACKS * W * TG_WARP;             // columns that a warp keeps

    const Team<LONG>& team;
    const T* from[N];
    int64_t columns;
    bool aligned;
    Pack<T, W> kept[N][PACKS];

    __device__ Rows(const Team<LONG>& team_, const T* const (&arrays)[N], int64_t row, int64_t columns_)
        : team(team_), columns(columns_), aligned(true) {
        TG_UNROLL
        for (int n = 0; n < N; n++) {
            aligned = aligned && sixteen(arrays[n], columns);
            from[n] = arrays[n] + row * columns;
        }
        if (!LONG) {
            TG_UNROLL
            for (int p = 0; p < PACKS; p++) fetch(p, place(p));
        }
    }

    __device__ int64_t place(int p) const { return (int64_t(p) * team.size + team.rank) * W; }

    __device__ void fetch(int p, int64_t at) {
        TG_UNROLL
        for (int n = 0; n < N; n++) kept[n][p] = load<W>(from[n] + at, columns - at, aligned);
    }

    // each(at, p): for every pack of this thread, its first column and where it is kept.
    template <class Each>
    __device__ void packs(Each each) {
        if (LONG) {
            for (int64_t at = place(0); at < columns; at += int64_t(team.size) * W) {
                fetch(0, at);
                each(at, 0);
            }
        } else {
            TG_UNROLL
            for (int p = 0; p < PACKS; p++)
                if (place(p) < columns) each(place(p), p);
        }
    }

    template <class F>
    __device__ float apply(F f, int64_t c, int p, int e) {
        if constexpr (N == 1) return f(c, float(kept[0][p].of[e]));
        else return f(c, float(kept[0][p].of[e]), float(kept[1][p].of[e]));
    }

    // The sum over the row of f(column, value ...).  Sums of 64 are added up: one by one, a long row would round a
    // thousand times as often.
    template <class F>
    __device__ float sum(F f) {
        float total = 0.0f, part = 0.0f;
        int count = 0;
        packs([&](int64_t at, int p) {
            TG_UNROLL
            for (int e = 0; e < W; e++)
                if (at + e < columns) part += apply(f, at + e, p, e);
            if (++count % (64 / W) == 0) {
                total += part;
                part = 0.0f;
            }
        });
        return team.sum(total + part);
    }

    template <class F>
    __device__ float largest(F f) {
        float top = Larger::spare();
        packs([&](int64_t at, int p) {
            TG_UNROLL
            for (int e = 0; e < W; e++)
                if (at + e < columns) top = fmaxf(top, apply(f, at + e, p, e));
        });
        return team.largest(top);
    }

    // to[column] = f(column, value ...), for a row `to` of an array that begins at `base`.
    template <class F>
    __device__ void put(T* base, int64_t row, F f) {
        T* to = base + row * columns;
        const bool wide = sixteen(base, columns);
        packs([&](int64_t at, int p) {
            Pack<T, W> y;
            TG_UNROLL
            for (int e = 0; e < W; e++) y.of[e] = T(at + e < columns ? apply(f, at + e, p, e) : 0.0f);
            store(to + at, y, columns - at, wide);
        });
    }
};

// Two entries for what CALL does: NAME_short_f32, a warp for each row, and NAME_long_f32, a block.
#define TG_ROWS(NAME, suffix, PARAMETERS, CALL)                         \
    extern "C" __global__ void NAME##_short_##suffix PARAMETERS {       \
        constexpr bool LONG = false;                                    \
        CALL;                                                           \
    }                                                                   \
    extern "C" __global__ void NAME##_long_##suffix PARAMETERS {        \
        constexpr bool LONG = true;                                     \
        CALL;                                                           \
    }                                                                   \
    TG_LAUNCHABLE(NAME##_short_##suffix)                                \
    TG_LAUNCHABLE(NAME##_long_##suffix)
