// SPDX-License-Identifier: BSL-1.0
//
// One request of the client per run, for tests that compare it with other clients. AWS_ENDPOINT_URL, AWS_CA_BUNDLE and
// the usual AWS_* say where and who; objects come from standard input and go to standard output.
//
//     interop_s3_tool put|put-new|get|head|ls|rm|mb BUCKET [KEY or prefix] [first-last]
//     interop_s3_tool presign BUCKET KEY METHOD
//
// head prints size and ETag, ls size, ETag and key of each object, these ended by NULs, presign a URL that works for a
// minute. Exit status 1: the request failed, and standard error says why; 2: usage.

#include <objectcache/s3/client.hpp>
#include <objectcache/s3/listing.hpp>
#include <objectcache/s3/presign.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

std::vector<std::byte> standard_input()
{
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::optional<oc::byte_range> parse_range(std::string_view text)
{
    std::uint64_t first = 0, last = 0;
    const auto dash = text.find('-');
    if (dash == text.npos)
        return std::nullopt;
    const auto a = std::from_chars(text.data(), text.data() + dash, first);
    const auto b = std::from_chars(text.data() + dash + 1, text.data() + text.size(), last);
    if (a.ec != std::errc() || b.ec != std::errc() || last < first)
        return std::nullopt;
    return oc::byte_range{first, last - first + 1};
}

asio::awaitable<oc::status> put(oc::s3::client& c, std::string bucket, std::string key, bool only_new)
{
    const std::vector<std::byte> data = standard_input();
    const oc::const_byte_span whole(data);
    oc::s3::put_options options;
    options.if_none_match = only_new;
    co_return co_await c.put(bucket, key, std::span(&whole, 1), options);
}

asio::awaitable<oc::status> get(oc::s3::client& c, std::string bucket, std::string key,
                                std::optional<oc::byte_range> range)
{
    std::vector<std::byte> data;
    if (range) {
        data.resize(range->size);
        const auto got = co_await c.get(bucket, key, *range, data);
        if (!got)
            co_return got.error();
    } else {
        const auto info = co_await c.head(bucket, key);
        if (!info)
            co_return info.error();
        data.resize(info->size);
        const auto got = co_await c.get(bucket, key, data);
        if (!got)
            co_return got.error();
    }
    std::cout.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    co_return oc::status();
}

asio::awaitable<oc::status> head(oc::s3::client& c, std::string bucket, std::string key)
{
    const auto info = co_await c.head(bucket, key);
    if (!info)
        co_return info.error();
    std::cout << info->size << ' ' << info->etag << '\n';
    co_return oc::status();
}

asio::awaitable<oc::status> list(oc::s3::client& c, std::string bucket, std::string prefix)
{
    oc::s3::listing pages(c, bucket, prefix);
    while (const oc::s3::list_page* page = co_await pages.next())
        for (const oc::s3::list_entry& entry : page->objects)
            std::cout << entry.size << ' ' << entry.etag << ' ' << entry.key << '\0';
    co_return pages.outcome();
}

int fail(const oc::status& why)
{
    std::cerr << "error: " << why.message() << '\n';
    return 1;
}

int presign(const oc::s3::endpoint& where, const oc::s3::credentials& who, const std::string& bucket,
            const std::string& key, const std::string& method)
{
    oc::s3::request what;
    what.method = method;
    what.bucket = bucket;
    what.key = key;
    oc::s3::signer signer(where.region);
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const auto url = oc::s3::presign(what, where, who, signer, now, std::chrono::minutes(1));
    if (!url)
        return fail(url.error());
    std::cout << *url << '\n';
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() < 2 || arguments.size() > 4) {
        std::cerr << "usage: interop_s3_tool put|put-new|get|head|ls|rm|mb|presign BUCKET [KEY] "
                     "[first-last|METHOD]\n";
        return 2;
    }
    const std::string& what = arguments[0];
    const std::string& bucket = arguments[1];
    const std::string key = arguments.size() > 2 ? arguments[2] : "";
    const auto range = arguments.size() > 3 ? parse_range(arguments[3]) : std::nullopt;

    const auto where = oc::s3::endpoint::from_env();
    if (!where)
        return fail(where.error());
    const auto who = oc::s3::default_credentials();
    if (!who)
        return fail(who.error());
    if (what == "presign")
        return presign(*where, *who, bucket, key, arguments.size() > 3 ? arguments[3] : "GET");
    oc::s3::client_options options;
    if (const char* bundle = std::getenv("AWS_CA_BUNDLE"))
        options.connections.ca_file = bundle;

    asio::io_context io;
    oc::s3::client c(io.get_executor(), *where, *who, options);
    asio::awaitable<oc::status> work;
    if (what == "put" || what == "put-new")
        work = put(c, bucket, key, what == "put-new");
    else if (what == "get")
        work = get(c, bucket, key, range);
    else if (what == "head")
        work = head(c, bucket, key);
    else if (what == "ls")
        work = list(c, bucket, key);
    else if (what == "rm")
        work = c.remove(bucket, key);
    else if (what == "mb")
        work = c.create_bucket(bucket);
    else
        return fail({oc::errc::invalid_argument, what});

    oc::status done;
    asio::co_spawn(io, std::move(work), [&done](std::exception_ptr, oc::status s) { done = std::move(s); });
    io.run();
    std::cout.flush();
    return done.ok() ? 0 : fail(done);
}
