// From Status, inside, to exceptions, at the edge.
#pragma once

#include <fovea/engine.h>

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

template <typename Log>
core::LogSink log_sink(const Log& log) {
  if (!log) return nullptr;
  return [log](core::LogLevel level, std::string_view text) { log(static_cast<LogLevel>(level), std::string(text)); };
}

}  // namespace fovea
