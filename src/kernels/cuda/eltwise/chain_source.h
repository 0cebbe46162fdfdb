// CUDA source for a chain of element-wise operators. The text holds operators, types and layout, no sizes and no
// numbers: one compiled kernel serves many shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::core::cuda::chain {

inline constexpr int kMostOperands = 10;  // tensors that are read
inline constexpr int kMostNumbers = 96;
inline constexpr int kThreads = 256;

// What kernels are launched with, once for the host and once as text for the device.
#define FOVEA_CHAIN_ARGUMENTS(...) \
  __VA_ARGS__                      \
  inline constexpr std::string_view kArgumentsText = #__VA_ARGS__;
FOVEA_CHAIN_ARGUMENTS(
    struct Division { unsigned divisor, magic, shift; }; struct Arguments {
      const void* in[10];
      void* out;
      long long stride[11][8];  // of operand and loop, the output's last
      long long numbers[96];
      Division size[8];  // loops, outermost first
      int step[10];      // along a vector: 0 or 1
      unsigned threads, count;
      int rank, channels;
      int whole;  // vectors: every operand has them side by side, or one number for them all
    };)
#undef FOVEA_CHAIN_ARGUMENTS

// As stored, and as computed with: kHalf is computed with as float.
enum class Type : uint8_t { kFloat, kHalf, kInt, kLong, kBool };
std::string_view lane_type(Type type);
std::string_view stored_type(Type type);

enum class Where : uint8_t {
  kPlain,    // any strides
  kWhole,    // NHWC8: the output's elements one by one
  kPixel,    // NHWC8: all channels, repeated over some of batch, rows and columns
  kChannel,  // plain: one number for each channel, or one for all
};

struct Operand {
  Type stored = Type::kFloat;
  Where where = Where::kPlain;
};

struct Step {
  std::string expression;      // of x0, x1, ... (operands), v0, v1, ... (steps before) and a.numbers
  Type result = Type::kFloat;  // kHalf: rounded to it
};

struct Chain {
  std::vector<Operand> operands;
  std::vector<Step> steps;
  Type out = Type::kFloat;  // as stored
  bool nhwc8 = false;
  int vector = 4;  // elements a thread

  // Where one of the steps is no expression but a fold (reduce/fold_source.h): what is in front of it.
  struct Front {
    size_t steps = 0, operands = 0;
  };
  std::optional<Front> front;

  // Defines the kernel `chain`.
  std::string source() const;
  // Defines the function `name` of one element: some of the steps, of the operands that they read.
  std::string function(std::string_view name, Front from, Front to) const;
};

// What all sources begin with: the arguments, and the functions of expressions.
std::string source_head();
inline constexpr std::string_view kKernelHead = "extern \"C\" __global__ void __launch_bounds__(256) ";

}  // namespace fovea::core::cuda::chain
