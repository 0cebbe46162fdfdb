// Changes of layout. Within one block of channels every layout is strided: an element of channel c at (h, w) lies at
// base(n, block) + c * channel + h * row + w * column. So a change of layout is, for each block, a copy or a transpose.
#include <algorithm>
#include <cstring>

#include "base/cpu_features.h"
#include "kernels/cpu/transpose.h"
#include "kernels/kernel.h"

namespace fovea::core {
namespace {

int64_t block_of(Layout layout) { return layout == Layout::kC8 ? 8 : layout == Layout::kC16 ? 16 : 1; }
bool blocked(Layout layout) { return block_of(layout) > 1; }

struct Side {
  Layout layout = Layout::kPlain;
  int64_t image = 0, channel = 0, row = 0, column = 0;  // strides in elements
  int64_t block = 1, block_stride = 0;                  // of channels, where blocked

  Side(const TensorRef& t, Layout l) : layout(l) {
    const int64_t c = t.dims[1], h = t.dims[2], w = t.dims[3];
    if (l == Layout::kPlain) {
      image = t.strides[0], channel = t.strides[1], row = t.strides[2], column = t.strides[3];
    } else if (l == Layout::kNhwc) {
      image = c * h * w, channel = 1, row = w * c, column = c;
    } else {
      block = block_of(l), block_stride = h * w * block;
      image = (c + block - 1) / block * block_stride, channel = 1, row = w * block, column = block;
    }
  }
  int64_t base(int64_t n, int64_t c) const {
    return n * image + (blocked(layout) ? c / block * block_stride + c % block : c * channel);
  }
};

template <typename T>
void transpose(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows, int64_t columns, bool avx2) {
  if constexpr (sizeof(T) == 4) {
    if (avx2) return transpose_avx2(from, from_row, to, to_row, rows, columns);
  }
  transpose_generic(from, from_row, to, to_row, rows, columns);
}

// One row of `width` pixels of `channels` channels.
template <typename T>
void move_row(const T* from, const Side& a, T* to, const Side& b, int64_t channels, int64_t width, bool avx2) {
  if (a.channel == 1 && b.channel == 1) {
    for (int64_t w = 0; w < width; ++w)
      std::memcpy(to + w * b.column, from + w * a.column, static_cast<size_t>(channels) * sizeof(T));
  } else if (a.column == 1 && b.column == 1) {
    for (int64_t c = 0; c < channels; ++c)
      std::memcpy(to + c * b.channel, from + c * a.channel, static_cast<size_t>(width) * sizeof(T));
  } else if (a.column == 1 && b.channel == 1) {
    transpose(from, a.channel, to, b.column, channels, width, avx2);
  } else if (a.channel == 1 && b.column == 1) {
    transpose(from, a.column, to, b.channel, width, channels, avx2);
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t w = 0; w < width; ++w) to[c * b.channel + w * b.column] = from[c * a.channel + w * a.column];
  }
}

// The lanes of a last block that no channel fills: kernels count on zeros there.
template <typename T>
void clear_padding(T* to, const Side& b, int64_t first, int64_t width) {
  for (int64_t w = 0; w < width; ++w) std::fill(to + w * b.column + first, to + w * b.column + b.block, T{});
}

template <typename T>
void change_layout(const TensorRef& from, Side a, const TensorRef& to, Side b, int threads) {
  const int64_t images = to.dims[0], channels = to.dims[1];
  int64_t height = to.dims[2], width = to.dims[3];
  if (a.row == width * a.column && b.row == width * b.column && width < 256)
    width *= height, height = 1;  // rows follow one another
  const int64_t step = a.block == 8 || b.block == 8 ? 8 : 16;
  const int64_t blocks = (channels + step - 1) / step;
  const bool avx2 = (cpu_features() & kCpuAvx2) != 0;
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, step * width));
  parallel_for(threads, images * blocks * height, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t h = i % height, c = i / height % blocks * step, n = i / height / blocks;
      const int64_t count = std::min(step, channels - c);
      const T* source = static_cast<const T*>(from.data) + a.base(n, c) + h * a.row;
      T* target = static_cast<T*>(to.data) + b.base(n, c) + h * b.row;
      move_row(source, a, target, b, count, width, avx2);
      if (b.block > 1 && c + step >= channels && channels % b.block != 0)
        clear_padding(target - c % b.block, b, channels % b.block, width);
    }
  });
}

// Plain to plain, of any rank: rows along the last axis.
template <typename T>
void copy_strided(const TensorRef& from, const TensorRef& to, int threads) {
  const auto last = static_cast<size_t>(to.rank - 1);
  const int64_t width = to.dims[last], in_step = from.strides[last], out_step = to.strides[last];
  int64_t rows = 1;
  for (size_t d = 0; d < last; ++d) rows *= to.dims[d];
  parallel_for(threads, rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const T* source = static_cast<const T*>(from.data);
                   T* target = static_cast<T*>(to.data);
                   int64_t rest = i;
                   for (size_t d = last; d-- > 0; rest /= to.dims[d]) {
                     source += rest % to.dims[d] * from.strides[d];
                     target += rest % to.dims[d] * to.strides[d];
                   }
                   if (in_step == 1 && out_step == 1)
                     std::memcpy(target, source, static_cast<size_t>(width) * sizeof(T));
                   else
                     for (int64_t w = 0; w < width; ++w) target[w * out_step] = source[w * in_step];
                 }
               });
}

template <typename F>
bool with_element(DType type, F&& f) {
  switch (dtype_bits(type)) {
    case 8: f(TypeTag<uint8_t>{}); return true;
    case 16: f(TypeTag<uint16_t>{}); return true;
    case 32: f(TypeTag<uint32_t>{}); return true;
    case 64: f(TypeTag<uint64_t>{}); return true;
    default: return false;
  }
}

}  // namespace

Status reformat(const TensorRef& from, Layout from_layout, const TensorRef& to, Layout to_layout, int threads) {
  if (from.dtype != to.dtype || !std::ranges::equal(from.shape(), to.shape()))
    return internal_error("reformat: {} [{}] into {} [{}]", to_string(from.dtype), fmt::join(from.shape(), ","),
                          to_string(to.dtype), fmt::join(to.shape(), ","));
  const bool plain = from_layout == Layout::kPlain && to_layout == Layout::kPlain;
  if (!plain && to.rank != 4) return internal_error("reformat: expected rank 4, found {}", to.rank);
  if (to.count() == 0) return {};
  const bool moved = with_element(to.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (plain && to.rank == 0) *to.as<T>() = *from.as<T>();
    else if (plain) copy_strided<T>(from, to, threads);
    else change_layout<T>(from, Side(from, from_layout), to, Side(to, to_layout), threads);
  });
  return moved ? Status() : unsupported("reformat: elements of {} cannot be moved one by one", to_string(to.dtype));
}

}  // namespace fovea::core
