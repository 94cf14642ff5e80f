// SPDX-License-Identifier: BSL-1.0
#include <cuda/gpu.hpp>
#include <cuda/kernels.hpp>

#include <objectcache/io/reactor.hpp>
#include <objectcache/pipeline/event_scheduler.hpp>

#include <support/run.hpp>

#include <chrono>
#include <thread>

using namespace objectcache;

namespace device_test {

template <class Device>
struct traits;

template <>
struct traits<cuda::device> {
    std::list<gpu::memory> memory;
    std::unique_ptr<cuda::device> owner = gpu::device();
    cuda::device& device = *owner;
    cuda::stream stream = gpu::stream();
    cuda::gates held = device.make_gates(2);

    byte_span buffer(const std::vector<std::byte>& bytes) { return memory.emplace_back(bytes).span(); }
    static std::vector<std::byte> read(byte_span from) { return gpu::memory::read(from); }
    void hold(copy_queue queue)
    {
        CHECK_FALSE(device.wait_gate(held, static_cast<std::size_t>(queue), device.queue_stream(queue)));
    }
    void release(copy_queue queue) { device.force_gate(held, static_cast<std::size_t>(queue)); }
    void wait(const cuda::event& e)
    {
        while (device.query(e) == event_state::pending)
            std::this_thread::yield();
    }
    cuda::stream_ref engine() { return stream; }
    void pass() { CHECK_FALSE(stream.synchronize()); }
};

} // namespace device_test

#define OBJECTCACHE_EVERY_DEVICE cuda::device
#include <support/device_conformance.hpp>

