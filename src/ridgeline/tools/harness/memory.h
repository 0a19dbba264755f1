// The DRAM behind the engine's AXI4 port: in order, no ids, one beat a cycle each way at most, and a shared budget of bytes a cycle.
//
// Timing. A burst accepted in cycle t gives its first beat in cycle t + read_latency at the earliest; a write is acknowledged
// write_latency cycles after its last beat. A credit grows by `gain` every cycle and never holds more than `cost` and one cycle's growth: bandwidth that
// was not used is lost. A beat, read or written, moves when the credit is at least `cost`, and takes what its position costs, which may be more: then the
// next one waits until the rest is paid. The position is counted from the last jump of the direction's addresses on;
// a burst of instructions, which begins where the one before it ended, counts from its own start and is no jump. `tiers` are the costs up to a position
// each, `rest` is that beyond. When the credit serves only one of the two directions, they take turns.
#pragma once

#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "widths.h"  // BUS_BYTES

namespace ridgeline {

constexpr unsigned BOUNDARY = 4096;   // no burst crosses such a boundary
constexpr unsigned BURSTS = 64;       // that the memory holds in each direction, a power of two
constexpr unsigned REPORTED = 20;     // violations told in full

struct Tier {
    uint64_t end;  // the first position that it does not hold for
    int64_t cost;
};

struct Timing {
    int64_t gain = BUS_BYTES, cost = BUS_BYTES, rest = BUS_BYTES;
    std::vector<Tier> tiers;
    uint64_t read_latency = 0, write_latency = 0;
    unsigned stalls = 0;  // of 256 cycles on each channel
    uint64_t seed = 1;
};

struct Burst {
    uint64_t address;  // of the next beat
    unsigned left;     // beats
    uint64_t ready;    // the first cycle in which a beat may move
    uint64_t position; // of the next beat
};

// Where a direction's last burst of data ended.
struct Stretch {
    uint64_t end = 0, position = 0;
};

template <typename T>
class Ring {
public:
    bool empty() const { return head_ == tail_; }
    bool full() const { return tail_ - head_ == BURSTS; }
    T& front() { return slots_[head_ % BURSTS]; }
    void push(const T& item) { slots_[tail_++ % BURSTS] = item; }
    void pop() { head_++; }
    void clear() { head_ = tail_ = 0; }

private:
    T slots_[BURSTS];
    unsigned head_ = 0, tail_ = 0;
};

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u | 1) {}
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }

private:
    uint64_t state_;
};

// A channel's request must stay as it is until it is taken.
struct Held {
    bool waiting = false;
    uint64_t payload = 0;
};

template <typename Model>
class Memory {
public:
    // Behind the memory lies a scratch page, where bursts go that leave it. The engine sees the memory from byte `base` on.
    Memory(uint64_t bytes, uint64_t base, const Timing& timing)
        : size_((bytes + BOUNDARY - 1) / BOUNDARY * BOUNDARY), base_(base), bytes_(size_ + 256 * BUS_BYTES), timing_(timing),
          random_(timing.seed), cap_(timing.cost + timing.gain) {}

    uint8_t* data() { return bytes_.data(); }
    uint64_t size() const { return size_; }
    uint64_t violations() const { return violations_; }
    uint64_t read_beats() const { return read_beats_; }
    uint64_t write_beats() const { return write_beats_; }
    uint64_t last_acknowledged() const { return last_acknowledged_; }

    // Bytes [0, bytes) hold the program, which no write may touch.
    void protect(uint64_t bytes) { protected_ = bytes; }

    // `entry`: of the program.
    void reset(uint64_t entry) {
        fetch_ = entry;
        reads_.clear();
        writes_.clear();
        acknowledgements_.clear();
        credit_ = 0;
        read_beats_ = write_beats_ = last_acknowledged_ = 0;
        read_stretch_ = write_stretch_ = Stretch();
        unacknowledged_ = 0;
        read_shown_ = acknowledge_shown_ = false;
        ar_ = aw_ = Held();
    }

