// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/fair_queue.hpp>

namespace objectcache {

OBJECTCACHE_DECL void fair_queue::serve()
{
    for (auto& line : lines_) {
        while (!line.empty() && (*line.front()->take)()) {
            waiter* next = line.front();
            line.pop_front();
            next->served = true;
            next->wake->cancel();
        }
        if (!line.empty())
            return; // whoever is first in the more urgent line is not overtaken
    }
}

OBJECTCACHE_DECL asio::awaitable<error_code> fair_queue::wait(priority who, deadline until,
                                                              std::function<bool()> take)
{
    auto keep = shared_from_this();
    auto& line = lines_[static_cast<std::size_t>(who)];
    if (is_free_for(who) && take())
        co_return error_code();

    timer wake(executor_);
    wake.expires_at(until.at());
    place mine{line, {&take, &wake}};
    line.push_back(&mine.self);
    const bool expired = co_await wake.wait();
    if (mine.self.served)
        co_return error_code();
    line.remove(&mine.self);
    serve(); // the one behind may fit where this one did not
    co_return make_error_code(expired ? errc::deadline_exceeded : errc::cancelled);
}

} // namespace objectcache
