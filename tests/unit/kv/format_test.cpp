// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/format.hpp>

#include <objectcache/core/sha256.hpp>

#include <support/kv_fixture.hpp>

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <vector>

namespace format_test {

using namespace objectcache;

std::string hex(const_byte_span bytes)
{
    std::string out;
    for (std::byte b : bytes) {
        out += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
        out += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
    }
    return out;
}

using kv_fixture::counting;

std::vector<std::byte> sealed_record()
{
    std::vector<std::byte> record(256 + trailer_bytes);
    for (std::size_t i = 0; i < 256; ++i)
        record[i] = static_cast<std::byte>(i);
    seal_slice(record, 7, counting(100), layout::chunk_objects);
    return record;
}

/** A record whose trailer was changed by `change` and whose checksum is right nevertheless. */
template <class F>
std::vector<std::byte> forged_record(F change)
{
    auto record = sealed_record();
    change(record.data() + 256);
    const std::uint64_t seed = XXH3_64bits(record.data(), 256);
    store_le(record.data() + 256, std::uint64_t{XXH3_64bits_withSeed(record.data() + 264, 24, seed)});
    return record;
}

TEST_CASE("a record's trailer is a fixed vector (tests/data/kv/vectors.py)")
{
    const auto record = sealed_record();
    CHECK(hex(std::span(record).last(32)) ==
          "0cff40bbdfc3748c07000000010002006465666768696a6b6c6d6e6f70717273");
}

TEST_CASE("the hash of a payload is XXH3, of every length, whatever instructions the processor has")
{
    std::mt19937 random(1);
    std::vector<std::byte> bytes(std::size_t(70) << 10);
    for (std::byte& b : bytes)
        b = static_cast<std::byte>(random());
    const auto check = [&](std::size_t begin, std::size_t size) {
        const const_byte_span part = const_byte_span(bytes).subspan(begin, size);
        REQUIRE(payload_hash(part) == XXH3_64bits(part.data(), part.size()));
    };
    for (std::size_t size = 0; size < 2200;
         ++size) // the borders of stripes and blocks of the second and third kilobyte
        check(size % 33, size);
    for (int i = 0; i < 200; ++i) {
        const std::size_t begin = random() % 64;
        check(begin, random() % (bytes.size() - begin));
    }
    check(0, std::size_t(64) << 10);
}

TEST_CASE("a sealed record is verified, in one piece or hashed as it arrives")
{
    const auto record = sealed_record();
    CHECK(verify_slice(record, 7, counting(100), layout::chunk_objects).ok());

    payload_hasher hasher;
    std::mt19937 random(1);
    for (int round = 0; round < 50; ++round) {
        hasher.reset();
        for (const_byte_span rest = const_byte_span(record).first(256); !rest.empty();) {
            const std::size_t cut = std::min<std::size_t>(random() % 90, rest.size());
            hasher.update(rest.first(cut));
            rest = rest.subspan(cut);
        }
        REQUIRE(hasher.value() == payload_hash(const_byte_span(record).first(256)));
    }
    const auto trailer = const_byte_span(record).last<trailer_bytes>();
    CHECK(verify_trailer(trailer, hasher.value(), 7, counting(100), layout::chunk_objects).ok());
    std::array<std::byte, trailer_bytes> apart;
    seal_trailer(apart, hasher.value(), 7, counting(100), layout::chunk_objects);
    CHECK(std::equal(apart.begin(), apart.end(), trailer.begin()));
}

TEST_CASE("any flipped bit is a checksum mismatch, wherever it is")
{
    auto record = sealed_record();
    for (std::size_t i = 0; i < record.size(); ++i)
        for (int bit = 0; bit < 8; ++bit) {
            record[i] ^= static_cast<std::byte>(1 << bit);
            REQUIRE(verify_slice(record, 7, counting(100), layout::chunk_objects) == errc::checksum_mismatch);
            record[i] ^= static_cast<std::byte>(1 << bit);
        }
}

TEST_CASE("records that were never written are damage")
{
    std::vector<std::byte> zeros(256 + trailer_bytes), ones(256 + trailer_bytes, std::byte{0xff});
    CHECK(verify_slice(zeros, 0, {}, layout::chunk_objects) == errc::checksum_mismatch);
    CHECK(verify_slice(ones, 0, {}, layout::chunk_objects) == errc::checksum_mismatch);
    for (const std::size_t size : {0u, 1u, 31u, 32u})
        CHECK(verify_slice(const_byte_span(zeros).first(size), 0, {}, layout::chunk_objects) ==
              errc::length_mismatch);
}

TEST_CASE("an intact record of something else is named as such")
{
    const auto record = sealed_record();
    const auto chunk = counting(100);
    CHECK(verify_slice(record, 8, chunk, layout::chunk_objects) == errc::wrong_chunk);
    CHECK(verify_slice(record, 7, counting(101), layout::chunk_objects) == errc::wrong_chunk);
    CHECK(verify_slice(record, 7, chunk, layout::layer_objects) == errc::wrong_chunk);

    const auto verify = [&](const std::vector<std::byte>& r) {
        return verify_slice(r, 7, chunk, layout::chunk_objects);
    };
    CHECK(verify(forged_record([](std::byte*) {})).ok());
    CHECK(verify(forged_record([](std::byte* t) { store_le(t + 12, std::uint16_t{2}); })) ==
          errc::unknown_version);
    CHECK(verify(forged_record([](std::byte* t) { t[15] = std::byte{1}; })) == errc::unknown_version);
    for (const unsigned number : {0u, 4u, 255u})
        CHECK(verify(forged_record([&](std::byte* t) { t[14] = static_cast<std::byte>(number); })) ==
              errc::unknown_version);
    // The version is judged before what it may have changed the meaning of.
    CHECK(verify(forged_record([](std::byte* t) {
              store_le(t + 8, 9u), store_le(t + 12, std::uint16_t{2});
          })) == errc::unknown_version);
}

TEST_CASE("where records lie")
{
    constexpr kv_geometry g{32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};
    static_assert(record_bytes(g) == 262144 + 32);
    static_assert(object_bytes(layout::chunk_objects, g) == 256 + 32 * (262144 + 32));
    static_assert(object_bytes(layout::layer_objects, g) == 262144 + 32);
    static_assert(chunk_layer_range(g, 0, 1) == byte_range{256, 262176});
    static_assert(chunk_layer_range(g, 3, 2) == byte_range{256 + 3 * 262176, 2 * 262176});
    static_assert(chunk_layer_range(g, 0, 32).end() == object_bytes(layout::chunk_objects, g));
    constexpr kv_geometry largest{4096, 64, 1024, kv_dtype::bf16, kv_form::separate, 4096};
    static_assert(chunk_layer_range(largest, 4095, 1).end() == 256 + 4096ull * ((1ull << 30) + 32));
}

object_header sample_header()
{
    object_header h;
    h.geometry = {32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};
    h.first_token = 192;
    h.scope = counting(0);
    h.chunk = counting(32);
    h.previous = counting(64);
    return h;
}

std::array<std::byte, header_bytes> sample_bytes()
{
    std::array<std::byte, header_bytes> out;
    encode_header(out, sample_header());
    return out;
}

template <class F>
result<object_header> forged_header(F change)
{
    auto bytes = sample_bytes();
    change(bytes.data());
    store_le(bytes.data() + 248, payload_hash(const_byte_span(bytes).first(248)));
    return decode_header(bytes);
}

TEST_CASE("an object header is a fixed vector (tests/data/kv/vectors.py) and comes back")
{
    const auto bytes = sample_bytes();
    CHECK(sha256_of(bytes).hex() == "1ad2dcadf9d68bb8c0dd693afdc9b1b8283b3eeb32a6e2dbf052a930cf7ec2a6");
    CHECK(hex(std::span(bytes).last(8)) == "1dcb8fcb36207d48");
    const auto back = decode_header(bytes);
    REQUIRE(back.ok());
    CHECK(*back == sample_header());
    CHECK(match_header(*back, sample_header()).ok());
    std::vector<std::byte> object(bytes.begin(), bytes.end());
    object.resize(1000);
    CHECK(decode_header(object).ok());
}

TEST_CASE("a damaged header is a mismatch, a short one too short")
{
    auto bytes = sample_bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i)
        for (int bit = 0; bit < 8; ++bit) {
            bytes[i] ^= static_cast<std::byte>(1 << bit);
            REQUIRE(decode_header(bytes).error() == errc::checksum_mismatch);
            bytes[i] ^= static_cast<std::byte>(1 << bit);
        }
    for (const std::size_t size : {0u, 8u, 255u})
        CHECK(decode_header(const_byte_span(bytes).first(size)).error() == errc::length_mismatch);
}

