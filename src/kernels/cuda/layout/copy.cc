// Transpose, Slice, Split, Concat, Expand, Pad and Gather by index arithmetic. A tensor in NHWC8 is one with strides:
// what copies plain tensors copies it too, its padded channels with the others.
#include "kernels/cuda/layout/copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "kernels/cuda/common.h"
#include "kernels/cuda/layout/reformat.h"
#include "ops/axis.h"
#include "ops/pad.h"
#include "ops/slice.h"
#include "ops/transpose.h"

namespace fovea::core::cuda {
namespace {

constexpr int64_t kMostPicks = 1 << 16;

// ---- groups

// The node alone, without those inputs that only sizes are taken from, or nothing.
std::vector<Group> match_without(const Node& anchor, std::initializer_list<size_t> unread) {
  Group group = single_node_group(anchor);
  for (size_t i : unread)
    if (i < group.inputs.size()) group.inputs[i] = nullptr;
  return {group};
}

std::string element_refusal(const Group& group) {
  const DType type = group.inputs[0]->dtype;
  const int bits = dtype_bits(type);
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64) return fmt::format("elements of {}", to_string(type));
  return "";
}
// Inputs from `first` on are read when the kernel is prepared.
std::string constant_refusal(const Group& group, size_t first = 1) {
  for (size_t i = first; i < group.inputs.size(); ++i)
    if (group.inputs[i] && !group.inputs[i]->is_constant()) return fmt::format("input {} is no constant", i);
  return "";
}

bool is_packable(const Value& v) { return v.dtype == DType::kFloat32 && v.shape.size() == 4; }
bool all_may_be_half(const Group& group, bool inputs_too = true) {
  const auto good = [](const Value* v) { return !v || v->is_constant() || may_be_half(*v); };
  return std::ranges::all_of(group.outputs, good) && (!inputs_too || std::ranges::all_of(group.inputs, good));
}

// Inputs that are numbers for prepare() stay on the host; `data` of the inputs are the tensors that are copied.
FormatChoice same_format(const Group& group, size_t data, Format f) {
  FormatChoice c;
  for (size_t i = 0; i < group.inputs.size(); ++i) c.inputs.push_back(i < data ? f : kHost);
  c.outputs.assign(group.outputs.size(), f);
  return c;
}
std::vector<FormatChoice> same_formats(const Group& group, size_t data, bool packed) {
  bool constants = false;
  for (size_t i = 0; i < data; ++i) constants |= group.inputs[i]->is_constant();
  std::vector<FormatChoice> choices;
  // Constants are given in their own type, plain.
  const bool halves = !constants && all_may_be_half(group);
  packed &= !constants;
  if (halves) choices.push_back(same_format(group, data, half(kPlain)));
  if (halves && packed) choices.push_back(same_format(group, data, half(kNhwc8)));
  choices.push_back(same_format(group, data, kPlain));
  if (packed) choices.push_back(same_format(group, data, kNhwc8));
  return choices;
}

// ---- tensors as strided memory

int64_t padded(int64_t channels) { return (channels + 7) / 8 * 8; }

ElementType element_of(DType type) {
  if (type == DType::kFloat32) return ElementType::kFloat32;
  if (type == DType::kFloat16) return ElementType::kFloat16;
  switch (dtype_bits(type)) {
    case 8: return ElementType::kRaw1;
    case 16: return ElementType::kRaw2;
    case 32: return ElementType::kRaw4;
    default: return ElementType::kRaw8;
  }
}

struct View {
  std::byte* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t bytes = 4;  // of an element
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{}, strides{};
  bool packed = false;

