// One of ONNX's operator tests as generate_cases.py writes it: a model, its inputs, and what must come out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ir/tensor.h"
#include "onnx/onnx.pb.h"

namespace fovea::core::conformance {

struct Case {
  std::string name;
  onnx::ModelProto model;
  std::vector<TensorPtr> inputs, outputs;  // an absent optional input is null
  double rtol = 0, atol = 0;
  bool loose = false;      // ONNX's own tolerance instead of the stricter one of the type
  std::string no_tensors;  // why there are no tensors, if there are none
};

std::vector<std::string> case_names(const std::filesystem::path& folder);
Result<Case> load_case(const std::filesystem::path& folder, const std::string& name);

// "" if `found` is `wanted` as far as tolerances go, else the first difference.
std::string difference(const Tensor& wanted, const Tensor& found, double rtol, double atol, bool loose);

}  // namespace fovea::core::conformance
