#include "kernels/prebuild.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "base/parallel.h"

namespace fovea::core {

void prebuild_all(std::vector<Prebuild> work, const std::function<void(int done)>& progress) {
  constexpr size_t kMostThreads = 16;  // each may have a library's handle
  std::atomic<size_t> next = 0;
  std::atomic<int> done = 0;
  auto take = [&] {
    for (size_t i = next++; i < work.size(); i = next++) {
      try {
        work[i].row->prebuild(work[i].context);
      } catch (const std::exception&) {  // memory that cannot be had: prepare() will say so
      }
      ++done;
    }
  };
  const size_t threads = std::min({work.size(), kMostThreads, static_cast<size_t>(hardware_threads())});
  std::vector<std::thread> team;
  for (size_t i = 0; i < threads; ++i) team.emplace_back(take);
  while (progress && done < static_cast<int>(work.size())) {
    progress(done);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (std::thread& t : team) t.join();
}

}  // namespace fovea::core