  void skip(size_t axis, int64_t count) { data += strides[axis] * count * bytes; }
};

View view_of(const TensorRef& t, Layout layout) {
  View v;
  v.data = static_cast<std::byte*>(t.data);
  v.type = element_of(t.dtype);
  v.bytes = dtype_bits(t.dtype) / 8;
  v.rank = t.rank, v.dims = t.dims, v.strides = t.strides;
  if (layout == Layout::kNhwc8) {
    const int64_t c = padded(t.dims[1]);
    v.packed = true;
    v.strides[0] = t.dims[2] * t.dims[3] * c, v.strides[1] = 1, v.strides[2] = t.dims[3] * c, v.strides[3] = c;
  }
  return v;
}

// The order in which the dimensions of `to` lie in memory, for nested loops.
std::array<size_t, kMaxRank> memory_order(const View& to) {
  std::array<size_t, kMaxRank> order{0, 1, 2, 3, 4, 5, 6, 7};
  if (to.packed) order[1] = 2, order[2] = 3, order[3] = 1;
  return order;
}

// A copy of all that `to` has room for. Between two packed tensors the lanes that fill up the channels go along.
ReformatArgs copy_of(const View& from, const View& to) {
  ReformatArgs a;
  a.from = from.data, a.to = to.data, a.from_type = from.type, a.to_type = to.type, a.rank = to.rank;
  const auto order = memory_order(to);
  for (size_t i = 0; i < static_cast<size_t>(to.rank); ++i) {
    const size_t d = order[i];
    a.shape[i] = to.packed && d == 1 ? padded(to.dims[d]) : to.dims[d];
    a.from_strides[i] = from.strides[d], a.to_strides[i] = to.strides[d];
  }
  return a;
}

Status copied(cudaError_t error, std::string_view kernel) { return check(error, kernel); }

struct Layouts {
  Layout from = Layout::kPlain, to = Layout::kPlain;
};
Layouts layouts_of(const PrepareContext& c) {
  Layouts l{c.inputs[0].layout, Layout::kPlain};
  for (const TensorDesc& d : c.outputs)
    if (d.dtype != DType::kUndefined) l.to = d.layout;
  return l;
}
size_t axis_in(int64_t axis, size_t rank) {
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// ---- Transpose

std::vector<Group> match_transpose(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

// From NHWC8 too, and to float32 on the way: the heads of a detector end so.
std::vector<FormatChoice> transpose_formats(const Group& group) {
  const Value &x = *group.inputs[0], &y = *group.outputs[0];
  std::vector<FormatChoice> choices;
  const bool narrow = !x.is_constant() && may_be_half(x);
  for (const Layout l : {Layout::kNhwc8, Layout::kPlain}) {
    if (l == Layout::kNhwc8 && (x.is_constant() || !is_packable(x))) continue;
    const Format from(l, Place::kDevice);
    if (narrow && may_be_half(y)) choices.push_back({{half(from)}, {half(kPlain)}});
    if (narrow) choices.push_back({{half(from)}, {kPlain}});
    choices.push_back({{from}, {kPlain}});
  }
  std::ranges::stable_sort(choices, {}, [](const FormatChoice& c) { return c.inputs[0].layout != Layout::kPlain; });
  return choices;
}

class TransposeKernel final : public PreparedKernel {
 public:
  TransposeKernel(const std::vector<int64_t>& perm, Layouts layouts) : perm_(perm), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    const View x = view_of(c.in(0), layouts_.from), to = view_of(c.out(), layouts_.to);
    View from = x;
    for (size_t i = 0; i < perm_.size(); ++i) from.strides[i] = x.strides[static_cast<size_t>(perm_[i])];
    return copied(reformat_tensor(copy_of(from, to), handle_of(c)), "transpose_cuda");
  }

 private:
  std::vector<int64_t> perm_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_transpose(const PrepareContext& c) {
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<TransposeKernel>(c.group.nodes[0]->as<TransposeAttrs>().perm, layouts_of(c)));
}

// ---- Slice: the ends are what the output's sizes say

std::vector<Group> match_slice(const Graph&, const Node& anchor) { return match_without(anchor, {2}); }

std::string refuse_slice(const Group& group) {
  if (std::string reason = element_refusal(group); !reason.empty()) return reason;
  return constant_refusal(group);
}

struct Range {
  size_t axis;
  int64_t start, step;
};
// The ranges as they are written; nothing where an axis is.
std::optional<std::vector<Range>> ranges_of(const Group& group) {
  const auto list = [&](size_t i) {
    const Value* v = i < group.inputs.size() ? group.inputs[i] : nullptr;
    return v && v->constant ? v->constant->to_ints() : std::vector<int64_t>();
  };
  const auto starts = list(1), axes = list(3), steps = list(4);
  const size_t rank = group.inputs[0]->shape.size();
  if ((!axes.empty() && axes.size() != starts.size()) || (!steps.empty() && steps.size() != starts.size()))
    return std::nullopt;
  std::vector<Range> ranges;
  for (size_t i = 0; i < starts.size(); ++i) {
    const size_t axis = axis_in(axes.empty() ? static_cast<int64_t>(i) : axes[i], rank);
    const int64_t step = steps.empty() ? 1 : steps[i];
    if (axis >= rank || step == 0 || std::ranges::count(ranges, axis, &Range::axis) > 0) return std::nullopt;
    ranges.push_back({axis, starts[i], step});
  }
  return ranges;
}

std::vector<FormatChoice> slice_formats(const Group& group) {
  bool packed = is_packable(*group.inputs[0]);
  const auto ranges = ranges_of(group);
  packed &= ranges.has_value();
  for (size_t i = 0; packed && i < ranges->size(); ++i) {
    const Range& r = (*ranges)[i];
    if (r.axis != 1) continue;
    // Whole blocks of channels.
    const Dim& channels = group.outputs[0]->shape[1];
    packed = r.step == 1 && r.start >= 0 && r.start % 8 == 0 && channels.is_const() && channels.int_value() % 8 == 0;
  }
  return same_formats(group, 1, packed);
}

class SliceKernel final : public PreparedKernel {
 public:
  SliceKernel(std::vector<Range> ranges, Layouts layouts) : ranges_(std::move(ranges)), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    View from = view_of(c.in(0), layouts_.from);
    const View to = view_of(c.out(), layouts_.to);
    if (c.out().count() == 0) return {};
    for (const Range& r : ranges_) {
      const int64_t first = slice_start(r.start, r.step, from.dims[r.axis]), size = to.dims[r.axis];
      if (first < 0 || first + (size - 1) * r.step < 0 || first + (size - 1) * r.step >= from.dims[r.axis])
        return invalid_argument("axis {}: {} elements from {} by {} are not in {}", r.axis, size, first, r.step,
                                from.dims[r.axis]);
      from.skip(r.axis, first);
      from.strides[r.axis] *= r.step;
    }
    return copied(reformat_tensor(copy_of(from, to), handle_of(c)), "slice_cuda");
  }

 private:
  std::vector<Range> ranges_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_slice(const PrepareContext& c) {
  auto ranges = ranges_of(c.group);
  if (!ranges) return unsupported("ranges that are not well formed");
  return std::unique_ptr<PreparedKernel>(std::make_unique<SliceKernel>(*std::move(ranges), layouts_of(c)));
}

// ---- Split and Concat: parts along an axis

std::vector<Group> match_split(const Graph&, const Node& anchor) { return match_without(anchor, {1}); }

std::string refuse_split(const Group& group) {
  if (std::ranges::count(group.outputs, nullptr) > 0) return "a part that nobody wants";
  return element_refusal(group);
}

bool whole_blocks(const std::vector<const Value*>& parts, size_t axis) {
  return std::ranges::all_of(parts, [&](const Value* v) {
    return v && is_packable(*v) && (axis != 1 || (v->shape[1].is_const() && v->shape[1].int_value() % 8 == 0));
  });
}

std::vector<FormatChoice> split_formats(const Group& group) {
  const size_t axis = axis_in(group.nodes[0]->as<AxisAttrs>().axis, group.inputs[0]->shape.size());
  return same_formats(group, 1, is_packable(*group.inputs[0]) && whole_blocks(group.outputs, axis));
}

// Copies that are collected and launched together.
class Parts {
 public:
  explicit Parts(cudaStream_t stream) : stream_(stream) {}
  Status add(const View& from, const View& to) {
    if (count_ == parts_.size()) FOVEA_TRY(finish());
    parts_[count_++] = copy_of(from, to);
    return {};
  }
  Status finish() {
    const auto count = static_cast<int>(std::exchange(count_, 0));
    return copied(reformat_tensors(parts_.data(), count, stream_), "copy of parts");
  }

 private:
  cudaStream_t stream_;
  size_t count_ = 0;
  std::array<ReformatArgs, 16> parts_;
};

class SplitKernel final : public PreparedKernel {
 public:
  SplitKernel(size_t axis, Layouts layouts) : axis_(axis), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    View from = view_of(c.in(0), layouts_.from);
    Parts parts(handle_of(c));
    int64_t at = 0;
    for (const TensorRef& y : c.outputs) {
      const View to = view_of(y, layouts_.to);
      at += to.dims[axis_];
      if (at > from.dims[axis_])
        return invalid_argument("the parts have {} elements together, the axis {}", at, from.dims[axis_]);
      FOVEA_TRY(parts.add(from, to));
      from.skip(axis_, to.dims[axis_]);
    }
    return parts.finish();
  }

 private:
  size_t axis_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_split(const PrepareContext& c) {
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, c.inputs[0].shape.size());
  return std::unique_ptr<PreparedKernel>(std::make_unique<SplitKernel>(axis, layouts_of(c)));
}

std::vector<Group> match_concat(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

std::string refuse_concat(const Group& group) {
  if (group.outputs[0]->shape.empty()) return "no dimensions";
  return element_refusal(group);
}

std::vector<FormatChoice> concat_formats(const Group& group) {
  const size_t axis = axis_in(group.nodes[0]->as<AxisAttrs>().axis, group.outputs[0]->shape.size());
  return same_formats(group, group.inputs.size(), whole_blocks(group.inputs, axis));
}

class ConcatKernel final : public PreparedKernel {
 public:
  ConcatKernel(size_t axis, Layouts layouts) : axis_(axis), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    View to = view_of(c.out(), layouts_.to);
    const int64_t total = to.dims[axis_];
    Parts parts(handle_of(c));
    int64_t at = 0;
    for (const TensorRef& x : c.inputs) {
      const View from = view_of(x, layouts_.from);
      to.dims[axis_] = from.dims[axis_];
      for (size_t d = 0; d < static_cast<size_t>(to.rank); ++d)
        if (from.dims[d] != to.dims[d])
          return invalid_argument("size {} of dimension {} differs from {}", from.dims[d], d, to.dims[d]);
      at += from.dims[axis_];
      FOVEA_TRY(parts.add(from, to));
      to.skip(axis_, from.dims[axis_]);
    }
    if (at != total) return invalid_argument("the parts have {} elements together, the axis {}", at, total);
    return parts.finish();
  }

 private:
  size_t axis_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_concat(const PrepareContext& c) {
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, c.outputs[0].shape.size());
  return std::unique_ptr<PreparedKernel>(std::make_unique<ConcatKernel>(axis, layouts_of(c)));
}

// ---- Expand

std::vector<Group> match_expand(const Graph&, const Node& anchor) { return match_without(anchor, {1}); }

std::vector<FormatChoice> expand_formats(const Group& group) { return same_formats(group, 1, false); }

class ExpandKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override {
    const View x = view_of(c.in(0), Layout::kPlain), to = view_of(c.out(), Layout::kPlain);
    View from = to;
    from.data = x.data, from.type = x.type, from.bytes = x.bytes, from.strides = {};
    if (x.rank > to.rank) return invalid_argument("{} dimensions expand to {}", x.rank, to.rank);
    for (size_t d = 0; d < static_cast<size_t>(x.rank); ++d) {
      const size_t k = d + static_cast<size_t>(to.rank - x.rank);
      if (x.dims[d] != 1 && x.dims[d] != to.dims[k])
        return invalid_argument("dimension {}: cannot expand size {} to {}", k, x.dims[d], to.dims[k]);
      if (x.dims[d] != 1) from.strides[k] = x.strides[d];
    }
    return copied(reformat_tensor(copy_of(from, to), handle_of(c)), "expand_cuda");
  }
};

