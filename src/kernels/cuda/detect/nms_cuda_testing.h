// For tests: an Nms by the device's kernel, beside what the reference says.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cuda/common.h"
#include "kernels/cuda/detect/heads.h"
#include "kernels/cuda/detect/nms_args.h"
#include "kernels/reference/detect/nms_case.h"

namespace fovea::core::test {

class NmsOnDevice {
 public:
  NmsOnDevice(Device& device, const NmsCase& c) : device_(device), case_(c), group_(single_node_group(*c.node)) {}

  Status run() {
    FOVEA_TRY_SET(const PrepareContext context, describe());
    FOVEA_TRY_SET(const auto kernel, kernel_nms_cuda.prepare(context));
    return run(context, kernel->workspace_bytes(), [&](KernelContext& c) { return kernel->run(c); });
  }

  // Candidates of so many images at once; from scores, or as if they were a head's output.
  Status run_in_turns(int64_t images, bool of_heads) {
    FOVEA_TRY_SET(const PrepareContext context, describe());
    const TensorDesc& scores = context.inputs[nms_input::kScores];
    FOVEA_TRY_SET(cuda::NmsArgs args, cuda::nms_args(context, *case_.node, scores.shape));
    cuda::plan_memory(args, images);
    if (of_heads && (args.best_of_box != cuda::kNoLimit || args.rows_per_box > 1 || args.boxes == 0)) of_heads = false;
    cuda::ScoreHeads heads;
    if (of_heads) FOVEA_TRY(as_heads(args, *case_.inputs[nms_input::kScores], heads.heads));
    return run(context, cuda::nms_workspace(args), [&](KernelContext& c) {
      cuda::NmsTensors t = cuda::nms_tensors(c);
      if (of_heads) t.heads = &heads;
      else t.scores = c.in(nms_input::kScores).as<float>();
      return cuda::check(cuda::run_nms(args, t, cuda::handle_of(c)), "nms");
    });
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
  Result<PrepareContext> describe() {
    if (std::string why = kernel_nms_cuda.refuse(group_); !why.empty()) return internal_error("refused: {}", why);
    PrepareContext context{group_, {}, {}};
    context.device = &device_;
    for (const TensorPtr& t : case_.inputs)
      context.inputs.push_back(t ? describe(t->dtype(), t->dims()) : TensorDesc{});
    for (const Value* v : case_.node->outputs) context.outputs.push_back(describe(v->dtype, case_.largest(*v)));
    return context;
  }

  template <typename F>
  Status run(const PrepareContext& context, int64_t workspace, const F& kernel) {
    FOVEA_TRY(make_stream());
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
    FOVEA_TRY_SET(c.workspace, room(workspace));
    FOVEA_TRY_SET(std::byte * sizes, room(8));
    c.inputs = in, c.outputs = out, c.attributes = case_.node->attrs.get(), c.stream = stream_.get();
    c.sizes = reinterpret_cast<int64_t*>(sizes);
    FOVEA_TRY(kernel(c));
    if (!case_.node->sizes.empty()) FOVEA_TRY(stream_->copy(&size_, sizes, 8));
    for (size_t i = 0; i < out.size(); ++i) {
      const TensorRef& want = case_.expected[i];
      found_.emplace_back(static_cast<size_t>(dtype_bytes(want.dtype, want.count()).value_or(0)));
      FOVEA_TRY(stream_->copy(found_.back().data(), out[i].data, static_cast<int64_t>(found_.back().size())));
    }
    return stream_->synchronize();
  }

  // One level whose pixels have one box each, their numbers rounded up to 16 bytes.
  Status as_heads(const cuda::NmsArgs& args, const Tensor& scores, cuda::Heads& heads) {
    heads.images = args.images, heads.boxes = args.boxes, heads.numbers = args.classes, heads.pieces = 1;
    cuda::HeadPiece& p = heads.piece[0];
    const int64_t pitch = (args.classes + 3) / 4 * 4;
    p.image_stride = args.boxes * pitch, p.pitch = static_cast<uint32_t>(pitch);
    p.pixels = args.boxes, p.anchors = p.number_stride = p.box_pixel = 1;
    if (!cuda::lay_out_tiles(heads)) return internal_error("{} numbers do not fit", args.classes);
    std::vector<float> padded(static_cast<size_t>(args.images * p.image_stride));
    const auto from = scores.as<float>();
    for (size_t i = 0; i < from.size(); ++i)
      padded[i / args.classes * static_cast<size_t>(pitch) + i % args.classes] = from[i];
    const auto bytes = static_cast<int64_t>(padded.size() * 4);
    FOVEA_TRY_SET(std::byte * data, room(bytes));
    FOVEA_TRY(make_stream());
    FOVEA_TRY(stream_->copy(data, padded.data(), bytes));
    p.data = data;
    return stream_->synchronize();
  }

  Status make_stream() {
    if (stream_) return {};
    FOVEA_TRY_SET(stream_, device_.create_stream());
    return {};
  }

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
