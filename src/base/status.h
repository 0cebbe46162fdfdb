// Status and Result: how every function inside fovea reports failure. Exceptions exist only at the public API's edge.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace fovea::core {

// Five kinds, by who has to act. The numbers are the command line's exit codes.
enum class ErrorKind {
  kInvalidArgument = 2,  // the call, card or picture
  kInvalidModel = 3,     // the model or engine file
  kUnsupported = 4,      // a limit of fovea
  kSystem = 5,           // disk, memory, device
  kInternal = 6,         // a bug in fovea
};

std::string_view to_string(ErrorKind kind);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorKind kind, std::string message) : failure_(Failure{kind, std::move(message)}) {}

  bool ok() const { return !failure_; }
  explicit operator bool() const { return ok(); }
  ErrorKind kind() const { return failure_->kind; }
  const std::string& message() const { return failure_->message; }

  // The same failure, said from further out: "context: message".
  Status in(std::string_view context) const {
    return ok() ? Status() : Status(kind(), fmt::format("{}: {}", context, message()));
  }

 private:
  struct Failure {
    ErrorKind kind;
    std::string message;
  };
  std::optional<Failure> failure_;
};

template <typename T>
class Result;
// What a Result<T> is made of besides T and Status: whatever converts to T.
template <typename U, typename T>
concept BecomesValue = std::is_convertible_v<U, T> && !std::is_same_v<std::decay_t<U>, T> &&
                       !std::is_same_v<std::decay_t<U>, Status> && !std::is_same_v<std::decay_t<U>, Result<T>>;

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT: implicit on purpose
  Result(Status status) : state_(std::move(status)) {}  // NOLINT
  template <BecomesValue<T> U>
  Result(U&& value) : state_(T(std::forward<U>(value))) {}  // NOLINT

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }
  T&& operator*() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

 private:
  std::variant<T, Status> state_;
};

template <typename... A>
Status invalid_argument(fmt::format_string<A...> f, A&&... a) {
  return {ErrorKind::kInvalidArgument, fmt::format(f, std::forward<A>(a)...)};
}
template <typename... A>
Status invalid_model(fmt::format_string<A...> f, A&&... a) {
  return {ErrorKind::kInvalidModel, fmt::format(f, std::forward<A>(a)...)};
}
template <typename... A>
Status unsupported(fmt::format_string<A...> f, A&&... a) {
  return {ErrorKind::kUnsupported, fmt::format(f, std::forward<A>(a)...)};
}
template <typename... A>
Status system_error(fmt::format_string<A...> f, A&&... a) {
  return {ErrorKind::kSystem, fmt::format(f, std::forward<A>(a)...)};
}
template <typename... A>
Status internal_error(fmt::format_string<A...> f, A&&... a) {
  return {ErrorKind::kInternal, fmt::format(f, std::forward<A>(a)...)};
}

}  // namespace fovea::core

#define FOVEA_CONCAT_(a, b) a##b
#define FOVEA_CONCAT(a, b) FOVEA_CONCAT_(a, b)

// FOVEA_TRY(expr): return its Status from this function if it failed.
#define FOVEA_TRY(...)                                                                \
  do {                                                                                \
    if (::fovea::core::Status fovea_s = (__VA_ARGS__); !fovea_s.ok()) return fovea_s; \
  } while (0)

// FOVEA_TRY_SET(auto x, expr): x is the value of a Result, or this function returns its Status.
#define FOVEA_TRY_SET(decl, ...) FOVEA_TRY_SET_(FOVEA_CONCAT(fovea_r, __LINE__), decl, __VA_ARGS__)
#define FOVEA_TRY_SET_(tmp, decl, ...) \
  auto tmp = (__VA_ARGS__);            \
  if (!tmp.ok()) return tmp.status();  \
  decl = *std::move(tmp)
