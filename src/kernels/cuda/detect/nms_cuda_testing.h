// For tests: an Nms by the device's kernel, beside what the reference says.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cuda/common.h"
#include "kernels/reference/detect/nms_case.h"

namespace fovea::core::test {

class NmsOnDevice {
 public:
  NmsOnDevice(Device& device, const NmsCase& c) : device_(device), case_(c), group_(single_node_group(*c.node)) {}

  Status run() {
    PrepareContext context{group_, {}, {}};
    context.device = &device_;
    for (const TensorPtr& t : case_.inputs)
      context.inputs.push_back(t ? describe(t->dtype(), t->dims()) : TensorDesc{});
    for (const Value* v : case_.node->outputs) context.outputs.push_back(describe(v->dtype, case_.largest(*v)));
    if (std::string why = kernel_nms_cuda.refuse(group_); !why.empty()) return internal_error("refused: {}", why);
    FOVEA_TRY_SET(const auto kernel, kernel_nms_cuda.prepare(context));
    FOVEA_TRY_SET(stream_, device_.create_stream());
    std::vector<TensorRef> in, out;
    for (size_t i = 0; i < case_.inputs.size(); ++i) {
      in.emplace_back();
      const TensorPtr& t = case_.inputs[i];
      if (!t || i > nms_input::kGroup) continue;
      FOVEA_TRY_SET(std::byte * data, room(static_cast<int64_t>(t->bytes().size())));
      FOVEA_TRY(stream_->copy(data, t->bytes().data(), static_cast<int64_t>(t->bytes().size())));
      in.back() = TensorRef::dense_of(t->dtype(), t->dims(), data);
    }
    for (const TensorDesc& d : context.outputs) {
      FOVEA_TRY_SET(std::byte * data, room(dtype_bytes(d.dtype, *element_count(d.shape)).value_or(0)));
      out.push_back(TensorRef::dense_of(d.dtype, d.shape, data));
    }
    KernelContext c;
    FOVEA_TRY_SET(c.workspace, room(kernel->workspace_bytes()));
    FOVEA_TRY_SET(std::byte * sizes, room(8));
    c.inputs = in, c.outputs = out, c.attributes = case_.node->attrs.get(), c.stream = stream_.get();
    c.sizes = reinterpret_cast<int64_t*>(sizes);
    FOVEA_TRY(kernel->run(c));
    if (!case_.node->sizes.empty()) FOVEA_TRY(stream_->copy(&size_, sizes, 8));
    for (size_t i = 0; i < out.size(); ++i) {
      const TensorRef& want = case_.expected[i];
      found_.emplace_back(static_cast<size_t>(dtype_bytes(want.dtype, want.count()).value_or(0)));
      FOVEA_TRY(stream_->copy(found_.back().data(), out[i].data, static_cast<int64_t>(found_.back().size())));
    }
    return stream_->synchronize();
  }

  void compare() const {
    if (!case_.node->sizes.empty()) {
      ASSERT_EQ(size_, case_.expected[0].dims[0]);
    }
    for (size_t i = 0; i < found_.size(); ++i) {
      if (found_[i].empty()) continue;
      if (case_.expected[i].dtype != DType::kFloat32) {
        ASSERT_EQ(std::memcmp(found_[i].data(), case_.expected[i].data, found_[i].size()), 0) << "output " << i;
        continue;
      }
      const auto* got = reinterpret_cast<const float*>(found_[i].data());
      const auto* want = static_cast<const float*>(case_.expected[i].data);
      // Lowered scores: once in a hundred million the exponential rounds otherwise, by a unit in the last place.
      const float own = i == 1 && case_.node->as<NmsAttrs>().soft_sigma > 0 ? 0x1p-22f : 0;
      for (size_t k = 0; k < found_[i].size() / 4; ++k)  // a NaN's bits are the processor's own
        ASSERT_TRUE(std::bit_cast<uint32_t>(got[k]) == std::bit_cast<uint32_t>(want[k]) ||
                    (std::isnan(got[k]) && std::isnan(want[k])) ||
                    (own > 0 && std::abs(got[k] - want[k]) <= own * std::abs(want[k])))
            << "output " << i << ", element " << k << ": " << got[k] << ", not " << want[k];
    }
  }

  // The outputs; their sizes must be those expected.
  Result<std::vector<TensorPtr>> outputs() const {
    if (!case_.node->sizes.empty() && size_ != case_.expected[0].dims[0])
      return internal_error("{} rows, not {}", size_, case_.expected[0].dims[0]);
    std::vector<TensorPtr> tensors;
    for (size_t i = 0; i < found_.size(); ++i) {
      FOVEA_TRY_SET(TensorPtr t, cut_to(case_.expected[i], found_[i].data()));
      tensors.push_back(std::move(t));
    }
    return tensors;
  }

 private:
  static TensorDesc describe(DType type, const Dims& shape) {
    TensorDesc d;
    d.dtype = type, d.shape = shape;
    return d;
  }
  Result<std::byte*> room(int64_t bytes) {
    FOVEA_TRY_SET(DeviceMemory m, device_.allocate(std::max<int64_t>(bytes, 1), DeviceMemory::Kind::kDevice));
    memory_.push_back(std::move(m));
    return memory_.back().data();
  }

  Device& device_;
  const NmsCase& case_;
  Group group_;
  std::vector<DeviceMemory> memory_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<std::vector<std::byte>> found_;
  int64_t size_ = -1;
};

}  // namespace fovea::core::test
