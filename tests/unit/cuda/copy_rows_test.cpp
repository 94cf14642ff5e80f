// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cuda/detail/copy_rows.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace copy_rows_test {

using namespace objectcache;
using namespace objectcache::cuda::detail;

// Inlined, g++ 12 warns of an element behind the last, which is not asked for.
[[gnu::noinline]] std::size_t rows(const std::vector<copy_op>& ops)
{
    return leading_rows(ops).rows;
}

TEST_CASE("copies of one size, equally far apart, are rows of one; what breaks the row begins another")
{
    std::vector<std::byte> to(1000), from(1000);
    const auto op = [&](std::size_t d, std::size_t s, std::size_t n = 10) {
        return copy_op{&to[d], &from[s], n};
    };
    CHECK(rows({op(0, 0)}) == 1);
    CHECK(rows({op(0, 0), op(10, 12), op(20, 24)}) == 3); // gapless there, gaps here
    CHECK(rows({op(0, 0), op(10, 12), op(20, 24), op(30, 37)}) == 3);
    CHECK(rows({op(0, 0), op(10, 12), op(21, 24)}) == 2);
    CHECK(rows({op(0, 0), op(10, 12, 9)}) == 1);
    CHECK(rows({op(0, 0), op(10, 12), op(20, 24, 9)}) == 2);
    CHECK(rows({op(100, 0), op(90, 12)}) == 1); // backwards
    CHECK(rows({op(0, 100), op(10, 88)}) == 1);
    CHECK(rows({op(0, 0), op(9, 12)}) == 1); // they overlap: no pitch can be below the width
    const std::vector<copy_op> ops = {op(3, 5), op(15, 25), op(27, 45)};
    const copy_rows r = leading_rows(ops);
    CHECK(r.destination == &to[3]);
    CHECK(r.source == &from[5]);
    CHECK(r.width == 10);
    CHECK(r.destination_pitch == 12);
    CHECK(r.source_pitch == 20);
}

TEST_CASE("rows cover the same bytes as the copies they stand for")
{
    std::mt19937 random(3);
    std::size_t most_in_rows = 0;
    for (int round = 0; round < 300; ++round) {
        std::vector<std::byte> from(20'000), expected(20'000), to(20'000);
        for (std::byte& b : from)
            b = static_cast<std::byte>(random());
        std::vector<copy_op> ops;
        std::size_t d = 0, s = 0, size = 1 + random() % 50, gap = random() % 20;
        while (d + size <= to.size() && s + size + gap <= from.size()) {
            ops.push_back({&to[d], &from[s], size});
            std::memcpy(&expected[d], &from[s], size);
            d += size + (random() % 8 == 0 ? random() % 5 : 0);
            s += size + gap;
            if (random() % 16 == 0)
                size = 1 + random() % 50;
        }
        std::size_t done = 0, in_rows = 0;
        const auto in_order = [&](std::span<const copy_op> these) {
            const bool next = !these.empty() && these.data() == ops.data() + done;
            REQUIRE(next);
            done += these.size();
        };
        const int error = for_each_stretch(
            ops,
            [&](const copy_rows& r, std::span<const copy_op> these) {
                in_order(these);
                in_rows += these.size();
                const bool sound = r.rows == these.size() && r.rows >= least_rows &&
                                   r.destination_pitch >= r.width && r.source_pitch >= r.width;
                REQUIRE(sound);
                for (std::size_t i = 0; i < r.rows; ++i)
                    std::memcpy(r.destination + i * r.destination_pitch, r.source + i * r.source_pitch,
                                r.width);
                return 0;
            },
            [&](std::span<const copy_op> these) {
                in_order(these);
                for (const copy_op& op : these)
                    std::memcpy(op.destination, op.source, op.size);
                return 0;
            });
        REQUIRE(error == 0);
        REQUIRE(done == ops.size());
        most_in_rows = std::max(most_in_rows, in_rows);
        REQUIRE(to == expected);
    }
    CHECK(most_in_rows > 20);
}

TEST_CASE("the first error ends the handing on")
{
    std::vector<std::byte> memory(1000);
    std::vector<copy_op> ops;
    for (const std::size_t at : {0U, 7U, 20U, 40U, 60U, 80U, 100U, 111U})
        ops.push_back({&memory[at], &memory[500 + at], 5});
    for (int fail = 0; fail < 4; ++fail) { // 0 and 7; rows from 20 on; 111
        int calls = 0;
        const auto answer = [&] { return calls++ == fail ? 42 : 0; };
        const int error = for_each_stretch(
            ops, [&](const copy_rows&, std::span<const copy_op>) { return answer(); },
            [&](std::span<const copy_op>) { return answer(); });
        CHECK(error == (fail < 3 ? 42 : 0));
        CHECK(calls == std::min(fail + 1, 3));
    }
}

} // namespace copy_rows_test
