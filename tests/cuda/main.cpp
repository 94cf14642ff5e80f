// SPDX-License-Identifier: BSL-1.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

#ifndef CUDA_TEST_DEVICES
#define CUDA_TEST_DEVICES 1
#endif

// No device is no failure of the library, and must not look like a passed test either.
int main(int argc, char** argv)
{
    // What loads kernels may wait for the device, and some tests keep it waiting for themselves.
    ::setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device (%s)\n",
                    error == cudaSuccess ? "none found" : cudaGetErrorString(error));
        return 77;
    }
    if (devices < CUDA_TEST_DEVICES) {
        std::printf("skipped: needs %d CUDA devices, there are %d\n", CUDA_TEST_DEVICES, devices);
        return 77;
    }
    return doctest::Context(argc, argv).run();
}