    // Sets the port's inputs for this cycle from the engine's outputs as the last clock edge left them.
    void drive(Model& top, uint64_t cycle) {
        credit_ = credit_ + timing_.gain < cap_ ? credit_ + timing_.gain : cap_;
        const uint64_t stalled = timing_.stalls ? draw() : 0;
        const bool write_wanted = top.m_axi_wvalid && !writes_.empty() && !(stalled & 1);
        const bool read_wanted = !read_shown_ && !reads_.empty() && reads_.front().ready <= cycle && !(stalled & 2);
        top.m_axi_wready = 0;
        if (write_wanted && !(read_wanted && read_turn_ && credit_ < 2 * timing_.cost)) take_write(top);
        if (read_wanted && credit_ >= timing_.cost) show_read(top);
        if (write_wanted && !top.m_axi_wready) take_write(top);
        top.m_axi_rvalid = read_shown_;
        if (!acknowledge_shown_ && !acknowledgements_.empty() && acknowledgements_.front() <= cycle && !(stalled & 4)) acknowledge_shown_ = true;
        top.m_axi_bvalid = acknowledge_shown_;
        top.m_axi_arready = !reads_.full() && !(stalled & 8);
        top.m_axi_awready = unacknowledged_ < BURSTS && !(stalled & 16);
    }

    // Carries out the transfers that valid and ready agree on at the end of this cycle.
    void transfer(Model& top, uint64_t cycle) {
        if (top.m_axi_rvalid && top.m_axi_rready) finish_read();
        if (top.m_axi_wvalid && top.m_axi_wready) write(top, cycle);
        if (top.m_axi_bvalid && top.m_axi_bready) acknowledge(cycle);
        request("read", ar_, reads_, top.m_axi_arvalid, top.m_axi_arready,
                {top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize, top.m_axi_arburst}, cycle);
        request("write", aw_, writes_, top.m_axi_awvalid, top.m_axi_awready,
                {top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize, top.m_axi_awburst}, cycle);
    }

    void violation(uint64_t cycle, const char* format, ...) {
        if (++violations_ > REPORTED) return;
        std::printf("violation cycle %" PRIu64 ": ", cycle);
        va_list values;
        va_start(values, format);
        std::vprintf(format, values);
        va_end(values);
        std::printf("\n");
    }

private:
    struct Request {
        uint64_t address;
        unsigned length, size, kind;
    };

    uint64_t draw() {
        uint64_t bits = random_.next(), stalled = 0;
        for (unsigned channel = 0; channel < 5; channel++, bits >>= 8) stalled |= uint64_t((bits & 255) < timing_.stalls) << channel;
        return stalled;
    }

    void charge(Burst& burst) {
        int64_t cost = timing_.rest;
        for (size_t i = timing_.tiers.size(); i-- > 0 && burst.position < timing_.tiers[i].end;) cost = timing_.tiers[i].cost;
        credit_ -= cost;
        burst.position += BUS_BYTES;
    }

    void take_write(Model& top) {
        if (credit_ < timing_.cost) return;
        charge(writes_.front());
        read_turn_ = true;
        top.m_axi_wready = 1;
    }

    void show_read(Model& top) {
        Burst& burst = reads_.front();
        charge(burst);
        read_turn_ = false;
        read_shown_ = true;
        std::memcpy(&top.m_axi_rdata, &bytes_[burst.address], BUS_BYTES);
        top.m_axi_rlast = burst.left == 1;
        top.m_axi_rresp = 0;
    }

    void finish_read() {
        read_shown_ = false;
        read_beats_++;
        Burst& burst = reads_.front();
        burst.address += BUS_BYTES;
        if (--burst.left == 0) reads_.pop();
    }

