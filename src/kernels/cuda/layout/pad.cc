// Pad with a constant.
#include <cstring>
#include <optional>

#include "kernels/cuda/layout/copy.h"
#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/pad.h"

namespace fovea::core::cuda {
namespace {

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
    return check(pad_tensor(a, handle_of(c)), "pad_cuda");
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

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_pad_cuda = {.name = "pad_cuda",
                                   .op = "Pad",
                                   .strided_inputs = true,
                                   .place = Place::kDevice,
                                   .match = cuda::match_pad,
                                   .refuse = cuda::refuse_pad,
                                   .formats = cuda::pad_formats,
                                   .prepare = cuda::prepare_pad};

}  // namespace fovea::core
