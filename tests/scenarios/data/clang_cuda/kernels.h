// What main.cu includes; scenarios edit both.
#pragma once

#include "runtime.h"

#ifndef SCALE
#define SCALE 2.0f
#endif

constexpr int kBlock = 128;
constexpr int kTile = 16;

__device__ inline float scaled(float value) { return value * SCALE; }
__device__ inline int index() { return block() * threads() + thread(); }

template <typename T> __host__ __device__ inline T smaller(T a, T b) { return a < b ? a : b; }
