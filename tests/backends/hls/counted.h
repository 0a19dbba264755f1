// Stands in for the kernel's arrays and its memory port: every access is counted, and one outside an array ends the program.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

template <class T>
struct Ref {
  T &value;
  Count &count;
  operator T() const {
    count.reads++;
    return value;
  }
  Ref &operator=(T other) {
    count.writes++;
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
  Ref<T> operator[](size_t index) {
    within(index, size, count.name);
    return {values[index], count};
  }
};

template <class Shape>
struct Counted;

template <class T, size_t N>
struct Counted<T[N]> {
  T values[N] = {};
  Count &count;
  explicit Counted(const char *name) : count(counted(name, sizeof values)) {}
  Ref<T> operator[](size_t index) {
    within(index, N, count.name);
    return {values[index], count};
  }
};

template <class T, size_t N, size_t M>
struct Counted<T[N][M]> {
  T values[N][M] = {};
  Count &count;
  explicit Counted(const char *name) : count(counted(name, sizeof values)) {}
  Row<T> operator[](size_t index) {
    within(index, N, count.name);
    return {values[index], M, count};
  }
};

template <class T>
struct Memory {
  T *values;
  Memory(T *values) : values(values) {}
  Ref<T> operator[](size_t index) const {
    static Count &count = counted("memory", 0);
    return {values[index], count};
  }
};

#define RIDGELINE_ARRAY(type, name, size) \
  typedef type name##_shape size;         \
  Counted<name##_shape> name(#name)
#define RIDGELINE_MEMORY(type) Memory<type>
