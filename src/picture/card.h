// A model card: what a network's pictures need and what its tensors mean. docs/model-card.md describes the file, key by
// key; the fields here carry the same names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/resize_rule.h"
#include "base/status.h"
#include "picture/npy.h"

namespace fovea::core {

enum class ColorOrder : uint8_t { kRgb, kBgr, kGray };
enum class PictureLayout : uint8_t { kNchw, kNhwc, kChw, kHwc };  // the last two: no batch axis
enum class InputRole : uint8_t { kPaddingMask, kOriginalSize, kResizedSize, kScale, kConstant };
enum class MaskTruth : uint8_t { kPadding, kPicture };
enum class SizeOrder : uint8_t { kHeightWidth, kWidthHeight };
enum class BoxFormat : uint8_t { kXyxy, kYxyx, kCxcywh, kXywh };
enum class BoxReference : uint8_t {
  kInput,
  kOriginal
};                                                 // the network's input, padding included; or the picture as read
enum class JoinedLayout : uint8_t { kBnc, kBcn };  // batch, boxes, the numbers of a box
enum class Activation : uint8_t { kNone, kSigmoid, kSoftmax };
enum class BoxDecode : uint8_t { kNone, kSsd, kYxhw };
enum class Comparison : uint8_t { kGreater, kGreaterEqual };
enum class Candidates : uint8_t { kPerClass, kArgmax, kTopM };

// The network's input x = (pixel * scale - mean) / std, a channel at a time, pixel in 0..255, after resizing and
// padding.
struct PictureCard {
  std::string input;
  ResizeRule resize;
  bool antialias = false;         // bilinear: false as OpenCV's INTER_LINEAR, true as Pillow's BILINEAR
  std::vector<double> pad_value;  // 0..255; one a channel, as mean and std; filled with 0, 0 and 1 where absent
  ColorOrder color = ColorOrder::kRgb;
  double scale = 1;
  std::vector<double> mean, std;
  PictureLayout layout = PictureLayout::kNchw;

  int channels() const { return color == ColorOrder::kGray ? 1 : 3; }
  bool operator==(const PictureCard&) const = default;
};

// An input beside the picture.
struct InputCard {
  std::string name;
  InputRole role = InputRole::kConstant;
  MaskTruth true_is = MaskTruth::kPadding;    // padding_mask: which pixels are true
  SizeOrder order = SizeOrder::kHeightWidth;  // original_size, resized_size, scale
  std::vector<double> value;                  // constant: one number for every element, or all of them in C order

  bool operator==(const InputCard&) const = default;
};

// Names of output tensors, empty where there is none, and what they hold.
struct OutputsCard {
  std::string boxes{}, scores{}, labels{}, image_index{}, count{};
  std::string joined{};  // instead of boxes and scores: each box's four numbers, its objectness and its scores
  JoinedLayout joined_layout = JoinedLayout::kBnc;
  bool objectness = false;
  BoxFormat box_format = BoxFormat::kXyxy;
  bool normalized = false;  // 0..1 of relative_to's sides, else pixels of it
  BoxReference relative_to = BoxReference::kInput;
  int64_t label_offset = 0;  // label + label_offset = index into the class names
  bool clip_to_picture = false;

  bool operator==(const OutputsCard&) const = default;
};

// What to append to the network. With a decode, boxes come out as normalised xyxy of the network's input.
struct PostprocessCard {  // NOLINT(clang-analyzer-optin.performance.Padding): in the document's order
  Activation activation = Activation::kNone;
  int64_t background = -1;  // the column of scores that is no class; -1: none
  BoxDecode decode = BoxDecode::kNone;
  std::string anchors;            // an .npy file beside the card: [N, 4] as cx, cy, w, h in 0..1
  std::vector<double> variances;  // ssd: multiplied with offsets x, y, w, h
  std::vector<double> scales;     // yxhw: offsets y, x, h, w are divided by them
  bool clip = false;              // decoded boxes to 0..1
  double score_threshold = 0;
  Comparison score_compare = Comparison::kGreater;  // kept if score > threshold
  double iou_threshold = 1;                         // 1: nothing is suppressed
  Comparison iou_compare = Comparison::kGreater;    // suppressed if IoU > threshold
  Candidates candidates = Candidates::kPerClass;
  int64_t top_m = 0;                              // candidates = top_m: scores taken from each box
  int64_t top_k = 0;                              // candidates of a class before suppression; 0: all
  int64_t max_per_class = 0, max_detections = 0;  // after suppression; 0: no limit
  bool class_agnostic = false;
  int64_t iou_offset = 0;     // 1: a side is x1 - x0 + 1 pixels
  double soft_nms_sigma = 0;  // 0: hard suppression

  bool operator==(const PostprocessCard&) const = default;
};

struct ClassesCard {
  std::vector<std::string> names;
  std::string names_file;             // instead of names, one a line; read_card() turns it into names
  std::vector<int64_t> category_ids;  // one a class; empty: class index + 1, as COCO counts

  bool operator==(const ClassesCard&) const = default;
};

struct ModelCard {
  PictureCard picture;
  std::vector<InputCard> inputs;
  OutputsCard outputs;
  std::optional<PostprocessCard> postprocess;
  ClassesCard classes;

  bool operator==(const ModelCard&) const = default;
};

// Every mistake is InvalidArgument and names file, line and key.
Result<ModelCard> parse_card(std::string_view toml, std::string_view file_name);
// The card in full, defaults written out: parse_card(to_toml(card)) == card for every card that parse_card gave.
std::string to_toml(const ModelCard& card);

// parse_card on a file, class names loaded, so that the card stands without its neighbours (except for anchors).
Result<ModelCard> read_card(const std::string& path);
// The anchors that a card at `card_path` names: float32 [N, 4], finite.
Result<NpyArray> read_anchors(const ModelCard& card, const std::string& card_path);

// For class indices, out of range ones too: "class 7" where no name is known; category_ids or index + 1.
std::string class_name(const ClassesCard& classes, int64_t index);
int64_t category_id(const ClassesCard& classes, int64_t index);

std::string_view to_string(ColorOrder v);     // "rgb", "bgr", "gray"
std::string_view to_string(PictureLayout v);  // "nchw", ...
std::string_view to_string(InputRole v);      // "padding_mask", ...
std::string_view to_string(MaskTruth v);      // "padding", "picture"
std::string_view to_string(SizeOrder v);      // "hw", "wh"
std::string_view to_string(BoxFormat v);      // "xyxy", ...
std::string_view to_string(BoxReference v);   // "input", "original"
std::string_view to_string(JoinedLayout v);   // "bnc", "bcn"
std::string_view to_string(Activation v);     // "none", ...
std::string_view to_string(BoxDecode v);      // "none", "ssd", "yxhw"
std::string_view to_string(Comparison v);     // ">", ">="
std::string_view to_string(Candidates v);     // "per_class", "argmax", "top_m"

}  // namespace fovea::core
