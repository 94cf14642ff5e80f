// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/hash_chain.hpp>

#include <cstdio>
#include <vector>

int main()
{
    const std::vector<objectcache::token_id> prompt(40, 7);
    const auto ids = objectcache::hash_chain({}, prompt, 16);
    std::printf("%zu chunks, the last is %s\n", ids.size(), ids.back().hex().c_str());
    return ids.size() == 2 ? 0 : 1;
}
