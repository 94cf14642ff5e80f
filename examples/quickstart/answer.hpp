// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "report.hpp"

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/store/s3_tier.hpp>

#include <vector>

namespace quickstart {

using kv_cache = oc::cache<oc::host_device, oc::s3_tier>;

/** What to answer: a prompt, by a model, from a cache. */
struct question {
    const llama::model& model;
    std::vector<std::uint32_t> prompt;
    std::uint32_t tokens_per_chunk = 64;
    std::size_t generate = 64;
    std::size_t layer_slots = 2; ///< streaming decode: layers of the prefix that the device keeps
};

/** Without a cache. */
[[nodiscard]] outcome recompute(const question& q);
/** Load the whole prefix, then compute. */
[[nodiscard]] oc::asio::awaitable<outcome> whole(const question& q, kv_cache& cache);
/** Compute layer i while layer i + 1 travels. */
[[nodiscard]] oc::asio::awaitable<outcome> layerwise(const question& q, kv_cache& cache);
/** As layerwise, and go on so for every generated token, with the prefix of only a few layers on the device. */
[[nodiscard]] oc::asio::awaitable<outcome> stream_decode(const question& q, kv_cache& cache);

} // namespace quickstart
