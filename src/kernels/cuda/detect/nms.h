// Nms on the device: what ops/nms.cc describes. All work is in lists of candidates, one for each class of an image, or
// one for each image where candidates of several groups are looked at together.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace fovea::core::cuda {

inline constexpr uint32_t kNoLimit = 0xffffffffu;

// As NmsAttrs has them, in its order.
enum class BoxForm : uint8_t { kXyxy, kYxyx, kAnyDiagonal, kCentre, kXywh };
enum class NmsRows : uint8_t { kIndices, kIndicesByScore, kPadded, kDetections };
// Which candidates of a list compete.
enum class Rivals : uint8_t { kAll, kSameClass, kSameGroup };

struct NmsArgs {
  int64_t images = 0;
  uint32_t boxes = 0, classes = 1;  // boxes * classes < 2^32 - 1
  bool boxes_per_class = false;     // boxes [B,N,C,4]
  bool wide_group = true;           // group is int64, not int32
  bool named_by_group = false;      // classes of the outputs are the group's numbers
  uint32_t background = kNoLimit;
  BoxForm box_form = BoxForm::kXyxy;
  float score_threshold = 0, iou_threshold = 1, iou_offset = 0;
  bool score_or_equal = true, iou_or_equal = false;
  bool suppresses = true;  // can any IoU pass?
  bool soft = false;       // overlap lowers scores, by exp(soft_scale * IoU^2)
  float soft_scale = 0;
  uint32_t best_of_box = kNoLimit;  // classes of a box that become candidates
  bool list_per_class = true;
  Rivals rivals = Rivals::kAll;
  uint32_t room = 0;                  // of a list
  uint32_t most = kNoLimit;           // best candidates of a list that take part
  uint32_t most_of_group = kNoLimit;  // and of a group, where a list has several
  uint32_t per_group = kNoLimit;      // kept of a group, where a list has several
  uint32_t keep = 0;                  // kept of a list; at most `room`
  uint32_t total = kNoLimit;          // kept of an image
  // What plan_memory() finds.
  int64_t images_at_once = 0;  // whose candidates are in memory together; 0 only where there are no images
  uint32_t left = 0;           // room of a list once it is shortened to what takes part; 0: no list is
  bool narrows = false;        // many blocks shorten a list
  // Outputs.
  NmsRows rows = NmsRows::kPadded;
  uint32_t rows_per_box = 1;
  int64_t padded_rows = 0, class_offset = 0;
  bool clip = false;
  int fill = 0;
  bool defines_size = false;

  int64_t lists_per_image() const { return list_per_class ? classes : 1; }
  int64_t lists() const { return images * lists_per_image(); }
  bool compares_groups() const { return rivals != Rivals::kAll; }
};

struct ScoreHeads;  // heads.h

struct NmsTensors {
  const float *boxes = nullptr, *scores = nullptr;
  const ScoreHeads* heads = nullptr;  // instead of scores; then best_of_box is kNoLimit and rows_per_box 1
  const void* group = nullptr;
  void* outputs[5] = {};  // null where nobody wants it; in the order of ops/nms.h
  int64_t* size = nullptr;
  std::byte* workspace = nullptr;  // nms_workspace() bytes, aligned to 16
};

// Any number of an image's boxes can be candidates, so that their memory is most of what Nms takes. Where it is much,
// images take turns with it: `images_at_once`, as few at a time as still keep the device busy if it is 0.
void plan_memory(NmsArgs& args, int64_t images_at_once = 0);
int64_t nms_workspace(const NmsArgs& args);
cudaError_t run_nms(const NmsArgs& args, const NmsTensors& tensors, cudaStream_t stream);

}  // namespace fovea::core::cuda
