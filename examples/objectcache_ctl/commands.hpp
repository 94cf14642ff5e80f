// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "arguments.hpp"

#include <objectcache/plan/garbage.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/listing.hpp>

#include <functional>
#include <string>

/** What every command gets: the user's wishes, and a client. */
struct session {
    arguments how;
    oc::s3::client client;
    int exit_code = 0; ///< of a command that was carried out

    /** What the keys begin with that the command is about. */
    [[nodiscard]] std::string root() const
    {
        return how.scope.empty() ? how.at.name : how.at.name + "oc1/" + how.scope + '/';
    }
};

// One short file each.
asio::awaitable<oc::status> ls(session& s);
asio::awaitable<oc::status> stat(session& s);
asio::awaitable<oc::status> verify(session& s);
asio::awaitable<oc::status> du(session& s);
asio::awaitable<oc::status> gc(session& s);

/** Every group of objects below `root()`, judged by name alone and as if all were old, in the order of the keys. The next page is
    asked for once `visit` has seen the one before, so that memory holds a page and a group.

    @param visit `asio::awaitable<oc::status>(oc::judged_group)`; a failure ends the listing */
using group_visitor = std::function<asio::awaitable<oc::status>(oc::judged_group)>;
asio::awaitable<oc::status> each_group(session& s, group_visitor visit);

/** The names right below `prefix`, which ends in '/': folders are in `common_prefixes`. */
oc::s3::listing folders(session& s, std::string prefix);

/** What to say when there is nothing below the prefix: which prefixes there are. */
asio::awaitable<oc::status> nothing_there(session& s);
