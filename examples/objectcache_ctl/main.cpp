// SPDX-License-Identifier: BSL-1.0
//
// What is in the bucket of an objectcache: list it, look at an object, verify everything, count bytes, collect garbage. Safe
// beside live readers and writers; memory does not grow with the bucket. `objectcache_ctl --help` has examples.
//
//     arguments.*   the command line        listing.cpp   the bucket, group by group
//     ls stat verify du gc .cpp             each command  output.hpp    JSON lines, sizes, times
#include "commands.hpp"

#include <cstdio>
#include <utility>

namespace {

asio::awaitable<oc::status> carry_out(session& s)
{
    if (s.how.command == "ls")
        co_return co_await ls(s);
    if (s.how.command == "stat")
        co_return co_await stat(s);
    if (s.how.command == "verify")
        co_return co_await verify(s);
    if (s.how.command == "du")
        co_return co_await du(s);
    co_return co_await gc(s);
}

asio::awaitable<oc::status> run(arguments how, oc::s3::client client, int& exit_code)
{
    session s{std::move(how), std::move(client)}; // must not outlive the client's context
    oc::status done = co_await carry_out(s);
    exit_code = s.exit_code;
    co_return done;
}

} // namespace

int main(int argc, char** argv)
{
    arguments how;
    how.parse(argc, argv);
    int exit_code = 0;
    const oc::status done =
        run_with_client(how, [&](oc::s3::client client) { return run(how, std::move(client), exit_code); });
    std::fflush(stdout);
    if (done.ok())
        return exit_code;
    if (done == oc::condition::cancelled) {
        std::fprintf(stderr, "objectcache_ctl: interrupted\n");
        return 3;
    }
    std::fprintf(stderr, "objectcache_ctl: %s\n", done.message().c_str());
    return 2;
}
