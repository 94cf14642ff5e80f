// SPDX-License-Identifier: BSL-1.0
//
// How fast does the S3 client write objects, and at what cost in CPU? One line of JSON; bench/s3.sh runs it beside other clients.

#include "support/load.hpp"

#include <objectcache/s3/client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

/** One reactor: an `io_context`, a client on it, and requests that keep following one another. */
class writer {
public:
    writer(const bench::load& what, unsigned thread, oc::s3::payload_signing signing,
           const oc::s3::endpoint& where, const oc::s3::credentials& who)
        : what_(what)
        , next_(what, thread)
        , lanes_(what.lanes(thread))
        , memory_(lanes_, what.size)
        , client_(context_.get_executor(), where, who, options(what, signing))
    {}

    void run(bench::clock::time_point until, bench::tally& out)
    {
        context_.restart();
        for (unsigned lane = 0; lane < lanes_; ++lane)
            asio::co_spawn(context_, write(*this, memory_[lane], until, out), asio::detached);
        context_.run();
    }

private:
    static oc::s3::client_options options(const bench::load& what, oc::s3::payload_signing signing)
    {
        oc::s3::client_options out;
        out.connections.ca_file = what.ca_file;
        out.connections.control.initial = 8; // what the published results were measured with
        out.signing = signing;
        return out;
    }

    static asio::awaitable<void> write(writer& self, oc::const_byte_span memory,
                                       bench::clock::time_point until, bench::tally& out)
    {
        while (bench::clock::now() < until && out.failure.empty()) {
            const auto began = bench::clock::now();
            std::string bucket = self.what_.bucket;
            std::string key = "put/" + self.what_.key(self.next_());
            const std::span<const oc::const_byte_span> parts(&memory, 1);
            const oc::status done = co_await self.client_.put(std::move(bucket), std::move(key), parts);
            if (!done.ok())
                out.failure = done.message();
            out.add(began);
        }
    }

    const bench::load& what_;
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
    bool sign_payload = false;
    CLI::App app("Writes objects with objectcache's S3 client");
    what.add_to(app);
    app.add_flag("--sign-payload", sign_payload,
                 "SHA-256 over every body, as is the default over plain HTTP");
    CLI11_PARSE(app, argc, argv);
    return bench::guarded([&] {
        const auto where = oc::s3::endpoint::parse(what.url);
        if (!where)
            throw std::runtime_error(where.error().message());
        const auto who = oc::s3::credentials::from_env();
        return bench::measure<writer>(
            what, sign_payload ? oc::s3::payload_signing::always : oc::s3::payload_signing::never, *where,
            who ? *who : oc::s3::credentials::anonymous());
    });
}
