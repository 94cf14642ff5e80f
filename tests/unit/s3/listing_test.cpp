// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/listing.hpp>

#include <unit/s3/large_object_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>

// Everything below a prefix: listed, and removed.
namespace listing_test {

using namespace large_object_test;
using namespace std::chrono_literals;
using peer_test::scripted_peer;

/** What a caller of a listing gets to see. */
struct seen {
    std::vector<std::string> keys, folders;
    std::size_t pages = 0;
    status outcome;
};

/** @param most Pages, after which the caller has seen enough. */
asio::awaitable<seen> see(listing& pages, std::size_t most = 1'000'000)
{
    seen out;
    while (out.pages < most) {
        const list_page* const page = co_await pages.next();
        if (!page)
            break;
        ++out.pages;
        for (const list_entry& object : page->objects)
            out.keys.push_back(object.key);
        out.folders.insert(out.folders.end(), page->common_prefixes.begin(), page->common_prefixes.end());
    }
    out.outcome = pages.outcome();
    co_return out;
}

void put(world& w, const std::vector<std::string>& keys)
{
    for (const std::string& key : keys)
        REQUIRE(w.server.put("bucket", key, pattern(1)).ok());
}

std::vector<std::string> numbered(const std::string& prefix, int count)
{
    std::vector<std::string> keys;
    for (int i = 0; i < count; ++i)
        keys.push_back(prefix + std::to_string(i));
    return keys;
}

const std::vector<std::string> odd_keys{"p/\x01", "p/\x1f\x7f", "p/<a>&\"'",     "p/nl\ncr\r",
                                        "p//",    "p/\xc3\xbc", "p/\xef\xbf\xbe"};

TEST_CASE("listing: every object once, in pages of any size")
{
    world w;
    const std::vector<std::string> keys{"p/1", "p/2", "p/\xc3\xbc +&/", "q"};
    put(w, keys);
    for (const std::uint32_t size : {1, 2, 3, 4, 1000}) {
        CAPTURE(size);
        w.server.clear_log();
        listing all(w.store, "bucket", "", {.max_keys = size});
        const seen got = w.run(see(all));
        CHECK(got.outcome.ok());
        CHECK(got.keys == keys);
        CHECK(got.pages == (keys.size() + size - 1) / size);
        CHECK(w.run(see(all)).pages == 0); // and it stays at its end
        CHECK(w.server.log().size() == got.pages);
    }
    listing some(w.store, "bucket", "p/");
    CHECK(w.run(see(some)).keys == std::vector(keys.begin(), keys.end() - 1));
    listing none(w.store, "bucket", "r");
    const seen nothing = w.run(see(none));
    CHECK(nothing.outcome.ok());
    CHECK(nothing.keys.empty());
}

TEST_CASE("listing: folders, where there is a delimiter")
{
    world w;
    put(w, {"p/a/1", "p/a/2", "p/b", "p/c/1/2", "q"});
    for (const std::uint32_t size : {1, 1000}) {
        list_options how;
        how.max_keys = size;
        how.delimiter = "/";
        listing pages(w.store, "bucket", "p/", how);
        const seen got = w.run(see(pages));
        CHECK(got.outcome.ok());
        CHECK(got.keys == std::vector<std::string>{"p/b"});
        CHECK(got.folders == std::vector<std::string>{"p/a/", "p/c/"});
    }
}

TEST_CASE("listing: what a page that does not come is about, and that nobody asks for it again")
{
    world w;
    put(w, {"a", "b", "c"});
    std::atomic<int> asked = 0;
    w.respond(
        [&](const s3_request&) { return ++asked == 2 ? s3_fault::error(403, "AccessDenied") : s3_fault(); });
    listing pages(w.store, "bucket", "", {.max_keys = 1});
    const seen got = w.run(see(pages));
    CHECK(got.keys == std::vector<std::string>{"a"});
    CHECK(got.outcome == condition::denied);
    CHECK(has(got.outcome.detail(), "403 AccessDenied"));
    CHECK(w.run(see(pages)).outcome == condition::denied);
    CHECK(asked == 2);
    listing nowhere(w.store, "nowhere", "");
    CHECK(w.run(see(nowhere)).outcome == condition::absent);
}

TEST_CASE("listing: who has seen enough asks for no more, and may go on later")
{
    world w;
    put(w, {"a", "b", "c"});
    listing pages(w.store, "bucket", "", {.max_keys = 1});
    const seen first = w.run(see(pages, 1));
    CHECK(first.keys == std::vector<std::string>{"a"});
    CHECK(first.outcome.ok());
    CHECK(w.server.stats().requests == 1);
    CHECK(w.run(see(pages)).keys == std::vector<std::string>{"b", "c"});
}

TEST_CASE("listing: a deadline holds for all pages together, a cancellation for the one that is asked for")
{
    world w;
    put(w, {"a", "b"});
    std::atomic<int> asked = 0;
    w.respond([&](const s3_request&) {
        return ++asked == 2 ? s3_fault::stall(s3_fault::point::response_head) : s3_fault();
    });
    listing pages(w.store, "bucket", "", {.until = deadline(w.time.now() + 3s), .max_keys = 1});
    std::optional<seen> got;
    w.start(see(pages), got);
    REQUIRE(w.run_until([&] { return asked == 2; }));
    CHECK_FALSE(got);
    SUBCASE("the deadline passes")
    {
        w.time.advance(3s);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(got->outcome == condition::timeout);
    }
    SUBCASE("it is cancelled")
    {
        w.cancel.emit(asio::cancellation_type::terminal);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(got->outcome == condition::cancelled);
    }
    CHECK(got->keys == std::vector<std::string>{"a"});
    CHECK(w.time.pending() == 0);
    CHECK(w.store.connections().in_use() == 0);
}

/** A page of one object, "k", after which there are more. */
std::string page_before(const std::string& next)
{
    return peer_test::page("200 OK",
                           "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>" + next +
                               "</NextContinuationToken><Contents><Key>k</Key><Size>1</Size></Contents>"
                               "</ListBucketResult>");
}

TEST_CASE("listing: a store that gives the same page for ever is not asked for ever")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page_before("t")}, {page_before("t")}, {page_before("t")}}});
    client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(), support::one_try());
    listing pages(c, "b", "");
    seen got;
    const auto body = [&]() -> asio::awaitable<void> { got = co_await see(pages); };
    REQUIRE(testing::run_coroutine(io, body()));
    CHECK(got.pages == 1);
    CHECK(got.outcome == errc::malformed_response);
    CHECK(peer.requests.size() == 2);
}

