// SPDX-License-Identifier: BSL-1.0
//
// How the host learns that a kernel is done: what each way adds to the kernel's time, and what it takes of a core. Needs a
// GPU. A JSON line per cell into a file, a table on the output.
#include <objectcache/cuda/device.hpp>
#include <objectcache/pipeline/event_scheduler.hpp>

#include "cuda/kernels.hpp"
#include "support/gpu.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <random>

namespace oc = objectcache;
namespace asio = boost::asio;
using namespace bench;

namespace {

/** What one kernel's wait took. */
struct sample {
    double over_us =
        0; ///< from the launch until the host went on, without the time that the kernel was told to run
    double launch_us = 0; ///< of it, what the call that launches took
    double wait_us = 0;   ///< of it, after everything was enqueued
    double wait_cpu_us = 0;
};

/** A series of waits of one way. */
struct series {
    std::vector<double> over_us, launch_us;
    double cpu = 0;      ///< of the waiting thread, launching included, as a share of the time
    double wait_cpu = 0; ///< of it while it waits only
    double all_cpu = 0;  ///< of the process: with the driver's threads
};

struct cell {
    unsigned kernel_us = 0;
    double jitter = 0;
    unsigned iterations = 0;
};

/** One after the other: how long the kernels shall run, the same for every way. */
class durations {
public:
    explicit durations(const cell& c)
        : random_(1)
        , among_(static_cast<unsigned>(c.kernel_us * (1 - c.jitter) + 0.5),
                 static_cast<unsigned>(c.kernel_us * (1 + c.jitter) + 0.5))
    {}
    unsigned operator()() { return among_(random_); }

private:
    std::mt19937 random_;
    std::uniform_int_distribution<unsigned> among_;
};

/** Takes the times of a series. */
class stopwatch {
public:
    void launching() { began_ = steady::now(); }
    void launched() { launched_ = steady::now(); }
    void waiting()
    {
        cpu_ = cpu_of(CLOCK_THREAD_CPUTIME_ID);
        waits_ = steady::now();
    }
    sample went_on(unsigned kernel_us) const
    {
        const auto now = steady::now();
        const double cpu = cpu_of(CLOCK_THREAD_CPUTIME_ID) - cpu_;
        return {us_between(began_, now) - kernel_us, us_between(began_, launched_), us_between(waits_, now),
                1e6 * cpu};
    }

private:
    steady::time_point began_, launched_, waits_;
    double cpu_ = 0;
};

/** The sum of a series, from its beginning to its end. */
class accounts {
public:
    void add(const sample& s)
    {
        out_.over_us.push_back(s.over_us);
        out_.launch_us.push_back(s.launch_us);
        wait_us_ += s.wait_us;
        wait_cpu_us_ += s.wait_cpu_us;
    }
    void begin()
    {
        *this = accounts();
        began_ = steady::now();
        thread_ = cpu_of(CLOCK_THREAD_CPUTIME_ID);
        process_ = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
    }
    series end()
    {
        const double took = us_between(began_, steady::now()) / 1e6;
        out_.cpu = (cpu_of(CLOCK_THREAD_CPUTIME_ID) - thread_) / took;
        out_.all_cpu = (cpu_of(CLOCK_PROCESS_CPUTIME_ID) - process_) / took;
        out_.wait_cpu = wait_cpu_us_ / wait_us_;
        return std::move(out_);
    }

private:
    series out_;
    double wait_us_ = 0, wait_cpu_us_ = 0, thread_ = 0, process_ = 0;
    steady::time_point began_;
};

class program {
public:
    program() : stream_(gpu_made(oc::cuda::stream::create(0), "a stream")), wakes_(::eventfd(0, EFD_CLOEXEC))
    {
        gpu_ok(cudaEventCreateWithFlags(&spins_, cudaEventDisableTiming), "an event");
        gpu_ok(cudaEventCreateWithFlags(&sleeps_, cudaEventDisableTiming | cudaEventBlockingSync),
               "an event");
        if (wakes_ < 0)
            throw std::runtime_error("no eventfd");
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program()
    {
        (void)cudaEventDestroy(spins_);
        (void)cudaEventDestroy(sleeps_);
        (void)::close(wakes_);
    }

    unsigned warm_up = 50;
    double longest_s = 2;
    std::string json;

    void run(cell c, const std::vector<std::string>& ways)
    {
        // Long kernels are waited for less often.
        c.iterations = std::min(c.iterations, static_cast<unsigned>(1e6 * longest_s / c.kernel_us));
        std::optional<series> least;
        for (const std::string& way : ways) {
            const series s = measure(way, c);
            if (!least) // the first is the one that spins on a word
                least = s;
            report(way, c, s, *least);
        }
    }

private:
    series measure(const std::string& way, const cell& c)
    {
        if (way == "word, spinning")
            return blocking(
                c,
                [&] {
                    word_.next();
                    word_.written_by(native());
                },
                [&] { word_.spin(); });
        if (way == "cudaEventQuery, spinning")
            return blocking(
                c, [&] { gpu_ok(cudaEventRecord(spins_, native()), "an event"); },
                [&] {
                    cudaError_t e = cudaErrorNotReady;
                    while ((e = cudaEventQuery(spins_)) == cudaErrorNotReady) {
                    }
                    gpu_ok(e, "an event");
                    (void)cudaGetLastError();
                });
        if (way == "cudaEventSynchronize, blocking")
            return blocking(
                c, [&] { gpu_ok(cudaEventRecord(sleeps_, native()), "an event"); },
                [&] { gpu_ok(cudaEventSynchronize(sleeps_), "an event"); });
        if (way == "host function, eventfd")
            return blocking(
                c, [&] { gpu_ok(cudaLaunchHostFunc(native(), wake, &wakes_), "a host function"); },
                [&] {
                    std::uint64_t n = 0;
                    if (::read(wakes_, &n, sizeof n) != sizeof n)
                        throw std::runtime_error("eventfd");
                });
        return scheduled(c, way == "event_scheduler, words");
    }

    [[nodiscard]] cudaStream_t native() const { return stream_.native(); }
    static void wake(void* fd)
    {
        const std::uint64_t one = 1;
        (void)!::write(*static_cast<int*>(fd), &one, sizeof one);
    }

    template <class Mark, class Wait>
    series blocking(const cell& c, Mark mark, Wait wait)
    {
        durations next(c);
        stopwatch watch;
        accounts sum;
        for (unsigned i = 0; i < warm_up_of(c) + c.iterations; ++i) {
            if (i == warm_up_of(c))
                sum.begin();
            const unsigned us = next();
            watch.launching();
            cuda_test::launch_spin(native(), us);
            watch.launched();
            mark();
            watch.waiting();
            wait();
            sum.add(watch.went_on(us));
        }
        return sum.end();
    }

    /** Ours: a coroutine on a reactor that this thread runs. */
    series scheduled(const cell& c, bool words)
    {
        oc::cuda::device_options how;
        how.memory_operations = words;
        const auto device = gpu_made(oc::cuda::device::create(how), "CUDA");
        if (device->memory_operations() != words)
            throw std::runtime_error("this device writes no words");
        asio::io_context io{1};
        oc::event_scheduler<oc::cuda::device> scheduler(io.get_executor(), *device);
        series out;
        std::exception_ptr failed;
        asio::co_spawn(io, waits(c, *device, scheduler, out), [&](std::exception_ptr e) { failed = e; });
        io.run();
        if (failed)
            std::rethrow_exception(failed);
        return out;
    }

    asio::awaitable<void> waits(const cell& c, oc::cuda::device& device,
                                oc::event_scheduler<oc::cuda::device>& scheduler, series& out)
    {
        durations next(c);
        stopwatch watch;
        accounts sum;
        for (unsigned i = 0; i < warm_up_of(c) + c.iterations; ++i) {
            if (i == warm_up_of(c))
                sum.begin();
            const unsigned us = next();
            watch.launching();
            cuda_test::launch_spin(native(), us);
            watch.launched();
            oc::cuda::event done = device.record(stream_);
            watch.waiting();
            const oc::error_code ec = co_await scheduler.wait(std::move(done), oc::event_kind::compute);
            sum.add(watch.went_on(us));
            gpu_ok(ec, "waiting");
        }
        out = sum.end();
    }

    /** The predictor of ours has learnt by then. */
    [[nodiscard]] unsigned warm_up_of(const cell& c) const { return std::min(warm_up, c.iterations); }

    /** From the end of the call that launches: a core that has slept takes longer for it than one that has spun, and that is
        no part of learning that a kernel is done. */
    static double seen(const series& s)
    {
        std::vector<double> out(s.over_us.size());
        std::transform(s.over_us.begin(), s.over_us.end(), s.launch_us.begin(), out.begin(), std::minus<>());
        return quantile(out, 0.5);
    }

    void report(const std::string& way, const cell& c, const series& s, const series& least) const
    {
        const double p50 = quantile(s.over_us, 0.5), p99 = quantile(s.over_us, 0.99);
        const double launch = quantile(s.launch_us, 0.5);
        const double added = seen(s) - seen(least);
        std::printf("%6u us %3.0f %%  %-31s %8.1f %8.1f  %8.1f  %8.1f  %6.1f %6.1f %6.1f  %5zu\n",
                    c.kernel_us, 100 * c.jitter, way.c_str(), p50, p99, launch, added, 100 * s.cpu,
                    100 * s.wait_cpu, 100 * s.all_cpu, s.over_us.size());
        std::fflush(stdout);
        json_line("event_wait")
            .word("way", way)
            .number("kernel_us", c.kernel_us)
            .number("jitter", c.jitter)
            .number("waits", static_cast<double>(s.over_us.size()))
            .number("over_p50_us", p50)
            .number("over_p99_us", p99)
            .number("launch_p50_us", launch)
            .number("added_p50_us", added)
            .number("cpu", s.cpu)
            .number("wait_cpu", s.wait_cpu)
            .number("process_cpu", s.all_cpu)
            .append_to(json);
    }

    oc::cuda::stream stream_;
    raw_word word_;
    cudaEvent_t spins_ = nullptr, sleeps_ = nullptr;
    int wakes_ = -1;
};

const std::vector<std::string> all_ways{
    "word, spinning",         "cudaEventQuery, spinning", "cudaEventSynchronize, blocking",
    "host function, eventfd", "event_scheduler, words",   "event_scheduler, CUDA events"};

} // namespace

int main(int argc, char** argv)
{
    std::vector<unsigned> kernels{57, 500, 3000, 20000}, jittered{500, 3000};
    unsigned iterations = 400, warm_up = 50;
    double jitter = 10, longest = 2;
    std::string json;
    CLI::App app("How the host learns that a kernel is done");
    app.add_option("--kernel-us", kernels, "kernels that run for so long")
        ->delimiter(',')
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    app.add_option("--jittered-us", jittered, "kernels whose time jitters")
        ->delimiter(',')
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    app.add_option("--jitter", jitter, "by so many per cent, up and down, evenly")
        ->check(CLI::Range(0.0, 99.0))
        ->capture_default_str();
    app.add_option("--iterations", iterations, "of each way")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--longest", longest, "seconds of kernels that one way may take; long kernels are fewer")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--warm-up", warm_up, "waits that are not counted; as many as are counted, at most")
        ->capture_default_str();
    app.add_option("--json", json, "append a line for each way of each kernel");
    CLI11_PARSE(app, argc, argv);
    return on_a_gpu("event_wait", [&] {
        program p;
        p.warm_up = warm_up;
        p.longest_s = longest;
        p.json = json;
        std::printf("%s\nover: from launching a kernel until the host goes on, less the time that the kernel "
                    "was told to run, us\n"
                    "launch: of it, the call that launches, which takes longer where the core has slept\n"
                    "added: over less launch, compared with spinning on a word\n"
                    "CPU, per cent of a core: of the thread; while it waits; of the process\n"
                    "budget of event_scheduler: added p50 <= 6 us at <= 15 %%\n\n"
                    "%13s  %-31s %17s  %8s  %8s  %20s  %5s\n%13s  %-31s %8s %8s  %8s  %8s  %6s %6s %6s\n",
                    device_name().c_str(), "kernel", "way", "over", "launch", "added", "CPU", "waits", "", "",
                    "p50", "p99", "p50", "p50", "thread", "wait", "all");
        for (const unsigned us : kernels)
            p.run({us, 0, iterations}, all_ways);
        for (const unsigned us : jittered)
            p.run({us, jitter / 100, iterations}, all_ways);
        return 0;
    });
}
