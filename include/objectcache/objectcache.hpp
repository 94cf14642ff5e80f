// SPDX-License-Identifier: BSL-1.0
#pragma once

/** @file
    Everything for an engine that computes on the host, over a memory tier. S3 is `<objectcache/s3.hpp>`. */

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/io/reactor.hpp>
#include <objectcache/store/measure_costs.hpp>
#include <objectcache/store/memory_tier.hpp>
#include <objectcache/version.hpp>