// ---- Pad

std::vector<Group> match_pad(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

// What goes before the dimensions of the input.
std::optional<std::vector<int64_t>> pads_before(const Group& group, std::vector<int64_t>* after = nullptr) {
  const PadAttrs& attrs = group.nodes[0]->as<PadAttrs>();
  const size_t rank = group.inputs[0]->shape.size(), count = attrs.axes.size();
  if (group.inputs.size() < 2 || !group.inputs[1] || !group.inputs[1]->constant) return std::nullopt;
  const auto pads = group.inputs[1]->constant->to_ints();
  if (pads.size() != 2 * count) return std::nullopt;
  std::vector<int64_t> before(rank, 0);
  if (after) after->assign(rank, 0);
  for (size_t i = 0; i < count; ++i) {
    const size_t axis = axis_in(attrs.axes[i], rank);
    if (axis >= rank) return std::nullopt;
    before[axis] = pads[i];
    if (after) (*after)[axis] = pads[i + count];
  }
  return before;
}

std::string refuse_pad(const Group& group) {
  if (std::string reason = element_refusal(group); !reason.empty()) return reason;
  const PadMode mode = group.nodes[0]->as<PadAttrs>().mode;
  if (mode != PadMode::kConstant) return fmt::format("mode {}", kPadModes[static_cast<size_t>(mode)]);
  if (std::string reason = constant_refusal(group); !reason.empty()) return reason;
  if (!pads_before(group)) return "pads that are not well formed";
  if (const Value* v = group.inputs.size() > 2 ? group.inputs[2] : nullptr; v && v->constant->count() != 1)
    return fmt::format("{} constants to pad with", v->constant->count());
  return "";
}

// The bits to pad with, of an element as stored.
uint64_t pad_bits(const Group& group, DType stored) {
  const Value* v = group.inputs.size() > 2 ? group.inputs[2] : nullptr;
  if (!v) return 0;
  if (stored == DType::kFloat16 && v->dtype == DType::kFloat32) return Half(v->constant->as<float>()[0]).bits;
  uint64_t bits = 0;
  std::memcpy(&bits, v->constant->bytes().data(), std::min<size_t>(sizeof(bits), v->constant->bytes().size()));
  return bits;
}

std::vector<FormatChoice> pad_formats(const Group& group) {
  const Value& y = *group.outputs[0];
  bool packed = is_packable(y);
  if (packed) {
    std::vector<int64_t> after;
    const auto before = pads_before(group, &after);
    const bool whole = y.shape[1].is_const() && y.shape[1].int_value() % 8 == 0;
    packed = before && (*before)[1] == 0 && after[1] == 0 && (whole || pad_bits(group, DType::kFloat32) == 0);
  }
  return same_formats(group, 1, packed);
}

class PadKernel final : public PreparedKernel {
 public:
  PadKernel(std::vector<int64_t> before, uint64_t value, Layouts layouts)
      : before_(std::move(before)), value_(value), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    const View from = view_of(c.in(0), layouts_.from), to = view_of(c.out(), layouts_.to);
    PadArguments a;
    a.from = from.data, a.to = to.data, a.element_bytes = static_cast<int>(to.bytes), a.rank = to.rank;
    a.value = value_;
    const auto order = memory_order(to);
    for (size_t i = 0; i < static_cast<size_t>(to.rank); ++i) {
      const size_t d = order[i];
      const bool lanes = to.packed && d == 1;
      a.shape[i] = lanes ? padded(to.dims[d]) : to.dims[d];
      a.inside[i] = lanes ? padded(from.dims[d]) : from.dims[d];
      a.before[i] = before_[d];
      a.from_strides[i] = from.strides[d], a.to_strides[i] = to.strides[d];
    }
    return copied(pad_tensor(a, handle_of(c)), "pad_cuda");
  }

 private:
  std::vector<int64_t> before_;
  uint64_t value_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_pad(const PrepareContext& c) {
  auto before = pads_before(c.group);
  if (!before) return unsupported("pads that are not well formed");
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<PadKernel>(*std::move(before), pad_bits(c.group, c.outputs[0].dtype), layouts_of(c)));
}

