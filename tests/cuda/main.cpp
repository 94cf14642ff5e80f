// SPDX-License-Identifier: BSL-1.0
//
// Where there is no GPU, these tests say so and are skipped (ctest's SKIP_RETURN_CODE).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cuda_runtime_api.h>

#include <cstdio>

int main(int argc, char** argv)
{
    int devices = 0;
    if (const cudaError_t e = cudaGetDeviceCount(&devices); e != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device (%s)\n", cudaGetErrorString(e));
        return 77;
    }
    doctest::Context context(argc, argv);
    return context.run();
}
