// What main.hip includes; scenarios edit both.
#pragma once

#include <hip/hip_runtime.h>

#ifndef SCALE
#define SCALE 2.0f
#endif

#define CHECK(call)                                                                                \
    do {                                                                                           \
        const hipError_t status = (call);                                                          \
        if (status != hipSuccess) {                                                                \
            return Outcome{status, #call};                                                         \
        }                                                                                          \
    } while (false)

struct Outcome {
    hipError_t status;
    const char *where;
};

constexpr int kBlock = 256;
constexpr int kTile = 16;
constexpr int kBins = 64;

__device__ inline float scaled(float value) { return value * SCALE; }

template <typename T> __device__ inline T clamped(T value, T low, T high) {
    return value < low ? low : (value > high ? high : value);
}

struct Complex {
    float re;
    float im;

    __host__ __device__ Complex operator*(const Complex &other) const {
        return Complex{re * other.re - im * other.im, re * other.im + im * other.re};
    }
    __host__ __device__ Complex operator+(const Complex &other) const { return Complex{re + other.re, im + other.im}; }
    __host__ __device__ float squared() const { return re * re + im * im; }
};
