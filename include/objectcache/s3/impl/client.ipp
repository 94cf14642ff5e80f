// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/detail/connection.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/s3/transfer.hpp>

#include <vector>

namespace objectcache::s3 {

struct client::state {
    state(asio::any_io_executor ex, endpoint to, credentials_provider provider, client_options how)
        : executor(std::move(ex))
        , where(std::move(to))
        , options(std::move(how))
        , who(std::move(provider))
        , sign(where.region)
        , pool(executor, where, options.connections)
    {}

    /** Are there credentials, and will there be for so long? */
    [[nodiscard]] bool has_credentials(std::chrono::seconds ahead) const
    {
        return known && (!current.expiry || *current.expiry - std::chrono::system_clock::now() >= ahead);
    }

    asio::any_io_executor executor;
    endpoint where;
    client_options options;
    credentials_provider who; // may be empty: then `current` is for ever
    credentials current;
    bool known = false;
    signer sign;
    connection_pool pool;
};

/** One request in flight. Its views are into the coroutine that made it, which waits for it. */
struct client::operation {
    request what;
    std::span<const const_byte_span> payload = {};
    expect answer = expect::text;
    byte_span destination = {};
    std::size_t text_limit = transfer::error_limit;
    bool conditional = false;
    priority who = priority::load;
    deadline until;

    response_head head;
    std::string text;
    std::size_t received = 0; // bytes in the destination
};

OBJECTCACHE_DECL client::client(asio::any_io_executor executor, endpoint where, credentials_provider who,
                                client_options options)
    : state_(
          std::make_shared<state>(std::move(executor), std::move(where), std::move(who), std::move(options)))
{}

OBJECTCACHE_DECL client::client(asio::any_io_executor executor, endpoint where, credentials who,
                                client_options options)
    : client(std::move(executor), std::move(where), credentials_provider(), std::move(options))
{
    state_->current = std::move(who);
    state_->known = true;
}

OBJECTCACHE_DECL asio::awaitable<status> client::perform(std::shared_ptr<state> self, operation& op)
{
    co_await detail::fully_cancellable();
    if (self->who && !self->has_credentials(std::chrono::minutes(1))) {
        result<credentials> fetched = co_await self->who();
        if (fetched) {
            self->current = std::move(*fetched);
            self->known = true;
        } else if (!self->has_credentials(std::chrono::seconds(0))) {
            co_return fetched.error();
        }
    }
    for (bool again = false;; again = true) {
        const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
        result<std::string> head = serialize(op.what, self->where, self->current, self->sign, now);
        if (!head)
            co_return head.error();
        std::string host = self->where.host_for(op.what.bucket);
        auto leased = co_await self->pool.acquire(std::move(host), op.who, op.until, again);
        if (!leased)
            co_return leased.error();
        connection_pool::lease& connection = *leased;
        exchange what;
        what.head = std::move(*head);
        what.payload = op.payload;
        what.answer = op.answer;
        what.range = op.what.range.value_or(byte_range());
        what.destination = op.destination;
        what.text_limit = op.text_limit;
        what.conditional = op.conditional;
        transfer t(std::move(what), connection.scratch());
        co_await connection.run(t);
        if (t.reusable())
            connection.keep();
        // Closed by the server while it was idle, or so it looks: the request itself is not to blame. All requests of
        // this client may be sent twice; a conditional one may then meet its own first try.
        if (!again && connection.reused() && !t.answered() && t.outcome() == condition::unavailable)
            continue;
        op.head = t.response();
        op.text = std::move(t.text());
        op.received = t.received_body();
        co_return t.outcome();
    }
}

OBJECTCACHE_DECL asio::awaitable<status> client::run(std::shared_ptr<state> self, operation& op)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    status done(errc::cancelled);
    if (cancellation.cancelled() == asio::cancellation_type::none) {
        if (op.until == deadline::never())
            op.until = deadline(clock::of(self->executor).now() + self->options.request_timeout);
        asio::awaitable<status> work = perform(self, op);
        std::string nothing;
        done = co_await with_deadline(std::move(work), op.until, std::move(nothing));
    }
    if (done.ok())
        co_return done;
    std::string detail = describe(op.what, self->where);
    if (!done.detail().empty())
        detail += ": " + done.detail();
    // Asio and the system have codes of their own for it.
    co_return status(done == condition::cancelled ? make_error_code(errc::cancelled) : done.code(),
                     std::move(detail));
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> client::read(std::shared_ptr<state> self,
                                                                   std::string bucket, std::string key,
                                                                   std::optional<byte_range> range,
                                                                   byte_span destination, op_options options)
{
    operation op;
    op.what.bucket = bucket;
    op.what.key = key;
    op.what.range = range;
    op.answer = range ? expect::range : expect::object;
    op.destination = destination;
    op.until = options.until;
    if (key.empty() || (range && range->size != destination.size()))
        co_return result<object_info>(errc::invalid_argument,
                                      describe(op.what, self->where) +
                                          ": the destination is not of the range's size, or no key");
    status done = co_await run(self, op);
    if (!done.ok())
        co_return done;
    object_info out{op.received, std::move(op.head.etag), std::move(op.head.last_modified)};
    if (const auto part = detail::parse_content_range(op.head.content_range); part && part->total)
        out.size = *part->total;
    co_return out;
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
    const field only_new{"If-None-Match", "*"};
    const bool hashed = self->options.signing == payload_signing::always ||
                        (self->options.signing == payload_signing::automatic && !self->where.tls);
    const std::string hash = hashed ? payload_hash(parts) : std::string(unsigned_payload);
    std::uint64_t size = 0;
    for (const const_byte_span part : parts)
        size += part.size();

    operation op;
    op.what.method = "PUT";
    op.what.bucket = bucket;
    op.what.key = key;
    if (options.if_none_match)
        op.what.headers = std::span(&only_new, 1);
    op.what.content_length = size;
    op.what.payload = hash;
    op.payload = parts;
    op.conditional = options.if_none_match;
    op.who = priority::store;
    op.until = options.until;
    if (key.empty())
        co_return status(errc::invalid_argument, describe(op.what, self->where) + ": no key");
    co_return co_await run(self, op);
}

OBJECTCACHE_DECL asio::awaitable<result<list_page>>
client::list(std::shared_ptr<state> self, std::string bucket, std::string prefix, list_options options)
{
    const std::string max_keys = std::to_string(options.max_keys);
    std::vector<field> query{{"encoding-type", "url"}, {"list-type", "2"}, {"max-keys", max_keys}};
    if (!options.continuation.empty())
        query.push_back({"continuation-token", options.continuation});
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
            status(page.code(), describe(op.what, self->where) + ": " + page.error().detail()));
    co_return page;
}

