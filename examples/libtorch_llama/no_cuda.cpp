// SPDX-License-Identifier: BSL-1.0
#include "settings.hpp"

namespace torch_llama {

int run_on_cuda(const settings&)
{
    throw complaint("this program was built without the CUDA component of objectcache");
}

} // namespace torch_llama
