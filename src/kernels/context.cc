#include "kernels/context.h"

#include <algorithm>

namespace fovea::core {

void* Scratch::bytes(int64_t size) {
  size = (std::max<int64_t>(size, 1) + 63) / 64 * 64;
  if (chunks_.empty() || used_ + size > chunks_.back().size) {
    int64_t grown = std::max<int64_t>(size, chunks_.empty() ? 4096 : 2 * chunks_.back().size);
    auto* p = static_cast<std::byte*>(::operator new[](static_cast<size_t>(grown), std::align_val_t(64)));
    chunks_.push_back({std::unique_ptr<std::byte[], Free>(p), grown});
    used_ = 0;
  }
  void* p = chunks_.back().memory.get() + used_;
  used_ += size;
  return p;
}

void Scratch::reset() {
  used_ = 0;
  if (chunks_.size() < 2) return;
  int64_t total = capacity();
  chunks_.clear();
  bytes(total);
  used_ = 0;
}

int64_t Scratch::capacity() const {
  int64_t total = 0;
  for (const Chunk& c : chunks_) total += c.size;
  return total;
}

Status KernelContext::set_output_shape(size_t i, std::span<const int64_t> shape) const {
  TensorRef& t = outputs[i];
  if (resize) return resize(resize_owner, i, t, shape);
  const int64_t room = t.count();
  auto count = element_count(shape);
  if (!count || *count > room)
    return internal_error("output {} of {} elements does not fit into {}", i, count.value_or(-1), room);
  t.set_shape(shape);
  return {};
}

}  // namespace fovea::core
