// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/detail/large_object.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/large_object.hpp>

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace objectcache::s3 {

namespace detail {

OBJECTCACHE_DECL asio::awaitable<void> run_parts(parallel_job& job,
                                                 asio::awaitable<status> (*one)(parallel_job&, std::size_t))
{
    while (job.next < job.count && job.failure.ok()) {
        const std::size_t mine = job.next++;
        status done = co_await one(job, mine);
        if (!done.ok() && job.failure.ok()) {
            job.failure = std::move(done);
            job.workers.cancel(); // nobody waits for parts of what has failed
        }
    }
}

/** All parts, `parallel` at a time. No cancellation may throw past it: the workers refer to the job. */
OBJECTCACHE_DECL asio::awaitable<status> run_all(parallel_job& job,
                                                 asio::awaitable<status> (*one)(parallel_job&, std::size_t))
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return status(errc::cancelled, job.key);
    for (unsigned i = 0; i < std::max(1U, job.options.parallel) && job.next < job.count; ++i)
        job.workers.spawn(run_parts(job, one));
    co_await job.workers.join();
    if (job.failure.ok() && job.finished < job.count) // a worker threw: it ran out of memory
        job.failure = status(errc::exhausted, job.key);
    co_return job.failure;
}

OBJECTCACHE_DECL asio::awaitable<status> get_one(parallel_job& job, std::size_t index)
{
    const std::size_t from = index * job.options.part_bytes;
    const byte_span into =
        job.destination.subspan(from, std::min(job.options.part_bytes, job.destination.size() - from));
    const byte_range range{job.offset + from, into.size()};
    const get_options how{job.options.until};
    result<object_info> got = co_await job.store.get(job.bucket, job.key, range, into, how);
    if (!got)
        co_return got.error();
    if (job.count > 1 && got->etag.empty())
        co_return status(errc::malformed_response,
                         "GET of " + job.key +
                             ": no ETag, so that parts of two objects cannot be told apart");
    if (job.finished == 0)
        job.info = std::move(*got);
    else if (got->etag != job.info.etag || got->size != job.info.size)
        co_return status(errc::checksum_mismatch,
                         "GET of " + job.key + ": it was replaced while it was read");
    job.finish(into.size());
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<status> put_one(parallel_job& job, std::size_t index)
{
    const std::uint64_t from = std::uint64_t(index) * job.options.part_bytes;
    const std::uint64_t size = std::min<std::uint64_t>(job.options.part_bytes, job.size - from);
    const std::vector<const_byte_span> body = slice(job.source, from, size);
    result<uploaded_part> sent =
        co_await upload_part(job.store, job.bucket, job.key, job.upload_id,
                             static_cast<std::uint32_t>(index + 1), body, job.options.until);
    if (!sent)
        co_return sent.error();
    job.parts[index] = std::move(*sent);
    job.finish(size);
    co_return status();
}

/** What a call with a text for an answer says, once it is parsed. */
template <class T>
[[nodiscard]] result<T> in_context(result<T> parsed, const char* what, const std::string& key)
{
    if (parsed)
        return parsed;
    return status(parsed.code(), what + (" of " + key) + ": " + parsed.error().detail());
}

/** A call about an object. Without its key it would be one about the bucket. */
OBJECTCACHE_DECL asio::awaitable<result<answer>> send_about_object(client store, call what)
{
    if (what.key.empty())
        co_return result<answer>(errc::invalid_argument, what.method + " in " + what.bucket + ": no key");
    result<answer> got = co_await store.send(std::move(what));
    co_return got;
}

/** A call about an upload. Without its id some stores would take it for one about the object. */
OBJECTCACHE_DECL asio::awaitable<result<answer>> send_about_upload(client store, std::string id, call what)
{
    if (id.empty())
        co_return result<answer>(errc::invalid_argument, what.method + " of " + what.key + ": no upload id");
    what.query.emplace_back("uploadId", std::move(id));
    result<answer> got = co_await send_about_object(std::move(store), std::move(what));
    co_return got;
}

OBJECTCACHE_DECL asio::awaitable<result<stored_result>> put_whole(parallel_job& job)
{
    call what;
    what.method = "PUT";
    what.bucket = job.bucket;
    what.key = job.key;
    what.body = job.source;
    what.body_checksum = job.store.options().upload_checksum;
    what.until = job.options.until;
    result<answer> sent = co_await send_about_object(job.store, std::move(what));
    if (!sent)
        co_return sent.error();
    job.finish(job.size);
    co_return stored_result{std::move(sent->etag), {}, std::move(sent->checksum)};
}

/** Also for a job that was cancelled: parts nobody completes are paid for until somebody finds them. */
OBJECTCACHE_DECL asio::awaitable<void> give_up(parallel_job& job)
{
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const deadline soon(clock::of(co_await asio::this_coro::executor).now() + std::chrono::seconds(5));
    (void)co_await abort_upload(job.store, job.bucket, job.key, job.upload_id, soon);
}

/** No cancellation may throw past it: what was begun has to be ended. */
OBJECTCACHE_DECL asio::awaitable<result<stored_result>> put_in_parts(parallel_job& job)
{
    result<std::string> id = co_await begin_upload(job.store, job.bucket, job.key, job.options.until);
    if (!id)
        co_return id.error();
    job.upload_id = std::move(*id);
    job.parts.resize(job.count);
    status sent = co_await run_all(job, put_one);
    result<stored_result> out = sent.ok() ? result<stored_result>(stored_result()) : sent;
    const put_options replacing{job.options.until};
    if (out)
        out = co_await complete_upload(job.store, job.bucket, job.key, job.upload_id, job.parts, replacing);
    if (!out) {
        job.workers.spawn(give_up(job)); // beside this coroutine, whose cancellation it must not hear
        co_await job.workers.join();
    }
    co_return out;
}

} // namespace detail

OBJECTCACHE_DECL asio::awaitable<result<object_info>> get_parallel(client store, std::string bucket,
                                                                   std::string key, byte_range range,
                                                                   byte_span destination,
                                                                   parallel_options options)
{
    if (range.size != destination.size() || range.end() < range.offset || options.part_bytes == 0 ||
        destination.empty())
        co_return result<object_info>(errc::invalid_argument,
                                      "GET of " + key +
                                          ": the destination is not of the range's size, or parts of none");
    detail::parallel_job job(co_await asio::this_coro::executor, std::move(store), std::move(options));
    job.bucket = std::move(bucket);
    job.key = std::move(key);
    job.offset = range.offset;
    job.destination = destination;
    job.count = (destination.size() - 1) / job.options.part_bytes + 1;
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    status done = co_await detail::run_all(job, detail::get_one);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (!done.ok())
        co_return done;
    co_return std::move(job.info);
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> get_parallel(client store, std::string bucket,
                                                                   std::string key, byte_span destination,
                                                                   parallel_options options)
{
    result<object_info> got(errc::cancelled);
    if (destination.empty()) { // no range has no bytes
        const get_options how{options.until};
        got = co_await store.get(std::move(bucket), key, destination, how);
    } else {
        const byte_range all{0, destination.size()};
        got = co_await get_parallel(std::move(store), std::move(bucket), key, all, destination,
                                    std::move(options));
    }
    if (got && got->size != destination.size())
        co_return result<object_info>(errc::length_mismatch, "GET of " + key + ": it has " +
                                                                 std::to_string(got->size) + " bytes, not " +
                                                                 std::to_string(destination.size()));
    co_return got;
}

OBJECTCACHE_DECL asio::awaitable<result<stored_result>> put_parallel(client store, std::string bucket,
                                                                     std::string key,
                                                                     std::span<const const_byte_span> parts,
                                                                     parallel_options options)
{
    detail::parallel_job job(co_await asio::this_coro::executor, std::move(store), std::move(options));
    job.bucket = std::move(bucket);
    job.key = std::move(key);
    job.source = parts;
    for (const const_byte_span part : parts)
        job.size += part.size();
    const std::uint64_t part_bytes = job.options.part_bytes;
    if (part_bytes == 0 || (job.size != 0 && (job.size - 1) / part_bytes >= most_parts_per_upload))
        co_return result<stored_result>(errc::invalid_argument,
                                        "PUT of " + job.key + ": parts of none, or more than 10000");
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    result<stored_result> out(errc::cancelled);
    if (job.size <= part_bytes) {
        out = co_await detail::put_whole(job);
    } else {
        job.count = static_cast<std::size_t>((job.size - 1) / part_bytes + 1);
        out = co_await detail::put_in_parts(job);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>> begin_upload(client store, std::string bucket,
                                                                   std::string key, deadline until)
{
    call what;
    what.method = "POST";
    what.bucket = std::move(bucket);
    what.key = key;
    what.query.emplace_back("uploads", "");
    what.until = until;
    if (const checksum kind = store.options().upload_checksum; kind != checksum::none)
        what.headers.emplace_back("x-amz-checksum-algorithm", checksum_name(kind));
    result<answer> got = co_await detail::send_about_object(std::move(store), std::move(what));
    if (!got)
        co_return got.error();
    co_return detail::in_context(parse_initiated_upload(got->text), "multipart upload", key);
}

OBJECTCACHE_DECL asio::awaitable<result<uploaded_part>>
upload_part(client store, std::string bucket, std::string key, std::string upload_id, std::uint32_t number,
            std::span<const const_byte_span> body, deadline until)
{
    if (number == 0 || number > most_parts_per_upload)
        co_return result<uploaded_part>(errc::invalid_argument, "part " + std::to_string(number) + " of " +
                                                                    key +
                                                                    ": they have numbers from 1 to 10000");
    call what;
    what.method = "PUT";
    what.bucket = std::move(bucket);
    what.key = key;
    what.query.emplace_back("partNumber", std::to_string(number));
    what.body = body;
    what.body_checksum = store.options().upload_checksum;
    what.until = until;
    result<answer> got =
        co_await detail::send_about_upload(std::move(store), std::move(upload_id), std::move(what));
    if (!got)
        co_return got.error();
    if (got->etag.empty())
        co_return result<uploaded_part>(errc::malformed_response, "part " + std::to_string(number) + " of " +
                                                                      key + ": an answer without ETag");
    co_return uploaded_part{number, std::move(got->etag), std::move(got->checksum)};
}

OBJECTCACHE_DECL asio::awaitable<result<stored_result>>
complete_upload(client store, std::string bucket, std::string key, std::string upload_id,
                std::span<const uploaded_part> parts, put_options options)
{
    const checksum kind = store.options().upload_checksum;
    const std::string document = complete_upload_document(parts, kind);
    const const_byte_span body = std::as_bytes(std::span(document));
    call what;
    what.method = "POST";
    what.bucket = bucket;
    what.key = key;
    what.headers.emplace_back("Content-Type", "application/xml");
    what.body = std::span(&body, 1);
    what.until = options.until;
    what.if_none_match = options.if_none_match;
    result<answer> got = co_await detail::send_about_upload(store, upload_id, std::move(what));
    if (got)
        co_return detail::in_context(parse_stored_result(got->text, kind), "multipart upload", key);
    const bool gone = got.error() == condition::absent;
    if (!gone && got.code() != errc::already_exists)
        co_return got.error();
    const op_options how{options.until};
    result<object_info> there = co_await store.head(bucket, key, how);
    // A try whose answer was lost may have done it: then the next one finds no upload.
    if (there && gone && detail::is_etag_of(there->etag, parts))
        co_return stored_result{std::move(there->etag), {}, {}};
    if (there && options.if_none_match)
        co_return result<stored_result>(errc::already_exists, "multipart upload of " + key);
    if (gone)
        co_return got.error();
    if (there.error() != condition::absent)
        co_return there.error();
    // Refused as if there were an object: Swift says 412 because it does not know the condition.
    if (!store.options().emulate_if_none_match)
        co_return result<stored_result>(errc::unexpected_status,
                                        got.error().detail() + ", but there is none");
    const put_options plain{options.until};
    result<stored_result> out = co_await complete_upload(store, std::move(bucket), std::move(key),
                                                         std::move(upload_id), parts, plain);
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<status> abort_upload(client store, std::string bucket, std::string key,
                                                      std::string upload_id, deadline until)
{
    call what;
    what.method = "DELETE";
    what.bucket = std::move(bucket);
    what.key = std::move(key);
    what.until = until;
    result<answer> got =
        co_await detail::send_about_upload(std::move(store), std::move(upload_id), std::move(what));
    if (!got && got.error() == condition::absent)
        co_return status();
    co_return got.error();
}

OBJECTCACHE_DECL asio::awaitable<result<upload_page>>
list_uploads(client store, std::string bucket, std::string prefix, upload_page after, deadline until)
{
    call what;
    what.bucket = bucket;
    what.query.emplace_back("encoding-type", "url");
    what.query.emplace_back("prefix", std::move(prefix));
    what.query.emplace_back("uploads", "");
    if (!after.key_marker.empty())
        what.query.emplace_back("key-marker", std::move(after.key_marker));
    if (!after.upload_id_marker.empty())
        what.query.emplace_back("upload-id-marker", std::move(after.upload_id_marker));
    what.text_limit = std::size_t(8) << 20;
    what.until = until;
    result<answer> got = co_await store.send(std::move(what));
    if (!got)
        co_return got.error();
    co_return detail::in_context(parse_upload_page(got->text), "uploads", bucket);
}

OBJECTCACHE_DECL asio::awaitable<result<stored_result>> copy_object(client store, std::string from_bucket,
                                                                    std::string from_key,
                                                                    std::string to_bucket, std::string to_key,
                                                                    deadline until)
{
    if (from_bucket.empty() || from_key.empty())
        co_return result<stored_result>(errc::invalid_argument, "copy to " + to_key + ": from where?");
    std::string source = "/";
    detail::append_uri_encoded(source, from_bucket, detail::slash::encode);
    source += '/';
    detail::append_uri_encoded(source, from_key, detail::slash::keep);
    const checksum kind = store.options().upload_checksum;
    call what;
    what.method = "PUT";
    what.bucket = std::move(to_bucket);
    what.key = to_key;
    what.headers.emplace_back("x-amz-copy-source", std::move(source));
    what.until = until;
    result<answer> got = co_await detail::send_about_object(std::move(store), std::move(what));
    if (!got)
        co_return got.error();
    co_return detail::in_context(parse_stored_result(got->text, kind), "copy", to_key);
}

OBJECTCACHE_DECL asio::awaitable<result<std::vector<delete_failure>>>
remove_objects(client store, std::string bucket, std::span<const std::string> keys, deadline until)
{
    const result<std::string> document = delete_document(keys);
    if (!document)
        co_return document.error();
    const const_byte_span body = std::as_bytes(std::span(*document));
    call what;
    what.method = "POST";
    what.bucket = bucket;
    what.query.emplace_back("delete", "");
    what.headers.emplace_back("Content-MD5", content_md5(body));
    what.headers.emplace_back("Content-Type", "application/xml");
    what.body = std::span(&body, 1);
    what.text_limit = std::size_t(8) << 20;
    what.until = until;
    result<answer> got = co_await store.send(std::move(what));
    if (!got)
        co_return got.error();
    co_return detail::in_context(parse_delete_result(got->text), "deletion", bucket);
}

} // namespace objectcache::s3
