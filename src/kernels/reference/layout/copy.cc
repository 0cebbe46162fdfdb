#include "kernels/reference/layout/copy.h"

#include <algorithm>

namespace fovea::core {
namespace {

struct Loop {
  int64_t count, to, from;  // strides in elements
};

// The loops of a copy, outermost first: without those of one turn, and with neighbours joined that are one run in
// memory.
struct Loops {
  std::array<Loop, kMaxRank> loop{};
  size_t count = 0;

  void add(Loop l) {
    if (l.count == 1) return;
    if (count > 0) {
      Loop& outer = loop[count - 1];
      if (outer.to == l.to * l.count && outer.from == l.from * l.count) {
        outer = {outer.count * l.count, l.to, l.from};
        return;
      }
    }
    loop[count++] = l;
  }
};

template <typename U>
void copy_row(U* to, const U* from, const Loop& l) {
  if (l.to == 1 && l.from == 1) {
    std::memcpy(to, from, static_cast<size_t>(l.count) * sizeof(U));
  } else if (l.to == 1 && l.from == 0) {
    std::fill(to, to + l.count, *from);
  } else if (l.to == 1) {
    for (int64_t i = 0; i < l.count; ++i) to[i] = from[i * l.from];
  } else {
    for (int64_t i = 0; i < l.count; ++i) to[i * l.to] = from[i * l.from];
  }
}

// Two innermost loops that want opposite orders: in blocks, so that a cache line is used whole on both sides.
template <typename U>
void copy_blocks(U* to, const U* from, const Loop& a, const Loop& b) {
  constexpr int64_t kBlock = 32;
  for (int64_t i0 = 0; i0 < a.count; i0 += kBlock) {
    const int64_t i1 = std::min(i0 + kBlock, a.count);
    for (int64_t j0 = 0; j0 < b.count; j0 += kBlock) {
      const int64_t j1 = std::min(j0 + kBlock, b.count);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t j = j0; j < j1; ++j) to[i * a.to + j * b.to] = from[i * a.from + j * b.from];
    }
  }
}

// Runs `inner` for each index of the first `outer` loops in [begin, end) of their joint count.
template <typename U, typename F>
void each_outer(const Loops& loops, size_t outer, int64_t begin, int64_t end, U* to, const U* from, F inner) {
  std::array<int64_t, kMaxRank> index{};
  int64_t rest = begin;
  for (size_t d = outer; d-- > 0;) {
    index[d] = rest % loops.loop[d].count;
    rest /= loops.loop[d].count;
    to += index[d] * loops.loop[d].to, from += index[d] * loops.loop[d].from;
  }
  for (int64_t i = begin; i < end; ++i) {
    inner(to, from);
    for (size_t d = outer; d-- > 0;) {
      const Loop& l = loops.loop[d];
      to += l.to, from += l.from;
      if (++index[d] < l.count) break;
      to -= l.to * l.count, from -= l.from * l.count;
      index[d] = 0;
    }
  }
}

template <typename U>
void copy_loops(Loops loops, U* to, const U* from, int threads) {
  constexpr int64_t kGrainBytes = 1 << 16;
  if (loops.count == 0) {
    *to = *from;
    return;
  }
  const size_t last = loops.count - 1;
  // A loop that reads consecutive elements, where the innermost one does not, belongs beside it.
  size_t partner = last;
  if (loops.loop[last].from != 1 && loops.loop[last].from != 0)
    for (size_t d = 0; d < last; ++d)
      if (loops.loop[d].from == 1) partner = d;
  const bool blocked = partner != last;
  if (blocked)
    std::rotate(loops.loop.begin() + static_cast<std::ptrdiff_t>(partner),
                loops.loop.begin() + static_cast<std::ptrdiff_t>(partner) + 1,
                loops.loop.begin() + static_cast<std::ptrdiff_t>(last));
  const size_t outer = blocked ? last - 1 : last;
  int64_t turns = 1, inner = loops.loop[last].count * (blocked ? loops.loop[last - 1].count : 1);
  for (size_t d = 0; d < outer; ++d) turns *= loops.loop[d].count;
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / (inner * static_cast<int64_t>(sizeof(U))));
  parallel_for(threads, turns, grain, [&](int64_t begin, int64_t end) {
    if (blocked)
      each_outer(loops, outer, begin, end, to, from,
                 [&](U* t, const U* f) { copy_blocks(t, f, loops.loop[last - 1], loops.loop[last]); });
    else each_outer(loops, outer, begin, end, to, from, [&](U* t, const U* f) { copy_row(t, f, loops.loop[last]); });
  });
}

}  // namespace

void copy_strided(std::span<const int64_t> shape, const StridedBytes& to, const StridedBytes& from, int element_bytes,
                  int threads) {
  Loops loops;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return;
    loops.add({shape[i], to.strides[i], from.strides[i]});
  }
  dispatch_size(element_bytes, [&](auto tag) {
    using U = typename decltype(tag)::type;
    copy_loops(loops, reinterpret_cast<U*>(to.data), reinterpret_cast<const U*>(from.data), threads);
  });
}

StridedBytes readable(KernelContext& c, const TensorRef& t) {
  if (dtype_bits(t.dtype) >= 8) return {static_cast<std::byte*>(t.data), t.strides};
  return {const_cast<std::byte*>(load_elements(c, t)), row_major_strides(t.shape())};
}

StridedBytes writable(KernelContext& c, const TensorRef& t) {
  if (dtype_bits(t.dtype) >= 8) return {static_cast<std::byte*>(t.data), t.strides};
  return {element_buffer(c, t), row_major_strides(t.shape())};
}

void finish_writable(KernelContext& c, const TensorRef& t, const StridedBytes& written) {
  if (dtype_bits(t.dtype) < 8) finish_elements(c, t, written.data);
}

Status ensure_shape(KernelContext& c, size_t i, std::span<const int64_t> shape) {
  const auto now = c.out(i).shape();
  if (std::equal(now.begin(), now.end(), shape.begin(), shape.end())) return {};
  for (int64_t size : shape)
    if (size < 0) return invalid_argument("output {} would have the size {}", i, size);
  return c.set_output_shape(i, shape);
}

Status copy_to_output(KernelContext& c, const SmallShape& shape, const StridedBytes& from) {
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const StridedBytes to = writable(c, c.out());
  copy_strided(shape.span(), to, from, element_size(c.out().dtype), c.threads);
  finish_writable(c, c.out(), to);
  return {};
}

Status SmallShape::push(int64_t size) {
  if (rank == kMaxRank) return unsupported("more than {} dimensions", kMaxRank);
  dims[rank++] = size;
  return {};
}

int64_t span_product(std::span<const int64_t> dims) {
  int64_t p = 1;
  for (int64_t d : dims) p *= d;
  return p;
}

}  // namespace fovea::core
