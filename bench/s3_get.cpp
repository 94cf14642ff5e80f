// SPDX-License-Identifier: BSL-1.0
//
// How fast does the S3 client read objects, and at what cost in CPU? One line of JSON; bench/s3.sh runs it beside other clients.

#include "support/reactor.hpp"
#include "support/slices.hpp"

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

/** GETs that keep following one another. */
class reader : bench::reactor {
public:
    reader(const bench::load& what, unsigned thread, const bench::slice_hashes& expected,
           const bench::target& to)
        : reactor(what, thread, to, {})
        , expected_(expected)
    {}

    void run(bench::clock::time_point until, bench::tally& out)
    {
        run_lanes([&](oc::byte_span memory) { return read(*this, memory, until, out); });
    }

private:
    static asio::awaitable<void> read(reader& self, oc::byte_span memory, bench::clock::time_point until,
                                      bench::tally& out)
    {
        while (bench::clock::now() < until && out.failure.empty()) {
            const unsigned object = self.next_();
            const auto began = bench::clock::now();
            std::string bucket = self.what_.bucket;
            std::string key = self.what_.key(object);
            const oc::byte_range range{0, memory.size()};
            bench::slice_verifier seen(self.expected_, object, memory);
            const oc::s3::get_options how{.until = {}, .observer = &seen};
            auto got = co_await self.client_.get(std::move(bucket), std::move(key), range, memory, how);
            if (!got)
                out.failure = got.error().message();
            else if (!seen.is_right())
                out.failure = self.what_.key(object) + " is not what was stored";
            out.add(began);
        }
    }

    const bench::slice_hashes& expected_;
};

} // namespace

int main(int argc, char** argv)
{
    bench::load what;
    std::string directory;
    CLI::App app("Reads objects with objectcache's S3 client");
    what.add_to(app);
    app.add_option("--verify", directory,
                   "check every slice (XXH3) against the objects as files in this directory");
    CLI11_PARSE(app, argc, argv);
    return bench::guarded([&] {
        const bench::slice_hashes expected =
            directory.empty() ? bench::slice_hashes() : bench::hashes_of_files(what, directory);
        return bench::measure<reader>(what, expected, bench::target::of(what));
    });
}