TEST_CASE("an intact header of somebody else's making is refused for what is wrong with it")
{
    CHECK(forged_header([](std::byte*) {}).ok());
    const auto error = [](auto change) { return forged_header(change).error(); };
    CHECK(error([](std::byte* h) { h[8] = std::byte{2}; }) == errc::unknown_version);
    CHECK(error([](std::byte* h) { h[10] = std::byte{4}; }) == errc::unknown_version);
    CHECK(error([](std::byte* h) { h[10] = std::byte{0}; }) == errc::unknown_version);
    CHECK(error([](std::byte* h) { h[40] = std::byte{2}; }) ==
          errc::unknown_version); // only a segment has two
    CHECK(error([](std::byte* h) { h[40] = std::byte{0}; }) == errc::unknown_version);
    for (const int reserved : {13, 15, 44, 47, 56, 63, 160, 200, 247})
        CHECK(error([&](std::byte* h) { h[reserved] = std::byte{1}; }) == errc::unknown_version);
    CHECK(error([](std::byte* h) { h[11] = std::byte{7}; }) == errc::wrong_geometry);
    CHECK(error([](std::byte* h) { h[12] = std::byte{7}; }) == errc::wrong_geometry);
    for (const int number : {16, 20, 24, 28})
        for (const std::uint32_t bad : {0u, 0xffffffffu})
            CHECK(error([&](std::byte* h) { store_le(h + number, bad); }) == errc::wrong_geometry);
    CHECK(error([](std::byte* h) {
              store_le(h + 16, 33u);
              store_le(h + 24, 127u);
          }) == errc::wrong_geometry);
    CHECK(error([](std::byte* h) { store_le(h + 48, std::uint64_t{1} << 63); }) == errc::wrong_geometry);
    CHECK(error([](std::byte* h) { store_le(h + 32, std::uint64_t{191}); }) == errc::wrong_geometry);
}

