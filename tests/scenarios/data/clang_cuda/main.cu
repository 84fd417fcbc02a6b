// A program for clang's CUDA without the toolkit's headers (runtime.h has what it needs of them).
#include "kernels.h"

__constant__ float weights[kTile];
static __device__ int visits;

__global__ void saxpy(const float *x, float *y, float a, int n) {
    const int i = index();
    if (i < n) {
        y[i] = a * x[i] + y[i];
    }
}

__global__ void scale_all(float *x, int n) {
    for (int i = index(); i < n; i += kBlock * 32) {
        x[i] = scaled(x[i]);
    }
}

template <typename T> __global__ void reduce(const T *in, T *out, int n) {
    __shared__ T partial[kBlock];
    const int i = index();
    partial[thread()] = i < n ? in[i] : T(0);
    together();
    for (int half = kBlock / 2; half > 0; half /= 2) {
        if (thread() < half) {
            partial[thread()] += partial[thread() + half];
        }
        together();
    }
    if (thread() == 0) {
        out[block()] = partial[0];
        visits += 1;
    }
}

__global__ void transpose(const float *in, float *out, int width) {
    __shared__ float tile[kTile][kTile + 1];
    const int column = thread() % kTile, row = thread() / kTile;
    tile[row][column] = in[(block() * kTile + row) * width + column];
    together();
    out[(block() * kTile + row) * width + column] = tile[column][row];
}

__global__ void multiply(const float *a, const float *b, float *c, int n) {
    const int row = index() / n, column = index() % n;
    float sum = 0.0f;
#pragma unroll 4
    for (int k = 0; k < n; ++k) {
        sum += a[row * n + k] * b[k * n + column];
    }
    c[row * n + column] = sum;
}

__global__ void stencil(const float *in, float *out, int n) {
    const int i = index();
    float sum = 0.0f;
    for (int k = 0; k < kTile; ++k) {
        const int at = smaller(i + k, n - 1);
        sum += in[at] * weights[k];
    }
    if (i < n) {
        out[i] = sum;
    }
}

__global__ void mandelbrot(unsigned char *image, int width, int height, int limit) {
    const int x = index() % width, y = index() / width;
    const float cx = 3.0f * x / width - 2.0f, cy = 2.0f * y / height - 1.0f;
    float zx = 0.0f, zy = 0.0f;
    int steps = 0;
    while (steps < limit && zx * zx + zy * zy < 4.0f) {
        const float next = zx * zx - zy * zy + cx;
        zy = 2.0f * zx * zy + cy;
        zx = next;
        ++steps;
    }
    image[index()] = static_cast<unsigned char>(255 * steps / limit);
}

namespace {

struct Plan {
    int blocks;
    int count;
};

Plan plan_for(int count) { return Plan{(count + kBlock - 1) / kBlock, smaller(count, 1 << 20)}; }

} // namespace

int run(float *x, float *y, float *z, unsigned char *image, int n) {
    const Plan plan = plan_for(n);
    saxpy<<<plan.blocks, kBlock>>>(x, y, 3.0f, plan.count);
    scale_all<<<32, kBlock>>>(y, plan.count);
    reduce<float><<<plan.blocks, kBlock>>>(y, z, plan.count);
    reduce<int><<<plan.blocks, kBlock>>>(reinterpret_cast<int *>(y), reinterpret_cast<int *>(z), plan.count);
    transpose<<<plan.blocks, kTile * kTile>>>(x, z, kTile);
    multiply<<<plan.blocks, kBlock>>>(x, y, z, 64);
    stencil<<<plan.blocks, kBlock>>>(x, y, plan.count);
    mandelbrot<<<plan.blocks, kBlock>>>(image, 640, 480, 100);
    return plan.count;
}
