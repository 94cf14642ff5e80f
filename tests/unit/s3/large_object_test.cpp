// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/large_object.hpp>

#include <objectcache/s3/detail/large_object.hpp>

#include <unit/s3/large_object_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <algorithm>
#include <chrono>

// The steps of an upload one by one, copies, and deletes in bulk.
namespace large_object_test {

using peer_test::page;
using peer_test::scripted_peer;

TEST_CASE("is_etag_of: the MD5 of the parts' MD5s, and their number")
{
    // The MD5s of "a" and of "b".
    const std::vector<uploaded_part> parts{{1, "\"0cc175b9c0f1b6a831c399e269772661\"", {}},
                                           {2, "92EB5FFEE6AE2FEC3AD71C777531578F", {}}};
    const std::string whole = "96e024ba2074fe77e8e965ba43a704be"; // of both, one after the other
    CHECK_FALSE(s3::detail::is_etag_of("", parts));
    CHECK_FALSE(s3::detail::is_etag_of("\"\"", parts));
    CHECK_FALSE(s3::detail::is_etag_of("-2", parts));
    CHECK(s3::detail::is_etag_of(whole + "-2", parts));
    CHECK(s3::detail::is_etag_of("\"" + whole + "-2\"", parts));
    CHECK_FALSE(s3::detail::is_etag_of(whole + "-1", parts));
    CHECK_FALSE(s3::detail::is_etag_of(whole, parts));
    CHECK_FALSE(s3::detail::is_etag_of(whole.substr(2) + "-2", parts));
    const std::vector<uploaded_part> opaque{{1, "\"not an MD5\"", {}}};
    CHECK_FALSE(s3::detail::is_etag_of("\"d41d8cd98f00b204e9800998ecf8427e-1\"", opaque));
}

TEST_CASE("uploads by hand: parts in any order, the last one sent of a number counts")
{
    world w;
    const auto first = pattern(100, 1), second = pattern(50, 2), better = pattern(70, 3);
    const auto send = [&](const std::string& id, std::uint32_t number, const std::vector<std::byte>& data) {
        const const_byte_span whole(data);
        return w.run(upload_part(w.store, "bucket", "a b/\xc3\xbc+", id, number, std::span(&whole, 1), {}));
    };
    const auto id = w.run(begin_upload(w.store, "bucket", "a b/\xc3\xbc+", {}));
    REQUIRE_MESSAGE(id.ok(), id.error().message());
    CHECK(w.server.pending_uploads() == 1);
    const auto two = send(*id, 2, second), one = send(*id, 1, first), again = send(*id, 2, better);
    REQUIRE(two);
    REQUIRE(one);
    REQUIRE(again);
    CHECK(again->number == 2);
    CHECK(again->etag != two->etag);
    const auto complete = [&](std::vector<uploaded_part> parts) {
        return w.run(complete_upload(w.store, "bucket", "a b/\xc3\xbc+", *id, parts, {}));
    };
    CHECK(has(complete({*one, *two}).error().detail(), "InvalidPart"));
    CHECK(has(complete({*again, *one}).error().detail(), "InvalidPartOrder"));
    CHECK_FALSE(complete({}));
    const auto stored = complete({*one, *again});
    REQUIRE_MESSAGE(stored.ok(), stored.error().message());
    auto all = first;
    all.insert(all.end(), better.begin(), better.end());
    CHECK(*w.server.read("bucket", "a b/\xc3\xbc+") == all);
    CHECK(s3::detail::is_etag_of(stored->etag, std::vector{*one, *again}));
    CHECK_FALSE(s3::detail::is_etag_of(stored->etag, std::vector{*one, *two}));
    CHECK_FALSE(s3::detail::is_etag_of(stored->etag, std::vector{*one}));

    // Completed already: nothing was lost. Of other parts it is not the object.
    CHECK(complete({*one, *again})->etag == stored->etag);
    CHECK(complete({*one}).error() == condition::absent);
    CHECK(send(*id, 3, first).error() == condition::absent);
}

TEST_CASE("uploads by hand: an end that depends on there being no object")
{
    world w;
    const auto data = pattern(100);
    const const_byte_span whole(data);
    const auto begin = [&](std::vector<uploaded_part>& parts) {
        const auto id = w.run(begin_upload(w.store, "bucket", "k", {}));
        REQUIRE(id);
        parts = {*w.run(upload_part(w.store, "bucket", "k", *id, 1, std::span(&whole, 1), {}))};
        return *id;
    };
    std::vector<uploaded_part> parts;
    const std::string first = begin(parts), second = begin(parts);
    const put_options keeping{.if_none_match = true};
    const auto complete = [&](const std::string& id, put_options how) {
        return w.run(complete_upload(w.store, "bucket", "k", id, parts, how));
    };
    SUBCASE("where the store knows it")
    {
        CHECK(complete(first, keeping));
        CHECK(complete(second, keeping).code() == errc::already_exists);
        CHECK(w.server.pending_uploads() == 1);
        CHECK(complete(second, {}));
        CHECK(w.server.pending_uploads() == 0);
    }
    SUBCASE("where it lacks it for uploads, which says nothing of whole objects")
    {
        w.respond([refused = 0](const s3_request& r) mutable {
            return r.method == "POST" && refused++ == 0 ? s3_fault::error(501, "NotImplemented") : s3_fault();
        });
        CHECK(complete(first, keeping));
        CHECK(complete(second, keeping).code() == errc::already_exists);
        w.server.clear_log();
        CHECK(w.run(w.store.put("bucket", "k", std::span(&whole, 1), keeping)) == errc::already_exists);
        REQUIRE(w.server.log().size() == 1);
        CHECK(w.server.log()[0].status == 412);
    }
    SUBCASE("of an object that is there by another upload, though this one is gone")
    {
        CHECK(complete(first, {}));
        CHECK(w.run(abort_upload(w.store, "bucket", "k", second, {})).ok());
        REQUIRE(w.server.put("bucket", "k", pattern(10)).ok());
        CHECK(complete(second, {}).error() == condition::absent);
        CHECK(complete(second, keeping).code() == errc::already_exists);
    }
}

TEST_CASE("uploads by hand: aborts, of what is there or not")
{
    world w;
    const auto id = w.run(begin_upload(w.store, "bucket", "k", {}));
    REQUIRE(id);
    CHECK(w.run(abort_upload(w.store, "bucket", "k", *id, {})).ok());
    CHECK(w.server.pending_uploads() == 0);
    CHECK(w.run(abort_upload(w.store, "bucket", "k", *id, {})).ok());
    CHECK(w.run(abort_upload(w.store, "bucket", "k", "never&was=there", {})).ok());
    w.respond([](const s3_request&) { return s3_fault::error(403, "AccessDenied"); });
    CHECK(w.run(abort_upload(w.store, "bucket", "k", *id, {})) == condition::denied);
}

TEST_CASE("uploads by hand: what could be taken for a request about the object or the bucket is not sent")
{
    world w;
    const auto data = pattern(10);
    const const_byte_span whole(data);
    const std::vector<uploaded_part> parts{{1, "\"e\"", {}}};
    REQUIRE(w.server.put("bucket", "k", data).ok());
    CHECK(w.run(begin_upload(w.store, "bucket", "", {})).error() == condition::invalid);
    CHECK(w.run(abort_upload(w.store, "bucket", "k", "", {})) == condition::invalid);
    CHECK(w.run(abort_upload(w.store, "bucket", "", "id", {})) == condition::invalid);
    CHECK(w.run(complete_upload(w.store, "bucket", "k", "", parts, {})).error() == condition::invalid);
    CHECK(w.run(complete_upload(w.store, "bucket", "", "id", parts, {})).error() == condition::invalid);
    for (const std::uint32_t number : {0, 1, 10'001}) {
        const std::string id = number == 1 ? "" : "id";
        CHECK(w.run(upload_part(w.store, "bucket", "k", id, number, std::span(&whole, 1), {})).error() ==
              condition::invalid);
    }
    CHECK(w.run(copy_object(w.store, "bucket", "", "bucket", "k2", {})).error() == condition::invalid);
    CHECK(w.run(copy_object(w.store, "", "k", "bucket", "k2", {})).error() == condition::invalid);
    CHECK(w.run(copy_object(w.store, "bucket", "k", "bucket", "", {})).error() == condition::invalid);
    CHECK(w.server.stats().requests == 0);
}

const std::vector<std::string> odd_keys{
    "a b+c%d?e#f&g=h", "\xc3\xbc/\xe1\x88\xb4", "a//b", "/a", "x'()*!$,:;@[]~_",
    "<&>\"'",          "tab\tnl\ncr\r",         "]]>"};

TEST_CASE("list_uploads: page by page, whatever the keys are called")
{
    world w;
    std::vector<std::string> begun;
    for (const std::string& key : odd_keys) {
        REQUIRE(w.run(begin_upload(w.store, "bucket", key, {})));
        begun.push_back(key);
    }
    for (int i = 0; i < 1100; ++i) { // a page has a thousand
        REQUIRE(w.run(begin_upload(w.store, "bucket", "p/" + std::to_string(i / 2), {})));
        begun.push_back("p/" + std::to_string(i / 2));
    }
    const auto list = [&](const std::string& prefix) {
        std::vector<std::string> keys;
        std::size_t pages = 0;
        upload_page page;
        do {
            auto next = w.run(list_uploads(w.store, "bucket", prefix, page, {}));
            REQUIRE_MESSAGE(next.ok(), next.error().message());
            page = std::move(*next);
            for (const pending_upload& upload : page.uploads) {
                CHECK_FALSE(upload.upload_id.empty());
                CHECK(std::chrono::abs(upload.initiated - w.time.date()) < std::chrono::hours(1));
                keys.push_back(upload.key);
            }
            ++pages;
        } while (!page.key_marker.empty());
        CHECK(pages == keys.size() / 1000 + 1);
        return keys;
    };
    std::sort(begun.begin(), begun.end());
    CHECK(list("") == begun);
    CHECK(list("p/").size() == 1100);
    CHECK(list("<&>") == std::vector<std::string>{"<&>\"'"});
    CHECK(list("none").empty());
    CHECK(w.run(list_uploads(w.store, "nowhere", "", {}, {})).error() == condition::absent);
}

TEST_CASE("copy_object: there and back, whatever the keys are called")
{
    world w;
    REQUIRE(w.server.create_bucket("other").ok());
    for (const std::string& key : odd_keys) {
        CAPTURE(key);
        const auto data = pattern(1000, static_cast<unsigned>(key.size()));
        REQUIRE(w.server.put("bucket", key, data).ok());
        const auto copied = w.run(copy_object(w.store, "bucket", key, "other", key + "'", {}));
        REQUIRE_MESSAGE(copied.ok(), copied.error().message());
        CHECK_FALSE(copied->etag.empty());
        CHECK_FALSE(copied->last_modified.empty());
        CHECK(*w.server.read("other", key + "'") == data);
    }
    CHECK(w.run(copy_object(w.store, "bucket", "absent", "other", "k", {})).error() == condition::absent);
    CHECK(w.run(copy_object(w.store, "nowhere", "k", "other", "k", {})).error() == condition::absent);
    CHECK(w.run(copy_object(w.store, "bucket", odd_keys[0], "nowhere", "k", {})).error() ==
          condition::absent);
    CHECK(w.run(copy_object(w.store, "bad\r\nx: y", "k", "other", "k", {})).error() == condition::absent);
}

TEST_CASE("copies and deletes: a 200 that turns out an error, and one that says nothing")
{
    const std::string failed =
        page("200 OK", "<Error><Code>InternalError</Code><Message>later</Message></Error>");
    for (const std::string& said : {failed, page("200 OK")}) {
        CAPTURE(said);
        asio::io_context io;
        scripted_peer peer(io, {{{said}, {said}}});
        client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(),
                 support::one_try());
        status copied, removed;
        const auto body = [&]() -> asio::awaitable<void> {
            const std::vector<std::string> keys{"k"};
            const auto copy = co_await copy_object(c, "b", "k", "b", "k2", deadline());
            copied = copy.error();
            const auto remove = co_await remove_objects(c, "b", keys, deadline());
            removed = remove.error();
        };
        REQUIRE(testing::run_coroutine(io, body()));
        const errc expected = said == failed ? errc::server_error : errc::malformed_response;
        CHECK(copied == expected);
        CHECK(removed == expected);
    }
}

TEST_CASE("remove_objects: up to a thousand with one request, whatever they are called")
{
    world w;
    const auto remove = [&](const std::vector<std::string>& keys) {
        return w.run(remove_objects(w.store, "bucket", keys, {}));
    };
    std::vector<std::string> many;
    for (int i = 0; i < 1000; ++i)
        many.push_back("n/" + std::to_string(i));
    for (const auto& keys : {many, odd_keys})
        for (const std::string& key : keys)
            REQUIRE(w.server.put("bucket", key, pattern(1)).ok());
    CHECK(remove({}).error() == condition::invalid);
    CHECK(remove(std::vector<std::string>(1001, "k")).error() == condition::invalid);
    CHECK(remove({"fine", ""}).error() == condition::invalid);
    CHECK(remove({"fine", "\x01"}).error() == condition::invalid);
    CHECK(w.server.stats().requests == 0);

    for (const auto& keys : {many, odd_keys}) {
        const auto failures = remove(keys);
        REQUIRE_MESSAGE(failures.ok(), failures.error().message());
        CHECK(failures->empty());
    }
    CHECK(w.server.objects().empty());
    const auto none = remove({"was", "never", "there"});
    REQUIRE(none);
    CHECK(none->empty());
    CHECK(w.server.stats().requests == 3);
    CHECK(w.run(remove_objects(w.store, "nowhere", odd_keys, {})).error() == condition::absent);
}

TEST_CASE("remove_objects: those that were not deleted are named, with the reason")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{page("200 OK", "<DeleteResult><Error><Key>a&amp;b&#13;</Key><Code>AccessDenied</Code>"
                              "<Message>No</Message></Error></DeleteResult>")}}});
    client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(), support::one_try());
    std::optional<result<std::vector<delete_failure>>> got;
    const std::vector<std::string> keys{"a&b\r", "<c>"};
    const auto body = [&]() -> asio::awaitable<void> {
        got = co_await remove_objects(c, "b", keys, deadline());
    };
    REQUIRE(testing::run_coroutine(io, body()));
    REQUIRE_MESSAGE(got->ok(), got->error().message());
    REQUIRE((*got)->size() == 1);
    CHECK((**got)[0].key == "a&b\r");
    CHECK((**got)[0].code == "AccessDenied");
    CHECK((**got)[0].message == "No");
    CHECK(has(peer.requests[0], "\r\nContent-MD5: "));
    CHECK(has(peer.requests[0], "<Key>a&amp;b&#13;</Key>"));
    CHECK(has(peer.requests[0], "<Key>&lt;c&gt;</Key>"));
}

} // namespace large_object_test
