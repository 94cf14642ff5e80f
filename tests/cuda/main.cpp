// SPDX-License-Identifier: BSL-1.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cuda_runtime_api.h>

#include <cstdio>

// No device is no failure of the library, and must not look like a passed test either.
int main(int argc, char** argv)
{
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device (%s)\n",
                    error == cudaSuccess ? "none found" : cudaGetErrorString(error));
        return 77;
    }
    return doctest::Context(argc, argv).run();
}
