// Runs a program on the verilated engine, image after image, against the memory of memory.h.
//
//     simulator JOB     reads the job (a line is a name and its values; see Job), writes the events and dumps that it asks for, and says on
//     standard output:  at IMAGE CYCLE                      from time to time
//                       violation cycle CYCLE: MESSAGE      a rule of AXI was broken
//                       image IMAGE done 0|1 cycles N read_beats N write_beats N
// Cycle 0 is the one in which `start` is high. An image's cycles run from there to the end of the last write's acknowledgement.
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

#include "Vridgeline_engine.h"
#include "memory.h"
#include "verilated.h"
#if VM_TRACE_VCD
#include "verilated_vcd_c.h"
#endif

using namespace ridgeline;

namespace {

constexpr uint64_t PROGRESS = 1 << 18;  // cycles between two lines of progress
constexpr unsigned RESET_CYCLES = 8;

struct Region {
    uint64_t address, bytes;
};

struct Job {
    std::string program, inputs, events, dumps, wave;  // files
    uint64_t memory_bytes = 0, entry = 0, base = 0, images = 1, limit = 0;
    Timing timing;
    std::vector<Region> input_regions, dump_regions;
};

Job read_job(const char* path) {
    Job job;
    std::ifstream file(path);
    for (std::string line, key; std::getline(file, line);) {
        std::istringstream words(line);
        words >> key;
        Region region{};
        Tier tier{};
        if (key == "program") std::getline(words >> std::ws, job.program);
        else if (key == "inputs") std::getline(words >> std::ws, job.inputs);
        else if (key == "events") std::getline(words >> std::ws, job.events);
        else if (key == "dumps") std::getline(words >> std::ws, job.dumps);
        else if (key == "wave") std::getline(words >> std::ws, job.wave);
        else if (key == "memory_bytes") words >> job.memory_bytes;
        else if (key == "entry") words >> job.entry;
        else if (key == "base") words >> job.base;
        else if (key == "images") words >> job.images;
        else if (key == "limit") words >> job.limit;
        else if (key == "credit") words >> job.timing.gain >> job.timing.cost >> job.timing.rest;
        else if (key == "tier") words >> tier.end >> tier.cost, job.timing.tiers.push_back(tier);
        else if (key == "latency") words >> job.timing.read_latency >> job.timing.write_latency;
        else if (key == "stalls") words >> job.timing.stalls >> job.timing.seed;
        else if (key == "input") words >> region.address >> region.bytes, job.input_regions.push_back(region);
        else if (key == "dump") words >> region.address >> region.bytes, job.dump_regions.push_back(region);
        else std::cerr << "unknown line in the job: " << line << "\n", std::exit(3);
    }
    return job;
}

[[noreturn]] void fatal(const std::string& message) {
    std::cerr << message << "\n";
    std::exit(3);
}

// The engine, its clock, and what is recorded of it.
class Bench {
public:
    explicit Bench(const Job& job)
        : job_(job), memory_(job.memory_bytes, job.base, job.timing), inputs_(job.inputs, std::ios::binary),
          events_(job.events, std::ios::binary), dumps_(job.dumps, std::ios::binary) {
        std::ifstream program(job.program, std::ios::binary);
        program_.assign(std::istreambuf_iterator<char>(program), {});
        if (!program || program_.empty() || program_.size() > memory_.size()) fatal("the program does not fit in the memory");
        memory_.protect(program_.size());
#if VM_TRACE_VCD
        if (!job.wave.empty()) {
            context_.traceEverOn(true);
            top_.trace(&trace_, 99);
            trace_.open(job.wave.c_str());
            tracing_ = true;
        }
#endif
    }

    void run(uint64_t image) {
        prepare();
        reset();
        const uint64_t limit = job_.limit;
        uint64_t cycle = 0;
        bool done = false;
        top_.start = 1;
        for (; cycle < limit && !done; cycle++) {
            done = step(cycle);
            top_.start = 0;
            if (cycle % PROGRESS == PROGRESS - 1) std::printf("at %" PRIu64 " %" PRIu64 "\n", image, cycle + 1), std::fflush(stdout);
        }
        if (top_.error) memory_.violation(cycle, "the engine raises `error`: an instruction of an unknown kind, or an error response");
        finish(image, done, cycle);
    }

