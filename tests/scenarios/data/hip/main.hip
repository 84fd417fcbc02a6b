// A program as users write them: a dozen kernels, templates, shared and constant memory, and the host code around them.
#include "kernels.hpp"

#include <cstdio>
#include <vector>

__constant__ float coefficients[kTile];
static __device__ unsigned int visits;

__global__ void saxpy(const float *x, float *y, float a, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = a * x[i] + y[i];
    }
}

__global__ void scale_all(float *x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        x[i] = scaled(x[i]);
    }
}

__global__ void transcend(float *x, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        x[i] = sinf(x[i]) + cosf(x[i]) * expf(-x[i]) + logf(fabsf(x[i]) + 1.0f) + powf(x[i], 1.5f);
    }
}

template <typename T> __global__ void reduce(const T *in, T *out, int n) {
    __shared__ T partial[kBlock];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    partial[threadIdx.x] = i < n ? in[i] : T(0);
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            partial[threadIdx.x] += partial[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        out[blockIdx.x] = partial[0];
    }
}

__global__ void transpose(const float *in, float *out, int width, int height) {
    __shared__ float tile[kTile][kTile + 1];
    int x = blockIdx.x * kTile + threadIdx.x;
    int y = blockIdx.y * kTile + threadIdx.y;
    if (x < width && y < height) {
        tile[threadIdx.y][threadIdx.x] = in[y * width + x];
    }
    __syncthreads();
    x = blockIdx.y * kTile + threadIdx.x;
    y = blockIdx.x * kTile + threadIdx.y;
    if (x < height && y < width) {
        out[y * height + x] = tile[threadIdx.x][threadIdx.y];
    }
}

__global__ void multiply(const float *a, const float *b, float *c, int n) {
    __shared__ float left[kTile][kTile];
    __shared__ float right[kTile][kTile];
    const int row = blockIdx.y * kTile + threadIdx.y;
    const int column = blockIdx.x * kTile + threadIdx.x;
    float sum = 0.0f;
    for (int step = 0; step < (n + kTile - 1) / kTile; ++step) {
        const int k = step * kTile;
        left[threadIdx.y][threadIdx.x] = row < n && k + threadIdx.x < n ? a[row * n + k + threadIdx.x] : 0.0f;
        right[threadIdx.y][threadIdx.x] = column < n && k + threadIdx.y < n ? b[(k + threadIdx.y) * n + column] : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kTile; ++i) {
            sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        }
        __syncthreads();
    }
    if (row < n && column < n) {
        c[row * n + column] = sum;
    }
}

__global__ void histogram(const unsigned char *data, unsigned int *bins, int n) {
    __shared__ unsigned int local[kBins];
    if (threadIdx.x < kBins) {
        local[threadIdx.x] = 0;
    }
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&local[data[i] * kBins / 256], 1u);
    }
    __syncthreads();
    if (threadIdx.x < kBins) {
        atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
    }
    if (threadIdx.x == 0) {
        atomicAdd(&visits, 1u);
    }
}

__global__ void inclusive_scan(int *data, int n) {
    __shared__ int buffer[2][kBlock];
    int from = 0;
    const int i = blockIdx.x * kBlock + threadIdx.x;
    buffer[0][threadIdx.x] = i < n ? data[i] : 0;
    __syncthreads();
    for (int distance = 1; distance < kBlock; distance *= 2) {
        const int to = 1 - from;
        buffer[to][threadIdx.x] = buffer[from][threadIdx.x];
        if (threadIdx.x >= distance) {
            buffer[to][threadIdx.x] += buffer[from][threadIdx.x - distance];
        }
        from = to;
        __syncthreads();
    }
    if (i < n) {
        data[i] = buffer[from][threadIdx.x];
    }
}

__global__ void stencil(const float *in, float *out, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
    for (int k = -kTile / 2; k < kTile / 2; ++k) {
        sum += in[clamped(i + k, 0, n - 1)] * coefficients[k + kTile / 2];
    }
    if (i < n) {
        out[i] = sum;
    }
}

__global__ void mandelbrot(unsigned char *image, int width, int height, int limit) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const Complex c{3.0f * x / width - 2.0f, 2.0f * y / height - 1.0f};
    Complex z{0.0f, 0.0f};
    int steps = 0;
    while (steps < limit && z.squared() < 4.0f) {
        z = z * z + c;
        ++steps;
    }
    image[y * width + x] = static_cast<unsigned char>(255 * steps / limit);
}

