// Stands in for the kernel's arrays and its memory port: every access is counted. One outside an array ends the program, and so does a second read or
// a second write of a bank in one iteration of a pipelined loop, which an interval of 1 does not allow.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

struct Count {
  const char *name;
  size_t bytes;
  uint64_t reads = 0, writes = 0;
};

inline std::vector<Count *> &counts() {
  static std::vector<Count *> *all = new std::vector<Count *>;  // outlives the report
  return *all;
}

inline uint64_t iterations = 0;  // of pipelined loops

inline struct Report {
  ~Report() {
    std::printf("iterations %llu\n", (unsigned long long)iterations);
    for (const Count *count : counts()) {
      std::printf("%s %zu %llu %llu\n", count->name, count->bytes, (unsigned long long)count->reads, (unsigned long long)count->writes);
    }
  }
} report;

inline Count &counted(const char *name, size_t bytes) {
  counts().push_back(new Count{name, bytes});
  return *counts().back();
}

// When a bank was last read and written.
struct Bank {
  uint64_t read = 0, written = 0;
};

inline void once(uint64_t &last, const char *name) {
  if (last == iterations) {
    std::printf("a bank of %s is used twice in iteration %llu\n", name, (unsigned long long)iterations);
    std::exit(3);
  }
  last = iterations;
}

template <class T>
struct Ref {
  T &value;
  Count &count;
  Bank *bank;
  operator T() const {
    count.reads++;
    if (bank != nullptr) once(bank->read, count.name);
    return value;
  }
  Ref &operator=(T other) {
    count.writes++;
    if (bank != nullptr) once(bank->written, count.name);
    value = other;
    return *this;
  }
  Ref &operator=(const Ref &other) { return *this = T(other); }
};

inline void within(uint64_t index, uint64_t size, const char *name) {
  if (index >= size) {
    std::printf("%s[%llu], of %llu\n", name, (unsigned long long)index, (unsigned long long)size);
    std::exit(3);
  }
}

template <class T>
struct Row {
  T *values;
  size_t size;
  Count &count;
  Bank *banks;
  bool one;  // bank for the whole row
  Ref<T> operator[](size_t index) {
    within(index, size, count.name);
    return {values[index], count, one ? banks : banks + index};
  }
};

template <class Shape>
struct Counted;

template <class T, size_t N, size_t M>
struct Counted<T[N][M]> {
  T values[N][M] = {};
  Count &count;
  bool by_row;  // the tables: a bank for each row; else one for each column
  std::vector<Bank> banks;
  explicit Counted(const char *name)
      : count(counted(name, sizeof values)), by_row(std::string(name) == "tables"), banks(by_row ? N : M) {}
  Row<T> operator[](size_t index) {
    within(index, N, count.name);
    return {values[index], M, count, by_row ? &banks[index] : banks.data(), by_row};
  }
};

template <class T>
struct Memory {
  T *values;
  Memory(T *values) : values(values) {}
  Ref<T> operator[](size_t index) const {
    static Count &count = counted("memory", 0);
    return {values[index], count, nullptr};
  }
};

#define RIDGELINE_ARRAY(type, name, size) \
  typedef type name##_shape size;         \
  Counted<name##_shape> name(#name)
#define RIDGELINE_MEMORY(type) Memory<type>
