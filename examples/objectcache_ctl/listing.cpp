// SPDX-License-Identifier: BSL-1.0
#include "commands.hpp"

#include <chrono>
#include <utility>

asio::awaitable<oc::status> each_group(session& s, group_visitor visit)
{
    const auto all_old = std::chrono::system_clock::time_point::max() - std::chrono::hours(1);
    oc::garbage_planner planner(s.how.at.name, all_old);
    oc::s3::listing pages(s.client, s.how.at.bucket, s.root());
    while (oc::s3::list_page* page = co_await pages.next())
        for (oc::s3::list_entry& entry : page->objects) {
            auto done = planner.feed({std::move(entry.key), entry.size, entry.modified});
            if (!done)
                co_return done.error();
            if (!*done)
                continue;
            const oc::status seen = co_await visit(std::move(**done));
            if (!seen.ok())
                co_return seen;
        }
    if (!pages.outcome().ok())
        co_return pages.outcome();
    if (auto last = planner.finish())
        co_return co_await visit(std::move(*last));
    co_return oc::status();
}

oc::s3::listing folders(session& s, std::string prefix)
{
    oc::s3::list_options how;
    how.delimiter = "/";
    return {s.client, s.how.at.bucket, std::move(prefix), std::move(how)};
}

asio::awaitable<oc::status> nothing_there(session& s)
{
    const std::string folder = s.how.at.name.substr(0, s.how.at.name.rfind('/') + 1);
    oc::s3::listing pages = folders(s, folder);
    const oc::s3::list_page* const page = co_await pages.next();
    if (!page)
        co_return pages.outcome();
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
