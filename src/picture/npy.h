// NumPy's .npy files, versions 1 to 3 (numpy.lib.format): tensors for the command line, anchors for model cards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/status.h"

namespace fovea::core {

struct NpyArray {
  DType dtype = DType::kUndefined;
  std::vector<int64_t> shape;
  std::vector<std::byte> data;  // little-endian, C order
};

// Every type that both NumPy and ONNX know: bool, integers of 8 to 64 bits, float16 to float64, complex64 and
// complex128. Files in Fortran order come out in C order. A malformed file is InvalidArgument; big-endian, string,
// object and structured ones are Unsupported.
Result<NpyArray> parse_npy(Bytes file, std::string_view name);
Result<NpyArray> read_npy(const std::string& path);

// `data` in C order, of exactly the shape's bytes. Types without a NumPy name (bfloat16, 8-bit floats) are Unsupported.
Status write_npy(const std::string& path, DType dtype, std::span<const int64_t> shape, Bytes data);
Status write_npy(const std::string& path, const NpyArray& array);

}  // namespace fovea::core