namespace {

template <typename T> class Buffer {
  public:
    explicit Buffer(size_t count) : count_(count) { status_ = hipMalloc(reinterpret_cast<void **>(&data_), bytes()); }
    ~Buffer() { (void)hipFree(data_); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    hipError_t upload(const std::vector<T> &from) { return hipMemcpy(data_, from.data(), bytes(), hipMemcpyHostToDevice); }
    hipError_t download(std::vector<T> &to) const { return hipMemcpy(to.data(), data_, bytes(), hipMemcpyDeviceToHost); }
    T *get() const { return data_; }
    hipError_t status() const { return status_; }
    size_t bytes() const { return count_ * sizeof(T); }

  private:
    T *data_ = nullptr;
    size_t count_;
    hipError_t status_;
};

dim3 blocks_for(int n) { return dim3((n + kBlock - 1) / kBlock); }

Outcome vectors(int n) {
    std::vector<float> host(n, 1.0f);
    Buffer<float> x(n), y(n), sums(blocks_for(n).x);
    CHECK(x.status());
    CHECK(y.status());
    CHECK(x.upload(host));
    CHECK(y.upload(host));
    saxpy<<<blocks_for(n), kBlock>>>(x.get(), y.get(), 3.0f, n);
    scale_all<<<32, kBlock>>>(y.get(), n);
    transcend<<<blocks_for(n), kBlock>>>(y.get(), n);
    reduce<float><<<blocks_for(n), kBlock>>>(y.get(), sums.get(), n);
    CHECK(hipGetLastError());
    CHECK(y.download(host));
    std::printf("first: %f\n", host[0]);
    return Outcome{hipSuccess, ""};
}

Outcome matrices(int n) {
    std::vector<float> host(size_t(n) * n, 0.5f);
    Buffer<float> a(host.size()), b(host.size()), c(host.size());
    CHECK(a.upload(host));
    const dim3 grid((n + kTile - 1) / kTile, (n + kTile - 1) / kTile), block(kTile, kTile);
    transpose<<<grid, block>>>(a.get(), b.get(), n, n);
    multiply<<<grid, block>>>(a.get(), b.get(), c.get(), n);
    CHECK(hipDeviceSynchronize());
    CHECK(c.download(host));
    return Outcome{hipSuccess, ""};
}

Outcome bytes(int n) {
    std::vector<unsigned char> data(n, 7);
    std::vector<unsigned int> counts(kBins, 0);
    Buffer<unsigned char> input(n);
    Buffer<unsigned int> bins(kBins);
    Buffer<int> numbers(n);
    CHECK(input.upload(data));
    CHECK(bins.upload(counts));
    histogram<<<8, kBlock>>>(input.get(), bins.get(), n);
    inclusive_scan<<<blocks_for(n), kBlock>>>(numbers.get(), n);
    unsigned int seen = 0;
    CHECK(hipMemcpyFromSymbol(&seen, HIP_SYMBOL(visits), sizeof seen));
    CHECK(bins.download(counts));
    return Outcome{hipSuccess, ""};
}

Outcome pictures(int width, int height) {
    std::vector<unsigned char> image(size_t(width) * height);
    std::vector<float> weights(kTile, 1.0f / kTile);
    CHECK(hipMemcpyToSymbol(HIP_SYMBOL(coefficients), weights.data(), kTile * sizeof(float)));
    Buffer<unsigned char> pixels(image.size());
    Buffer<float> in(width), out(width);
    const dim3 block(kTile, kTile), grid(width / kTile + 1, height / kTile + 1);
    mandelbrot<<<grid, block>>>(pixels.get(), width, height, 100);
    stencil<<<blocks_for(width), kBlock>>>(in.get(), out.get(), width);
    CHECK(pixels.download(image));
    return Outcome{hipSuccess, ""};
}

} // namespace

int main() {
    for (const Outcome &outcome : {vectors(1 << 16), matrices(256), bytes(1 << 16), pictures(640, 480)}) {
        if (outcome.status != hipSuccess) {
            std::fprintf(stderr, "%s: %s\n", outcome.where, hipGetErrorString(outcome.status));
            return 1;
        }
    }
    return 0;
}
