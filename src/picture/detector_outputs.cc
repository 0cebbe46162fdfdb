// From a network's outputs to each picture's detections.
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/reference/reference.h"
#include "picture/detector.h"

namespace fovea::core {
namespace {

// The elements of an output as doubles, whatever its type.
std::vector<double> numbers(const TensorRef& t) {
  Scratch scratch;
  KernelContext c;
  c.scratch = &scratch;
  const double* p = load<double>(c, t);
  return {p, p + t.count()};
}

bool is_finite(float x) { return std::isfinite(x); }

Status check_pictures(std::string_view output, int64_t found, size_t expected) {
  if (found == static_cast<int64_t>(expected)) return {};
  return invalid_model("output '{}': expected one for each of the run's pictures, {}, found {}", output, expected,
                       found);
}

// Beyond it labels in float64 are no integers any more, and casts to int64 are undefined.
constexpr double kMaxLabel = int64_t{1} << 53;

}  // namespace

// Rows of boxes, scores and labels, either one list with image indices or one table a picture. What is no detection
// (NaN, a label beyond all integers, a picture that is not there) is left out.
Status Detector::read_outputs(std::span<const TensorRef> outputs, std::span<const ResizeGeometry> geometry,
                              std::span<std::vector<Detection>> out) {
  const OutputsCard& o = card_.outputs;
  auto get = [&](const std::string& name) {
    return name.empty() ? std::vector<double>() : numbers(outputs[static_cast<size_t>(output(name))]);
  };
  const TensorRef& table = outputs[static_cast<size_t>(output(o.boxes))];
  const std::vector<double> boxes = get(o.boxes), scores = get(o.scores), labels = get(o.labels);
  const std::vector<double> index = get(o.image_index), count = get(o.count);
  const size_t rows = scores.size();
  if (boxes.size() != rows * 4 || (!o.labels.empty() && labels.size() != rows) ||
      (!o.image_index.empty() && index.size() != rows))
    return invalid_model(
        "the outputs that the card names do not belong together: {} numbers in '{}', {} in '{}', {} in '{}'",
        boxes.size(), o.boxes, rows, o.scores, labels.size(), o.labels);
  const bool tables = table.rank == 3;
  if (tables) FOVEA_TRY(check_pictures(o.boxes, table.dims[0], geometry.size()));
  if (!o.count.empty()) FOVEA_TRY(check_pictures(o.count, static_cast<int64_t>(count.size()), geometry.size()));
  const size_t per_picture =
      tables ? std::max<size_t>(static_cast<size_t>(table.dims[1]), 1) : std::max<size_t>(rows, 1);
  std::map<std::string, int64_t> dropped;  // by output
  for (size_t r = 0; r < rows; ++r) {
    size_t picture = r / per_picture;
    if (!index.empty()) {
      if (index[r] < 0) continue;  // a row that only fills up
      if (!(index[r] < static_cast<double>(geometry.size()))) {
        ++dropped[o.image_index];
        continue;
      }
      picture = static_cast<size_t>(index[r]);
    }
    if (picture >= out.size()) continue;
    if (!count.empty() && std::isnan(count[picture])) ++dropped[o.count];
    if (!count.empty() && !(static_cast<double>(r % per_picture) < count[picture])) continue;
    std::array<float, 4> box{};
    for (size_t k = 0; k < 4; ++k) box[k] = static_cast<float>(boxes[4 * r + k]);
    const auto score = static_cast<float>(scores[r]);
    const double label = labels.empty() ? 0 : labels[r];
    const std::string* wrong = !std::isfinite(score)                             ? &o.scores
                               : !std::all_of(box.begin(), box.end(), is_finite) ? &o.boxes
                               : !(std::abs(label) <= kMaxLabel)                 ? &o.labels
                                                                                 : nullptr;
    if (wrong) {
      ++dropped[*wrong];
      continue;
    }
    box = box_to_picture(box, o, geometry[picture]);
    out[picture].push_back({box[0], box[1], box[2], box[3], score, static_cast<int64_t>(label) + o.label_offset});
  }
  for (const auto& [name, times] : dropped) warn_dropped(name, times);
  for (auto& list : out)
    std::stable_sort(list.begin(), list.end(),
                     [](const Detection& a, const Detection& b) { return a.score > b.score; });
  return {};
}

void Detector::warn_dropped(const std::string& name, int64_t rows) {
  if (!engine_->log() || !warned_.insert(name).second) return;
  engine_->log()(LogLevel::kWarning,
                 fmt::format("output '{}' holds numbers that are not finite or out of range: rows dropped: {}; no more "
                             "is said about this output",
                             name, rows));
}

}  // namespace fovea::core