TEST_CASE("arbitrary bytes behind a right magic and checksum never decode to an invalid geometry")
{
    std::mt19937_64 random(11);
    int decoded = 0;
    for (int round = 0; round < 20000; ++round) {
        const auto found = forged_header([&](std::byte* h) {
            for (int i = 0; i < 3; ++i)
                h[8 + random() % 56] = static_cast<std::byte>(random() % 4);
        });
        if (!found.ok()) {
            REQUIRE(found.error() == condition::corrupt);
            continue;
        }
        ++decoded;
        REQUIRE(found->geometry.validate().ok());
        REQUIRE(supported(found->where));
    }
    CHECK(decoded > 0);
}

TEST_CASE("a header of another chunk says what differs")
{
    const auto expected = sample_header();
    const auto differs = [&](auto change) {
        auto h = sample_header();
        change(h);
        return match_header(h, expected);
    };
    CHECK(differs([](object_header& h) { h.geometry.layers = 31; }) == errc::wrong_geometry);
    CHECK(differs([](object_header& h) { h.scope = {}; }).detail() == "object header: another scope");
    CHECK(differs([](object_header& h) { h.chunk = {}; }) == errc::wrong_chunk);
    CHECK(differs([](object_header& h) { h.previous = {}; }) == errc::wrong_chunk);
    CHECK(differs([](object_header& h) { h.first_token = 0; }) == errc::wrong_chunk);
    CHECK(differs([](object_header& h) { h.chunks = 2; }) == errc::wrong_chunk);
    CHECK(differs([](object_header& h) { h.where = layout::layer_objects; }) == errc::wrong_chunk);
}

} // namespace format_test
