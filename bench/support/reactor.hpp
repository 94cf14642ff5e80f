// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "load.hpp"

#include <objectcache/s3/client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace bench {

/** Where our client goes, and as whom. */
struct target {
    objectcache::s3::endpoint where;
    objectcache::s3::credentials who;

    static target of(const load& what)
    {
        auto where = objectcache::s3::endpoint::parse(what.url);
        if (!where)
            throw std::runtime_error(where.error().message());
        auto who = objectcache::s3::credentials::from_env();
        return {std::move(*where), who ? std::move(*who) : objectcache::s3::credentials::anonymous()};
    }
};

/** What one thread has: an `io_context`, a client on it, and memory for each request that is kept in flight. */
class reactor {
protected:
    reactor(const load& what, unsigned thread, const target& to, objectcache::s3::client_options options)
        : what_(what)
        , next_(what, thread)
        , memory_(what.lanes(thread), what.size)
        , lanes_(what.lanes(thread))
        , client_(context_.get_executor(), to.where, to.who, with_ca(std::move(options), what))
    {}

    /** Run `lane(memory)`, a coroutine, for each request in flight, until all have ended. */
    template <class Lane>
    void run_lanes(Lane lane)
    {
        context_.restart();
        for (unsigned i = 0; i < lanes_; ++i)
            boost::asio::co_spawn(context_, lane(memory_[i]), boost::asio::detached);
        context_.run();
    }

    const load& what_;
    turn next_;

private:
    static objectcache::s3::client_options with_ca(objectcache::s3::client_options options, const load& what)
    {
        options.connections.ca_file = what.ca_file;
        return options;
    }

    buffers memory_;
    unsigned lanes_;
    boost::asio::io_context context_{1};

protected:
    objectcache::s3::client client_; // goes before its context
};

} // namespace bench