OBJECTCACHE_DECL asio::awaitable<status> client::command(std::shared_ptr<state> self, const char* method,
                                                         std::string bucket, std::string key,
                                                         std::string body, op_options options)
{
    const const_byte_span part = std::as_bytes(std::span(body));
    const std::string hash = payload_hash(std::span(&part, 1));
    operation op;
    op.what.method = method;
    op.what.bucket = bucket;
    op.what.key = key;
    op.what.content_length = body.size();
    op.what.payload = hash;
    op.payload = std::span(&part, 1);
    op.who = priority::store;
    op.until = options.until;
    if (key.empty() && op.what.method == "DELETE") // would delete the bucket
        co_return status(errc::invalid_argument, describe(op.what, self->where) + ": no key");
    co_return co_await run(self, op);
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>>
client::get(std::string bucket, std::string key, byte_range range, byte_span destination, op_options options)
{
    return read(state_, std::move(bucket), std::move(key), range, destination, options);
}

OBJECTCACHE_DECL asio::awaitable<result<object_info>> client::get(std::string bucket, std::string key,
                                                                  byte_span destination, op_options options)
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
    if (state_->where.is_amazon() && state_->where.region != "us-east-1")
        body = "<CreateBucketConfiguration><LocationConstraint>" + state_->where.region +
               "</LocationConstraint></CreateBucketConfiguration>";
    return command(state_, "PUT", std::move(bucket), {}, std::move(body), options);
}

OBJECTCACHE_DECL const endpoint& client::where() const noexcept
{
    return state_->where;
}

OBJECTCACHE_DECL connection_pool& client::connections() noexcept
{
    return state_->pool;
}

} // namespace objectcache::s3
