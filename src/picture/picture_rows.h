// Pictures to rows of a network's input, by the operator Preprocess: on a device there where the network reads them,
// from bytes to rows without the host's waiting; else in the host's memory.
#pragma once

#include <span>
#include <vector>

#include "picture/image.h"
#include "runtime/loaded_engine.h"

namespace fovea::core {

class PictureRows {
 public:
  void set_up(LoadedEngine& engine) { engine_ = &engine; }

  // Shape of the row that a picture becomes, as Preprocess has it: with a batch axis of 1, or without one.
  Result<std::vector<int64_t>> row_shape(const PictureView& picture);
  // The network's input `input` of this shape, made of `rows` rows; the last picture fills up what is left. `network`
  // is bound to what it runs next, which takes what is returned. On a device the work is asked of its stream: pinned
  // pictures have to stay until it is done, others may go.
  Result<TensorRef> fill(std::span<const PictureView> pictures, size_t rows, std::span<const int64_t> shape,
                         Executor& network, size_t input);

 private:
  Result<std::shared_ptr<const Specialisation>> specialise(const PictureView& picture);
  Result<std::byte*> memory_on_device(Executor& network, size_t input, int64_t bytes);
  Status stage(std::span<const PictureView> pictures);
  Status write_row(const PictureView& picture, std::byte* to, int64_t bytes, Executor& network);

  LoadedEngine* engine_ = nullptr;
  Executor preprocess_;
  bool on_device_ = false;  // does Preprocess run there?
  std::vector<std::byte> host_;
  DeviceMemory device_;                // where the network has no memory to offer
  DeviceMemory staging_;               // pinned: pictures on their way
  std::vector<PictureView> pictures_;  // where they are copied from
};

}  // namespace fovea::core
