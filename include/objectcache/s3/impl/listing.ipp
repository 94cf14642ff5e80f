// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/detail/xml_text.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/s3/listing.hpp>

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace objectcache::s3 {

OBJECTCACHE_DECL listing::listing(client store, std::string bucket, std::string prefix, list_options options)
    : store_(std::move(store))
    , bucket_(std::move(bucket))
    , prefix_(std::move(prefix))
    , options_(std::move(options))
{
    options_.max_keys =
        std::max<decltype(options_.max_keys)>(1, options_.max_keys); // of none there is no end
}

OBJECTCACHE_DECL asio::awaitable<list_page*> listing::next()
{
    if (ended_ || !outcome_.ok())
        co_return nullptr;
    result<list_page> got = co_await store_.list(bucket_, prefix_, options_);
    outcome_ = got.error();
    if (!got)
        co_return nullptr;
    outcome_ = judge(*got);
    if (!outcome_.ok())
        co_return nullptr;
    page_ = std::move(*got);
    options_.continuation = page_.continuation;
    ended_ = options_.continuation.empty();
    co_return &page_;
}

/** Callers cut the prefix off, or delete what they see: a key without it is no answer to the question. */
OBJECTCACHE_DECL status listing::judge(const list_page& page)
{
    const auto is_below = [&](const std::string& name) { return name.starts_with(prefix_); };
    status out = progress_.turn(options_.continuation, page.continuation,
                                page.objects.size() + page.common_prefixes.size());
    if (out.ok() && !(std::ranges::all_of(page.objects, is_below, &list_entry::key) &&
                      std::ranges::all_of(page.common_prefixes, is_below)))
        out = status(errc::malformed_response, "a key that does not begin with the prefix");
    if (!out.ok())
        out = status(out.code(),
                     "listing of " + bucket_ + '/' + detail::one_line(prefix_) + ": " + out.detail());
    return out;
}

namespace detail {

/** Lives in the frame of `remove_all`, which waits for the workers. */
struct removal {
    removal(const asio::any_io_executor& executor, client with, const remove_all_options& how)
        : store(std::move(with))
        , until(how.until)
        , workers(executor)
        , slots(executor, std::max(1U, how.parallel))
    {}

    void fail(status why)
    {
        if (failure.ok())
            failure = std::move(why);
        workers.cancel(); // the others, and the listing
    }

    client store;
    std::string bucket, prefix;
    deadline until;
    task_group workers;
    byte_budget slots;

    std::size_t begun = 0, ended = 0; // batches
    bool listed = false;
    status failure;
};

OBJECTCACHE_DECL asio::awaitable<void> remove_batch(removal& job, std::vector<std::string> keys,
                                                    byte_budget::ticket)
{
    const auto by_hand = std::stable_partition(keys.begin(), keys.end(),
                                               [](const std::string& key) { return is_xml_text(key); });
    const op_options how{job.until};
    for (auto key = by_hand; key != keys.end(); ++key) {
        status gone = co_await job.store.remove(job.bucket, *key, how);
        if (!gone.ok())
            co_return job.fail(std::move(gone));
    }
    keys.erase(by_hand, keys.end());
    if (!keys.empty()) {
        const auto kept = co_await remove_objects(job.store, job.bucket, keys, job.until);
        if (!kept)
            co_return job.fail(kept.error());
        for (const delete_failure& failure : *kept) {
            status why = failure.error();
            // A store that stumbled over one of a thousand is asked again, as for any request.
            if (why == errc::server_error)
                why = co_await job.store.remove(job.bucket, failure.key, how);
            if (!why.ok())
                co_return job.fail(std::move(why));
        }
    }
    ++job.ended;
}

/** Bytes of a key in the body of a bulk DELETE, and of what stands around it. */
OBJECTCACHE_DECL std::size_t bytes_in_body(const std::string& key)
{
    constexpr std::size_t around = 32, longest_escape = 6;
    const auto escaped = std::ranges::count_if(
        key, [](char c) { return c == '&' || c == '<' || c == '>' || c == '"' || c == '\''; });
    return key.size() + static_cast<std::size_t>(escaped) * longest_escape + around;
}

/** Takes the keys away, to be removed in the background, once there is a slot. False: it is too late for that. */
OBJECTCACHE_DECL asio::awaitable<bool> begin_batch(removal& job, std::vector<std::string>& keys)
{
    auto slot = co_await job.slots.acquire(1, priority::store, job.until);
    if (!slot)
        job.fail(slot.error());
    if (!job.failure.ok())
        co_return false;
    ++job.begun;
    asio::awaitable<void> batch = remove_batch(job, std::exchange(keys, {}), std::move(*slot));
    job.workers.spawn(std::move(batch));
    co_return true;
}

OBJECTCACHE_DECL asio::awaitable<void> list_and_remove(removal& job)
{
    list_options how;
    how.until = job.until;
    listing pages(job.store, job.bucket, job.prefix, std::move(how));
    constexpr std::size_t most_bytes = std::size_t{512} << 10; // of a body: Ceph's gateway takes a megabyte
    std::vector<std::string> keys;
    std::size_t bytes = 0;
    while (list_page* page = co_await pages.next())
        for (list_entry& object : page->objects) {
            bytes += bytes_in_body(object.key);
            keys.push_back(std::move(object.key));
            if (keys.size() < most_keys_per_delete && bytes < most_bytes)
                continue;
            bytes = 0;
            const bool began = co_await begin_batch(job, keys);
            if (!began)
                co_return;
        }
    if (!pages.outcome().ok())
        co_return job.fail(pages.outcome());
    if (!keys.empty())
        (void)co_await begin_batch(job, keys);
    job.listed = true;
}

} // namespace detail

OBJECTCACHE_DECL asio::awaitable<status> remove_all(client store, std::string bucket, std::string prefix,
                                                    remove_all_options options)
{
    detail::removal job(co_await asio::this_coro::executor, std::move(store), options);
    job.bucket = std::move(bucket);
    job.prefix = std::move(prefix);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return status(errc::cancelled, "removal of " + job.bucket + '/' + detail::one_line(job.prefix));
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false); // the workers refer to the job
    job.workers.spawn(detail::list_and_remove(job));
    co_await job.workers.join();
    if (job.failure.ok() && (!job.listed || job.ended < job.begun)) // a worker threw: it ran out of memory
        job.failure =
            status(errc::exhausted, "removal of " + job.bucket + '/' + detail::one_line(job.prefix));
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return std::move(job.failure);
}

} // namespace objectcache::s3
