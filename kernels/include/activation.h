// Activation functions and their slopes, by number: what a kernel applies before it writes.
#pragma once

enum Activation { IDENTITY, RELU, GELU, GELU_TANH, SILU, SIGMOID, TANH };

static constexpr float ROOT = 0.7978845608f, CUBIC = 0.044715f, HALF_ROOT = 0.7071067812f;  // sqrt(2/pi), -, sqrt(1/2)

TG_INLINE float logistic(float x) {
    const float e = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

TG_INLINE float activate(int which, float x) {
    switch (which) {
        case RELU: return x > 0.0f || x != x ? x : 0.0f;
        case GELU: return 0.5f * erfcf(-x * HALF_ROOT) * x;
        case GELU_TANH: return 0.5f * (1.0f + tanhf(x * (ROOT + ROOT * CUBIC * x * x))) * x;
        case SILU: return x * logistic(x);
        case SIGMOID: return logistic(x);
        case TANH: return tanhf(x);
        default: return x;
    }
}

// The derivative of `activate` at x.
TG_INLINE float slope(int which, float x) {
    switch (which) {
        case RELU: return x > 0.0f ? 1.0f : 0.0f;
        case GELU: return 0.5f * erfcf(-x * HALF_ROOT) + x * expf(-0.5f * x * x) * 0.3989422804f;
        case GELU_TANH: {
            const float t = tanhf(x * (ROOT + ROOT * CUBIC * x * x));
            return 0.5f * (1.0f + t) * (1.0f + x * (ROOT + 3.0f * ROOT * CUBIC * x * x) * (1.0f - t));
        }
        case SILU: {
            const float s = logistic(x);
            return s * (1.0f + x * (1.0f - s));
        }
        case SIGMOID: return logistic(x) * logistic(-x);
        case TANH: {
            const float t = tanhf(x);
            return 1.0f - t * t;
        }
        default: return 1.0f;
    }
}
