// Many arrays in one launch: their pointers, sizes and numbers travel as arguments of the kernel.
#pragma once

static constexpr int MOST_TENSORS = 40, CHUNK = 8192;  // arrays of a launch, numbers that a block takes

template <class T>
struct Tensors {
    T* at[MOST_TENSORS];
};
template <class N>
struct Values {
    N at[MOST_TENSORS];
};

// What the block blockIdx.x works on: up to CHUNK numbers of one array.  Blocks are given out array by array.
struct Chunk {
    int tensor;
    int64_t first, end;

    __device__ explicit Chunk(const Values<int64_t>& sizes) : tensor(0) {
        int64_t block = blockIdx.x;
        for (;;) {
            const int64_t blocks = (sizes.at[tensor] + CHUNK - 1) / CHUNK;
            if (block < blocks) break;
            block -= blocks;
            tensor++;
        }
        first = block * CHUNK;
        end = first + CHUNK < sizes.at[tensor] ? first + CHUNK : sizes.at[tensor];
    }

    // f(place) for the first number of each pack of W that this thread takes.
    template <int W, class F>
    __device__ void packs(F f) const {
        for (int64_t i = first + int64_t(threadIdx.x) * W; i < end; i += int64_t(blockDim.x) * W) f(i);
    }
};
