// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/sha256.hpp>

#include <doctest/doctest.h>
#include <openssl/evp.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sha256_test {

using namespace objectcache;

const_byte_span bytes_of(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

digest openssl_sha256(const_byte_span bytes)
{
    digest out;
    unsigned size = 0;
    REQUIRE(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.bytes.data()), &size,
                       EVP_sha256(), nullptr) == 1);
    REQUIRE(size == out.bytes.size());
    return out;
}

TEST_CASE("SHA-256 has the examples of FIPS 180-4")
{
    CHECK(sha256_of({}).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256_of(bytes_of("abc")).hex() ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256_of(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex() ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    const std::string million(1000000, 'a');
    CHECK(sha256_of(bytes_of(million)).hex() ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 is a constant expression")
{
    constexpr digest empty = sha256_of({});
    static_assert(empty.bytes[0] == std::byte{0xe3} && empty.bytes[31] == std::byte{0x55});
}

/** By the compiler, which has no instructions for it. */
template <std::size_t Size>
constexpr digest computed_at_compile_time()
{
    std::array<std::byte, Size> data{};
    for (std::size_t i = 0; i < Size; ++i)
        data[i] = static_cast<std::byte>(i * 7 + 1);
    return sha256_of(data);
}
template <std::size_t Size>
void check_both_ways()
{
    constexpr digest expected = computed_at_compile_time<Size>();
    std::array<std::byte, Size> data{};
    for (std::size_t i = 0; i < Size; ++i)
        data[i] = static_cast<std::byte>(i * 7 + 1);
    CHECK(sha256_of(data) == expected);
    CHECK(openssl_sha256(data) == expected);
}

TEST_CASE("SHA-256 with and without instructions for it is the same")
{
    check_both_ways<1>();
    check_both_ways<55>();
    check_both_ways<56>();
    check_both_ways<64>();
    check_both_ways<119>();
    check_both_ways<128>();
    check_both_ways<320>();
#if OBJECTCACHE_SHA_INSTRUCTIONS
    MESSAGE("instructions for it: " << std::string(detail::has_sha_instructions() ? "yes" : "no"));
#endif
}

TEST_CASE("SHA-256 agrees with OpenSSL for every length around the block size and for random cuts")
{
    std::mt19937 random(20260729);
    std::vector<std::byte> data(5000);
    for (std::byte& b : data)
        b = static_cast<std::byte>(random());

    for (std::size_t size = 0; size <= 260; ++size) {
        const const_byte_span bytes(data.data(), size);
        CHECK(sha256_of(bytes) == openssl_sha256(bytes));
    }
    for (int round = 0; round < 200; ++round) {
        const const_byte_span bytes(data.data(), random() % (data.size() + 1));
        sha256 hash;
        for (const_byte_span rest = bytes; !rest.empty();) {
            const std::size_t cut = std::min<std::size_t>(random() % 200, rest.size());
            hash.update(rest.first(cut));
            rest = rest.subspan(cut);
        }
        CHECK(hash.finish() == openssl_sha256(bytes));
    }
}

TEST_CASE("a copied SHA-256 continues on its own")
{
    sha256 first;
    first.update(bytes_of("ab"));
    sha256 second = first;
    first.update(bytes_of("c"));
    second.update(bytes_of("d"));
    CHECK(first.finish() == sha256_of(bytes_of("abc")));
    CHECK(second.finish() == sha256_of(bytes_of("abd")));
}

} // namespace sha256_test
