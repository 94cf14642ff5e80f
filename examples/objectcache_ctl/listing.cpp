// SPDX-License-Identifier: BSL-1.0
#include "commands.hpp"

#include <objectcache/s3/call.hpp>
#include <objectcache/s3/xml.hpp>

#include <chrono>
#include <utility>

asio::awaitable<oc::status> each_group(session& s, group_visitor visit)
{
    using namespace std::chrono;
    oc::garbage_planner planner(s.how.at.name, system_clock::time_point::max() - hours(1));
    oc::s3::list_options page;
    do {
        auto listed = co_await s.client.list(s.how.at.bucket, s.root(), page);
        if (!listed)
            co_return listed.error();
        for (oc::s3::list_entry& entry : listed->objects) {
            auto done = planner.feed({std::move(entry.key), entry.size, entry.modified});
            if (!done)
                co_return done.error();
            if (!*done)
                continue;
            const oc::status seen = co_await visit(std::move(**done));
            if (!seen.ok())
                co_return seen;
        }
        page.continuation = std::move(listed->continuation);
    } while (!page.continuation.empty());
    if (auto last = planner.finish())
        co_return co_await visit(std::move(*last));
    co_return oc::status();
}

asio::awaitable<oc::result<oc::s3::list_page>> list_folder(session& s, std::string prefix,
                                                           std::string continuation)
{
    oc::s3::call what;
    what.bucket = s.how.at.bucket;
    what.query = {
        {"delimiter", "/"}, {"encoding-type", "url"}, {"list-type", "2"}, {"prefix", std::move(prefix)}};
    if (!continuation.empty())
        what.query.emplace_back("continuation-token", std::move(continuation));
    what.text_limit = std::size_t(8) << 20;
    const auto got = co_await s.client.send(std::move(what));
    if (!got)
        co_return got.error();
    co_return oc::s3::parse_list_page(got->text);
}

asio::awaitable<oc::status> nothing_there(session& s)
{
    const std::string folder = s.how.at.name.substr(0, s.how.at.name.rfind('/') + 1);
    const auto page = co_await list_folder(s, folder, {});
    if (!page)
        co_return page.error();
    std::string why = "nothing of objectcache's below s3://" + s.how.at.bucket + '/' + s.root();
    if (!s.how.scope.empty())
        why += "; `ls` without --scope shows which scopes there are";
    else if (page->common_prefixes.empty())
        why += ", and nothing else either";
    else
        why += "; is the cache's key_prefix one of these?";
    for (std::size_t i = 0; s.how.scope.empty() && i < page->common_prefixes.size() && i < 10; ++i)
        why += ' ' + page->common_prefixes[i];
    co_return oc::status(oc::errc::not_found, why);
}
