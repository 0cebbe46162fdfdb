// From Status, inside, to exceptions, at the edge.
#pragma once

#include <fovea/engine.h>

#include <atomic>
#include <exception>
#include <new>

#include "base/log.h"
#include "base/status.h"

namespace fovea {

[[noreturn]] inline void raise(const core::Status& s) { throw Error(static_cast<ErrorCode>(s.kind()), s.message()); }

inline void check(const core::Status& s) {
  if (!s.ok()) raise(s);
}

template <typename T>
T take(core::Result<T> r) {
  if (!r.ok()) raise(r.status());
  return *std::move(r);
}

// An exception of the caller's own function on its way back to the caller: not ours to rename.
struct Foreign {
  std::exception_ptr exception;
};

// `f`, a function of the caller's.
template <typename F>
auto callers(F f) {
  return [f = std::move(f)](auto&&... a) {
    try {
      f(std::forward<decltype(a)>(a)...);
    } catch (...) {
      throw Foreign{std::current_exception()};
    }
  };
}

// The body of every public function that can fail: what leaves it is an Error.
template <typename F>
auto edge(F&& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const Foreign& f) {
    std::rethrow_exception(f.exception);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kSystem, "out of memory");
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kInternal, std::string("unexpected: ") + e.what());
  }
}

// One call at a time; a flag, not a lock, so that misuse is seen and not waited for.
class Turn {
 public:
  Turn(std::atomic_flag& busy, std::string_view what) : busy_(busy) {
    if (busy_.test_and_set(std::memory_order_acquire))
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("a {} was used by two threads at once, or by a function that it calls: give each caller "
                              "a {} of its own",
                              what, what));
  }
  ~Turn() { busy_.clear(std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic_flag& busy_;
};

template <typename Impl>
Impl& present(const std::unique_ptr<Impl>& impl, std::string_view what) {
  if (!impl)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("a {} was used that had been moved from: use the one it was moved to", what));
  return *impl;
}

// A call of a Context or Detector: edge(), and its turn.
template <typename Impl, typename F>
auto take_turn(const std::unique_ptr<Impl>& impl, std::string_view what, F&& body) {
  return edge([&] {
    Impl& i = present(impl, what);
    Turn turn(i.busy, what);
    return body(i);
  });
}

template <typename Log>
core::LogSink log_sink(const Log& log) {
  if (!log) return nullptr;
  return [log = callers(log)](core::LogLevel level, std::string_view text) {
    log(static_cast<LogLevel>(level), std::string(text));
  };
}

}  // namespace fovea