namespace cuda_device_test {

using namespace std::chrono_literals;

TEST_CASE("this device gates by words")
{
    int id = 0;
    cudaDeviceProp about{};
    gpu::ok(cudaGetDevice(&id));
    gpu::ok(cudaGetDeviceProperties(&about, id));
    const auto device = gpu::device();
    MESSAGE(about.name << ", memory operations: " << device->memory_operations()
                       << ", NUMA node: " << cuda::numa_node_of(0));
    CHECK(device->memory_operations());
}

TEST_CASE("devices that are not there")
{
    cuda::device_options how;
    for (const int ordinal : {-1, 4711}) {
        how.ordinal = ordinal;
        auto none = cuda::device::create(how);
        REQUIRE_FALSE(none.ok());
        CHECK(none.error() == condition::device);
        CHECK(none.error().message().find("no CUDA device") != std::string::npos);
    }
}

TEST_CASE("a closed gate holds the engine's stream, and nothing else")
{
    for (const bool words : {true, false}) {
        CAPTURE(words);
        const auto device = gpu::device(words);
        auto engine = gpu::stream(), other = gpu::stream();
        auto row = device->make_gates(1);
        CHECK_FALSE(device->wait_gate(row, 0, engine));
        cuda_test::launch_spin(engine.native(), 1);
        cuda_test::launch_spin(other.native(), 1000);
        CHECK_FALSE(other.synchronize());
        CHECK(cudaStreamQuery(engine.native()) == cudaErrorNotReady);
        (void)cudaGetLastError();
        device->force_gate(row, 0);
        CHECK_FALSE(engine.synchronize());
    }
}

TEST_CASE("a graph waits for the gates it was captured with, at every replay")
{
    const auto device = gpu::device();
    auto engine = gpu::stream();
    constexpr std::size_t layers = 8, bytes = 4096;
    const gpu::memory kv(layers * bytes), result(layers * bytes);
    auto row = device->make_gates(layers);

    cudaGraph_t graph{};
    cudaGraphExec_t ready{};
    gpu::ok(cudaStreamBeginCapture(engine.native(), cudaStreamCaptureModeGlobal));
    for (std::size_t l = 0; l < layers; ++l) {
        CHECK_FALSE(device->wait_gate(row, l, engine));
        gpu::ok(cudaMemcpyAsync(result.data() + l * bytes, kv.data() + l * bytes, bytes,
                                cudaMemcpyDeviceToDevice, engine.native()));
    }
    // What the pipeline does meanwhile must not end the capture.
    const auto marked = device->record(copy_queue::load);
    (void)device->query(marked);
    (void)device->make_gates(2000);
    gpu::ok(cudaStreamEndCapture(engine.native(), &graph));
    gpu::ok(cudaGraphInstantiate(&ready, graph, 0));

    auto staging = device->allocate_staging(layers * bytes);
    REQUIRE(staging.ok());
    for (int replay = 0; replay < 3; ++replay) {
        CAPTURE(replay);
        device->close_gates(row);
        result.fill(0);
        gpu::ok(cudaGraphLaunch(ready, engine.native()));
        std::vector<std::byte> right;
        for (std::size_t l = 0; l < layers; ++l) {
            CHECK(cudaStreamQuery(engine.native()) == cudaErrorNotReady);
            (void)cudaGetLastError();
            const auto at = staging->subspan(l * bytes, bytes);
            std::fill(at.begin(), at.end(), static_cast<std::byte>(16 * replay + static_cast<int>(l) + 1));
            right.insert(right.end(), at.begin(), at.end());
            const copy_op op{kv.data() + l * bytes, at.data(), bytes};
            CHECK_FALSE(device->copy(copy_queue::load, {&op, 1}));
            CHECK_FALSE(device->open_gate(row, l));
        }
        CHECK_FALSE(engine.synchronize());
        CHECK(result.read() == right);
    }
    device->free_staging(*staging);
    gpu::ok(cudaGraphExecDestroy(ready));
    gpu::ok(cudaGraphDestroy(graph));
}

TEST_CASE("events of the engine, recorded or not, and ours in its streams")
{
    for (const bool words : {true, false}) {
        CAPTURE(words);
        const auto device = gpu::device(words);
        auto engine = gpu::stream();
        cudaEvent_t theirs{};
        gpu::ok(cudaEventCreateWithFlags(&theirs, cudaEventDisableTiming));
        // CUDA's rule, which we rely on: an event that was never recorded is complete, and waiting for it is no wait.
        CHECK(device->query(cuda::event(theirs)) == event_state::done);
        gpu::ok(cudaStreamWaitEvent(engine.native(), theirs, 0));
        CHECK_FALSE(engine.synchronize());

        auto row = device->make_gates(1);
        CHECK_FALSE(device->wait_gate(row, 0, engine));
        gpu::ok(cudaEventRecord(theirs, engine.native()));
        const auto ours = device->record(engine);
        CHECK(ours.by_word() == words);
        CHECK(device->query(cuda::event(theirs)) == event_state::pending);
        CHECK(device->query(ours) == event_state::pending);
        device->force_gate(row, 0);
        CHECK_FALSE(engine.synchronize());
        CHECK(device->query(cuda::event(theirs)) == event_state::done);
        CHECK(device->query(ours) == event_state::done);
        gpu::ok(cudaEventDestroy(theirs));
    }
}

TEST_CASE("a hundred thousand events, with some always under way, dropped before and after they are reached")
{
    const auto device = gpu::device();
    auto engine = gpu::stream();
    std::list<cuda::event> some;
    for (int i = 0; i < 100'000; ++i) {
        some.push_back(device->record(engine));
        if (i % 3 == 0)
            some.pop_back(); // nobody wants to know
        if (some.size() > 300)
            some.pop_front();
        if (i % 1000 == 0)
            CHECK_FALSE(engine.synchronize());
    }
    CHECK_FALSE(engine.synchronize());
    for (const auto& e : some)
        CHECK(device->query(e) == event_state::done);
    const auto last = device->record(engine);
    CHECK_FALSE(engine.synchronize());
    CHECK(device->query(last) == event_state::done);
}

TEST_CASE("events and gates may outlive the device")
{
    for (const bool words : {true, false}) {
        CAPTURE(words);
        cuda::event e;
        cuda::gates row;
        {
            const auto device = gpu::device(words);
            e = device->record(copy_queue::load);
            row = device->make_gates(4);
        }
        CHECK(row.size() == 4);
    }
}

TEST_CASE("a wait by a host function may outlive the device and its gates")
{
    auto engine = gpu::stream();
    {
        const auto device = gpu::device(false);
        auto row = device->make_gates(1);
        cuda_test::launch_spin(engine.native(), 20000);
        CHECK_FALSE(device->wait_gate(row, 0, engine));
        device->force_gate(row, 0);
    }
    CHECK(cudaStreamQuery(engine.native()) == cudaErrorNotReady); // it has not begun to wait
    (void)cudaGetLastError();
    CHECK_FALSE(engine.synchronize());
}

TEST_CASE("waits by host functions are for once: no graph takes them")
{
    const auto device = gpu::device(false);
    auto engine = gpu::stream();
    auto row = device->make_gates(1);
    cudaGraph_t graph{};
    gpu::ok(cudaStreamBeginCapture(engine.native(), cudaStreamCaptureModeGlobal));
    CHECK(device->wait_gate(row, 0, engine) == condition::invalid);
    gpu::ok(cudaStreamEndCapture(engine.native(), &graph)); // and the capture goes on
    std::size_t nodes = 1;
    gpu::ok(cudaGraphGetNodes(graph, nullptr, &nodes));
    CHECK(nodes == 0);
    gpu::ok(cudaGraphDestroy(graph));
    CHECK_FALSE(device->wait_gate(row, 0, engine));
    device->force_gate(row, 0);
    CHECK_FALSE(engine.synchronize());
}

TEST_CASE("the scheduler resumes its coroutine when the device has passed the event")
{
    for (const bool words : {true, false}) {
        CAPTURE(words);
        const auto device = gpu::device(words);
        auto engine = gpu::stream();
        asio::io_context io;
        event_scheduler<cuda::device> scheduler(io.get_executor(), *device);
        for (int i = 0; i < 20; ++i) {
            cuda_test::launch_spin(engine.native(), 300);
            const auto behind = device->record(engine);
            CHECK(device->query(behind) == event_state::pending);
            CHECK_FALSE(support::run(io, scheduler.wait(behind, event_kind::compute)));
            CHECK(device->query(behind) == event_state::done);
        }
        CHECK(scheduler.waiting() == 0);
    }
}

TEST_CASE("pinned slabs are whole pages, resident, and copied from without a detour")
{
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{4096}, std::size_t{5} << 20}) {
        auto slab = cuda::pinned_slab::create(0, bytes);
        REQUIRE(slab.ok());
        CHECK(slab->bytes().size() >= bytes);
        CHECK(reinterpret_cast<std::uintptr_t>(slab->bytes().data()) % 4096 == 0);
        cudaPointerAttributes about{};
        gpu::ok(cudaPointerGetAttributes(&about, slab->bytes().data()));
        CHECK(about.type == cudaMemoryTypeHost);
        auto moved = std::move(*slab);
        CHECK(slab->bytes().empty());
        CHECK(moved.bytes().size() >= bytes);
    }
    auto none = cuda::pinned_slab::create(0, std::size_t{1} << 55);
    REQUIRE_FALSE(none.ok());
    CHECK(none.error() == condition::exhausted);
}

} // namespace cuda_device_test
