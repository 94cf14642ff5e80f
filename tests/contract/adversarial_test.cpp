// SPDX-License-Identifier: BSL-1.0
#include <contract/adversarial_scene.hpp>

namespace contract {

TEST_CASE("the adversary's encoders write what a cache writes")
{
    using namespace adversary;
    const author ours(scope(), sequence(chunks));
    for (const oc::layout where : layouts) {
        CAPTURE(oc::name(where));
        environment env;
        tier_home<oc::testing::recording_tier> home(env);
        reader<oc::testing::recording_tier> r(env, home, scope(), sequence(chunks),
                                              options_for(where, ways[1]));
        CHECK(r.store().stored == chunks);
        const objects all = ours.all(where);
        CHECK(home.tier.stored().objects() == all.size());
        for (const auto& [key, what] : all)
            CHECK((stored(env, home, key) == what));
    }
}

TEST_CASE("whatever one object holds, a reader has right KV or a miss with its reason, and a store heals it")
{
    using namespace adversary;
    const cast who(chunks);
    tally count;
    std::size_t turn = 0; // every kind meets every way, at one place or another
    for (const kind& what : all_kinds()) {
        for (const oc::layout where : layouts)
            for (const spot& at : spots(where)) {
                if (std::find(what.of.begin(), what.of.end(), at.what) == what.of.end())
                    continue;
                const way& how = ways[turn++ % std::size(ways)];
                if (turn % thinned != 0)
                    continue;
                for (const moment when : {moment::before_match, moment::before_load})
                    play<oc::testing::recording_tier>(who, what, at, how, when, count);
            }
        ++turn;
    }
    MESSAGE(count.text());
}

TEST_CASE("an object that changes between two layers of a load costs what was not read by then")
{
    using namespace adversary;
    const cast who(chunks);
    tally count;
    std::size_t turn = 0;
    for (const kind& what : all_kinds())
        for (const oc::layout where : layouts)
            for (const spot& at : spots(where))
                if (std::find(what.of.begin(), what.of.end(), at.what) != what.of.end() &&
                    (at.victim == 2 || at.victim == 10) && turn++ % thinned == 0)
                    play<oc::testing::recording_tier>(who, what, at, ways[0], moment::behind_first_layer,
                                                      count);
    CHECK((count.scenes.size() == all_kinds().size() || thinned != 1));
}

TEST_CASE("what S3 answers is believed no more than memory")
{
    using namespace adversary;
    const std::set<std::string> few = {
        "empty",
        "cut behind the head",
        "cut inside a slice",
        "one byte short",
        "one byte too long",
        "removed",
        "zeros",
        "a proxy's error page of the right size",
        "a flipped bit in a slice",
        "a record of another chunk",
        "a record of another tenant",
        "a record of version 2",
        "two layers of a chunk exchanged",
        "two chunks' objects exchanged",
        "two regions' segments exchanged",
        "an object of another geometry",
        "the segment of a sequence that branches off here",
        "header: 2^32 - 1 chunks",
    };
    const cast who(chunks);
    tally count;
    std::size_t turn = 0; // the fourth way is too small for an S3 upload's parts
    for (const kind& what : all_kinds())
        for (const oc::layout where : layouts)
            for (const spot& at : spots(where))
                if (few.contains(what.name) && at.victim == 5 &&
                    std::find(what.of.begin(), what.of.end(), at.what) != what.of.end())
                    for (const moment when : {moment::before_match, moment::before_load})
                        if (const way& how = ways[turn % 3]; turn++ % thinned == 0)
                            play<oc::s3_tier>(who, what, at, how, when, count);
    CHECK((count.scenes.size() == few.size() || thinned != 1));
    MESSAGE("over HTTP: " << count.text());
}

} // namespace contract
