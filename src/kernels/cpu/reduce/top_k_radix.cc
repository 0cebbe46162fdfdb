// TopK along the last dimension of float32. Numbers become unsigned keys in the same order; a histogram of the keys'
// upper bits says above which key the k first lie, and only those are gathered, a vector of keys compared at a time,
// and sorted together with their indices. Every element is looked at twice, whatever k is.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce/top_k_radix.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <functional>

#include "kernels/cpu/table.h"
#include "kernels/reference/reduce/top_k.h"
#include "ops/layout.h"
#include "ops/top_k.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using U = hn::RebindToUnsigned<D>;

// The key of a float: larger where it comes earlier; NaN is larger than every number, -0 is 0.
HWY_INLINE hn::Vec<U> key_of(hn::Vec<D> x, bool largest) {
  const D d;
  const U u;
  const auto sign = hn::Set(u, 0x80000000u), all = hn::Set(u, 0xffffffffu);
  const auto bits = hn::BitCast(u, hn::Add(x, hn::Zero(d)));  // -0 + 0 is 0
  const auto ordered = hn::Xor(bits, hn::IfThenElse(hn::TestBit(bits, sign), all, sign));
  const auto key = hn::IfThenElse(hn::RebindMask(u, hn::IsNaN(x)), all, ordered);
  return largest ? key : hn::Xor(key, all);
}

void top_k_keys(const float* x, size_t n, bool largest, uint32_t* keys) {
  const D d;
  const U u;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(key_of(hn::LoadU(d, x + i), largest), u, keys + i);
  for (; i < n; ++i) keys[i] = hn::GetLane(key_of(hn::Set(d, x[i]), largest));
}

