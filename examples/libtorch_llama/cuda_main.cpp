// SPDX-License-Identifier: BSL-1.0
#include "answer.hpp"
#include "cuda_compute.hpp"

namespace torch_llama {
int run_on_cuda(const settings& s)
{
    if (!at::hasCUDA())
        throw complaint("libtorch finds no GPU");
    const at::Device on = s.where().device;
    cuda_compute gpu(on.has_index() ? on.index() : 0);
    return run_on(gpu, s);
}

} // namespace torch_llama
