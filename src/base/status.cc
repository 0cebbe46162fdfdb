#include "base/status.h"

namespace fovea::core {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument: return "invalid argument";
    case ErrorKind::kInvalidModel: return "invalid model";
    case ErrorKind::kUnsupported: return "unsupported";
    case ErrorKind::kSystem: return "system error";
    case ErrorKind::kInternal: return "internal error";
  }
  return "error";
}

}  // namespace fovea::core
