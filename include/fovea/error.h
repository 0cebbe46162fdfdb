// Errors: every function of this API that can fail throws Error.
#pragma once

#include <fovea/api.h>

#include <stdexcept>
#include <string>

namespace fovea {

// Who has to act; the numbers are the command line's exit codes.
enum class ErrorCode {
  kInvalidArgument = 2,  // your call, model card or picture
  kInvalidModel = 3,     // your model or engine file
  kUnsupported = 4,      // a limit of fovea
  kSystem = 5,           // disk, memory, device
  kInternal = 6,         // a bug in fovea
};

class FOVEA_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace fovea
