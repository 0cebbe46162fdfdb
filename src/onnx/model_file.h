// The bytes of an .onnx file -> ModelProto, with messages that say what such a file is when it is not one.
#pragma once

#include <xxhash.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "onnx/onnx.pb.h"

namespace fovea::core {

class SourceHash {
 public:
  SourceHash() : state_(XXH3_createState()) { XXH3_64bits_reset(state_.get()); }
  void add(Bytes bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* s) const { XXH3_freeState(s); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

// `file` (or null) is the map behind `bytes`: its pages are given back while parsing, so that the weights are not in
// memory twice. `hash` may be null.
Result<std::unique_ptr<onnx::ModelProto>> parse_model(Bytes bytes, const std::string& name, const MappedFile* file,
                                                      SourceHash* hash);

}  // namespace fovea::core