TEST_CASE("listing: what does not begin with the prefix is not taken for an answer, nor removed")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page_before("t")}, {page_before("t")}}});
    client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(), support::one_try());
    listing pages(c, "b", "p/");
    seen got;
    status removed;
    const auto body = [&]() -> asio::awaitable<void> {
        got = co_await see(pages);
        removed = co_await remove_all(c, "b", "k/");
    };
    REQUIRE(testing::run_coroutine(io, body()));
    CHECK(got.pages == 0);
    CHECK(got.outcome == errc::malformed_response);
    CHECK(has(got.outcome.detail(), "listing of b/p/: a key that does not begin with the prefix"));
    CHECK(removed == errc::malformed_response);
    CHECK(peer.requests.size() == 2);
}

TEST_CASE("remove_all: all that begins so, with a request per thousand, whatever it is called")
{
    world w;
    put(w, numbered("p/n", 2500));
    put(w, odd_keys);
    put(w, {"p", "o", "q/p/"});
    w.server.clear_log();
    CHECK(w.run(remove_all(w.store, "bucket", "p/")).ok());
    std::vector<std::string> left;
    for (const auto& object : w.server.objects())
        left.push_back(object.key);
    CHECK(left == std::vector<std::string>{"o", "p", "q/p/"});
    const auto log = w.server.log();
    const auto count = [&](const char* method) {
        return std::count_if(log.begin(), log.end(),
                             [&](const auto& entry) { return entry.request.method == method; });
    };
    CHECK(count("GET") == 3);
    CHECK(count("POST") == 3);
    CHECK(count("DELETE") == 3); // those that XML cannot carry

    CHECK(w.run(remove_all(w.store, "bucket", "p/")).ok()); // nothing is there
    CHECK(w.run(remove_all(w.store, "nowhere", "")) == condition::absent);
    CHECK(w.run(remove_all(w.store, "bucket", "")).ok());
    CHECK(w.server.objects().empty());
}

