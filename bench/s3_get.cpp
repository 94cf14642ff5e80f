// SPDX-License-Identifier: BSL-1.0
//
// How fast does the S3 client read objects, and at what cost in CPU? One line of JSON; bench/s3.sh runs it beside other clients.

#include "support/load.hpp"

#include <objectcache/kv/format.hpp>
#include <objectcache/s3/client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

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

/** One reactor: an `io_context`, a client on it, and requests that keep following one another. */
class reader {
public:
    reader(const bench::load& what, unsigned thread, const slice_hashes& expected,
           const oc::s3::endpoint& where, const oc::s3::credentials& who)
        : what_(what)
        , expected_(expected)
        , next_(what, thread)
        , lanes_(what.lanes(thread))
        , memory_(lanes_, what.size)
        , client_(context_.get_executor(), where, who, options(what))
    {}

    void run(bench::clock::time_point until, bench::tally& out)
    {
        context_.restart();
        for (unsigned lane = 0; lane < lanes_; ++lane)
            asio::co_spawn(context_, read(*this, memory_[lane], until, out), asio::detached);
        context_.run();
    }

private:
    static oc::s3::client_options options(const bench::load& what)
    {
        oc::s3::client_options out;
        out.connections.ca_file = what.ca_file;
        out.connections.control.initial = 8; // what the published results were measured with
        return out;
    }

    static asio::awaitable<void> read(reader& self, oc::byte_span memory, bench::clock::time_point until,
                                      bench::tally& out)
    {
        while (bench::clock::now() < until && out.failure.empty()) {
            const unsigned object = self.next_();
            const auto began = bench::clock::now();
            std::string bucket = self.what_.bucket;
            std::string key = self.what_.key(object);
            const oc::byte_range range{0, memory.size()};
            auto got = co_await self.client_.get(std::move(bucket), std::move(key), range, memory);
            if (!got)
                out.failure = got.error().message();
            else if (!self.is_right(object, memory))
                out.failure = self.what_.key(object) + " is not what was stored";
            out.add(began);
        }
    }

    [[nodiscard]] bool is_right(unsigned object, oc::const_byte_span bytes) const
    {
        if (expected_.empty())
            return true;
        for (std::size_t i = 0; const std::uint64_t hash : expected_[object]) {
            const std::uint64_t at = slice_bytes * i++;
            if (oc::payload_hash(bytes.subspan(at, std::min(slice_bytes, bytes.size() - at))) != hash)
                return false;
        }
        return true;
    }

    const bench::load& what_;
    const slice_hashes& expected_;
    bench::turn next_;
    unsigned lanes_;
    bench::buffers memory_;
    asio::io_context context_{1};
    oc::s3::client client_;
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
        const auto where = oc::s3::endpoint::parse(what.url);
        if (!where)
            throw std::runtime_error(where.error().message());
        const auto who = oc::s3::credentials::from_env();
        const slice_hashes expected = directory.empty() ? slice_hashes() : hashes_of_files(what, directory);
        return bench::measure<reader>(what, expected, *where, who ? *who : oc::s3::credentials::anonymous());
    });
}
