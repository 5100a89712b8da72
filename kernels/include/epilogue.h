// What a product does with an entry before it is written: activation(sum + bias) + residual.
#pragma once

#include "activation.h"

template <class T>
struct Epilogue {
    const T* bias;      // one for each column, or null
    const T* residual;  // shaped like the result, or null
    int activation;

    // at: the entry's place in the result.
    __device__ T operator()(float sum, int64_t at, int64_t column) const {
        if (bias) sum += float(bias[column]);
        sum = activate(activation, sum);
        if (residual) sum += float(residual[at]);
        return T(sum);
    }
};