TEST_CASE("remove_all: what the store does not delete is named, with the reason")
{
    using peer_test::page;
    asio::io_context io;
    const std::string listed = page(
        "200 OK",
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
        "<Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>");
    const std::string kept = page("200 OK", "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code>"
                                            "<Message>No</Message></Error></DeleteResult>");
    scripted_peer peer(io, {{{listed}, {kept}}});
    client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(), support::one_try());
    status got;
    const auto body = [&]() -> asio::awaitable<void> { got = co_await remove_all(c, "b", ""); };
    REQUIRE(testing::run_coroutine(io, body()));
    CHECK(got == errc::access_denied);
    CHECK(got.detail() == "DELETE of b: AccessDenied: No");
}

TEST_CASE("remove_all: what the store stumbled over is asked for once more, by itself")
{
    using peer_test::page;
    asio::io_context io;
    const std::string listed = page(
        "200 OK",
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
        "<Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>");
    const std::string kept = page("200 OK", "<DeleteResult><Error><Key>b</Key><Code>InternalError</Code>"
                                            "<Message>We</Message></Error></DeleteResult>");
    const std::string gone = "HTTP/1.1 204 No Content\r\n\r\n";
    const std::string refused =
        page("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>No</Message></Error>");
    for (const bool again : {true, false}) {
        scripted_peer peer(io, {{{listed}, {kept}, {again ? gone : refused}}});
        client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(),
                 support::one_try());
        status got;
        const auto body = [&]() -> asio::awaitable<void> { got = co_await remove_all(c, "b", ""); };
        REQUIRE(testing::run_coroutine(io, body()));
        CHECK(got.ok() == again);
        CHECK((again || got == condition::denied));
    }
}

TEST_CASE("remove_all: no body is larger than stores take, however long the keys are")
{
    world w;
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < 900; ++i)
        keys.push_back("p/" + std::string(1000, '&') + std::to_string(i)); // 5 times as long in XML
    put(w, keys);
    CHECK(w.run(remove_all(w.store, "bucket", "p/", {.parallel = 1})).ok());
    CHECK(w.server.objects().empty());
    std::size_t deletes = 0;
    for (const testing::s3_log_entry& entry : w.server.log())
        if (entry.request.method == "POST") {
            ++deletes;
            CHECK(entry.bytes_in <= 1 << 20);
        }
    CHECK(deletes > 4);
}

TEST_CASE("remove_all: as many requests beside the listing as were asked for, and none is left behind")
{
    world w;
    put(w, numbered("p/", 5500));
    std::atomic<int> silent = 0, lists = 0;
    w.respond([&](const s3_request& r) {
        if (r.method == "GET") {
            ++lists;
            return s3_fault();
        }
        ++silent;
        return s3_fault::stall(s3_fault::point::request_head);
    });
    std::optional<status> got;
    w.start(remove_all(w.store, "bucket", "p/", {.parallel = 2, .until = deadline(w.time.now() + 3s)}), got);
    REQUIRE(w.run_until([&] { return silent == 2 && lists == 3 && w.store.connections().in_use() == 2; }));
    CHECK_FALSE(got);
    SUBCASE("the deadline passes")
    {
        w.time.advance(3s);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(*got == condition::timeout);
    }
    SUBCASE("it is cancelled")
    {
        w.cancel.emit(asio::cancellation_type::terminal);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(*got == condition::cancelled);
    }
    CHECK(silent == 2);
    CHECK(lists == 3);
    CHECK(w.server.objects().size() == 5500);
    CHECK(w.store.connections().in_use() == 0);
}

TEST_CASE("remove_all: a batch that fails ends the others, and the listing")
{
    world w;
    put(w, numbered("p/", 5500));
    std::atomic<int> begun = 0, lists = 0;
    w.respond([&](const s3_request& r) {
        if (r.method == "GET") {
            ++lists;
            return s3_fault();
        }
        return ++begun == 2 ? s3_fault::error(403, "AccessDenied")
                            : s3_fault::stall(s3_fault::point::request_head);
    });
    const status got = w.run(remove_all(w.store, "bucket", "p/", {.parallel = 2}));
    CHECK(got == condition::denied);
    CHECK(begun == 2);
    CHECK(lists <= 3); // of 6 pages
    CHECK(w.server.objects().size() == 5500);
}

} // namespace listing_test
