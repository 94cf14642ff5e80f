// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <algorithm>

namespace objectcache {

/** When to look at an event, learnt from how long earlier ones of its kind took.

    The layers of a model take nearly the same time, so the end of one is foretold well: sleep until just before it, then
    look often for a short while. Looking too early burns a core; looking too late is added to TTFT. Between recording and
    the foretold end it looks now and then: what is much shorter than foretold could not be told from it otherwise, nor
    learnt from. Pure.

    Mean and mean deviation as TCP keeps them for round trips (RFC 6298), gains 1/8 and 1/4. */
class wait_predictor {
public:
    /** What a sleeping thread oversleeps is learnt, within these, and begun with the second. It was 0.3 ms behind 20 ms of
        sleep on a virtual machine with an H200. */
    static constexpr duration shortest_oversleep = std::chrono::microseconds(20);
    static constexpr duration oversleep = std::chrono::microseconds(60);
    static constexpr duration longest_oversleep = std::chrono::milliseconds(1);
    /** How long to look without pause once looking has begun. */
    static constexpr duration spin = std::chrono::microseconds(50);
    /** How long at most on either side of the foretold end, however long the whole takes. */
    static constexpr duration longest_spin = std::chrono::milliseconds(2);
    static constexpr duration longest_pause = std::chrono::milliseconds(1);
    /** Between the first looks before the foretold end. */
    static constexpr duration shortest_pause = std::chrono::microseconds(100);
    /** The same where so many events in a row came within an eighth of what was foretold; at most half of that. */
    static constexpr duration trusting_pause = std::chrono::milliseconds(2);
    static constexpr int sure = 8;

    /** An event of this kind was reached `took` after it was recorded. */
    void observe(duration took) noexcept
    {
        if (late_ >= duration::zero()) { // now, and not while an event is waited for: its looks are planned
            const duration off = std::clamp(late_, shortest_oversleep, longest_oversleep) - early_;
            early_ += off > duration::zero() ? off / 2 : off / 16; // to be late costs more than to be early
            late_ = duration(-1);
        } else if (early_ > oversleep) { // never slept: then nothing else would ever teach it to
            early_ -= (early_ - oversleep) / 16;
        }
        if (!seen_) {
            seen_ = true;
            mean_ = took;
            deviation_ = took / 2;
            return;
        }
        const duration off = took > mean_ ? took - mean_ : mean_ - took;
        right_ = off <= mean_ / 8 ? std::min(right_ + 1, sure) : 0;
        deviation_ += (off - deviation_) / 4;
        mean_ += (took - mean_) / 8;
    }

    /** A look came so much later than it was planned. */
    void woke(duration late) noexcept { late_ = std::max(late_, late); }

    /** How long after recording to begin looking often: before the foretold end by what a thread oversleeps and by half as
        much again as the end scatters; that at least a twentieth of the whole (up to `longest_spin`), since a core is cheaper
        than a late layer, and at most an eighth. */
    [[nodiscard]] duration first_look() const noexcept
    {
        const duration least = std::min(mean_ / 20, longest_spin);
        return std::max(duration::zero(), mean_ - early_ - std::clamp(scatter(), least, mean_ / 8));
    }

    /** How long to pause before the next look, `elapsed` after recording; zero means at once.

        The pause grows with the time already waited: a quarter of it before the foretold end, an eighth of what it is
        behind it after the spin. A wait that is far off its prediction costs little CPU and at most a quarter more time,
        or 2 ms after many that were not. */
    [[nodiscard]] duration next_look(duration elapsed) const noexcept
    {
        const duration late = elapsed - first_look();
        if (late < duration::zero()) {
            const duration least =
                right_ == sure ? std::min(first_look() / 2, trusting_pause) : shortest_pause;
            return std::min(-late, std::max(least, elapsed / 4));
        }
        const duration begin = mean_ - early_ - longest_spin; // until then looking now and then will do
        const duration end = mean_ + spin + std::min({scatter(), mean_ / 16, longest_spin});
        if (late < spin || (elapsed >= begin && elapsed < end))
            return duration::zero();
        const duration pause = std::min(longest_pause, late / 8);
        return elapsed < begin ? std::min(pause, begin - elapsed) : pause;
    }

private:
    [[nodiscard]] duration scatter() const noexcept { return deviation_ + deviation_ / 2; }

    bool seen_ = false;
    int right_ = 0; // predictions in a row, up to `sure`
    duration mean_{};
    duration deviation_{};
    duration early_ = oversleep;
    duration late_{-1}; // the latest look since an event was reached; none: below zero
};

} // namespace objectcache