    void write(Model& top, uint64_t cycle) {
        Burst& burst = writes_.front();
        write_beats_++;
        uint8_t data[BUS_BYTES], strobes[(BUS_BYTES + 7) / 8];
        std::memcpy(data, &top.m_axi_wdata, BUS_BYTES);
        std::memcpy(strobes, &top.m_axi_wstrb, sizeof strobes);
        uint8_t* target = &bytes_[burst.address];
        for (unsigned i = 0; i < BUS_BYTES; i++)
            if (strobes[i / 8] >> i % 8 & 1) target[i] = data[i];
        if (bool(top.m_axi_wlast) != (burst.left == 1))
            violation(cycle, "wlast is %d with %u beats left", int(top.m_axi_wlast), burst.left);
        burst.address += BUS_BYTES;
        if (--burst.left) return;
        acknowledgements_.push(cycle + timing_.write_latency);
        writes_.pop();
    }

    void acknowledge(uint64_t cycle) {
        acknowledge_shown_ = false;
        acknowledgements_.pop();
        unacknowledged_--;
        last_acknowledged_ = cycle;
    }

    void request(const char* kind, Held& held, Ring<Burst>& bursts, bool valid, bool ready, Request asked, uint64_t cycle) {
        const uint64_t payload = asked.address << 16 | asked.length << 8 | asked.size << 2 | asked.kind;
        if (held.waiting && (!valid || payload != held.payload)) violation(cycle, "a %s request changed before it was taken", kind);
        held.waiting = valid && !ready;
        held.payload = payload;
        if (!valid || !ready) return;
        const bool writing = &bursts == &writes_;
        const uint64_t address = asked.address / BUS_BYTES * BUS_BYTES - base_, bytes = uint64_t(asked.length + 1) * BUS_BYTES;
        const bool inside = address < size_ && bytes <= size_ - address;
        check(kind, writing, inside, address, bytes, asked, cycle);
        unacknowledged_ += writing;
        const uint64_t position = !writing && address == fetch_ ? fetch(bytes) : carry_on(writing ? write_stretch_ : read_stretch_, address, bytes);
        bursts.push({inside ? address : size_, asked.length + 1, cycle + (writing ? 0 : timing_.read_latency), position});
    }

    // Both return the first beat's position.
    uint64_t fetch(uint64_t bytes) {
        fetch_ += bytes;
        return 0;
    }

    static uint64_t carry_on(Stretch& stretch, uint64_t address, uint64_t bytes) {
        const uint64_t position = address == stretch.end ? stretch.position : 0;
        stretch = {address + bytes, position + bytes};
        return position;
    }

    void check(const char* kind, bool writing, bool inside, uint64_t address, uint64_t bytes, const Request& asked, uint64_t cycle) {
        if (asked.kind != 1 || 1u << asked.size != BUS_BYTES)
            violation(cycle, "a %s burst of kind %u and size %u; expected 1 (INCR) and the bus", kind, asked.kind, asked.size);
        if (asked.address / BUS_BYTES * BUS_BYTES % BOUNDARY + bytes > BOUNDARY)
            violation(cycle, "a %s burst of %" PRIu64 " bytes at %#" PRIx64 " crosses a 4096-byte boundary", kind, bytes, asked.address);
        if (!inside)
            violation(cycle, "a %s burst of %" PRIu64 " bytes at %#" PRIx64 " leaves the memory of %" PRIu64, kind, bytes, asked.address, size_);
        if (writing && inside && address < protected_)
            violation(cycle, "a write burst at %#" PRIx64 " hits the program, which ends at %#" PRIx64, asked.address, base_ + protected_);
    }

    uint64_t size_, base_;
    std::vector<uint8_t> bytes_;
    Timing timing_;
    Random random_;
    int64_t cap_, credit_ = 0;
    uint64_t protected_ = 0, fetch_ = 0;
    Stretch read_stretch_, write_stretch_;
    Ring<Burst> reads_, writes_;
    Ring<uint64_t> acknowledgements_;
    Held ar_, aw_;
    bool read_shown_ = false, acknowledge_shown_ = false, read_turn_ = false;
    unsigned unacknowledged_ = 0;
    uint64_t violations_ = 0, read_beats_ = 0, write_beats_ = 0, last_acknowledged_ = 0;
};

}  // namespace ridgeline