// ---- Gather

std::vector<Group> match_gather(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

std::string refuse_gather(const Group& group) {
  if (std::string reason = element_refusal(group); !reason.empty()) return reason;
  if (std::string reason = constant_refusal(group); !reason.empty()) return reason;
  if (group.inputs[1]->constant->count() > kMostPicks)
    return fmt::format("{} indices", group.inputs[1]->constant->count());
  return "";
}

std::vector<FormatChoice> gather_formats(const Group& group) { return same_formats(group, 1, false); }

class GatherKernel final : public PreparedKernel {
 public:
  GatherKernel(size_t axis, int index_rank, std::vector<int64_t> picks, std::shared_ptr<void> index)
      : axis_(axis), index_rank_(index_rank), picks_(std::move(picks)), index_(std::move(index)) {}

  Status run(KernelContext& c) const override {
    View from = view_of(c.in(0), Layout::kPlain);
    const View y = view_of(c.out(), Layout::kPlain);
    if (c.out().count() == 0) return {};
    // The output with the dimensions of the indices as one: they are dense.
    View to = y;
    to.rank = from.rank, to.dims = from.dims;
    to.dims[axis_] = static_cast<int64_t>(picks_.size());
    const auto shift = index_rank_ - 1;
    for (size_t d = 0; d < static_cast<size_t>(to.rank); ++d) {
      const auto k = static_cast<size_t>(static_cast<int>(d) + (d >= axis_ ? shift : 0));
      if (d != axis_) to.strides[d] = y.strides[k];
      else to.strides[d] = index_rank_ > 0 ? y.strides[k] : 0;
    }
    if (!index_) {
      from.skip(axis_, picks_[0]);
      return copied(reformat_tensor(copy_of(from, to), handle_of(c)), "gather_cuda");
    }
    GatherArguments a;
    a.from = from.data, a.to = to.data, a.index = static_cast<const int32_t*>(index_.get());
    a.element_bytes = static_cast<int>(to.bytes), a.rank = to.rank, a.axis = static_cast<int>(axis_);
    std::ranges::copy(to.dims, a.shape);
    std::ranges::copy(from.strides, a.from_strides);
    std::ranges::copy(to.strides, a.to_strides);
    return copied(gather_tensor(a, handle_of(c)), "gather_cuda");
  }

 private:
  size_t axis_;
  int index_rank_;
  std::vector<int64_t> picks_;
  std::shared_ptr<void> index_;  // null for one pick
};

Result<std::unique_ptr<PreparedKernel>> prepare_gather(const PrepareContext& c) {
  const auto& shape = c.inputs[0].shape;
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, shape.size());
  const Tensor& given = *c.group.inputs[1]->constant;
  std::vector<int64_t> picks = given.to_ints();
  for (int64_t& p : picks) {
    if (p < -shape[axis] || p >= shape[axis])
      return invalid_argument("index {} is outside [-{}, {})", p, shape[axis], shape[axis]);
    if (p < 0) p += shape[axis];
  }
  std::shared_ptr<void> index;
  if (picks.size() > 1) {
    const std::vector<int32_t> narrow(picks.begin(), picks.end());
    FOVEA_TRY_SET(index, upload(c, fmt::format("cuda gather {}", fmt::join(picks, ",")), narrow.data(),
                                static_cast<int64_t>(narrow.size() * sizeof(int32_t))));
  }
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<GatherKernel>(axis, static_cast<int>(given.dims().size()), std::move(picks), std::move(index)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_transpose_cuda = {.name = "transpose_cuda",
                                         .op = "Transpose",
                                         .strided_inputs = true,
                                         .copies_view = true,
                                         .place = Place::kDevice,
                                         .match = cuda::match_transpose,
                                         .refuse = cuda::element_refusal,
                                         .formats = cuda::transpose_formats,
                                         .prepare = cuda::prepare_transpose};

const KernelRow kernel_slice_cuda = {.name = "slice_cuda",
                                     .op = "Slice",
                                     .strided_inputs = true,
                                     .copies_view = true,
                                     .place = Place::kDevice,
                                     .match = cuda::match_slice,
                                     .refuse = cuda::refuse_slice,
                                     .formats = cuda::slice_formats,
                                     .prepare = cuda::prepare_slice};

const KernelRow kernel_split_cuda = {.name = "split_cuda",
                                     .op = "Split",
                                     .strided_inputs = true,
                                     .copies_view = true,
                                     .place = Place::kDevice,
                                     .match = cuda::match_split,
                                     .refuse = cuda::refuse_split,
                                     .formats = cuda::split_formats,
                                     .prepare = cuda::prepare_split};

const KernelRow kernel_concat_cuda = {.name = "concat_cuda",
                                      .op = "Concat",
                                      .strided_inputs = true,
                                      .copies_view = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_concat,
                                      .refuse = cuda::refuse_concat,
                                      .formats = cuda::concat_formats,
                                      .prepare = cuda::prepare_concat};

const KernelRow kernel_expand_cuda = {.name = "expand_cuda",
                                      .op = "Expand",
                                      .strided_inputs = true,
                                      .copies_view = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_expand,
                                      .refuse = cuda::element_refusal,
                                      .formats = cuda::expand_formats,
                                      .prepare = prepare_as<cuda::ExpandKernel>};

const KernelRow kernel_pad_cuda = {.name = "pad_cuda",
                                   .op = "Pad",
                                   .strided_inputs = true,
                                   .place = Place::kDevice,
                                   .match = cuda::match_pad,
                                   .refuse = cuda::refuse_pad,
                                   .formats = cuda::pad_formats,
                                   .prepare = cuda::prepare_pad};

const KernelRow kernel_gather_cuda = {.name = "gather_cuda",
                                      .op = "Gather",
                                      .strided_inputs = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_gather,
                                      .refuse = cuda::refuse_gather,
                                      .formats = cuda::gather_formats,
                                      .prepare = cuda::prepare_gather};

}  // namespace fovea::core
