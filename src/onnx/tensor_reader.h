// TensorProto -> Tensor: every way that ONNX stores elements.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ir/tensor.h"
#include "onnx/model_file.h"

namespace fovea::core {

// The files that external data lies in: below one folder, each mapped once.
class ExternalData {
 public:
  ExternalData(std::string folder, SourceHash* hash) : folder_(std::move(folder)), hash_(hash) {}
  // `needed` bytes at the place that `proto` names; `owner` keeps them alive.
  Result<Bytes> find(const onnx::TensorProto& proto, int64_t needed, std::shared_ptr<const void>& owner);

 private:
  Result<std::shared_ptr<const MappedFile>> open(const std::string& location);

  std::string folder_;
  SourceHash* hash_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

// Takes the elements out of `proto` (raw_data is freed, so that no more than one tensor is in memory twice). External
// data stays in its map where it is aligned as constants must be. Messages begin with `what`.
Result<TensorPtr> read_tensor(onnx::TensorProto& proto, ExternalData& external, const std::string& what);

}  // namespace fovea::core
