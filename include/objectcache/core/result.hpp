// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cassert>
#include <utility>
#include <variant>

namespace objectcache {

/** A value, or the status that says why there is none. What fallible functions and coroutines return; never throws
    for a failure. (`std::expected` is C++23.)

    @pre `value()` and the dereference operators: `ok()`. Checked by assert only. */
template <class T>
class [[nodiscard]] result {
public:
    /** A failure (`errc::cancelled`), for Asio's `co_spawn`, which makes one to go with an exception. */
    result() : result(errc::cancelled) {}
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(status why) : state_(std::in_place_index<1>, std::move(why)) { assert(!error().ok()); }
    result(errc why, std::string detail = {}) : result(status(why, std::move(detail))) {}

    [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    [[nodiscard]] T& value() & noexcept { return *std::get_if<0>(&state_); }
    [[nodiscard]] const T& value() const& noexcept { return *std::get_if<0>(&state_); }
    [[nodiscard]] T&& value() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T& operator*() & noexcept { return value(); }
    const T& operator*() const& noexcept { return value(); }
    T&& operator*() && noexcept { return std::move(*this).value(); }
    T* operator->() noexcept { return &value(); }
    const T* operator->() const noexcept { return &value(); }

    /** The failure; a default (successful) status when there is a value. */
    [[nodiscard]] status error() const { return ok() ? status() : *std::get_if<1>(&state_); }
    [[nodiscard]] error_code code() const noexcept
    {
        return ok() ? error_code() : std::get_if<1>(&state_)->code();
    }

private:
    std::variant<T, status> state_;
};

} // namespace objectcache
