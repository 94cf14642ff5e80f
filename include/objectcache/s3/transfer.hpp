// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/core/read_observer.hpp>
#include <objectcache/s3/detail/response_parser.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace objectcache::s3 {

class chunked_upload;

/** What the answer to a request has to be. Bodies of answers that report an error are always kept as text. */
enum class expect {
    head,  ///< no body follows: HEAD
    text,  ///< any body of at most `exchange::text_limit` bytes
    range, ///< exactly the bytes of `exchange::range`, into `exchange::destination`
    object ///< a whole object of at most `exchange::destination.size()` bytes, into it
};

/** One request and what is to become of its response. */
struct exchange {
    std::string head;                              ///< request line and headers, see `serialize`
    std::span<const const_byte_span> payload = {}; ///< follows the head; borrowed until the transfer is done
    expect answer = expect::text;
    byte_range range = {};            ///< `expect::range`: what was asked for
    byte_span destination = {};       ///< borrowed; for a range of its size. Nothing is ever written outside
    std::size_t text_limit = 0;       ///< bytes
    bool conditional = false;         ///< the request carries If-None-Match: 412 means that the object exists
    chunked_upload* stream = nullptr; ///< begun; makes what follows the head, in place of `payload`
    read_observer* observer = nullptr; ///< of what comes into `destination`
    bool expect_continue =
        false; ///< the head says `Expect: 100-continue`: see `transfer::waits_for_continue`
};

/** The protocol of one exchange on one connection, without the I/O: it says what it wants next and is told what
    happened. Bodies of answers are received straight into their destination, bounded by it; only what arrives together
    with the response head is copied, and chunked bodies, which no S3 service sends for objects.

    @code
    while (t.next() != transfer::want::done)
        t.next() == transfer::want::send ? t.sent(send_some(t.unsent(buffers))) : t.received(receive_some(t.room()));
    @endcode

    @par Lifetime  Scratch, payload and destination are borrowed until the transfer is destroyed; bytes are written only
                   where `room()` pointed last.
    @par Threads   None of its own. Calls on one transfer must not overlap. */
class transfer {
public:
    enum class want {
        send,    ///< some of `unsent()`, then call `sent()`
        receive, ///< up to `room().size()` bytes into `room()`, then call `received()`
        done     ///< see `outcome()`
    };
    /** The longest response head that is accepted, and so the least size of the scratch buffer, in bytes. */
    static constexpr std::size_t head_limit = 16 * 1024;
    /** How much of an error's body is kept, in bytes. */
    static constexpr std::size_t error_limit = 64 * 1024;
    /** Bytes that are received at once while somebody looks at them. */
    static constexpr std::size_t observed_piece = 512 * 1024;

    /** @pre `scratch.size() >= head_limit`; for `expect::range`, `what.destination.size() == what.range.size`. */
    transfer(exchange what, byte_span scratch);
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    [[nodiscard]] want next() const noexcept { return next_; }

    /** Fills `out` with what is to be sent, in order, as far as it goes.

        @returns The filled part of `out`; never empty while `next() == want::send` and `out` is not. */
    [[nodiscard]] std::span<const_byte_span> unsent(std::span<const_byte_span> out) const noexcept;
    /** Where to receive; never empty while `next() == want::receive`. */
    [[nodiscard]] byte_span room() noexcept;

    /** @name What happened. */
    /** @{ */
    void sent(std::size_t bytes);
    void received(std::size_t bytes);
    /** The peer will send nothing more. */
    void ended();
    /** Begin with the body though the peer did not ask for it: one that knows nothing of `100-continue` waits for it.
        @pre `waits_for_continue()`. */
    void go_ahead();
    /** Sending or receiving failed. After a failed send the peer's answer, which may say why, is still read. */
    void failed(error_code why);
    /** @} */

    /** How many bytes of the destination hold the body so far, from its beginning: what an observer may look at while the
        rest is still under way. */
    [[nodiscard]] std::size_t received_body() const noexcept { return body_.size; }
    /** Bytes that went either way so far: what does not grow any more has stalled. */
    [[nodiscard]] std::uint64_t progress() const noexcept { return progress_; }
    /** Is the body held back until the peer says `100 Continue`? It may as well refuse, and then the body is never sent, or
        say nothing: see `go_ahead`. */
    [[nodiscard]] bool waits_for_continue() const noexcept { return stage_ == stage::waiting; }
    /** Has the peer sent anything at all? A reused connection that ends before was closed by the server while idle. */
    [[nodiscard]] bool answered() const noexcept { return answered_; }
    [[nodiscard]] const response_head& response() const noexcept { return parser_->head(); }
    /** The body of `expect::text`, or of an error. */
    [[nodiscard]] std::string& text() noexcept { return body_.text; }

    /** @name Once done. */
    /** @{ */
    /** Success, or what went wrong: "403 SignatureDoesNotMatch: ...".

        @par Errors
        @li `condition::absent`       404
        @li `condition::denied`       401, 403, and credentials that are not valid any more
        @li `condition::invalid`      412 (`errc::already_exists`) of a conditional request
        @li `condition::unavailable`  429, 5xx, an error inside a 200, a broken connection
        @li `condition::corrupt`      another length than was asked for (also 416), not HTTP, too large a head or text */
    [[nodiscard]] const status& outcome() const noexcept { return outcome_; }
    /** May the connection carry another exchange? */
    [[nodiscard]] bool reusable() const noexcept { return reusable_; }
    /** @} */

private:
    enum class stage { sending, waiting, head, counted_body, chunked_body, body_to_eof, done };

    [[nodiscard]] bool has_more_to_send();
    void parse_head();
    void begin_body();
    void take_buffered();
    void parse_chunks();
    void finish();
    void tell();
    void too_long();
    void stop(status why);
    [[nodiscard]] status accept_length() const;

    exchange what_;
    byte_span scratch_;
    std::size_t begin_ = 0; // scratch_[begin_, end_) is received and not yet understood
    std::size_t end_ = 0;

    std::size_t sent_ = 0; // of the current part
    std::size_t part_ = 0; // 0: the head, i + 1: payload[i]

    std::optional<detail::response_parser> parser_;
    detail::body_sink body_;
    std::uint64_t remaining_ = 0; // of a counted body
    std::size_t told_ = 0;        // to the observer
    std::uint64_t progress_ = 0;
    std::size_t head_size_ = 0; // with interim heads
    unsigned interim_ = 0;
    status send_failure_;
    status outcome_;
    stage stage_ = stage::sending;
    want next_ = want::send;
    bool answered_ = false;
    bool chunks_begun_ = false; // the parser has seen some of a chunked body
    bool reusable_ = false;
    bool held_ = false; // the body was never sent
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/transfer.ipp>
#endif
