// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/checksum.hpp>

#include <objectcache/s3/detail/base64.hpp>
#include <objectcache/s3/detail/crc.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

namespace checksum_test {

constexpr std::array kinds{checksum::crc32c, checksum::crc64nvme, checksum::sha256};

const_byte_span bytes_of(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

std::string checksum_text(checksum kind, std::string_view text)
{
    const const_byte_span whole = bytes_of(text);
    return checksum_of(kind, std::span(&whole, 1));
}

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<std::byte> out(size);
    std::generate(out.begin(), out.end(), [&] { return static_cast<std::byte>(random()); });
    return out;
}

/** By definition: one bit at a time. */
template <class T>
T crc_by_bits(T polynomial, const_byte_span bytes)
{
    T crc = static_cast<T>(~T(0));
    for (const std::byte b : bytes) {
        crc ^= std::to_integer<T>(b);
        for (int i = 0; i < 8; ++i)
            crc = static_cast<T>(crc >> 1 ^ (crc & 1 ? polynomial : T(0)));
    }
    return static_cast<T>(~crc);
}

TEST_CASE("checksums: published values")
{
    const auto crc32c = [](std::string_view text) { return s3::detail::update_crc32c(0, bytes_of(text)); };
    CHECK(crc32c("") == 0);
    CHECK(crc32c("123456789") == 0xe3069283);
    // RFC 3720, appendix B.4, whose byte order is that of the wire
    std::string counting;
    for (int i = 0; i < 32; ++i)
        counting += static_cast<char>(i);
    CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
    CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
    CHECK(crc32c(counting) == 0x46dd794e);
    CHECK(crc32c(std::string(counting.rbegin(), counting.rend())) == 0x113fdb5c);
    CHECK(crc32c(std::string("\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\0\0\x04\0\0\0\0\x14\0\0\0\x18"
                             "\x28\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
                             48)) == 0xd9963a56);

    CHECK(s3::detail::update_crc64nvme(0, {}) == 0);
    CHECK(s3::detail::update_crc64nvme(0, bytes_of("123456789")) == 0xae8b14860a799888);
    // NVM Express base specification, "64b CRC": 4 KiB of zeros, and of ones
    CHECK(s3::detail::update_crc64nvme(0, bytes_of(std::string(4096, '\0'))) == 0x6482d367eb22b64e);
    CHECK(s3::detail::update_crc64nvme(0, bytes_of(std::string(4096, '\xff'))) == 0xc0ddba7302eca3ac);

    CHECK(checksum_text(checksum::crc32c, "123456789") == "4waSgw==");
    CHECK(checksum_text(checksum::crc64nvme, "123456789") == "rosUhgp5mIg=");
    CHECK(checksum_text(checksum::sha256, "") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    CHECK(checksum_text(checksum::none, "123456789").empty());
}

TEST_CASE("checksums: tables and instructions agree with the definition, at every length and alignment")
{
    const std::vector<std::byte> data = random_bytes(20'000, 1);
    const auto check = [&](std::size_t offset, std::size_t size) {
        const const_byte_span bytes = const_byte_span(data).subspan(offset, size);
        const std::uint32_t narrow = crc_by_bits(s3::detail::crc32c_polynomial, bytes);
        const std::uint64_t wide = crc_by_bits(s3::detail::crc64nvme_polynomial, bytes);
        CAPTURE(offset);
        CAPTURE(size);
        REQUIRE(~s3::detail::crc_by_table(s3::detail::crc32c_tables, ~std::uint32_t(0), bytes) == narrow);
        REQUIRE(~s3::detail::crc_by_table(s3::detail::crc64nvme_tables, ~std::uint64_t(0), bytes) == wide);
        REQUIRE(s3::detail::update_crc32c(0, bytes) == narrow); // by instruction, where there is one
        REQUIRE(s3::detail::update_crc64nvme(0, bytes) == wide);
    };
    for (std::size_t offset = 0; offset < 16; ++offset)
        for (std::size_t size = 0; size <= 300; ++size)
            check(offset, size);
    for (const std::size_t size : {383, 384, 385, 767, 768, 4095, 6143, 6144, 6145, 6528, 12'288, 19'997})
        for (const std::size_t offset : {0, 1, 3})
            check(offset, size);
}

TEST_CASE("checksums: a text cut anywhere has the checksum of the whole")
{
    const std::vector<std::byte> data = random_bytes(50'000, 2);
    std::mt19937 random(3);
    for (const checksum kind : kinds) {
        const const_byte_span whole(data);
        const std::string expected = checksum_of(kind, std::span(&whole, 1));
        for (int round = 0; round < 20; ++round) {
            checksum_state state(kind);
            for (const_byte_span rest = whole; !rest.empty();) {
                const std::size_t n = std::min<std::size_t>(rest.size(), random() % (round < 10 ? 40 : 9000));
                state.update(rest.first(n));
                rest = rest.subspan(n);
            }
            CHECK(state.finish() == expected);
        }
        const std::array parts{whole.first(1), const_byte_span(), whole.subspan(1)};
        CHECK(checksum_of(kind, parts) == expected);
    }
    checksum_state moved(checksum::sha256);
    moved.update(bytes_of("ab"));
    checksum_state other = std::move(moved);
    other.update(bytes_of("c"));
    CHECK(other.finish() == checksum_text(checksum::sha256, "abc"));
}

TEST_CASE("checksums: pieces that are summed up beside one another become one")
{
    const std::vector<std::byte> data = random_bytes(70'000, 4);
    const const_byte_span whole(data);
    std::mt19937 random(5);
    for (const checksum kind : {checksum::crc32c, checksum::crc64nvme}) {
        const std::string expected = checksum_of(kind, std::span(&whole, 1));
        for (int round = 0; round < 20; ++round) {
            checksum_state state(kind);
            for (const_byte_span rest = whole; !rest.empty();) {
                const std::size_t n = std::min<std::size_t>(rest.size(), random() % 20'000);
                checksum_state piece(kind);
                piece.update(rest.first(n / 2));
                piece.update(rest.subspan(n / 2, n - n / 2));
                CHECK(state.append(piece));
                rest = rest.subspan(n);
                if (!rest.empty()) { // and goes on as any other
                    state.update(rest.first(1));
                    rest = rest.subspan(1);
                }
            }
            CHECK(state.finish() == expected);
        }
        checksum_state other(kind);
        CHECK_FALSE(other.append(checksum_state(checksum::sha256)));
        CHECK_FALSE(other.append(checksum_state(checksum::none)));
    }
    checksum_state sha(checksum::sha256);
    CHECK_FALSE(sha.append(checksum_state(checksum::sha256)));
    CHECK(sha.finish() == checksum_text(checksum::sha256, ""));
    // Sizes that a test would take too long to sum up: a gibibyte of zeros, by doubling and at once
    const std::uint32_t one = s3::detail::update_crc32c(0, bytes_of(std::string(1024, '\0')));
    std::uint32_t zeros = one;
    std::uint32_t text = s3::detail::update_crc32c(0, bytes_of("123456789"));
    const std::uint32_t begin = text;
    text = s3::detail::joined_crc(s3::detail::crc32c_polynomial, text, one, 1024);
    for (std::uint64_t size = 1024; size < (std::uint64_t(1) << 30); size *= 2) {
        text = s3::detail::joined_crc(s3::detail::crc32c_polynomial, text, zeros, size);
        zeros = s3::detail::joined_crc(s3::detail::crc32c_polynomial, zeros, zeros, size);
    }
    CHECK(s3::detail::joined_crc(s3::detail::crc32c_polynomial, begin, zeros, std::uint64_t(1) << 30) ==
          text);
}

TEST_CASE("checksums: names")
{
    for (const checksum kind : kinds) {
        CHECK(parse_checksum_name(checksum_name(kind)) == kind);
        std::string header = "x-amz-checksum-";
        for (const char c : checksum_name(kind))
            header += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        CHECK(checksum_header(kind) == header);
    }
    CHECK(parse_checksum_name("crc32C") == checksum::crc32c);
    for (const char* unknown : {"", "CRC32", "SHA1", "CRC32CC"})
        CHECK_FALSE(parse_checksum_name(unknown).has_value());
    CHECK(checksum_name(checksum::none).empty());
    CHECK(checksum_header(checksum::none).empty());
}

TEST_CASE("checksums: what a store claims")
{
    using enum checksum_match;
    const std::string ours = checksum_text(checksum::crc32c, "123456789");
    CHECK(compare_checksum(checksum::crc32c, "4waSgw==", ours) == equal);
    CHECK(compare_checksum(checksum::crc32c, "4waSgg==", ours) == different);
    CHECK(compare_checksum(checksum::crc32c, "4waSgg==-3", ours) == not_comparable);
    CHECK(compare_checksum(checksum::crc32c, "4waSgw==-1", ours) == not_comparable);
    for (const char* nonsense : {"", "-3", "4waSgw", "4waSgw==-", "4waSgw==-0", "4waSgw==-x", "4waSgw==-1-1",
                                 "rosUhgp5mIg=-2", "4waSgw== ", "4waSgw==-99999999999999999999"})
        CHECK(compare_checksum(checksum::crc32c, nonsense, ours) == different);
    CHECK(compare_checksum(checksum::none, "", "") == different);

    CHECK(is_checksum(checksum::crc32c, "4waSgw=="));
    for (const char* bad : {"", "4waSgw=", "4waSgx==", "4waS", "4waSg===", "4wa gw==", "rosUhgp5mIg="})
        CHECK_FALSE(is_checksum(checksum::crc32c, bad));
    CHECK(is_checksum(checksum::crc64nvme, "rosUhgp5mIg="));
    CHECK_FALSE(is_checksum(checksum::crc64nvme, "rosUhgp5mIh="));
    CHECK_FALSE(is_checksum(checksum::none, ""));
    for (const checksum kind : kinds)
        for (int i = 0; i < 50; ++i)
            CHECK(is_checksum(kind, checksum_text(kind, std::to_string(i))));
}

TEST_CASE("checksums: Content-MD5")
{
    CHECK(content_md5(bytes_of("hello")) ==
          "XUFAKrxLKna5cZ2REBfFkg=="); // printf hello | openssl dgst -md5 -binary | base64
}

TEST_CASE("base64: RFC 4648, section 10")
{
    const std::array<std::array<const char*, 2>, 7> vectors{{{"", ""},
                                                             {"f", "Zg=="},
                                                             {"fo", "Zm8="},
                                                             {"foo", "Zm9v"},
                                                             {"foob", "Zm9vYg=="},
                                                             {"fooba", "Zm9vYmE="},
                                                             {"foobar", "Zm9vYmFy"}}};
    for (const auto& [plain, coded] : vectors)
        CHECK(s3::detail::base64(bytes_of(plain)) == coded);
}

} // namespace checksum_test
