// One parallel_for over the OpenMP team that oneDNN uses too: a second pool beside it costs 90 us a switch.
// Under the thread sanitizer (FOVEA_NO_OPENMP) it is std::thread, because libgomp is not instrumented.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace fovea::core {

// A reference to a callable void(int64_t begin, int64_t end): std::function would allocate in the steady state.
class RangeFn {
 public:
  template <typename F>
  requires(!std::is_same_v<std::decay_t<F>, RangeFn>) RangeFn(const F& f)  // NOLINT: implicit on purpose
      : object_(std::addressof(f)),
        call_([](const void* o, int64_t b, int64_t e) { (*static_cast<const F*>(o))(b, e); }) {}
  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int64_t);
};

// Splits [0, count) into at most `threads` contiguous ranges of at least `grain` items; runs them at once; returns
// when all are done. f must not throw.
void parallel_for(int threads, int64_t count, int64_t grain, const RangeFn& f);

// Sets how many threads oneDNN's primitives will use in this thread until destroyed.
class ThreadCountScope {
 public:
  explicit ThreadCountScope(int threads);
  ~ThreadCountScope();
  ThreadCountScope(const ThreadCountScope&) = delete;
  ThreadCountScope& operator=(const ThreadCountScope&) = delete;

 private:
  int previous_ = 0;
};

// f(0) to f(count - 1), in any order, in threads of their own: for what waits for libraries, disks and devices.
// `progress` hears in the calling thread how many are done; may be null. f must not throw.
void side_by_side(size_t count, const std::function<void(size_t)>& f,
                  const std::function<void(int done)>& progress = nullptr);

int hardware_threads();  // cores this process may run on

}  // namespace fovea::core
