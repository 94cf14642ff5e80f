// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/reactor.hpp>
#include <objectcache/s3/sigv4.hpp>
#include <objectcache/version.hpp>

#include <cstdio>
#include <string>

namespace oc = objectcache;

// Headers are found, OpenSSL is linked, and Asio waits with the backend named on the command line.
int main(int argc, char** argv)
{
    const std::string hash_of_nothing = oc::s3::payload_hash({});
    const std::string backend = oc::reactor_backend();
    std::printf("objectcache %s on %s, %s\n", OBJECTCACHE_VERSION_STRING, backend.c_str(),
                hash_of_nothing.c_str());
    return hash_of_nothing.starts_with("e3b0c442") && argc == 2 && backend == argv[1] ? 0 : 1;
}
