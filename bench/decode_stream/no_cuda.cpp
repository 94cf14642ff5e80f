// SPDX-License-Identifier: BSL-1.0
#include "settings.hpp"

#include <stdexcept>

namespace decode_stream {

int run_on_cuda(const settings&)
{
    throw std::runtime_error("built without the CUDA component of objectcache: --device cpu");
}

} // namespace decode_stream
