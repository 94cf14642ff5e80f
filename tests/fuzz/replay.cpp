// SPDX-License-Identifier: BSL-1.0
// Plays every file of corpus/ and crashes/ through its target, in any build: what was found once stays found.
//
//     fuzz_replay FOLDER             all targets
//     fuzz_replay TARGET FILE...     some inputs
#include "fuzz.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

struct target {
    const char* name;
    void (*run)(std::string_view);
};

#define OBJECTCACHE_FUZZ_ENTRY(name) {#name, objectcache::fuzz::name},
constexpr target targets[] = {OBJECTCACHE_FUZZ_TARGETS(OBJECTCACHE_FUZZ_ENTRY)};
#undef OBJECTCACHE_FUZZ_ENTRY

bool play(const target& t, const std::filesystem::path& file)
{
    std::printf("%s %s\n", t.name, file.c_str());
    std::fflush(stdout); // the last line names the culprit
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(in), {}};
    t.run({content.data(), content.size()});
    return in.good() || in.eof();
}

int play_all(const std::filesystem::path& folder)
{
    std::size_t played = 0;
    for (const target& t : targets) {
        std::vector<std::filesystem::path> files;
        for (const char* kind : {"corpus", "crashes"})
            if (const auto below = folder / kind / t.name; std::filesystem::is_directory(below))
                std::copy(std::filesystem::directory_iterator(below), {}, std::back_inserter(files));
        std::sort(files.begin(), files.end());
        if (files.empty() ||
            !std::all_of(files.begin(), files.end(), [&](const auto& f) { return play(t, f); })) {
            std::fprintf(stderr, "%s: no inputs, or one that cannot be read\n", t.name);
            return 1;
        }
        played += files.size();
    }
    std::printf("%zu inputs, %zu targets\n", played, std::size(targets));
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 2)
        return play_all(argv[1]);
    for (const target& t : targets)
        if (argc > 2 && std::string_view(argv[1]) == t.name)
            return std::all_of(argv + 2, argv + argc, [&](const char* file) { return play(t, file); }) ? 0
                                                                                                       : 1;
    std::fprintf(stderr, "usage: %s FOLDER | TARGET FILE...\n", argv[0]);
    return 2;
}
