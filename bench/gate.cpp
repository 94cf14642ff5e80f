// SPDX-License-Identifier: BSL-1.0
//
// What a layer gate costs: from its opening until the engine's stream goes on, by the host and by the device behind a copy,
// beside other ways to order the two; the host's time to enqueue one; gates in a graph. Needs a GPU. A JSON line per cell
// into a file, tables on the output.
#include <objectcache/cuda/device.hpp>

#include "cuda/kernels.hpp"
#include "support/gpu.hpp"
#include "support/gpu_kernels.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <array>
#include <functional>
#include <memory>

namespace oc = objectcache;
using namespace bench;

namespace {

struct settings {
    unsigned iterations = 1000, warm_up = 50;
    std::size_t copy_bytes = 1 << 20;
    unsigned gates = 32, kernels_between = 1;
    std::string json;
};

std::unique_ptr<oc::cuda::device> make_device(bool words)
{
    oc::cuda::device_options how;
    how.memory_operations = words;
    auto out = gpu_made(oc::cuda::device::create(how), "CUDA");
    if (out->memory_operations() != words)
        throw std::runtime_error("this device writes no words");
    return out;
}

/** A little memory, of the device or pinned. */
class memory {
public:
    memory(std::size_t bytes, bool pinned) : pinned_(pinned)
    {
        gpu_ok(pinned ? cudaHostAlloc(&at_, bytes, cudaHostAllocPortable) : cudaMalloc(&at_, bytes),
               "memory");
        gpu_ok(cudaMemset(at_, 0x5a, bytes),
               "memory"); // pages that were never touched are another measurement
        gpu_ok(cudaDeviceSynchronize(), "memory");
    }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;
    ~memory() { pinned_ ? cudaFreeHost(at_) : cudaFree(at_); }
    [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(at_); }
    [[nodiscard]] unsigned long long* words() const { return static_cast<unsigned long long*>(at_); }

private:
    void* at_ = nullptr;
    bool pinned_;
};

void busy_for(double us)
{
    const auto from = steady::now();
    while (us_between(from, steady::now()) < us)
        relax();
}

class program {
public:
    explicit program(const settings& s)
        : s_(s)
        , words_(make_device(true))
        , functions_(make_device(false))
        , engine_(gpu_made(oc::cuda::stream::create(0), "a stream"))
        , from_(s.copy_bytes, true)
        , to_(s.copy_bytes, false)
        , stamps_(16 * sizeof(unsigned long long), true)
    {
        gpu_ok(cudaEventCreateWithFlags(&spins_, cudaEventDisableTiming), "an event");
        gpu_ok(cudaEventCreateWithFlags(&sleeps_, cudaEventDisableTiming | cudaEventBlockingSync),
               "an event");
        // A kernel that is launched for the first time behind a closed gate would wait for it.
        cuda_test::launch_spin(engine_.native(), 1);
        launch_stamp(engine_.native(), stamps_.words());
        launch_clock_step(engine_.native(), stamps_.words());
        gpu_ok(engine_.synchronize(), "kernels");
        step_ns_ = *stamps_.words();
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program()
    {
        (void)cudaEventDestroy(spins_);
        (void)cudaEventDestroy(sleeps_);
    }

    void run()
    {
        std::printf("%s; its clock (globaltimer) goes in steps of %llu ns\n", device_name().c_str(),
                    step_ns_);
        opened_by_the_host();
        opened_behind_a_copy();
        enqueued();
        in_a_graph();
    }

private:
    void row(const char* part, const char* way, const std::vector<double>& us, double less = 0)
    {
        double sum = 0;
        for (const double v : us)
            sum += v;
        const double p50 = quantile(us, 0.5), p99 = quantile(us, 0.99),
                     mean = sum / static_cast<double>(us.size());
        std::printf("  %-52s %8.3f %8.3f %8.3f", way, p50, mean, p99);
        if (less > 0)
            std::printf(" %+8.3f", p50 - less);
        std::printf("  %5zu", us.size());
        if (host_.wall > 0)
            std::printf("  %5.1f %%", 100 * host_.cpu / host_.wall);
        std::printf("\n");
        std::fflush(stdout);
        json_line line("gate");
        line.word("part", part)
            .word("way", way)
            .number("p50_us", p50)
            .number("mean_us", mean)
            .number("p99_us", p99)
            .number("samples", static_cast<double>(us.size()))
            .number("clock_step_ns", static_cast<double>(step_ns_));
        if (less > 0)
            line.number("added_p50_us", p50 - less);
        if (host_.wall > 0)
            line.number("host_cpu", host_.cpu / host_.wall);
        host_ = {};
        line.append_to(s_.json);
    }

    /** `once()` gives microseconds; the first ones are not counted. */
    template <class Once>
    std::vector<double> repeat(Once once)
    {
        std::vector<double> out;
        for (unsigned i = 0; i < s_.warm_up + s_.iterations; ++i) {
            if (i == s_.warm_up)
                host_ = {};
            const double us = once();
            if (i >= s_.warm_up)
                out.push_back(us);
        }
        return out;
    }

    /** Seconds that the process has worked, and of them those of this thread. */
    struct worked {
        double all = cpu_of(CLOCK_PROCESS_CPUTIME_ID), mine = cpu_of(CLOCK_THREAD_CPUTIME_ID);
    };

    // (a) The host opens a gate, the engine's stream writes a word behind it, the host sees that.
    void opened_by_the_host()
    {
        std::printf("\nhost opens the gate -> engine's stream goes on -> host sees the word that it writes "
                    "then, us; the host without the thread that measures\n"
                    "  %-52s %8s %8s %8s  %5s  %7s\n",
                    "", "p50", "mean", "p99", "times", "host");
        row("host", "gate: a word the stream waits for", repeat([&] { return round(*words_); }));
        row("host", "gate: host function that blocks", repeat([&] { return round(*functions_); }));
    }
    double round(oc::cuda::device& device)
    {
        auto gate = device.make_gates(1);
        seen_.next();
        const worked before;
        const auto enqueued = steady::now();
        gpu_ok(device.wait_gate(gate, 0, engine_), "a gate");
        seen_.written_by(engine_.native());
        busy_for(50); // the stream has come to the gate by then
        const auto from = steady::now();
        device.force_gate(gate, 0);
        seen_.spin();
        const double us = us_between(from, steady::now());
        gpu_ok(engine_.synchronize(), "the engine's stream");
        const worked after;
        host_.cpu += (after.all - before.all) - (after.mine - before.mine);
        host_.wall += us_between(enqueued, steady::now()) / 1e6;
        return us;
    }

    // (b) The engine's next kernel must not begin before a copy on another stream is done. Both ends are stamped by kernels
    // with the device's clock: one ahead of the copy in its stream, the other is what waits for it. What the copy itself
    // takes, with a kernel behind it in the same stream, is subtracted. Nothing is between copy and gate that would not be
    // there in the pipeline, and no two clocks are compared; timing events would put commands of their own there.
    void opened_behind_a_copy()
    {
        std::printf(
            "\na copy of %zu KiB to the device begins -> the engine's next kernel begins, us by the device's "
            "clock; what of it the host works\n  %-52s %8s %8s %8s %8s  %5s  %7s\n",
            s_.copy_bytes >> 10, "", "p50", "mean", "p99", "added", "times", "host");
        const auto in_order = copies(*words_, [&](cudaStream_t load) { // everything in the copy's stream
            launch_stamp(load, after_copy());
        });
        const double least = quantile(in_order, 0.5);
        row("copy", "kernel in the copy's own stream (the bound)", in_order, least);
        row("copy", "gate, opened by the device",
            copies(*words_,
                   [&](cudaStream_t) {
                       gate_ = words_->make_gates(1);
                       gpu_ok(words_->open_gate(gate_, 0), "a gate");
                       gpu_ok(words_->wait_gate(gate_, 0, engine_), "a gate");
                       launch_stamp(engine_.native(), after_copy());
                   }),
            least);
        row("copy", "gate, wait enqueued first",
            copies(
                *words_, [&](cudaStream_t) { gpu_ok(words_->open_gate(gate_, 0), "a gate"); }, [] {},
                [&] {
                    gate_ = words_->make_gates(1);
                    gpu_ok(words_->wait_gate(gate_, 0, engine_), "a gate");
                    launch_stamp(engine_.native(), after_copy());
                }),
            least);
        row("copy", "cudaStreamWaitEvent (copy enqueued first)",
            copies(*words_,
                   [&](cudaStream_t load) {
                       gpu_ok(cudaEventRecord(spins_, load), "an event");
                       gpu_ok(cudaStreamWaitEvent(engine_.native(), spins_, 0), "an event");
                       launch_stamp(engine_.native(), after_copy());
                   }),
            least);
        row("copy", "host sees a word, then launches",
            copies(
                *words_,
                [&](cudaStream_t load) {
                    seen_.next();
                    seen_.written_by(load);
                },
                [&] {
                    seen_.spin();
                    launch_stamp(engine_.native(), after_copy());
                }),
            least);
        row("copy", "host: cudaEventSynchronize, then launches",
            copies(
                *words_, [&](cudaStream_t load) { gpu_ok(cudaEventRecord(sleeps_, load), "an event"); },
                [&] {
                    gpu_ok(cudaEventSynchronize(sleeps_), "an event");
                    launch_stamp(engine_.native(), after_copy());
                }),
            least);
        oc::cuda::event copied;
        row("copy", "gate: host function, opened when the event is seen",
            copies(
                *functions_, [&](cudaStream_t) { copied = functions_->record(oc::copy_queue::load); },
                [&] {
                    while (functions_->query(copied) == oc::event_state::pending)
                        relax();
                    functions_->force_gate(gate_, 0);
                },
                [&] {
                    gate_ = functions_->make_gates(1);
                    gpu_ok(functions_->wait_gate(gate_, 0, engine_), "a gate");
                    launch_stamp(engine_.native(), after_copy());
                }),
            least);
    }
    /** In a cache line of its own. */
    [[nodiscard]] unsigned long long* after_copy() const { return stamps_.words() + 8; }

    /** @param behind   enqueues what follows the copy
        @param meanwhile what the host does once the copy may run
        @param before   enqueues what the engine has enqueued before the copy was */
    template <class Behind, class Meanwhile, class Before>
    std::vector<double> copies(oc::cuda::device& device, Behind behind, Meanwhile meanwhile, Before before)
    {
        return repeat([&] {
            const cudaStream_t load = device.queue_stream(oc::copy_queue::load).native();
            stamps_.words()[0] = *after_copy() = 0;
            before();
            held_.next(); // until everything is enqueued
            held_.awaited_by(load);
            launch_stamp(load, stamps_.words());
            const std::array<oc::copy_op, 1> op{{{to_.bytes(), from_.bytes(), s_.copy_bytes}}};
            gpu_ok(device.copy(oc::copy_queue::load, op), "a copy");
            behind(load);
            busy_for(20);
            const worked released;
            held_.set();
            meanwhile();
            const worked done; // what this thread does from now on is to wait for the next round
            gpu_ok(engine_.synchronize(), "the engine's stream");
            gpu_ok(cudaStreamSynchronize(load), "the copies' stream");
            const worked quiet;
            if (*after_copy() < stamps_.words()[0] || stamps_.words()[0] == 0)
                throw std::runtime_error("the kernel did not begin after the copy");
            const double us = static_cast<double>(*after_copy() - stamps_.words()[0]) / 1e3;
            host_.cpu +=
                done.mine - released.mine + (quiet.all - released.all) - (quiet.mine - released.mine);
            host_.wall += us / 1e6;
            return us;
        });
    }
    template <class Behind>
    std::vector<double> copies(oc::cuda::device& device, Behind behind)
    {
        return copies(
            device, behind, [] {}, [] {});
    }
    template <class Behind, class Meanwhile>
    std::vector<double> copies(oc::cuda::device& device, Behind behind, Meanwhile meanwhile)
    {
        return copies(device, behind, meanwhile, [] {});
    }

    // (c) The host's time.
    void enqueued()
    {
        std::printf("\nthe host enqueues one, us, in batches of %zu\n  %-52s %8s %8s %8s  %5s\n", batch, "",
                    "p50", "mean", "p99", "times");
        const cudaStream_t load = words_->queue_stream(oc::copy_queue::load).native();
        row("enqueue", "gate: wait",
            batches(*words_, [&](std::size_t i) { gpu_ok(words_->wait_gate(gate_, i, engine_), "a gate"); }));
        row("enqueue", "gate: open",
            batches(
                *words_, [&](std::size_t i) { gpu_ok(words_->open_gate(gate_, i), "a gate"); }, true));
        row("enqueue", "gate: make a row, for each of its gates", repeat_batches([&] {
                const auto from = steady::now();
                auto made = words_->make_gates(batch);
                const double us = us_between(from, steady::now());
                for (std::size_t i = 0; i < batch; ++i)
                    words_->force_gate(made, i); // so that the words go back
                return us / batch;
            }));
        row("enqueue", "gate: wait by a host function", batches(*functions_, [&](std::size_t i) {
                gpu_ok(functions_->wait_gate(gate_, i, engine_), "a gate");
            }));
        row("enqueue", "cudaStreamWaitEvent", batches(*words_, [&](std::size_t) {
                gpu_ok(cudaStreamWaitEvent(engine_.native(), spins_, 0), "an event");
            }));
        row("enqueue", "cudaEventRecord",
            batches(*words_, [&](std::size_t) { gpu_ok(cudaEventRecord(spins_, load), "an event"); }));
    }
    static constexpr std::size_t batch = 128;

    template <class Once>
    std::vector<double> repeat_batches(Once once) const
    {
        std::vector<double> out;
        for (unsigned i = 0; i < 10 + s_.iterations / 5; ++i) {
            const double us = once();
            if (i >= 10)
                out.push_back(us);
        }
        return out;
    }
    /** A row of gates, a call for each of them, while the copies' stream stands still and `spins_` is behind that.
        @param opens  the calls open the gates */
    template <class Call>
    std::vector<double> batches(oc::cuda::device& device, Call call, bool opens = false)
    {
        const cudaStream_t load = device.queue_stream(oc::copy_queue::load).native();
        return repeat_batches([&] {
            gate_ = device.make_gates(batch);
            held_.next();
            held_.awaited_by(load);
            gpu_ok(cudaEventRecord(spins_, load), "an event");
            const auto from = steady::now();
            for (std::size_t i = 0; i < batch; ++i)
                call(i);
            const double us = us_between(from, steady::now());
            held_.set();
            gpu_ok(cudaStreamSynchronize(load), "the copies' stream");
            for (std::size_t i = 0; i < batch && !opens; ++i)
                device.force_gate(gate_, i);
            gpu_ok(engine_.synchronize(), "the engine's stream");
            return us / batch;
        });
    }

    // (d) A graph that has a gate in front of each of its layers, all open already, and the same without gates.
    void in_a_graph()
    {
        std::printf(
            "\na graph of %u layers of %u small kernels each, replayed, us\n  %-52s %8s %8s %8s %8s  %5s\n",
            s_.gates, s_.kernels_between, "", "p50", "mean", "p99", "added", "times");
        auto row_of_gates = words_->make_gates(s_.gates);
        const auto bare = graph([](unsigned) {});
        const auto gated =
            graph([&](unsigned l) { gpu_ok(words_->wait_gate(row_of_gates, l, engine_), "a gate"); });
        for (unsigned l = 0; l < s_.gates; ++l)
            words_->force_gate(row_of_gates, l);
        for (const bool alone : {true, false}) {
            // By turns, so that both see the same device.
            std::vector<double> without, with;
            for (unsigned i = 0; i < s_.warm_up + s_.iterations / 2; ++i) {
                const double a = replay(bare.get(), alone), b = replay(gated.get(), alone);
                if (i >= s_.warm_up) {
                    without.push_back(a);
                    with.push_back(b);
                }
            }
            const double least = quantile(without, 0.5);
            const std::string how =
                alone ? "one replay, launched and awaited" : "of 16 replays in a row, each";
            row("graph", (how + ", no gates").c_str(), without, least);
            row("graph", (how + ", gates open").c_str(), with, least);
        }
    }
    struct destroy {
        void operator()(cudaGraphExec_t g) const { (void)cudaGraphExecDestroy(g); }
    };
    using graph_type = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, destroy>;

    template <class Gate>
    graph_type graph(Gate gate)
    {
        cudaGraph_t captured{};
        cudaGraphExec_t ready{};
        gpu_ok(cudaStreamBeginCapture(engine_.native(), cudaStreamCaptureModeGlobal), "capture");
        for (unsigned l = 0; l < s_.gates; ++l) {
            gate(l);
            for (unsigned k = 0; k < s_.kernels_between; ++k)
                launch_stamp(engine_.native(), after_copy());
        }
        gpu_ok(cudaStreamEndCapture(engine_.native(), &captured), "capture");
        gpu_ok(cudaGraphInstantiate(&ready, captured, 0), "a graph");
        graph_type out(ready);
        gpu_ok(cudaGraphDestroy(captured), "a graph");
        gpu_ok(cudaGraphUpload(ready, engine_.native()), "a graph");
        gpu_ok(engine_.synchronize(), "a graph");
        return out;
    }
    double replay(cudaGraphExec_t g, bool alone)
    {
        const unsigned count = alone ? 1 : 16;
        seen_.next();
        const auto from = steady::now();
        for (unsigned i = 0; i < count; ++i)
            gpu_ok(cudaGraphLaunch(g, engine_.native()), "a graph");
        seen_.written_by(engine_.native());
        seen_.spin();
        return us_between(from, steady::now()) / count;
    }

    const settings& s_;
    std::unique_ptr<oc::cuda::device> words_, functions_;
    oc::cuda::stream engine_;
    memory from_, to_, stamps_;
    raw_word seen_, held_;
    cudaEvent_t spins_ = nullptr, sleeps_ = nullptr;
    oc::cuda::gates gate_;
    unsigned long long step_ns_ = 0;
    struct {
        double cpu = 0, wall = 0; // seconds
    } host_;                      // of the way that is measured
};

} // namespace

int main(int argc, char** argv)
{
    settings s;
    CLI::App app("What a layer gate costs");
    app.add_option("--iterations", s.iterations, "of each way")
        ->check(CLI::Range(10, 100000))
        ->capture_default_str();
    app.add_option("--warm-up", s.warm_up, "iterations that are not counted")->capture_default_str();
    app.add_option("--copy", s.copy_bytes, "bytes of the copy that a gate waits for (1m)")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::PositiveNumber);
    app.add_option("--gates", s.gates, "of a graph")->check(CLI::Range(1, 4096))->capture_default_str();
    app.add_option("--kernels", s.kernels_between, "of a graph, behind each gate")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    app.add_option("--json", s.json, "append a line for each way");
    CLI11_PARSE(app, argc, argv);
    return on_a_gpu("gate", [&] {
        program(s).run();
        return 0;
    });
}
