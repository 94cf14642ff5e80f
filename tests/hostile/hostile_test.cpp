// SPDX-License-Identifier: BSL-1.0
#include <hostile/performance.hpp>
#include <hostile/reader.hpp>

#include <objectcache/io/reactor.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace hostile {

namespace fs = std::filesystem;

/** A file that is gone at the end. */
class temporary_file {
public:
    explicit temporary_file(const std::string& text)
        : path_(fs::temp_directory_path() / ("objectcache-hostile-" + std::to_string(::getpid()) + ".pem"))
    {
        std::ofstream(path_) << text;
    }
    temporary_file(const temporary_file&) = delete;
    ~temporary_file()
    {
        std::error_code ignored;
        fs::remove(path_, ignored);
    }
    [[nodiscard]] std::string name() const { return path_.string(); }

private:
    fs::path path_;
};

std::string text_of(const fs::path& path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/** All of them, or the one that HOSTILE_SCRIPT names. */
std::vector<fs::path> script_files()
{
    std::vector<fs::path> out;
    const char* const only = std::getenv("HOSTILE_SCRIPT");
    for (const auto& entry :
         fs::directory_iterator(fs::path(OBJECTCACHE_TEST_DATA).parent_path() / "hostile" / "scripts"))
        if (entry.path().extension() == ".txt" && (!only || entry.path().stem() == only))
            out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
}

std::size_t open_files()
{
    const fs::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(fs::begin(all), fs::end(all)));
}

} // namespace hostile

TEST_CASE("hostile: every script ends in time, with the right condition, and leaves nothing behind")
{
    using namespace hostile;
    const identities who;
    const temporary_file ca(who.trusted());
    const auto files = script_files();
    REQUIRE_FALSE(files.empty());
    std::printf("%zu scripts on %s\n", files.size(), objectcache::reactor_backend());
    for (const fs::path& file : files) {
        const auto what = parse_script(file.stem().string(), text_of(file));
        CHECK_MESSAGE(what.ok(), what.error().message());
        if (!what)
            continue;
        std::string verdict = "good";
        std::string summary;
        std::vector<std::string> offences;
        const std::size_t files_before = open_files();
        {
            performance p(*what, who, ca.name());
            offences = p.run();
            summary = p.summary();
        }
        if (open_files() != files_before)
            offences.push_back("a file descriptor leaks");
        std::string all;
        for (const std::string& offence : offences)
            all += "\n    " + offence;
        if (!offences.empty())
            verdict = "BAD" + all;
        std::printf("  %-34s %s (%s)\n", what->name.c_str(), verdict.c_str(), summary.c_str());
        CHECK_MESSAGE(offences.empty(), what->name, ": ", what->about, all);
    }
}

namespace hostile {

/** What is found wrong with a server that does `steps`, when `settings` are what is expected of the client. */
std::vector<std::string> offences_of(const std::string& settings, const std::string& steps)
{
    const auto what = parse_script("inline", "about: -\n" + settings + "\nconnection always\n" + steps);
    REQUIRE_MESSAGE(what.ok(), what.error().message());
    const identities who;
    performance p(*what, who, {});
    return p.run();
}

} // namespace hostile

TEST_CASE("hostile: what scripts do not allow is found")
{
    using hostile::offences_of;
    const std::string get = "operation: get 0-9999\n";
    const std::string good = "read\nrespond\nagain";
    CHECK(offences_of(get + "expect: ok", good).empty());
    const auto has = [](const std::vector<std::string>& offences, const std::string& what) {
        return std::any_of(offences.begin(), offences.end(),
                           [&](const std::string& o) { return o.find(what) != o.npos; });
    };
    CHECK(has(offences_of(get + "expect: timeout", good), "expected timeout, got ok"));
    CHECK(has(offences_of(get + "expect: ok", "read\nfin"), "expected ok, got GET"));
    CHECK(has(offences_of(get + "expect: unavailable\nmessage: moon", "read\nfin"), "does not say 'moon'"));
    CHECK(has(offences_of(get + "expect: ok\netag: \"two\"", good), "the ETag is \"one\""));
    CHECK(has(offences_of(get + "expect: ok\nrequests: 2", good), "saw 1 requests"));
    CHECK(has(offences_of(get + "expect: ok\nconnections: >=2", good), "saw 1 connections"));
    CHECK(has(offences_of(get + "expect: ok", "read with \"moon\"\nrespond"), "lacks 'moon'"));
    CHECK(has(offences_of(get + "expect: ok", "read at +1h\nrespond"), "is signed at"));
    CHECK(has(offences_of(get + "expect: absent\nidle: 3", "read\nrespond 404 NoSuchKey\nagain"),
              "1 connections are kept"));
    CHECK(has(offences_of(get + "expect: ok", "read\nhead\nsend \"x\" x 10000\nagain"), "other bytes"));
}
