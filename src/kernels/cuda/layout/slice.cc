// Slice by index arithmetic: the ends are what the output's sizes say.
#include <algorithm>
#include <optional>

#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/slice.h"

namespace fovea::core::cuda {
namespace {

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
    return check(reformat_tensor(copy_of(from, to), handle_of(c)), "slice_cuda");
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

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_slice_cuda = {.name = "slice_cuda",
                                     .op = "Slice",
                                     .strided_inputs = true,
                                     .copies_view = true,
                                     .place = Place::kDevice,
                                     .match = cuda::match_slice,
                                     .refuse = cuda::refuse_slice,
                                     .formats = cuda::slice_formats,
                                     .prepare = cuda::prepare_slice};

}  // namespace fovea::core
