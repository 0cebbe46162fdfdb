// Attributes of Nms; what each means, and which framework wants it, stands in nms.cc.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace fovea::core {

enum class NmsBoxForm : uint8_t {
  kXyxy,         // two corners, x first
  kYxyx,         // two corners, y first
  kAnyDiagonal,  // two opposite corners in any order, y first
  kCentre,       // centre x, centre y, width, height
  kXywh,         // left, top, width, height
};
enum class NmsCandidates : uint8_t { kPerClass, kArgmax, kTopM };
enum class NmsGroup : uint8_t { kClass, kExplicit, kNone };
enum class NmsCompare : uint8_t { kGreater, kGreaterEqual };
enum class NmsScope : uint8_t { kGroup, kImage };
enum class NmsOutput : uint8_t {
  kIndices,         // [K,3] image, class, box; scores [K]
  kIndicesByScore,  // [K] boxes of the one image; scores [K]
  kPadded,          // boxes [B,M,4], scores [B,M], classes [B,M], count [B], box indices [B,M]
  kDetections,      // boxes [K,4], scores [K], classes [K], images [K], box indices [K]
};
enum class NmsFill : uint8_t { kZero, kMinusOne };

std::span<const std::string_view> enum_names(NmsBoxForm);
std::span<const std::string_view> enum_names(NmsCandidates);
std::span<const std::string_view> enum_names(NmsGroup);
std::span<const std::string_view> enum_names(NmsCompare);
std::span<const std::string_view> enum_names(NmsScope);
std::span<const std::string_view> enum_names(NmsOutput);
std::span<const std::string_view> enum_names(NmsFill);

// Limits are counts; any negative number is no limit, 0 is none at all.
struct NmsAttrs {
  NmsBoxForm box_form = NmsBoxForm::kXyxy;
  NmsCandidates candidates = NmsCandidates::kPerClass;
  int64_t top_m = 1;        // candidates = top_m: how many classes of each box
  int64_t background = -1;  // the score column that is no class; outside of [0, C): none
  NmsGroup group = NmsGroup::kClass;
  double score_threshold = -std::numeric_limits<double>::infinity();
  NmsCompare score_compare = NmsCompare::kGreaterEqual;
  int64_t pre_top_k = -1;  // candidates that take part, the best ones, of each ...
  NmsScope pre_top_k_of = NmsScope::kGroup;
  double iou_threshold = 1;
  NmsCompare iou_compare = NmsCompare::kGreater;
  int64_t iou_offset = 0;  // 1: coordinates are pixel indices, a side is x1 - x0 + 1
  double soft_sigma = 0;   // above 0: overlap lowers scores instead of removing boxes
  int64_t max_per_group = -1;
  int64_t max_total = -1;  // of an image
  NmsOutput output = NmsOutput::kIndices;
  int64_t classes_per_box = 1;    // padded, detections: rows of each box kept, its best classes
  int64_t class_offset = 0;       // padded, detections: added to the classes
  bool clip = false;              // padded, detections: coordinates to 0..1
  NmsFill fill = NmsFill::kZero;  // padded: what stands behind the last detection

  static void fields(auto& self, auto&& field) {
    field("box_form", self.box_form);
    field("candidates", self.candidates);
    field("top_m", self.top_m);
    field("background", self.background);
    field("group", self.group);
    field("score_threshold", self.score_threshold);
    field("score_compare", self.score_compare);
    field("pre_top_k", self.pre_top_k);
    field("pre_top_k_of", self.pre_top_k_of);
    field("iou_threshold", self.iou_threshold);
    field("iou_compare", self.iou_compare);
    field("iou_offset", self.iou_offset);
    field("soft_sigma", self.soft_sigma);
    field("max_per_group", self.max_per_group);
    field("max_total", self.max_total);
    field("output", self.output);
    field("classes_per_box", self.classes_per_box);
    field("class_offset", self.class_offset);
    field("clip", self.clip);
    field("fill", self.fill);
  }
};

// Inputs of the operator, by position.
namespace nms_input {
inline constexpr size_t kBoxes = 0, kScores = 1, kGroup = 2, kMaxPerGroup = 3, kIouThreshold = 4, kScoreThreshold = 5;
}

}  // namespace fovea::core
