// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/detail/arrival.hpp>

#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/s3/transfer.hpp>

#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace objectcache;

// One request's records while they come, as the tier and the load see them.
namespace arrival_test {

struct fixture {
    static constexpr std::uint32_t chunks = 5, layers = 2;

    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    kv_geometry shape = kv_fixture::geometry();
    std::size_t record = static_cast<std::size_t>(record_bytes(shape));
    prefix_match match;
    load_fetch fetch;
    std::vector<std::byte> staging, good;
    unsigned notices = 0;
    std::atomic<std::uint64_t> flow = 0;
    std::shared_ptr<detail::arrival> coming;

    fixture()
    {
        const scope where = kv_fixture::scope(shape);
        match.scope = *scope_id(where);
        match.geometry = shape;
        match.chunks = hash_chain(match.scope, kv_fixture::tokens(chunks * 16), 16);
        stored_run run;
        run.place.where = layout::segment_objects;
        run.chunks = chunks;
        match.runs.push_back(run);
        fetch.run = 0;
        fetch.chunk = 0;
        fetch.chunks = chunks;
        fetch.first_layer = 1;
        fetch.layers = layers;
        good.resize(record * chunks * layers);
        std::uint32_t x = 1;
        for (std::byte& b : good)
            b = static_cast<std::byte>((x = x * 1664525 + 1013904223) >> 24);
        for (std::uint32_t layer = 0; layer < layers; ++layer)
            for (std::uint32_t chunk = 0; chunk < chunks; ++chunk)
                seal_slice(byte_span(good).subspan((layer * chunks + chunk) * record, record), 1 + layer,
                           match.chunks[chunk], layout::segment_objects);
        staging = good;
        begin(2 * record);
    }

