#include "picture/picture_rows.h"

#include <algorithm>
#include <cstring>

namespace fovea::core {
namespace {

std::vector<int64_t> shape_of(const PictureView& picture) { return {picture.height, picture.width, 3}; }
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Grown by half again, so that pictures of many sizes settle soon.
Status grow(Device& device, DeviceMemory& memory, int64_t bytes, DeviceMemory::Kind kind) {
  if (memory.bytes() >= bytes) return {};
  const int64_t more = memory.data() ? bytes + bytes / 2 : bytes;
  memory.reset();
  FOVEA_TRY_SET(memory, device.allocate(more, kind));
  return {};
}

}  // namespace

Result<std::shared_ptr<const Specialisation>> PictureRows::specialise(const PictureView& picture) {
  const std::vector<int64_t> shape = shape_of(picture);
  return engine_->preprocess()->specialise(std::span(&shape, 1), engine_->threads());
}

Result<std::vector<int64_t>> PictureRows::row_shape(const PictureView& picture) {
  FOVEA_TRY_SET(const auto spec, specialise(picture));
  const int output = spec->plan().outputs[0];
  on_device_ = spec->device() && spec->plan().tensors[static_cast<size_t>(output)].format.place == Place::kDevice;
  const TensorRef& row = spec->place(output).ref;
  return std::vector<int64_t>(row.shape().begin(), row.shape().end());
}

Result<TensorRef> PictureRows::fill(std::span<const PictureView> pictures, size_t rows, std::span<const int64_t> shape,
                                    Executor& network, size_t input) {
  const DType type = engine_->main().graph().inputs[input]->dtype;
  const int64_t bytes = dtype_bytes(type, element_count(shape).value_or(0)).value_or(0),
                row_bytes = bytes / static_cast<int64_t>(rows);
  if (!preprocess_.stream()) preprocess_.share_stream(network);
  std::byte* to = nullptr;
  if (on_device_) {
    FOVEA_TRY_SET(to, memory_on_device(network, input, bytes));
    FOVEA_TRY(stage(pictures));
  } else {
    host_.resize(static_cast<size_t>(bytes));
    to = host_.data();
    pictures_.assign(pictures.begin(), pictures.end());
  }
  for (size_t r = 0; r < rows; ++r)
    FOVEA_TRY(write_row(pictures_[std::min(r, pictures_.size() - 1)], to + static_cast<int64_t>(r) * row_bytes,
                        row_bytes, network));
  return TensorRef::dense_of(type, shape, to);
}

Result<std::byte*> PictureRows::memory_on_device(Executor& network, size_t input, int64_t bytes) {
  if (std::byte* own = network.input_memory(input)) return own;
  FOVEA_TRY(grow(*engine_->device(), device_, bytes, DeviceMemory::Kind::kDevice));
  return device_.data();
}

// What lies in pageable memory goes by way of pinned memory: else the copy to the device would be waited for.
Status PictureRows::stage(std::span<const PictureView> pictures) {
  Device& device = *engine_->device();
  pictures_.assign(pictures.begin(), pictures.end());
  int64_t bytes = 0;
  for (PictureView& p : pictures_) {
    if (device.pinned(p.rgb)) continue;
    bytes += aligned(p.bytes());
    p.rgb = nullptr;
  }
  FOVEA_TRY(grow(device, staging_, bytes, DeviceMemory::Kind::kPinned));
  auto* free = reinterpret_cast<uint8_t*>(staging_.data());
  for (size_t i = 0; i < pictures.size(); ++i) {
    if (pictures_[i].rgb) continue;
    std::memcpy(free, pictures[i].rgb, static_cast<size_t>(pictures[i].bytes()));
    pictures_[i].rgb = free;
    free += aligned(pictures[i].bytes());
  }
  return {};
}

Status PictureRows::write_row(const PictureView& picture, std::byte* to, int64_t bytes, Executor& network) {
  FOVEA_TRY_SET(auto spec, specialise(picture));
  FOVEA_TRY(preprocess_.bind(std::move(spec)));
  const TensorRef in = TensorRef::dense_of(DType::kUInt8, shape_of(picture), const_cast<uint8_t*>(picture.rgb));
  TensorRef out;
  if (!on_device_) {
    FOVEA_TRY(preprocess_.run(std::span(&in, 1), std::span(&out, 1)));
    std::memcpy(to, out.data, static_cast<size_t>(bytes));
    return {};
  }
  const bool direct = preprocess_.put_output(0, to);
  FOVEA_TRY(preprocess_.enqueue(std::span(&in, 1)));
  if (direct) return {};
  FOVEA_TRY(preprocess_.finish_on_device(std::span(&out, 1)));
  return network.stream()->copy(to, out.data, bytes);
}

}  // namespace fovea::core
