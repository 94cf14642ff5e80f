// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/connection.hpp>
#include <objectcache/s3/detail/http_fetch.hpp>
#include <objectcache/s3/transfer.hpp>
#include <objectcache/s3/xml.hpp>
#include <objectcache/version.hpp>

#include <boost/asio/this_coro.hpp>

namespace objectcache::s3::detail {

OBJECTCACHE_DECL result<http_request> request_for(std::string_view url)
{
    const auto scheme = url.find("://");
    const auto path = url.find_first_of("/?#", scheme == url.npos ? 0 : scheme + 3);
    auto where = endpoint::parse(url.substr(0, path));
    if (!where)
        return where.error();
    http_request out;
    out.where = std::move(*where);
    if (path != url.npos)
        out.target = (url[path] == '/' ? "" : "/") + std::string(url.substr(path));
    for (const char c : out.target)
        if (c <= ' ' || c > '~' || c == '#')
            return result<http_request>(errc::invalid_argument,
                                        out.where.url() +
                                            ": a path with a character that no request can have");
    return out;
}

OBJECTCACHE_DECL std::string describe(const http_request& what)
{
    return what.method + ' ' + what.where.url() + what.target.substr(0, what.target.find('?'));
}

/** The head of a request; nothing if a header could not be sent without meaning something else. */
[[nodiscard]] OBJECTCACHE_DECL std::optional<std::string> head_of(const http_request& what)
{
    std::string out =
        what.method + ' ' + what.target + " HTTP/1.1\r\nHost: " + what.where.authority_for({}) + "\r\n";
    for (const auto& [name, value] : what.headers) {
        if (!is_header_safe(value))
            return std::nullopt;
        out += name + ": " + value + "\r\n";
    }
    if (what.method != "GET")
        out += "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
    out += "User-Agent: objectcache/" OBJECTCACHE_VERSION_STRING "\r\nConnection: close\r\n\r\n";
    return out;
}

/** `what` is borrowed: the caller waits. */
[[nodiscard]] OBJECTCACHE_DECL asio::awaitable<result<http_response>>
fetch_once(const http_request& what, std::string head, connection_options how, deadline until)
{
    co_await fully_cancellable();
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    connection_pool connections(executor, what.where, std::move(how));
    std::string host = what.where.host;
    auto leased = co_await connections.acquire(std::move(host), priority::load, until);
    if (!leased)
        co_return leased.error();
    const const_byte_span body = std::as_bytes(std::span(what.body));
    exchange asked;
    asked.head = std::move(head);
    asked.payload = std::span(&body, body.empty() ? 0 : 1);
    asked.text_limit = 64 * 1024;
    transfer t(std::move(asked), leased->scratch());
    co_await leased->run(t);
    // An answer that says no is an answer, even one cut short.
    const unsigned code = t.response().status;
    if (!t.outcome().ok() && code < 300) {
        if (parse_error_document(t.text())) // which may repeat what we sent
            co_return result<http_response>(errc::server_error,
                                            "an error with status " + std::to_string(code));
        co_return t.outcome();
    }
    co_return http_response{code, std::move(t.text())};
}

/** Was the service there, and just then unable? Where nobody answers, waiting longer does not help. */
[[nodiscard]] OBJECTCACHE_DECL bool is_worth_another_try(const result<http_response>& got)
{
    if (got)
        return got->code == 429 || got->code / 100 == 5;
    return got.error() == errc::connection_lost || got.code() == std::errc::connection_reset ||
           got.code() == std::errc::broken_pipe;
}

OBJECTCACHE_DECL asio::awaitable<result<http_response>> http_fetch(http_request what, connection_options how,
                                                                   deadline until)
{
    const auto head = head_of(what);
    if (!head)
        co_return result<http_response>(errc::invalid_argument,
                                        describe(what) + ": a header with control characters");
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    timer pause(executor);
    duration delay = std::chrono::milliseconds(100);
    for (int left = 2;; --left, delay *= 3) {
        asio::awaitable<result<http_response>> work = fetch_once(what, *head, how, until);
        std::string nothing;
        result<http_response> got = co_await with_deadline(std::move(work), until, std::move(nothing));
        const time_point next = pause.now() + delay;
        if (left != 0 && is_worth_another_try(got) && !until.passed(next)) {
            pause.expires_at(next);
            const bool waited = co_await pause.wait();
            if (waited)
                continue;
            got = result<http_response>(errc::cancelled);
        }
        if (got)
            co_return got;
        status failed = got.error();
        std::string detail = describe(what);
        if (!failed.detail().empty())
            detail += ": " + failed.detail();
        // Asio and the system have codes of their own for it.
        co_return status(failed == condition::cancelled ? make_error_code(errc::cancelled) : failed.code(),
                         std::move(detail));
    }
}

} // namespace objectcache::s3::detail
