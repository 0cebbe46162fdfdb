#include "tests/conformance/case.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/file.h"
#include "onnx/tensor_reader.h"

namespace fovea::core::conformance {
namespace {

Result<TensorPtr> load_tensor(const std::filesystem::path& path) {
  FOVEA_TRY_SET(std::string bytes, read_file(path.string()));
  onnx::TensorProto proto;
  if (!proto.ParseFromString(bytes)) return internal_error("{}: not a TensorProto", path.string());
  ExternalData none("", nullptr);
  return read_tensor(proto, none, path.string());
}

// Elements as numbers that can be compared; complex ones as pairs.
std::vector<double> numbers(const Tensor& t) {
  std::vector<double> out = t.to_doubles();
  if (!out.empty() || t.count() == 0) return out;
  const auto* bytes = reinterpret_cast<const uint8_t*>(t.bytes().data());
  if (t.dtype() == DType::kComplex64)
    for (int64_t i = 0; i < 2 * t.count(); ++i) out.push_back(reinterpret_cast<const float*>(bytes)[i]);
  else if (t.dtype() == DType::kComplex128)
    for (int64_t i = 0; i < 2 * t.count(); ++i) out.push_back(reinterpret_cast<const double*>(bytes)[i]);
  else {
    for (int64_t i = 0; i < t.count(); ++i)
      out.push_back(float_from_small(t.dtype(), packed_bits(t.dtype(), bytes, i)));
  }
  return out;
}

// Relative error that the type's own rounding explains; ONNX's tests allow 1e-3 for all of them.
double type_rtol(DType type, double given) {
  switch (type) {
    case DType::kFloat32:
    case DType::kFloat64: return std::min(given, 1e-5);
    case DType::kFloat16: return 2e-3;
    case DType::kBFloat16: return 1.6e-2;
    default: return 0;
  }
}

bool close(double a, double b, double rtol, double atol) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= atol + rtol * std::abs(a);
}

}  // namespace

std::vector<std::string> case_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Result<Case> load_case(const std::filesystem::path& folder, const std::string& name) {
  Case c;
  c.name = name;
  const std::filesystem::path dir = folder / name;
  FOVEA_TRY_SET(std::string bytes, read_file((dir / "model.onnx").string()));
  if (!c.model.ParseFromString(bytes)) return internal_error("{}: model.onnx does not parse", name);
  std::ifstream(dir / "tolerance.txt") >> c.rtol >> c.atol;
  if (std::ifstream skip(dir / "skip"); skip) {
    std::getline(skip, c.no_tensors);
    return c;
  }
  for (int k = 0; k < c.model.graph().input_size(); ++k) {
    FOVEA_TRY_SET(TensorPtr t, load_tensor(dir / fmt::format("input_{}.pb", k)));
    c.inputs.push_back(std::move(t));
  }
  for (int k = 0; k < c.model.graph().output_size(); ++k) {
    FOVEA_TRY_SET(TensorPtr t, load_tensor(dir / fmt::format("output_{}.pb", k)));
    c.outputs.push_back(std::move(t));
  }
  return c;
}

std::string difference(const Tensor& wanted, const Tensor& found, double rtol, double atol, bool loose) {
  if (wanted.dtype() != found.dtype())
    return fmt::format("expected {}, found {}", to_string(wanted.dtype()), to_string(found.dtype()));
  if (wanted.dims() != found.dims())
    return fmt::format("expected shape [{}], found [{}]", fmt::join(wanted.dims(), ","), fmt::join(found.dims(), ","));
  if (wanted.dtype() == DType::kString) return wanted.string_values() == found.string_values() ? "" : "strings differ";
  const std::vector<double> a = numbers(wanted), b = numbers(found);
  const double relative = loose ? rtol : type_rtol(wanted.dtype(), rtol);
  double squares = 0;
  for (double v : a) squares += std::isfinite(v) ? v * v : 0;
  // Where terms cancel, an element's error is measured by the size of its neighbours.
  const bool rounds = is_float(wanted.dtype()) && dtype_bits(wanted.dtype()) >= 16;
  const double absolute =
      rounds ? std::max(atol, relative * 0.1 * std::sqrt(squares / static_cast<double>(std::max<size_t>(a.size(), 1))))
             : 0;
  for (size_t i = 0; i < a.size(); ++i)
    if (!close(a[i], b[i], relative, absolute))
      return fmt::format("element {} of {}: expected {}, found {}", i, a.size(), a[i], b[i]);
  return "";
}

}  // namespace fovea::core::conformance
