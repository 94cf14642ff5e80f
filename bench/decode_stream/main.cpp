// SPDX-License-Identifier: BSL-1.0
//
// Decode steps over a prefix whose KV does not fit the device: some layers stay there, the others come anew for every step, from
// pinned DRAM or from an object store. How near a step comes to what bus and link allow, and what it costs beside one with
// everything on the device. Appends a JSON line for each row; bench/decode_stream.py makes the page.
#include "program.hpp"

#include "host_compute.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cstring>
#include <thread>

namespace decode_stream {
namespace {

/** The CPU in place of a GPU. Its bus is a thread that copies, and then waits as long as the bus would have taken. */
class cpu_machine : public torch_llama::host_compute {
public:
    static constexpr at::ScalarType dtype = at::kFloat;
    static constexpr bool simulated = true;

    explicit cpu_machine(double bus_gbps) : rate_(bus_gbps * 1e9) {}

    [[nodiscard]] static at::Device torch_device() { return at::kCPU; }
    [[nodiscard]] static std::string name() { return "CPU"; }
    void settle()
    {
        record().wait();
        rethrow();
    }

    class pinned {
    public:
        explicit pinned(std::size_t bytes) : bytes_(bytes) {}
        [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
        [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }

    private:
        std::vector<std::byte> bytes_;
    };

    class lane {
    public:
        lane(cpu_machine& on, std::size_t slots)
            : compute_(on.stream().get())
            , rate_(on.rate_)
            , copied_(slots)
            , used_(slots)
        {}
        void copy(std::size_t slot, void* to, const std::byte* from, std::size_t size)
        {
            copies_.wait(used_[slot]);
            copies_.enqueue([this, to, from, size] {
                // Threads wake up late; the bus goes on meanwhile.
                free_ = std::max(free_, steady::now() - std::chrono::milliseconds(5)) +
                        std::chrono::nanoseconds(std::llround(static_cast<double>(size) / rate_ * 1e9));
                std::memcpy(to, from, size);
                std::this_thread::sleep_until(free_);
            });
            copied_[slot] = copies_.record();
        }
        void await_copy(std::size_t slot) { compute_.wait(copied_[slot]); }
        void used(std::size_t slot) { used_[slot] = compute_.record(); }
        void synchronize() { copies_.synchronize(); }

    private:
        oc::host_stream& compute_;
        double rate_;             // bytes per second
        steady::time_point free_; // of the bus; on its thread
        std::vector<oc::host_event> copied_, used_;
        oc::host_stream copies_;
    };

private:
    double rate_;
};

} // namespace

int run_on_cpu(const settings& s)
{
    cpu_machine cpu(s.bus_gbps);
    return program<cpu_machine>(s, cpu).run() ? 0 : 1;
}

} // namespace decode_stream

int main(int argc, char** argv)
{
    using namespace decode_stream;
    settings s;
    CLI::App app("Decode steps over a prefix that does not fit the device, streamed for every step");
    app.add_option("--device", s.device, "cuda, or cpu: small, over a simulated bus")
        ->check(CLI::IsMember({"cuda", "cpu"}))
        ->capture_default_str();
    app.add_option("--model", s.model, "random weights of this size: llama-3.1-8b; on a CPU tiny");
    app.add_option("--layers", s.layers, "0: as many as the model has; on a CPU 8");
    app.add_option("--context", s.contexts, "tokens of the prefix: 131072,524288,1048576; on a CPU 16384")
        ->delimiter(',');
    app.add_option("--resident", s.resident, "layers that stay on the device")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--slots", s.slots, "layers that the others take turns in")->capture_default_str();
    app.add_option("--batch", s.batches, "sequences that share the prefix")
        ->delimiter(',')
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--source", s.sources, "dram, s3")
        ->delimiter(',')
        ->check(CLI::IsMember({"dram", "s3"}))
        ->capture_default_str();
    app.add_option("--own", s.own, "tokens that each sequence has of its own")->capture_default_str();
    app.add_option("--steps", s.steps, "that count; two more are run")
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    app.add_option("--longest", s.longest_s, "seconds that the steps of a row may take: then fewer, but two")
        ->capture_default_str();
    app.add_option(
        "--kept-mib", s.kept_mib,
        "of KV in the store, in DRAM, and on the device to compare with: fewer layers than the model has, "
        "given several times, where those are more; 16384, on a CPU 1024");
    app.add_option("--chunk-tokens,-G", s.chunk)->check(CLI::Range(1, 4096))->capture_default_str();
    app.add_option("--gbit", s.link.gbit, "of the store's link; 0: not shaped")->capture_default_str();
    app.add_option("--latency-ms", s.link.latency_ms)->capture_default_str();
    app.add_option("--bus-gbps", s.bus_gbps, "GB/s of the simulated bus")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--staging-mib", s.staging_mib, "cache_options::staging_bytes: 2048; on a CPU 64");
    app.add_flag("!--no-pace", s.pace, "cache_options::pace_layers = false");
    app.add_option("--server-threads", s.store.server_threads, "of the S3 server: 6; on a CPU 1");
    app.add_option("--io-threads", s.store.io_threads, "that receive: 8; on a CPU 1");
    app.add_option("--json", s.json, "append a line for each row");
    CLI11_PARSE(app, argc, argv);

    const bool cpu = s.device == "cpu";
    const auto unless_said = [&](const char* option, auto& value, auto on_gpu, auto on_cpu) {
        if (app.count(option) == 0)
            value = cpu ? on_cpu : on_gpu;
    };
    using list = std::vector<std::size_t>;
    unless_said("--model", s.model, "llama-3.1-8b", "tiny");
    unless_said("--layers", s.layers, 0U, 8U);
    unless_said("--context", s.contexts, list{131072, 524288, 1048576}, list{16384});
    unless_said("--kept-mib", s.kept_mib, 16384U, 1024U);
    unless_said("--gbit", s.link.gbit, 100.0, 0.8);
    unless_said("--staging-mib", s.staging_mib, 2048U, 64U);
    unless_said("--server-threads", s.store.server_threads, 6U, 1U);
    unless_said("--io-threads", s.store.io_threads, 8U, 1U);
    std::setvbuf(stdout, nullptr, _IOLBF, 0); // rows are seen when they are made
    try {
        return cpu ? run_on_cpu(s) : run_on_cuda(s);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
}