    void begin(std::size_t step)
    {
        coming = std::make_shared<detail::arrival>(time, match, fetch, staging, step, flow,
                                                   [this](std::shared_ptr<detail::arrival> who) {
                                                       CHECK(who == coming);
                                                       ++notices;
                                                   });
    }
    std::size_t copied(detail::arrival::run what, std::uint32_t limit = chunks)
    {
        return coming->slices(what, limit).size();
    }
};

TEST_CASE_FIXTURE(fixture, "when the answer to a read that was begun anew began, nobody knows")
{
    SUBCASE("after some bytes")
    {
        coming->arrived(record);
    }
    SUBCASE("before any")
    {
        coming->arrived(0);
    }
    coming->arrived(0); // as a client says that sends a request again, or takes the other of two
    coming->arrived(3 * record);
    CHECK_FALSE(coming->begun());
}

TEST_CASE_FIXTURE(fixture, "when the first bytes came is kept, whatever comes then")
{
    CHECK_FALSE(coming->begun());
    time.advance(std::chrono::milliseconds(2));
    const time_point then = time.now();
    coming->arrived(1);
    time.advance(std::chrono::milliseconds(2));
    coming->arrived(record);
    REQUIRE(coming->begun());
    CHECK(coming->begun()->at == then);
    CHECK(coming->begun()->bytes == 1);
}

TEST_CASE_FIXTURE(fixture, "the S3 client's answers begin with their heads")
{
    std::vector<std::byte> scratch(s3::transfer::head_limit);
    s3::transfer read({.head = "GET / HTTP/1.1\r\n\r\n",
                       .answer = s3::expect::range,
                       .range = {0, staging.size()},
                       .destination = staging,
                       .observer = coming.get()},
                      scratch);
    std::array<const_byte_span, 2> parts;
    read.sent(read.unsent(parts).front().size());
    const auto receive = [&](std::string_view text) {
        REQUIRE(text.size() <= read.room().size());
        std::memcpy(read.room().data(), text.data(), text.size());
        read.received(text.size());
    };
    time.advance(std::chrono::milliseconds(3));
    const time_point then = time.now();
    const std::string size = std::to_string(staging.size());
    receive("HTTP/1.1 206 Partial Content\r\nContent-Length: " + size + "\r\nContent-Range: bytes 0-" +
            std::to_string(staging.size() - 1) + "/" + size + "\r\n\r\n");
    time.advance(std::chrono::milliseconds(4));
    receive(std::string(staging.size(), 'x'));
    REQUIRE(read.next() == s3::transfer::want::done);
    REQUIRE(read.outcome().ok());
    REQUIRE(coming->begun());
    CHECK(coming->begun()->at == then);
    CHECK(coming->begun()->bytes == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "whole records are handed on in runs, each once, with a notice when a run is worth it")
{
    coming->arrived(record - 1);
    CHECK(notices == 0);
    CHECK(copied(coming->take()) == 0);
    coming->arrived(record);
    CHECK(notices == 0);
    coming->arrived(3 * record + 5);
    CHECK(notices == 1);
    const auto first = coming->take();
    CHECK(first.first == 0);
    CHECK(first.end == 3);
    CHECK(copied(first) == 3);
    CHECK(copied(coming->take()) == 0);
    CHECK(flow == 3 * record + 5);
    coming->arrived(good.size());
    CHECK(notices == 1); // the end of the read says it too
    std::uint32_t intact = 0;
    CHECK(coming->finish(intact).ok());
    CHECK(intact == chunks);
    const auto rest = coming->take();
    CHECK(rest.first == 3);
    CHECK(rest.end == chunks * layers);
}

TEST_CASE_FIXTURE(fixture, "a tier that tells nothing on the way: everything is verified at the end")
{
    std::uint32_t intact = 0;
    CHECK(coming->finish(intact).ok());
    CHECK(intact == chunks);
    CHECK(copied(coming->take()) == chunks * layers);
    CHECK(notices == 0);
    coming->settle(true);
    CHECK(flow == good.size());
}

TEST_CASE_FIXTURE(
    fixture, "what lies behind a damaged record is not handed on before the end, and only what is whole then")
{
    for (std::size_t bad = 0; bad < chunks * layers; ++bad) {
        CAPTURE(bad);
        staging = good;
        begin(record);
        staging[bad * record + 7] ^= std::byte{1};
        coming->arrived(good.size());
        CHECK(coming->take().end == bad);
        std::uint32_t intact = 0;
        CHECK(coming->finish(intact) == condition::corrupt);
        CHECK(intact == bad % chunks);
        // The record before it in its layer, and of the other layer, are copied; those of its chunk and behind are not.
        const auto rest = coming->take();
        CHECK(rest.end == chunks * layers);
        for (const kv_slice& slice : coming->slices(rest, intact)) {
            const auto r = static_cast<std::size_t>(slice.payload - staging.data()) / record;
            CHECK(slice.first_token == r % chunks * 16);
            CHECK(slice.layer == 1 + r / chunks);
            CHECK(r % chunks < intact);
            CHECK(r > bad);
        }
    }
}

TEST_CASE_FIXTURE(fixture, "bytes that come again are verified and handed on again, all of them")
{
    coming->arrived(4 * record);
    CHECK(coming->take().end == 4);
    CHECK(notices == 1);
    SUBCASE("told so")
    {
        coming->arrived(0);
    }
    SUBCASE("with more at once")
    {
        coming->arrived(record / 2);
    }
    staging[record + 3] ^= std::byte{1}; // they are other bytes this time
    coming->arrived(3 * record);
    CHECK(flow == 3 * record);
    const auto again = coming->take();
    CHECK(again.first == 0);
    CHECK(again.end == 1);
    std::uint32_t intact = 0;
    CHECK(coming->finish(intact) == condition::corrupt);
    CHECK(intact == 1);
    coming->settle(false);
    CHECK(flow == 0);
}

TEST_CASE_FIXTURE(fixture, "right bytes of another chunk or layer are not taken for these")
{
    SUBCASE("two chunks swapped")
    {
        std::copy_n(good.begin() + static_cast<std::ptrdiff_t>(record), record, staging.begin());
        std::copy_n(good.begin(), record, staging.begin() + static_cast<std::ptrdiff_t>(record));
    }
    SUBCASE("the other layer's")
    {
        std::copy_n(good.begin() + static_cast<std::ptrdiff_t>(chunks * record), record, staging.begin());
    }
    coming->arrived(good.size());
    CHECK(coming->take().end == 0);
    std::uint32_t intact = 7;
    CHECK(coming->finish(intact) == condition::corrupt);
    CHECK(intact == 0);
}

} // namespace arrival_test
