// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/operation.hpp>

#include <coroutine>
#include <optional>
#include <utility>

namespace objectcache {

/** Base of the library's awaitable types: `Derived` has `operator()(token)`, an Asio operation with signature `void(T)`.

    In an `asio::awaitable` it is awaited as such. This base lets any other C++20 coroutine await it too: there it resumes
    on the operation's own executor, without cancellation. */
template <class Derived, class T>
class awaitable_operation {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting)
    {
        static_cast<Derived&> (*this)([this, waiting](T value) {
            value_.emplace(std::move(value));
            waiting.resume();
        });
    }
    [[nodiscard]] T await_resume() { return std::move(*value_); }

private:
    std::optional<T> value_;
};

} // namespace objectcache