    ~Bench() {
        top_.final();
#if VM_TRACE_VCD
        if (tracing_) trace_.close();
#endif
    }

private:
    // The program and one image's inputs; all else holds a pattern, so that nothing left over can pass for a result.
    void prepare() {
        uint8_t* data = memory_.data();
        std::memcpy(data, program_.data(), program_.size());
        std::memset(data + program_.size(), 0xA5, memory_.size() - program_.size());
        for (const Region& region : job_.input_regions)
            if (!inputs_.read(reinterpret_cast<char*>(data + region.address), std::streamsize(region.bytes))) fatal("the inputs end early");
    }

    void reset() {
        memory_.reset(job_.entry);
        top_.rst = 1;
        top_.start = 0;
        top_.base_address = job_.base;
        top_.entry = uint32_t(job_.entry);
        for (unsigned i = 0; i < RESET_CYCLES; i++) edges();
        top_.rst = 0;
    }

    void edges() {
        top_.clk = 0;
        top_.eval();
        tick();
        top_.clk = 1;
        top_.eval();
        tick();
    }

    // One cycle; returns whether `done` was high in it.
    bool step(uint64_t cycle) {
        memory_.drive(top_, cycle);
        top_.clk = 0;
        top_.eval();  // lets the inputs through to the outputs that depend on them
        tick();
        memory_.transfer(top_, cycle);
        record(cycle);
        const bool done = top_.done;
        top_.clk = 1;
        top_.eval();
        tick();
        return done;
    }

    void tick() {
#if VM_TRACE_VCD
        if (tracing_) trace_.dump(time_);
        time_ += 5;
#endif
    }

    // A record is 8 bytes: the cycle in the upper 56 bits, below it a bit for each event (Event of tools/simulator.py).
    void record(uint64_t cycle) {
        const unsigned now = top_.ev_load_start | top_.ev_load_done << 1 | top_.ev_mac_start << 2 | top_.ev_mac_done << 3 |
                             top_.ev_drain_start << 4 | top_.ev_drain_done << 5 | top_.ev_store_start << 6 | top_.ev_store_done << 7;
        if (now) pending_.push_back(cycle << 8 | now);
    }

    void finish(uint64_t image, bool done, uint64_t cycle) {
#if VM_TRACE_VCD
        if (tracing_) trace_.close();  // the waveform is of the first image
        tracing_ = false;
#endif
        const uint64_t cycles = done ? memory_.last_acknowledged() + 1 : cycle;
        const uint64_t count = pending_.size();
        events_.write(reinterpret_cast<const char*>(&count), sizeof count);
        events_.write(reinterpret_cast<const char*>(pending_.data()), std::streamsize(count * sizeof(uint64_t)));
        pending_.clear();
        for (const Region& region : job_.dump_regions)
            dumps_.write(reinterpret_cast<const char*>(memory_.data() + region.address), std::streamsize(region.bytes));
        if (!events_.flush() || !dumps_.flush()) fatal("cannot write the results; is the disk full?");
        std::printf("image %" PRIu64 " done %d cycles %" PRIu64 " read_beats %" PRIu64 " write_beats %" PRIu64 "\n", image, int(done), cycles,
                    memory_.read_beats(), memory_.write_beats());
        std::fflush(stdout);
    }

    const Job& job_;
    VerilatedContext context_;
    Vridgeline_engine top_{&context_};
    Memory<Vridgeline_engine> memory_;
    std::vector<char> program_;
    std::vector<uint64_t> pending_;
    std::ifstream inputs_;
    std::ofstream events_, dumps_;
#if VM_TRACE_VCD
    VerilatedVcdC trace_;
    uint64_t time_ = 0;
    bool tracing_ = false;
#endif
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) fatal("usage: simulator JOB");
    const Job job = read_job(argv[1]);
    for (const Region& region : job.dump_regions)
        if (region.address + region.bytes > job.memory_bytes) fatal("a region to dump lies outside the memory");
    for (const Region& region : job.input_regions)
        if (region.address + region.bytes > job.memory_bytes) fatal("an input lies outside the memory");
    auto bench = std::make_unique<Bench>(job);
    for (uint64_t image = 0; image < job.images; image++) bench->run(image);
    return 0;
}
