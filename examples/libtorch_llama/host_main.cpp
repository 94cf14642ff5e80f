// SPDX-License-Identifier: BSL-1.0
#include "answer.hpp"

#include "text.hpp"

#include <objectcache/device/host_device.hpp>

namespace torch_llama {
namespace {

/** The CPU as a device: a thread for its compute stream, on which layers wait at their gates. */
class host_compute {
public:
    using device = oc::host_device;

    [[nodiscard]] device& kv_device() noexcept { return device_; }
    [[nodiscard]] device::stream_ref stream() noexcept { return stream_; }
    [[nodiscard]] device::event record() { return stream_.record(); }
    [[nodiscard]] static std::optional<c10::Stream> torch_stream() noexcept { return {}; }

    template <class F>
    void enqueue(F work)
    {
        stream_.enqueue([this, work] {
            try {
                work();
            } catch (...) { // a stream's work must not throw
                failure_ = std::current_exception();
            }
        });
    }
    void rethrow() const
    {
        if (failure_)
            std::rethrow_exception(failure_);
    }

private:
    device device_;
    std::exception_ptr failure_; // written on the stream, read behind an event
    oc::host_stream stream_;
};

} // namespace

std::vector<std::uint32_t> prompt_of(const settings& s, const config& c)
{
    std::vector<std::uint32_t> out;
    if (!s.prompt.empty()) {
        out = llama::read_prompt(c, s.prompt);
    } else {
        std::mt19937_64 random(s.seed);
        for (std::size_t i = 0; i < s.tokens; ++i)
            out.push_back(static_cast<std::uint32_t>(random() % c.vocab));
    }
    return out;
}

kv_memory memory_for(const settings& s, const config& c, std::size_t tokens)
{
    constexpr std::uint32_t block = kv_memory::default_block_tokens;
    std::vector<std::uint32_t> table;
    if (s.scattered) {
        table.resize((tokens + block - 1) / block);
        std::iota(table.begin(), table.end(), 0U);
        std::shuffle(table.begin(), table.end(), std::mt19937_64(s.seed));
    }
    return {c, s.where(), tokens, block, std::move(table)};
}

int run_on_host(const settings& s)
{
    host_compute cpu;
    return run_on(cpu, s);
}

} // namespace torch_llama
