// SPDX-License-Identifier: BSL-1.0
#include "../progress_bar.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <array>
#include <map>

namespace {

struct tally {
    std::uint64_t objects = 0;
    std::array<std::uint64_t, oc::verdicts> bytes{}; // by verdict

    void add(const oc::judged_object& o)
    {
        ++objects;
        bytes[static_cast<std::size_t>(o.what)] += o.object.size;
    }
    void add(const tally& other)
    {
        objects += other.objects;
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] += other.bytes[i];
    }
    [[nodiscard]] std::uint64_t of(oc::verdict what) const { return bytes[static_cast<std::size_t>(what)]; }
    [[nodiscard]] std::uint64_t all() const
    {
        std::uint64_t sum = 0;
        for (const std::uint64_t b : bytes)
            sum += b;
        return sum;
    }
};

constexpr std::array garbage{oc::verdict::superseded, oc::verdict::undecided, oc::verdict::orphan,
                             oc::verdict::broken};

void print(const tally& t, const std::string& label, json_line line, bool json)
{
    line.add("objects", t.objects).add("bytes", t.all());
    std::string text = label;
    text.resize(std::max<std::size_t>(text.size(), 20), ' ');
    std::array<char, 64> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "%10llu objects %10s",
                  static_cast<unsigned long long>(t.objects), size_text(t.all()).c_str());
    text += numbers.data();
    for (const oc::verdict what : garbage) {
        line.add(std::string(name(what)) + "_bytes", t.of(what));
        if (t.of(what) != 0)
            text += ", " + size_text(t.of(what)) +
                    (what == oc::verdict::undecided ? " perhaps superseded" : ' ' + std::string(name(what)));
    }
    if (json)
        line.print();
    else
        std::printf("%s\n", text.c_str());
}

/** The listing goes scope by scope, so only one is in memory. */
struct usage {
    bool json;
    std::string scope{};
    std::map<oc::layout, tally> layouts{};
    tally ours{}, foreign{}, other_version{};
    progress_count count{"objects"};
    std::uint64_t seen = 0;

    void end_scope()
    {
        if (layouts.empty())
            return;
        count.clear();
        if (!json)
            std::printf("scope %s\n", scope.c_str());
        for (const auto& [layout, t] : layouts) {
            print(t, "  " + std::string(name(layout)),
                  json_line("layout").add("scope", scope).add("layout", name(layout)), json);
            ours.add(t);
        }
        layouts.clear();
    }
    void add(const oc::judged_object& o)
    {
        if (!o.name) {
            (o.what == oc::verdict::foreign ? foreign : other_version).add(o);
            return;
        }
        if (o.name->scope != scope)
            end_scope();
        scope = o.name->scope;
        layouts[o.name->where()].add(o);
    }
    void end()
    {
        end_scope();
        print(ours, "total", json_line("total"), json);
        for (const auto& [t, label] : {std::pair{other_version, "other versions"}, {foreign, "not ours"}})
            if (t.objects != 0)
                print(t, label, json_line(label == std::string("not ours") ? "foreign" : "other_version"),
                      json);
    }
};

} // namespace

asio::awaitable<oc::status> du(session& s)
{
    usage all{s.how.json};
    const auto add = [&](oc::judged_group group) -> asio::awaitable<oc::status> {
        for (const oc::judged_object& o : group.objects)
            all.add(o);
        all.count.show(all.seen += group.objects.size());
        co_return oc::status();
    };
    oc::status done = co_await each_group(s, add);
    all.count.clear();
    if (!done.ok())
        co_return done;
    all.end_scope();
    if (all.ours.objects == 0 && all.other_version.objects == 0)
        co_return co_await nothing_there(s);
    all.end();
    co_return done;
}
