// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/gated_device.hpp>

#include <cstddef>

namespace support {

/** A device that counts how often it is asked. */
struct counting_device : objectcache::testing::gated_device {
    objectcache::event_state query(const event& e) noexcept
    {
        ++queries;
        return objectcache::testing::gated_device::query(e);
    }
    std::size_t queries = 0;
};

} // namespace support
