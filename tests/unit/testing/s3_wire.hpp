// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/sigv4.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// A client that can send anything: a socket and strings. Whatever it waits for, it waits at most ten seconds.
namespace s3_wire {

using namespace objectcache;
using namespace std::chrono_literals;
using testing::s3_fault;
using testing::s3_server;
using testing::s3_server_options;
using header_list = std::vector<std::pair<std::string, std::string>>;

struct answer {
    unsigned status = 0; // 0: the connection ended before a whole head
    std::string head;
    std::string body;
    bool whole = false; // as many bytes as Content-Length says

    [[nodiscard]] std::string header(std::string_view name) const
    {
        const std::string line = "\r\n" + std::string(name) + ": ";
        const std::size_t at = head.find(line);
        if (at == std::string::npos)
            return {};
        const std::size_t begin = at + line.size();
        return head.substr(begin, head.find("\r\n", begin) - begin);
    }
    [[nodiscard]] std::string code() const
    {
        const std::size_t begin = body.find("<Code>");
        return begin == std::string::npos ? "" : body.substr(begin + 6, body.find("</Code>") - begin - 6);
    }
};

struct ask {
    std::string method = "GET";
    std::string path = "/"; // decoded
    std::vector<std::pair<std::string, std::string>> query;
    header_list headers;
    std::string body;
    std::string payload; // empty: the body's hash
    std::string host = "127.0.0.1";
    s3::credentials who{"objectcache-test", "objectcache-test-secret", {}, {}};
    std::chrono::seconds skew{0};
    bool anonymous = false;
    bool content_length = true;
    std::string region = "us-east-1";
};

inline std::string target_of(const ask& a)
{
    std::string out;
    s3::detail::append_uri_encoded(out, a.path, s3::detail::slash::keep);
    char separator = '?';
    for (const auto& [name, value] : a.query) {
        out += std::exchange(separator, '&');
        s3::detail::append_uri_encoded(out, name, s3::detail::slash::encode);
        out += '=';
        s3::detail::append_uri_encoded(out, value, s3::detail::slash::encode);
    }
    return out;
}

inline s3::sigv4_time now_of(const ask& a)
{
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + a.skew;
}

/** The request as bytes, signed unless it is anonymous. */
inline std::string serialize(const ask& a)
{
    const auto at = now_of(a);
    std::string payload = a.payload;
    if (payload.empty()) {
        const const_byte_span all = std::as_bytes(std::span(a.body));
        payload = s3::payload_hash(std::span(&all, 1));
    }
    header_list headers{{"host", a.host}};
    if (!a.anonymous) {
        headers.emplace_back("x-amz-date", s3::format_amz_date(at));
        headers.emplace_back("x-amz-content-sha256", payload);
        if (!a.who.session_token.empty())
            headers.emplace_back("x-amz-security-token", a.who.session_token);
    }
    std::vector<s3::field> fields, query;
    for (const auto& [name, value] : headers)
        fields.push_back({name, value});
    for (const auto& [name, value] : a.headers)
        if (name.starts_with("x-amz-"))
            fields.push_back({name, value});
    for (const auto& [name, value] : a.query)
        query.push_back({name, value});
    std::string out = a.method + " " + target_of(a) + " HTTP/1.1\r\n";
    for (const auto& [name, value] : headers)
        out += name + ": " + value + "\r\n";
    for (const auto& [name, value] : a.headers)
        out += name + ": " + value + "\r\n";
    if (!a.anonymous) {
        s3::signer signer(a.region);
        s3::signable_request signable;
        signable.method = a.method;
        signable.path = a.path;
        signable.query = query;
        signable.headers = fields;
        signable.payload = payload;
        out += "authorization: " + signer.authorization(signable, a.who, at) + "\r\n";
    }
    if (a.content_length && (!a.body.empty() || a.method == "PUT"))
        out += "content-length: " + std::to_string(a.body.size()) + "\r\n";
    return out + "\r\n" + a.body;
}

class connection {
public:
    explicit connection(const s3_server& to) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        const timeval limit{10, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        sockaddr_in where{};
        where.sin_family = AF_INET;
        where.sin_port = htons(to.port());
        where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { ::close(fd_); }

    bool send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0 && errno != EINTR)
                return false;
            bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
        return true;
    }

    /** More bytes into the buffer; false at the end, of whatever kind: see `error`. */
    bool receive()
    {
        char piece[64 << 10];
        ssize_t n;
        do // a thread that has an io_uring is interrupted by its completions
            n = ::recv(fd_, piece, sizeof piece, 0);
        while (n < 0 && errno == EINTR);
        error = n < 0 ? errno : 0;
        if (n <= 0)
            return false;
        buffered.append(piece, static_cast<std::size_t>(n));
        return true;
    }

    answer read(bool to_head = false)
    {
        answer out;
        std::size_t end;
        while ((end = buffered.find("\r\n\r\n")) == std::string::npos)
            if (!receive())
                return out;
        out.head = buffered.substr(0, end + 2);
        buffered.erase(0, end + 4);
        out.status = static_cast<unsigned>(std::stoul(out.head.substr(9, 3)));
        const std::string length = out.header("Content-Length");
        const std::size_t size = to_head || length.empty() ? 0 : std::stoul(length);
        while (buffered.size() < size && receive()) {
        }
        out.body = buffered.substr(0, size);
        buffered.erase(0, out.body.size());
        out.whole = out.body.size() == size;
        return out;
    }

    answer exchange(const ask& a)
    {
        send(serialize(a));
        return read(a.method == "HEAD");
    }

    /** Nothing but the end of the connection is to come. */
    bool ended() { return buffered.empty() && !receive() && error != EAGAIN; }

    std::string buffered;
    int error = 0;

private:
    int fd_;
};

inline answer once(const s3_server& server, const ask& a)
{
    return connection(server).exchange(a);
}

inline ask put_of(std::string path, std::string body)
{
    ask out;
    out.method = "PUT";
    out.path = std::move(path);
    out.body = std::move(body);
    return out;
}

inline ask get_of(std::string path, std::string range = {})
{
    ask out;
    out.path = std::move(path);
    if (!range.empty())
        out.headers.emplace_back("Range", std::move(range));
    return out;
}

inline ask with_method(std::string method, std::string path)
{
    ask out;
    out.method = std::move(method);
    out.path = std::move(path);
    return out;
}

inline s3_server server_with_bucket(s3_server_options options = {})
{
    options.buckets.push_back("kv-test");
    auto server = s3_server::start(std::move(options));
    REQUIRE_MESSAGE(server.ok(), server.error().message());
    return std::move(*server);
}

inline const_byte_span bytes_of(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string text_of(const std::vector<std::byte>& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/** Bytes of which no piece is like another: one that is lost, repeated or moved shows. */
inline std::string distinct_text(std::size_t size)
{
    std::string out;
    for (std::size_t i = 0; out.size() < size; ++i)
        out += std::to_string(i) + ' ';
    out.resize(size);
    return out;
}

/** A directory that is gone at the end. */
class scratch_directory {
public:
    scratch_directory()
    {
        std::string name = (std::filesystem::temp_directory_path() / "objectcache-test-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()));
        path = name;
    }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;
    ~scratch_directory()
    {
        error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

} // namespace s3_wire
