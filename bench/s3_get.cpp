// SPDX-License-Identifier: BSL-1.0
//
// How fast does the S3 client read objects, and at what cost in CPU? One line of JSON; bench/s3.sh runs it beside other clients.

#include "support/reactor.hpp"

#include <objectcache/kv/format.hpp>

#include <fstream>

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

/** What verification needs: the checksums of an object's slices, as the trailers of a cache's objects carry them. */
using slice_hashes = std::vector<std::vector<std::uint64_t>>; // [object][slice]

constexpr std::uint64_t slice_bytes = 256 * 1024; // Llama-3.1-8B, G = 64

slice_hashes hashes_of(oc::const_byte_span object, slice_hashes&& into)
{
    auto& out = into.emplace_back();
    for (std::uint64_t at = 0; at < object.size(); at += slice_bytes)
        out.push_back(oc::payload_hash(object.subspan(at, std::min(slice_bytes, object.size() - at))));
    return std::move(into);
}

slice_hashes hashes_of_files(const bench::load& what, const std::string& directory)
{
    slice_hashes out;
    std::vector<std::byte> bytes(what.size);
    for (unsigned i = 0; i < what.objects; ++i) {
        std::ifstream in(directory + "/" + what.key(i), std::ios::binary);
        if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
            throw std::runtime_error(directory + "/" + what.key(i) + " is not of that size");
        out = hashes_of(bytes, std::move(out));
    }
    return out;
}

/** Compares each slice with its checksum as soon as it is there. */
class verifier final : public oc::read_observer {
public:
    verifier(const slice_hashes& expected, unsigned object, oc::const_byte_span bytes)
        : bytes_(bytes)
        , expected_(expected.empty() ? std::span<const std::uint64_t>() : expected[object])
    {}

    void arrived(std::size_t bytes) noexcept override
    {
        if (bytes == 0) {
            done_ = 0;
            right_ = true;
        }
        while (done_ < expected_.size()) {
            const std::uint64_t begin = slice_bytes * done_;
            const std::uint64_t end = std::min<std::uint64_t>(begin + slice_bytes, bytes_.size());
            if (end > bytes)
                break;
            right_ = right_ && oc::payload_hash(bytes_.subspan(begin, end - begin)) == expected_[done_];
            ++done_;
        }
    }
    [[nodiscard]] bool is_right() const noexcept { return right_ && done_ == expected_.size(); }

private:
    oc::const_byte_span bytes_;
    std::span<const std::uint64_t> expected_; // by slice; none: nothing is compared
    std::size_t done_ = 0;
    bool right_ = true;
};

/** GETs that keep following one another. */
class reader : bench::reactor {
public:
    reader(const bench::load& what, unsigned thread, const slice_hashes& expected, const bench::target& to)
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
            verifier seen(self.expected_, object, memory);
            const oc::s3::get_options how{.until = {}, .observer = &seen};
            auto got = co_await self.client_.get(std::move(bucket), std::move(key), range, memory, how);
            if (!got)
                out.failure = got.error().message();
            else if (!seen.is_right())
                out.failure = self.what_.key(object) + " is not what was stored";
            out.add(began);
        }
    }

    const slice_hashes& expected_;
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
        const slice_hashes expected = directory.empty() ? slice_hashes() : hashes_of_files(what, directory);
        return bench::measure<reader>(what, expected, bench::target::of(what));
    });
}
