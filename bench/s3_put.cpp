// SPDX-License-Identifier: BSL-1.0
//
// How fast does the S3 client write objects, and at what cost in CPU? One line of JSON; bench/s3.sh runs it beside other clients.

#include "support/reactor.hpp"

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

/** PUTs that keep following one another. */
class writer : bench::reactor {
public:
    writer(const bench::load& what, unsigned thread, const oc::s3::client_options& options,
           const bench::target& to)
        : reactor(what, thread, to, options)
    {}

    void run(bench::clock::time_point until, bench::tally& out)
    {
        run_lanes([&](oc::const_byte_span memory) { return write(*this, memory, until, out); });
    }

private:
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
        oc::s3::client_options options;
        options.signing = sign_payload ? oc::s3::payload_signing::always : oc::s3::payload_signing::never;
        return bench::measure<writer>(what, options, bench::target::of(what));
    });
}
