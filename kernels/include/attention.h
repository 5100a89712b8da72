// What the rungs of attention share: where the matrices are, who may look where, the tiles.
#pragma once

#include "philox.h"

// s[t][j] = q[t] . k[j] scale + mask, where t may look at j, for each of `batch` pairs of matrices.
template <class T>
struct Attention {
    const T *q, *k, *v;
    const int64_t* which;  // [4][batch]: the matrix of q, k and v, and where the mask begins
    const void* mask;      // null, or booleans (may look), or numbers of T or float32 that are added
    int kind;              // 0: no mask, 1: booleans, 2: T, 3: float32
    int64_t mask_row, mask_column, batch;
    int queries, keys, width, value_width, causal;  // causal: the last query stands at the last key
    float scale;
    Dropout dropout;

    __device__ const T* q_of(int64_t b) const { return q + which[b] * queries * width; }
    __device__ const T* k_of(int64_t b) const { return k + which[batch + b] * keys * width; }
    __device__ const T* v_of(int64_t b) const { return v + which[2 * batch + b] * keys * value_width; }

    // The first key that query t may not look at for causality.
    __device__ int end_of(int t) const {
        const int64_t end = int64_t(t) + keys - queries + 1;
        return !causal || end > keys ? keys : end < 0 ? 0 : int(end);
    }

    // The first query that may look at key j.
    __device__ int first_of(int j) const {
        const int64_t first = int64_t(j) - (keys - queries);
        return !causal || first < 0 ? 0 : int(first < queries ? first : queries);
    }

    // The score whose product is `dot`; -inf where t may not look at j, or where there is no such pair.
    __device__ float score(int64_t b, int t, int j, float dot) const {
        if (t >= queries || j >= end_of(t)) return -INFINITY;
        const int64_t at = kind ? which[3 * batch + b] + t * mask_row + j * mask_column : 0;
        if (kind == 1 && !static_cast<const uint8_t*>(mask)[at]) return -INFINITY;
        float s = dot * scale;
        if (kind == 2) s += float(static_cast<const T*>(mask)[at]);
        if (kind == 3) s += static_cast<const float*>(mask)[at];
        return s;
    }

    __device__ float dropped(int64_t b, int t, int j) const {
        return dropout.factor((b * queries + t) * keys + j);
    }
};

// The parameters of every kernel that begin with an Attention, and the Attention that they make.
#define TG_ATTENTION(T)                                                                                               \
    const T *q, const T *k, const T *v, const int64_t *which, const void *mask, int kind, int64_t mask_row,           \
        int64_t mask_column, int64_t batch, int queries, int keys, int width, int value_width, int causal,            \
        float scale, uint32_t threshold, float kept, uint64_t seed, uint64_t stream
#define TG_ATTENTION_OF                                                                                               \
    {q,      k,           v,       which, mask,  kind, mask_row, mask_column, batch, queries, keys,                   \
     width,  value_width, causal,  scale, {threshold, kept, seed, stream}}
