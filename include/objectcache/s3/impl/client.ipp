// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/client_state.hpp>
#include <objectcache/s3/detail/outcome.hpp>

#include <algorithm>
#include <vector>

namespace objectcache::s3 {

OBJECTCACHE_DECL client::client(asio::any_io_executor executor, endpoint where, credentials_provider who,
                                client_options options)
    : state_(
          std::make_shared<state>(std::move(executor), std::move(where), std::move(who), std::move(options)))
{}

OBJECTCACHE_DECL client::client(asio::any_io_executor executor, endpoint where, credentials who,
                                client_options options)
    : client(std::move(executor), std::move(where), credentials_provider(), std::move(options))
{
    state_->current = std::make_shared<const credentials>(std::move(who));
    state_->known = true;
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> client::read(std::shared_ptr<state> self,
                                                                   std::string bucket, std::string key,
                                                                   std::optional<byte_range> range,
                                                                   byte_span destination, get_options options)
{
    operation op;
    op.what.bucket = bucket;
    op.what.key = key;
    op.what.range = range;
    op.answer = range ? expect::range : expect::object;
    op.destination = destination;
    op.observer = options.observer;
    op.hedged = true;
    op.until = options.until;
    const field ask_for_checksum{"x-amz-checksum-mode", "ENABLED"};
    op.verified = !range && self->options.verify != checksum_check::off;
    if (op.verified)
        op.what.headers = std::span(&ask_for_checksum, 1);
    if (key.empty() || (range && range->size != destination.size()))
        co_return result<object_info>(errc::invalid_argument,
                                      describe(op.what, self->home->where) +
                                          ": the destination is not of the range's size, or no key");
    status done = co_await run(self, op);
    if (!done.ok())
        co_return done;
    object_info out{op.received, std::move(op.head.etag), std::move(op.head.last_modified)};
    if (const auto part = detail::parse_content_range(op.head.content_range); part && part->total)
        out.size = *part->total;
    co_return out;
}

/** Is the object the one that was stored, as far as its checksums tell? */
OBJECTCACHE_DECL status client::verify(const state& self, const attempt& done)
{
    bool compared = false;
    for (const checksum kind : {checksum::crc64nvme, checksum::crc32c, checksum::sha256}) {
        const std::string& claimed = done.head.checksums[static_cast<std::size_t>(kind)];
        if (claimed.empty() || compared)
            continue;
        const const_byte_span body = const_byte_span(done.destination).first(done.received);
        const auto match = compare_checksum(kind, claimed, checksum_of(kind, std::span(&body, 1)));
        if (match == checksum_match::different)
            return {errc::checksum_mismatch,
                    std::string(checksum_name(kind)) + " of what arrived is not what the store says"};
        compared = match == checksum_match::equal;
    }
    if (!compared && self.options.verify == checksum_check::required)
        return {errc::checksum_mismatch, "the store sent no checksum that could be compared"};
    return {};
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>>
client::head(std::shared_ptr<state> self, std::string bucket, std::string key, op_options options)
{
    operation op;
    op.what.method = "HEAD";
    op.what.bucket = bucket;
    op.what.key = key;
    op.answer = expect::head;
    op.until = options.until;
    status done = co_await run(self, op);
    if (!done.ok())
        co_return done;
    co_return object_info{op.head.content_length.value_or(0), std::move(op.head.etag),
                          std::move(op.head.last_modified)};
}

OBJECTCACHE_DECL asio::awaitable<status> client::write(std::shared_ptr<state> self, std::string bucket,
                                                       std::string key,
                                                       std::span<const const_byte_span> parts,
                                                       put_options options)
{
    call what;
    what.method = "PUT";
    what.bucket = std::move(bucket);
    what.key = std::move(key);
    what.body = parts;
    what.body_checksum = self->options.upload_checksum;
    what.until = options.until;
    what.if_none_match = options.if_none_match;
    operation op;
    if (what.key.empty()) {
        op.what.method = what.method;
        op.what.bucket = what.bucket;
        co_return status(errc::invalid_argument, describe(op.what, self->home->where) + ": no key");
    }
    status done = co_await carry_out(self, what, op);
    co_return done;
}

/** A call as an operation. Both are in the caller's frame. */
OBJECTCACHE_DECL asio::awaitable<status> client::carry_out(std::shared_ptr<state> self, const call& what,
                                                           operation& op)
{
    return what.if_none_match ? carry_out_if_absent(std::move(self), what, op)
                              : carry_out_once(std::move(self), what, op);
}

/** With the store's own condition, or without it by looking first: then `op` is what was written in the end. */
OBJECTCACHE_DECL asio::awaitable<status> client::carry_out_if_absent(std::shared_ptr<state> self,
                                                                     const call& what, operation& op)
{
    call mine = what;
    if (mine.until == deadline::never()) // of all steps together
        mine.until = deadline(self->time.now() + self->options.request_timeout);
    bool& lacking = mine.method == "PUT" ? self->no_conditional_put : self->no_conditional_post;
    if (!lacking) {
        mine.headers.emplace_back("If-None-Match", "*");
        status done = co_await carry_out_once(self, mine, op);
        if (op.head.status != 501 || !self->options.emulate_if_none_match)
            co_return done;
        lacking = true;
        mine.headers.pop_back();
        op = operation();
    }
    const op_options how{mine.until};
    const auto there = co_await head(self, mine.bucket, mine.key, how);
    if (there)
        co_return status(errc::already_exists, mine.method + " of " + mine.key);
    if (there.error() != condition::absent)
        co_return there.error();
    status done = co_await carry_out_once(self, mine, op);
    co_return done;
}

OBJECTCACHE_DECL asio::awaitable<status> client::carry_out_once(std::shared_ptr<state> self, const call& what,
                                                                operation& op)
{
    const payload_signing signing = self->options.signing;
    // Only objects and their parts are taken in chunks: RGW answers 501 to other requests in that form.
    const bool in_chunks = signing == payload_signing::chunks && what.method == "PUT" && !what.key.empty();
    const bool hashed = signing == payload_signing::always ||
                        (signing == payload_signing::automatic && !self->home->where.tls) ||
                        (signing == payload_signing::chunks && !in_chunks);
    std::optional<chunked_upload> stream;
    if (in_chunks && !what.body.empty() && (self->who || !self->current->is_anonymous())) {
        chunked_options how;
        how.trailer = what.body_checksum;
        auto made = chunked_upload::make(what.body, how);
        if (!made)
            co_return made.error();
        stream = std::move(*made);
    }
    const std::string hash = what.body.empty() ? std::string(empty_payload)
                             : hashed          ? payload_hash(what.body)
                                               : std::string(unsigned_payload);
    const std::string sum = stream || what.body_checksum == checksum::none
                                ? std::string()
                                : checksum_of(what.body_checksum, what.body);
    std::uint64_t size = 0;
    for (const const_byte_span part : what.body)
        size += part.size();
    std::vector<field> query(what.query.begin(), what.query.end());
    std::vector<field> headers(what.headers.begin(), what.headers.end());
    if (!sum.empty())
        headers.push_back({checksum_header(what.body_checksum), sum});

    op.what.method = what.method;
    op.what.bucket = what.bucket;
    op.what.key = what.key;
    op.what.query = query;
    if (!what.body.empty() || what.method == "PUT" || what.method == "POST")
        op.what.content_length = size;
    op.what.payload = hash;
    op.payload = what.body;
    op.body_size = size;
    std::vector<field> framing;
    if (stream) {
        framing = stream->headers();
        op.what.content_length = stream->encoded_size();
        op.what.payload = stream->payload();
        op.payload = {};
        op.stream = &*stream;
    }
    headers.insert(headers.end(), framing.begin(), framing.end());
    op.what.headers = headers;
    op.text_limit = what.text_limit;
    op.conditional = std::any_of(headers.begin(), headers.end(),
                                 [](const field& h) { return detail::is_lower_of("if-none-match", h.name); });
    op.repeatable = what.repeatable;
    op.who = what.who;
    op.until = what.until;
    if (what.method == "HEAD")
        op.answer = expect::head;
    status done = co_await run(self, op);
    op.what = {}; // its views end with this frame
    op.stream = nullptr;
    co_return done;
}

OBJECTCACHE_DECL asio::awaitable<result<answer>> client::send(std::shared_ptr<state> self, call what)
{
    operation op;
    status done = co_await carry_out(self, what, op);
    if (!done.ok())
        co_return done;
    answer out;
    out.status = op.head.status;
    out.etag = std::move(op.head.etag);
    if (what.body_checksum != checksum::none)
        out.checksum = std::move(op.head.checksums[static_cast<std::size_t>(what.body_checksum)]);
    out.text = std::move(op.text);
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<result<list_page>>
client::list(std::shared_ptr<state> self, std::string bucket, std::string prefix, list_options options)
{
    const std::string max_keys = std::to_string(options.max_keys);
    std::vector<field> query{{"encoding-type", "url"}, {"list-type", "2"}, {"max-keys", max_keys}};
    if (!options.continuation.empty())
        query.push_back({"continuation-token", options.continuation});
    if (!options.delimiter.empty())
        query.push_back({"delimiter", options.delimiter});
    if (!prefix.empty())
        query.push_back({"prefix", prefix});

    operation op;
    op.what.bucket = bucket;
    op.what.query = query;
    op.text_limit =
        std::size_t(8) << 20; // 1000 keys of 1024 bytes, each byte as %XX, and what goes with them
    op.until = options.until;
    status done = co_await run(self, op);
    if (!done.ok())
        co_return done;
    result<list_page> page = parse_list_page(op.text);
    if (!page)
        co_return result<list_page>(
            status(page.code(), describe(op.what, self->home->where) + ": " + page.error().detail()));
    if (op.head.date)
        page->date = *op.head.date;
    co_return page;
}

OBJECTCACHE_DECL asio::awaitable<status> client::command(std::shared_ptr<state> self, const char* method,
                                                         std::string bucket, std::string key,
                                                         std::string body, op_options options)
{
    const const_byte_span part = std::as_bytes(std::span(body));
    call what;
    what.method = method;
    what.bucket = std::move(bucket);
    what.key = std::move(key);
    if (!body.empty())
        what.body = std::span(&part, 1);
    what.until = options.until;
    operation op;
    if (what.key.empty() && what.method == "DELETE") { // would delete the bucket
        op.what.method = method;
        op.what.bucket = what.bucket;
        co_return status(errc::invalid_argument, describe(op.what, self->home->where) + ": no key");
    }
    status done = co_await carry_out(self, what, op);
    co_return done;
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>>
client::get(std::string bucket, std::string key, byte_range range, byte_span destination, get_options options)
{
    return read(state_, std::move(bucket), std::move(key), range, destination, options);
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> client::get(std::string bucket, std::string key,
                                                                  byte_span destination, get_options options)
{
    return read(state_, std::move(bucket), std::move(key), std::nullopt, destination, options);
}

OBJECTCACHE_DECL asio::awaitable<status>
client::put(std::string bucket, std::string key, std::span<const const_byte_span> parts, put_options options)
{
    return write(state_, std::move(bucket), std::move(key), parts, options);
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> client::head(std::string bucket, std::string key,
                                                                   op_options options)
{
    return head(state_, std::move(bucket), std::move(key), options);
}

OBJECTCACHE_DECL asio::awaitable<result<list_page>> client::list(std::string bucket, std::string prefix,
                                                                 list_options options)
{
    return list(state_, std::move(bucket), std::move(prefix), std::move(options));
}

OBJECTCACHE_DECL asio::awaitable<status> client::remove(std::string bucket, std::string key,
                                                        op_options options)
{
    return command(state_, "DELETE", std::move(bucket), std::move(key), {}, options);
}

OBJECTCACHE_DECL asio::awaitable<status> client::create_bucket(std::string bucket, op_options options)
{
    std::string body;
    if (state_->home->where.is_amazon() && state_->home->where.region != "us-east-1")
        body = "<CreateBucketConfiguration><LocationConstraint>" + state_->home->where.region +
               "</LocationConstraint></CreateBucketConfiguration>";
    return command(state_, "PUT", std::move(bucket), {}, std::move(body), options);
}

OBJECTCACHE_DECL asio::awaitable<status> client::prewarm(std::string bucket, std::size_t connections,
                                                         op_options options)
{
    if (options.until == deadline::never())
        options.until = deadline(state_->time.now() + state_->options.request_timeout);
    return prewarm(state_, std::move(bucket), connections, options.until);
}

OBJECTCACHE_DECL asio::awaitable<status> client::prewarm(std::shared_ptr<state> self, std::string bucket,
                                                         std::size_t connections, deadline until)
{
    if (self->who && !self->has_credentials(std::chrono::minutes(1))) {
        status fetched = co_await fetch_credentials(self, until);
        if (!fetched.ok() && !self->has_credentials(std::chrono::seconds(0)))
            co_return fetched;
    }
    std::string host = self->place_of(bucket)->where.host_for(bucket);
    co_return co_await self->pool.prewarm(std::move(host), connections, until);
}

OBJECTCACHE_DECL asio::awaitable<result<answer>> client::send(call what)
{
    return send(state_, std::move(what));
}

OBJECTCACHE_DECL const client_counters& client::counters() const noexcept
{
    return state_->count;
}

OBJECTCACHE_DECL const client_options& client::options() const noexcept
{
    return state_->options;
}

OBJECTCACHE_DECL const endpoint& client::where() const noexcept
{
    return state_->home->where;
}

OBJECTCACHE_DECL connection_pool& client::connections() noexcept
{
    return state_->pool;
}

} // namespace objectcache::s3
