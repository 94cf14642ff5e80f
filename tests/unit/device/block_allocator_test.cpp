// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/detail/block_allocator.hpp>

#include <doctest/doctest.h>

#include <random>
#include <utility>
#include <vector>

using objectcache::detail::block_allocator;

namespace block_allocator_test {

constexpr std::size_t page = block_allocator::granule;

/** The same, page by page and slow: what the allocator is compared with. */
struct bitmap {
    explicit bitmap(std::size_t pages) : taken(pages) {}
    [[nodiscard]] std::optional<std::size_t> first_fit(std::size_t pages) const
    {
        for (std::size_t run = 0, i = 0; i < taken.size(); ++i) {
            run = taken[i] ? 0 : run + 1;
            if (run == pages)
                return i + 1 - pages;
        }
        return std::nullopt;
    }
    void set(std::size_t at, std::size_t pages, bool value)
    {
        for (std::size_t i = at; i < at + pages; ++i) {
            CHECK(taken[i] != value);
            taken[i] = value;
        }
    }
    std::vector<bool> taken;
};

} // namespace block_allocator_test

TEST_CASE("blocks are whole pages, first fit, until there is no room")
{
    using block_allocator_test::page;
    block_allocator blocks(4 * page);
    CHECK(blocks.take(1) == 0);
    CHECK(blocks.take(page + 1) == page);
    CHECK(blocks.used() == 3 * page);
    CHECK_FALSE(blocks.take(page + 1));
    CHECK(blocks.take(page) == 3 * page);
    CHECK_FALSE(blocks.take(1));
    CHECK(blocks.used() == blocks.capacity());
}

TEST_CASE("neighbours are merged, in whatever order they come back")
{
    using block_allocator_test::page;
    const std::vector<std::vector<std::size_t>> orders = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};
    for (const auto& order : orders) {
        block_allocator blocks(3 * page);
        for (int i = 0; i < 3; ++i)
            CHECK(blocks.take(page));
        for (const std::size_t i : order) {
            CHECK_FALSE(blocks.take(3 * page));
            blocks.give(i * page, page);
        }
        CHECK(blocks.used() == 0);
        CHECK(blocks.take(3 * page) == 0);
    }
}

TEST_CASE("an empty slab has no room")
{
    block_allocator blocks(0);
    CHECK_FALSE(blocks.take(1));
    CHECK(blocks.capacity() == 0);
}

TEST_CASE("random takes and gives agree with a bitmap")
{
    using namespace block_allocator_test;
    for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const std::size_t pages = 1 + random() % 200;
        block_allocator blocks(pages * page);
        bitmap model(pages);
        std::vector<std::pair<std::size_t, std::size_t>> live; // offset, size in bytes
        std::size_t used = 0;
        for (int i = 0; i < 2000; ++i) {
            if (live.empty() || random() % 5 < 3) {
                const std::size_t size = 1 + random() % (page * (1 + random() % 16));
                const std::size_t need = (size + page - 1) / page;
                const auto expected = model.first_fit(need);
                const auto got = blocks.take(size);
                REQUIRE(got.has_value() == expected.has_value());
                if (!got)
                    continue;
                REQUIRE(*got == *expected * page);
                model.set(*expected, need, true);
                live.emplace_back(*got, size);
                used += need * page;
            } else {
                const std::size_t which = random() % live.size();
                const auto [offset, size] = live[which];
                live[which] = live.back();
                live.pop_back();
                const std::size_t need = (size + page - 1) / page;
                blocks.give(offset, size);
                model.set(offset / page, need, false);
                used -= need * page;
            }
            REQUIRE(blocks.used() == used);
        }
        for (const auto& [offset, size] : live)
            blocks.give(offset, size);
        CHECK(blocks.used() == 0);
        CHECK(blocks.take(pages * page) == 0);
    }
}
