// Philox4x32-10 (Salmon et al. 2011), bit for bit as tinygrad_lm/backend/philox.py has it: block b of a draw is a pure
// function of (seed, stream, b), its four words are the 32-bit elements 4b .. 4b + 3 of the draw.
#pragma once

struct Words {
    uint32_t of[4];
};

TG_INLINE Words philox(uint64_t block, uint64_t seed, uint64_t stream) {
    uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = uint32_t(stream), c3 = uint32_t(stream >> 32);
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    TG_UNROLL
    for (int round = 0; round < 10; round++) {
        const uint64_t a = uint64_t(c2) * 0xCD9E8D57u, b = uint64_t(c0) * 0xD2511F53u;
        c0 = uint32_t(a >> 32) ^ c1 ^ k0;
        c2 = uint32_t(b >> 32) ^ c3 ^ k1;
        c1 = uint32_t(a);
        c3 = uint32_t(b);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// What dropout multiplies by: an element whose word is below `threshold` is dropped, the others are `kept` times as
// large.  Element `index` of the mask is its place in C order.
struct Dropout {
    uint32_t threshold;  // 0: none
    float kept;
    uint64_t seed, stream;

    __device__ float factor(int64_t index) const {
        if (threshold == 0) return 1.0f;
        return philox(uint64_t(index) / 4, seed, stream).of[index % 4] < threshold ? 0.0f : kept;
    }
};
