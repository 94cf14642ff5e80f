// SPDX-License-Identifier: BSL-1.0
#pragma once

/** @file
    The S3 client, and the tier that keeps objects in a bucket. Needs OpenSSL. */

#include <objectcache/s3/client.hpp>
#include <objectcache/store/s3_tier.hpp>
