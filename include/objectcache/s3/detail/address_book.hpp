// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace objectcache::s3::detail {

using addresses = std::vector<boost::asio::ip::tcp::endpoint>;

/** What is known of the addresses of names, and which one comes next: a store of many addresses wants its clients spread
    over them.

    @par Cost  Bounded: 256 names, and as many addresses that failed. */
class address_book {
public:
    address_book(duration ttl, duration quarantine) : ttl_(ttl), quarantine_(quarantine) {}

    void learn(const std::string& name, addresses found, time_point now)
    {
        if (names_.size() >= limit && !names_.contains(name))
            names_.clear();
        entry& e = names_[name];
        e.all = std::move(found);
        e.until = now + ttl_;
    }

    /** The addresses of a name in the order in which the next connection should try them. Empty: not known any more.

        Each call begins with another one of the first address's family; the other family is for when that fails, for the
        resolver had its reasons to put it last. Behind all others come those that failed lately. */
    [[nodiscard]] addresses order(const std::string& name, time_point now)
    {
        const auto found = names_.find(name);
        if (found == names_.end() || found->second.until <= now)
            return {};
        entry& e = found->second;
        addresses out = e.all;
        const auto family = out.front().protocol();
        const auto others = std::stable_partition(out.begin(), out.end(),
                                                  [&](const auto& a) { return a.protocol() == family; });
        const auto good = [&](const auto& a) { return !is_bad(a, now); };
        const auto bad = std::stable_partition(out.begin(), others, good);
        if (bad != out.begin())
            std::rotate(out.begin(),
                        out.begin() + static_cast<std::ptrdiff_t>(e.turn++ % std::size_t(bad - out.begin())),
                        bad);
        std::stable_partition(out.begin(), out.end(), good);
        return out;
    }

    void failed(const boost::asio::ip::tcp::endpoint& address, time_point now)
    {
        if (bad_.size() >= limit)
            bad_.clear();
        bad_[address] = now + quarantine_;
    }
    void worked(const boost::asio::ip::tcp::endpoint& address) { bad_.erase(address); }

private:
    struct entry {
        addresses all;
        time_point until;
        std::size_t turn = 0;
    };
    static constexpr std::size_t limit = 256;

    [[nodiscard]] bool is_bad(const boost::asio::ip::tcp::endpoint& address, time_point now) const
    {
        const auto found = bad_.find(address);
        return found != bad_.end() && found->second > now;
    }

    duration ttl_;
    duration quarantine_;
    std::map<std::string, entry> names_;
    std::map<boost::asio::ip::tcp::endpoint, time_point> bad_; // until when
};

} // namespace objectcache::s3::detail
