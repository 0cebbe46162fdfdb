// Convolution as a product of the weights with columns of input elements, one column an output pixel.
#pragma once

#include "kernels/reference/gemm/product.h"
#include "ops/window.h"

namespace fovea::core {

struct Convolution {
  Windows windows;
  int64_t images, groups, inputs, outputs;  // inputs and outputs: channels of one group
  int64_t depth() const { return inputs * windows.kernel_count(); }
};

// weights: [group][output][input][kernel]; at(window, o, k): which input element of an axis output o meets through
// weight k, or -1 for padding.
template <typename C, typename At>
void convolve(KernelContext& c, const Convolution& s, const C* x, const C* weights, const C* bias, C* y, At at) {
  using S = Sum<C>;
  const auto& axes = s.windows.axes;
  const int64_t in = s.windows.in_count(), out = s.windows.out_count(), taps = s.windows.kernel_count(),
                depth = s.depth();
  const int64_t blocks = column_blocks(out);

  // offsets[tap][column] inside one channel
  auto find_offsets = [&](int64_t first, int64_t* offsets) {
    for (int64_t j = 0; j < kColumns; ++j) {
      const int64_t o = std::min(first + j, out - 1);
      const int64_t od = o / (axes[1].out * axes[2].out), oh = o / axes[2].out % axes[1].out, ow = o % axes[2].out;
      int64_t* next = offsets + j;
      for (int64_t kd = 0; kd < axes[0].kernel; ++kd)
        for (int64_t kh = 0; kh < axes[1].kernel; ++kh)
          for (int64_t kw = 0; kw < axes[2].kernel; ++kw, next += kColumns) {
            const int64_t d = at(axes[0], od, kd), h = at(axes[1], oh, kh), w = at(axes[2], ow, kw);
            *next = d < 0 || h < 0 || w < 0 ? -1 : (d * axes[1].in + h) * axes[2].in + w;
          }
    }
  };

  for_blocks(c, s.images * s.groups * blocks, taps * kColumns + depth * kColumns + s.outputs * kColumns,
             [&](int64_t block, std::byte* memory) {
               const int64_t plane = block / blocks, group = plane % s.groups, first = block % blocks * kColumns;
               auto* offsets = reinterpret_cast<int64_t*>(memory);
               auto* columns = reinterpret_cast<S*>(offsets + taps * kColumns);
               S* sums = columns + depth * kColumns;
               find_offsets(first, offsets);
               const C* channel = x + plane * s.inputs * in;
               S* next = columns;
               for (int64_t i = 0; i < s.inputs; ++i, channel += in)
                 for (int64_t t = 0; t < taps * kColumns; ++t)
                   *next++ = offsets[t] < 0 ? S(0) : static_cast<S>(channel[offsets[t]]);
               multiply_block(weights + group * s.outputs * depth, s.outputs, depth, 1, columns, depth, sums);
               for (int64_t o = 0; o < s.outputs; ++o) {
                 const S b = bias ? static_cast<S>(bias[group * s.outputs + o]) : S(0);
                 C* to = y + (plane * s.outputs + o) * out + first;
                 for (int64_t j = 0; j < std::min(kColumns, out - first); ++j)
                   to[j] = static_cast<C>(sums[o * kColumns + j] + b);
               }
             });
}

}  // namespace fovea::core
