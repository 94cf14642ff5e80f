// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/prefix_index.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace objectcache;
using namespace std::chrono_literals;

namespace prefix_index_test {

chunk_id id(unsigned n)
{
    chunk_id out;
    out.bytes[0] = static_cast<std::byte>(n);
    return out;
}

const time_point start = time_point() + 1h;

} // namespace prefix_index_test

TEST_CASE("a belief holds for its time, and is renewed by being added again")
{
    using namespace prefix_index_test;
    prefix_index index(10, 10s);
    index.add(id(1), {}, start);
    CHECK(index.contains(id(1), start));
    CHECK(index.contains(id(1), start + 9s));
    CHECK_FALSE(index.contains(id(1), start + 10s));
    index.add(id(1), {}, start + 5s);
    CHECK(index.contains(id(1), start + 14s));
    CHECK_FALSE(index.contains(id(1), start + 15s));
    CHECK(index.size() == 1);
    CHECK_FALSE(index.contains(id(2), start));
}

TEST_CASE("the least recently touched chunk is forgotten first")
{
    using namespace prefix_index_test;
    prefix_index index(3, 1h);
    for (unsigned n : {1, 2, 3})
        index.add(id(n), {}, start);
    index.add(id(1), {}, start);
    index.add(id(4), {}, start);
    CHECK(index.size() == 3);
    CHECK_FALSE(index.contains(id(2), start));
    for (unsigned n : {1, 3, 4})
        CHECK(index.contains(id(n), start));
}

TEST_CASE("an object is damaged until it is replaced, or the belief ends")
{
    using namespace prefix_index_test;
    prefix_index index(2, 10s);
    CHECK_FALSE(index.is_damaged("a", start));
    index.mark_damaged("a", start);
    CHECK(index.is_damaged("a", start));
    CHECK_FALSE(index.is_damaged("a", start + 10s));
    index.mark_repaired("a");
    CHECK_FALSE(index.is_damaged("a", start));
    for (const char* key : {"b", "c", "d"})
        index.mark_damaged(key, start);
    int known = 0; // as many as there is room for
    for (const char* key : {"b", "c", "d"})
        known += index.is_damaged(key, start) ? 1 : 0;
    CHECK(known == 2);
    CHECK(index.is_damaged("d", start));
    prefix_index none(0, 10s); // remembers next to nothing, and breaks nothing
    none.mark_damaged("a", start);
    none.mark_damaged("b", start);
    CHECK(none.is_damaged("b", start));
    CHECK_FALSE(none.is_damaged("a", start));
}

TEST_CASE("of damaged objects the oldest is forgotten first, and nothing is kept whose time is up")
{
    using namespace prefix_index_test;
    prefix_index index(2, 10s);
    index.mark_damaged("z", start);
    index.mark_damaged("b", start + 1s);
    index.mark_damaged("z", start + 2s); // seen again
    index.mark_damaged("a", start + 3s);
    CHECK_FALSE(index.is_damaged("b", start + 3s));
    CHECK(index.is_damaged("z", start + 3s));
    CHECK(index.is_damaged("a", start + 3s));
    index.mark_damaged("y", start + 13s); // the others are over
    index.mark_repaired("y");
    CHECK_FALSE(index.any_unreadable());
    prefix_index for_ever(10, duration::max());
    for_ever.mark_damaged("a", start);
    for_ever.add(id(1), {}, start);
    for_ever.mark_absent(id(2), start);
    CHECK(for_ever.is_damaged("a", start + 1h));
    CHECK(for_ever.contains(id(1), start + 1h));
    CHECK(for_ever.is_absent(id(2), start));
}

TEST_CASE("an object of an unknown version is as little there as a damaged one, and nobody's to replace")
{
    using namespace prefix_index_test;
    prefix_index index(10, 10s);
    CHECK_FALSE(index.any_unreadable());
    index.mark_unknown("s/1/a", start);
    index.mark_damaged("s/1/b", start);
    index.mark_damaged("s/1/c", start + 5s);
    index.mark_damaged("s/2/d", start);
    CHECK(index.any_unreadable());
    CHECK(index.is_unknown("s/1/a", start));
    CHECK_FALSE(index.is_damaged("s/1/a", start));
    CHECK_FALSE(index.is_unknown("s/1/b", start));
    CHECK(index.is_damaged("s/1/b", start));
    for (const char* key : {"s/1/a", "s/1/b"}) {
        CHECK(index.is_unreadable(key, start));
        CHECK_FALSE(index.is_unreadable(key, start + 10s));
    }
    CHECK_FALSE(index.is_unreadable("s/1/", start));
    CHECK(index.damaged("s/1/", start) == std::vector<std::string>{"s/1/b", "s/1/c"});
    CHECK(index.damaged("s/1/", start + 10s) == std::vector<std::string>{"s/1/c"});
    CHECK(index.damaged("s/3/", start).empty());
    index.mark_damaged("s/1/a", start); // what was seen last counts
    CHECK(index.is_damaged("s/1/a", start));
    index.mark_repaired("s/1/a");
    CHECK_FALSE(index.is_unreadable("s/1/a", start));
}

TEST_CASE("a chunk that was looked for in vain is absent for a while, until it is stored")
{
    using namespace prefix_index_test;
    prefix_index index(10, 1h);
    CHECK_FALSE(index.is_absent(id(1), start));
    index.mark_absent(id(1), start);
    CHECK(index.is_absent(id(1), start));
    CHECK_FALSE(index.contains(id(1), start));
    CHECK_FALSE(index.is_absent(id(1), start + prefix_index::absent_ttl));
    index.add(id(1), {}, start);
    CHECK_FALSE(index.is_absent(id(1), start));
    CHECK(index.contains(id(1), start));
    index.forget(id(1));
    CHECK_FALSE(index.contains(id(1), start));
    CHECK(index.size() == 0);
    index.forget(id(1));
    prefix_index brief(10, 1s);
    brief.mark_absent(id(1), start);
    CHECK_FALSE(brief.is_absent(id(1), start + 1s));
}

TEST_CASE("a prefix is known up to the first chunk that is not")
{
    using namespace prefix_index_test;
    prefix_index index(10, 1h);
    const std::vector<chunk_id> chain = {id(1), id(2), id(3), id(4)};
    CHECK(index.known_prefix(chain, start).empty());
    index.add(id(2), {}, start);
    CHECK(index.known_prefix(chain, start).empty());
    index.add(id(1), {}, start);
    CHECK(index.known_prefix(chain, start).size() == 2);
    index.add(id(4), {}, start);
    index.mark_absent(id(3), start);
    CHECK(index.known_prefix(chain, start).size() == 2);
    index.add(id(3), {}, start);
    CHECK(index.known_prefix(chain, start).size() == 4);
    CHECK(index.known_prefix({}, start).empty());
}