// Keys not below `least`, each above its index's complement: the largest of these comes first, of equal ones the one
// with the lowest index. Returns how many there are.
size_t top_k_gather(const uint32_t* keys, size_t n, uint32_t least, uint64_t* found) {
  const U u;
  const size_t lanes = hn::Lanes(u);
  const auto bound = hn::Set(u, least);
  size_t count = 0;
  const auto take = [&](size_t i) {
    found[count] = uint64_t{keys[i]} << 32 | static_cast<uint32_t>(~i);
    count += keys[i] >= least;
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    if (const auto key = hn::LoadU(u, keys + i); !hn::AllFalse(u, hn::Eq(hn::Max(key, bound), key)))
      for (size_t k = i; k < i + lanes; ++k) take(k);
  for (; i < n; ++i) take(i);
  return count;
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

HWY_EXPORT(top_k_keys);
HWY_EXPORT(top_k_gather);

constexpr int kBits = 11;  // of the histogram: sign, exponent and two of the fraction
constexpr size_t kBins = size_t{1} << kBits;

constexpr int64_t kTile = 16;  // lines copied together

// Of one thread.
struct Workspace {
  uint32_t *keys, *bins;  // keys of kTile lines
  uint64_t* found;        // one more than there are elements: gathering writes before it counts
};

// The first k of n keys, in order, in w.found.
void select(const uint32_t* keys, size_t n, size_t k, const Workspace& w) {
  uint32_t least = 0;
  if (k < n) {
    std::fill_n(w.bins, kBins, 0);
    for (size_t i = 0; i < n; ++i) ++w.bins[keys[i] >> (32 - kBits)];
    size_t bin = kBins, above = 0;
    while (above < k) above += w.bins[--bin];
    least = static_cast<uint32_t>(bin << (32 - kBits));
  }
  const size_t count = HWY_DYNAMIC_DISPATCH(top_k_gather)(keys, n, least, w.found);
  uint64_t *first = w.found, *last = first + k;
  if (k < count) std::nth_element(first, last - 1, first + count, std::greater<>());
  std::sort(first, last, std::greater<>());
}

// The lines of a tensor along one of its dimensions, numbered in the order of the others.
struct Lines {
  int64_t length, count, stride;  // of elements in a line; of lines; of an element to the next
  int64_t inner = 1;              // lines between two whose numbers differ by one in the dimension before
  std::array<int64_t, kMaxRank> dims{}, strides{};
  size_t rank = 0;

  Lines(const TensorRef& x, size_t axis) : length(x.dims[axis]), count(x.count() / length), stride(x.strides[axis]) {
    for (size_t d = 0; d < static_cast<size_t>(x.rank); ++d) {
      if (d == axis) continue;
      if (d > axis) inner *= x.dims[d];
      dims[rank] = x.dims[d], strides[rank++] = x.strides[d];
    }
  }
  int64_t offset(int64_t line) const {
    int64_t at = 0;
    for (size_t d = rank; d-- > 0; line /= dims[d]) at += line % dims[d] * strides[d];
    return at;
  }
};

class TopKKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override {
    FOVEA_TRY_SET(const int64_t k, top_k_outputs(c));
    if (k == 0) return {};
    const TensorRef& x = c.in(0);
    const TopKAttrs& a = c.attrs<TopKAttrs>();
    const Lines lines(x, static_cast<size_t>(a.axis < 0 ? a.axis + x.rank : a.axis));
    const int64_t n = lines.length, tiles = (lines.count + kTile - 1) / kTile;
    const int64_t workers = std::min<int64_t>(std::max(c.threads, 1), tiles);
    auto* keys = c.scratch->array<uint32_t>(workers * n * kTile);
    auto* bins = c.scratch->array<uint32_t>(workers * static_cast<int64_t>(kBins));
    auto* found = c.scratch->array<uint64_t>(workers * (n + 1));
    parallel_for(c.threads, workers, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const Workspace w{keys + t * n * kTile, bins + t * static_cast<int64_t>(kBins), found + t * (n + 1)};
        for (int64_t i = tiles * t / workers; i < tiles * (t + 1) / workers; ++i)
          tile(c, lines, i * kTile, std::min((i + 1) * kTile, lines.count), k, w);
      }
    });
    return {};
  }

 private:
  static void tile(KernelContext& c, const Lines& lines, int64_t begin, int64_t end, int64_t k, const Workspace& w) {
    const float* x = c.in(0).as<float>();
    const bool largest = c.attrs<TopKAttrs>().largest;
    const int64_t n = lines.length;
    std::array<int64_t, kTile> offsets{};
    for (int64_t l = begin; l < end; ++l) offsets[static_cast<size_t>(l - begin)] = lines.offset(l);
    auto* copies = reinterpret_cast<float*>(w.keys);
    if (lines.stride != 1)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t l = 0; l < end - begin; ++l)
          copies[l * n + i] = x[offsets[static_cast<size_t>(l)] + i * lines.stride];
    for (int64_t l = begin; l < end; ++l) {
      const float* line = x + offsets[static_cast<size_t>(l - begin)];
      uint32_t* line_keys = w.keys + (l - begin) * n;
      HWY_DYNAMIC_DISPATCH(top_k_keys)
      (lines.stride == 1 ? line : copies + (l - begin) * n, static_cast<size_t>(n), largest, line_keys);
      select(line_keys, static_cast<size_t>(n), static_cast<size_t>(k), w);
      const int64_t to = l / lines.inner * k * lines.inner + l % lines.inner;
      for (int64_t i = 0; i < k; ++i) {
        const uint32_t index = ~static_cast<uint32_t>(w.found[i]);
        if (c.wants(0)) c.out(0).as<float>()[to + i * lines.inner] = line[index * lines.stride];
        if (c.wants(1)) c.out(1).as<int64_t>()[to + i * lines.inner] = index;
      }
    }
  }
};

std::vector<Group> match(const Graph&, const Node& anchor) { return {single_node_group(anchor)}; }

std::string refuse(const Group& group) {
  const Value* x = group.inputs[0];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  const int64_t axis = group.nodes[0]->as<TopKAttrs>().axis;
  const size_t d = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x->shape.size()) : axis);
  return x->shape[d].hi() > UINT32_MAX ? "more elements in a line than 32 bits count" : "";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext&) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<TopKKernel>());
}

}  // namespace

const KernelRow kernel_top_k_radix = {.name = "top_k_radix",
                                      .op = "TopK",
                                      .strided_inputs = true,
                                      .dynamic_shapes = true,
                                      .match = match,
                                      .refuse = refuse,
                                      .prepare = prepare,
                                      .preference = 4};

}  // namespace fovea::core

#endif
