#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

#ifndef FOVEA_NO_OPENMP
#include <omp.h>
#endif

namespace fovea::core {

void parallel_for(int threads, int64_t count, int64_t grain, const RangeFn& f) {
  if (count <= 0) return;
  const int64_t parts =
      std::min<int64_t>(std::max(threads, 1), (count + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1));
  if (parts <= 1) return f(0, count);
  auto part = [&](int64_t i) {
    // Even split: the first count % parts ranges get one item more.
    const int64_t base = count / parts, extra = count % parts;
    const int64_t begin = i * base + std::min(i, extra);
    f(begin, begin + base + (i < extra ? 1 : 0));
  };
#ifdef FOVEA_NO_OPENMP
  std::vector<std::thread> team;
  team.reserve(static_cast<size_t>(parts - 1));
  for (int64_t i = 1; i < parts; ++i) team.emplace_back([&, i] { part(i); });
  part(0);
  for (std::thread& t : team) t.join();
#else
#pragma omp parallel for num_threads(static_cast <int>(parts)) schedule(static, 1)
  for (int64_t i = 0; i < parts; ++i) part(i);
#endif
}

ThreadCountScope::ThreadCountScope([[maybe_unused]] int threads) {
#ifndef FOVEA_NO_OPENMP
  previous_ = omp_get_max_threads();
  omp_set_num_threads(std::max(threads, 1));
#endif
}

ThreadCountScope::~ThreadCountScope() {
#ifndef FOVEA_NO_OPENMP
  omp_set_num_threads(previous_);
#endif
}

void side_by_side(size_t count, const std::function<void(size_t)>& f, const std::function<void(int done)>& progress) {
  constexpr size_t kMostThreads = 16;  // each may have a library's handle
  std::atomic<size_t> next = 0;
  std::atomic<int> done = 0;
  auto take = [&] {
    for (size_t i = next++; i < count; i = next++) f(i), ++done;
  };
  const size_t threads = std::min({count, kMostThreads, static_cast<size_t>(hardware_threads())});
  std::vector<std::thread> team;
  try {
    for (size_t i = 0; i < threads; ++i) team.emplace_back(take);
  } catch (const std::exception&) {  // no more threads to be had
    if (team.empty()) take();
  }
  while (progress && done < static_cast<int>(count)) {
    progress(done);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (std::thread& t : team) t.join();
}

int hardware_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace fovea::core
