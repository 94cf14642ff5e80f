// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/error.hpp>
#include <objectcache/version.hpp>

#include <cstdio>

int main()
{
    const objectcache::status missing(objectcache::errc::not_found, "chunk 3");
    std::printf("objectcache %s: %s\n", OBJECTCACHE_VERSION_STRING, missing.message().c_str());
    return missing == objectcache::condition::absent ? 0 : 1;
}
