#include "picture/detector.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>

#include "kernels/reference/reference.h"
#include "picture/card_batch.h"
#include "picture/inputs.h"

namespace fovea::core {
namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The elements of an output as doubles, whatever its type.
std::vector<double> numbers(const TensorRef& t) {
  Scratch scratch;
  KernelContext c;
  c.scratch = &scratch;
  const double* p = load<double>(c, t);
  return {p, p + t.count()};
}

void store_numbers(DType type, std::span<const int64_t> shape, std::vector<std::byte>& memory,
                   std::span<const double> values) {
  KernelContext c;
  store(c, TensorRef::dense_of(type, shape, memory.data()), values.data());
}

Status check_mask(std::string_view name, std::span<const int64_t> shape, const ResizeGeometry& g) {
  const size_t rank = shape.size();
  if (rank >= 2 && shape[rank - 2] == g.input_h && shape[rank - 1] == g.input_w) return {};
  return invalid_argument(
      "input '{}': a padding mask has the sides of the picture input in its last two axes: expected {} x {}, found "
      "[{}]; give pictures of another size or change the card's resize",
      name, g.input_h, g.input_w, fmt::join(shape, ","));
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

Result<std::unique_ptr<Detector>> Detector::make(std::shared_ptr<LoadedEngine> engine) {
  std::unique_ptr<Detector> d(new Detector);
  d->engine_ = std::move(engine);
  FOVEA_TRY(d->set_up());
  return d;
}

Status Detector::set_up() {
  if (engine_->data().card.empty() || !engine_->preprocess())
    return invalid_argument(
        "the engine holds no model card, so it cannot take pictures: compile with --card, or run it on tensors");
  FOVEA_TRY_SET(card_, parse_card(engine_->data().card, "the engine's card"));
  const Graph& g = engine_->main().graph();
  for (picture_input_ = 0; picture_input_ < g.inputs.size() && g.inputs[picture_input_]->name != card_.picture.input;)
    ++picture_input_;
  if (picture_input_ == g.inputs.size())
    return invalid_model("the engine has no input '{}', which its card names for the picture", card_.picture.input);
  for (const std::string* name : {&card_.outputs.boxes, &card_.outputs.scores, &card_.outputs.labels,
                                  &card_.outputs.image_index, &card_.outputs.count})
    if (!name->empty() && output(*name) < 0)
      return invalid_model("the engine has no output '{}', which its card names", *name);
  has_batch_ = card_.picture.layout == PictureLayout::kNchw || card_.picture.layout == PictureLayout::kNhwc;
  FOVEA_TRY_SET(const CardBatch batch, card_batch(g, card_));
  max_batch_ = batch.most;
  if (batch.fixed) fixed_batch_ = batch.most;
  inputs_.resize(g.inputs.size());
  input_shapes_.resize(g.inputs.size());
  return {};
}

int Detector::output(const std::string& name) const {
  const auto& names = engine_->main().graph().output_names;
  auto it = std::find(names.begin(), names.end(), name);
  return it == names.end() ? -1 : static_cast<int>(it - names.begin());
}

Result<std::vector<std::vector<Detection>>> Detector::detect(std::span<const Image* const> pictures, int64_t batch) {
  timing_ = {};
  std::vector<std::vector<Detection>> out(pictures.size());
  batch = std::clamp<int64_t>(batch, 1, max_batch_);
  if (fixed_batch_ > 0) batch = fixed_batch_;
  auto same_input = [&](const Image& a, const Image& b) {
    const ResizeGeometry x = resize_geometry(card_.picture.resize, a.height, a.width),
                         y = resize_geometry(card_.picture.resize, b.height, b.width);
    return x.input_h == y.input_h && x.input_w == y.input_w;
  };
  for (size_t at = 0; at < pictures.size();) {
    size_t end = at + 1;
    while (end < pictures.size() && end - at < static_cast<size_t>(batch) && same_input(*pictures[at], *pictures[end]))
      ++end;
    FOVEA_TRY(run_batch(pictures.subspan(at, end - at), std::span(out).subspan(at, end - at)));
    at = end;
  }
  return out;
}

Status Detector::run_batch(std::span<const Image* const> pictures, std::span<std::vector<Detection>> out) {
  // A fixed batch is filled up with its last picture; those detections are dropped.
  const size_t rows = fixed_batch_ > 0 ? static_cast<size_t>(fixed_batch_) : pictures.size();
  const double begin = now_ms();
  std::vector<ResizeGeometry> geometry;
  for (size_t r = 0; r < rows; ++r) {
    const Image& image = *pictures[std::min(r, pictures.size() - 1)];
    geometry.push_back(resize_geometry(card_.picture.resize, image.height, image.width));
    FOVEA_TRY(fill_picture(image, r, rows));
  }
  FOVEA_TRY(fill_others(geometry));
  const double prepared = now_ms();
  const Graph& g = engine_->main().graph();
  FOVEA_TRY_SET(auto spec, engine_->main().specialise(input_shapes_, engine_->threads()));
  network_.check_finite = check_finite;
  FOVEA_TRY(network_.bind(spec));
  std::vector<TensorRef> in, result(g.outputs.size());
  for (size_t i = 0; i < g.inputs.size(); ++i)
    in.push_back(TensorRef::dense_of(g.inputs[i]->dtype, input_shapes_[i], inputs_[i].data()));
  FOVEA_TRY(network_.run(in, result));
  const double ran = now_ms();
  FOVEA_TRY(collect(result, geometry, out));
  timing_.preprocess += prepared - begin, timing_.network += ran - prepared, timing_.boxes += now_ms() - ran;
  return {};
}

// The operator Preprocess writes one row of the network's input.
Status Detector::fill_picture(const Image& image, size_t row, size_t rows) {
  PlannedGraph& prep = *engine_->preprocess();
  const std::vector<int64_t> shape{image.height, image.width, 3};
  FOVEA_TRY_SET(auto spec, prep.specialise(std::span(&shape, 1), engine_->threads()));
  FOVEA_TRY(preprocess_.bind(spec));
  const TensorRef in = TensorRef::dense_of(DType::kUInt8, shape, const_cast<uint8_t*>(image.rgb.data()));
  TensorRef out;
  FOVEA_TRY(preprocess_.run(std::span(&in, 1), std::span(&out, 1)));
  const auto bytes = static_cast<size_t>(dtype_bytes(out.dtype, out.count()).value_or(0));
  std::vector<int64_t>& want = input_shapes_[picture_input_];
  want.assign(out.shape().begin(), out.shape().end());
  if (has_batch_ && want.size() == 3) want.insert(want.begin(), 1);
  if (has_batch_) want[0] = static_cast<int64_t>(rows);
  auto& memory = inputs_[picture_input_];
  memory.resize(bytes * rows);
  std::memcpy(memory.data() + row * bytes, out.data, bytes);
  return {};
}

Status Detector::fill_others(std::span<const ResizeGeometry> geometry) {
  const Graph& g = engine_->main().graph();
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    if (i == picture_input_) continue;
    const Value& input = *g.inputs[i];
    const InputCard* card = find_input_card(card_, input.name);
    if (!card)
      return invalid_argument("the engine's card does not say what input '{}' holds: add an [[inputs]] section",
                              input.name);
    input_shapes_[i] = role_shape(*card, input.shape, static_cast<int64_t>(geometry.size()), geometry[0]);
    if (card->role == InputRole::kPaddingMask) FOVEA_TRY(check_mask(input.name, input_shapes_[i], geometry[0]));
    const std::vector<double> values = role_values(*card, input_shapes_[i], geometry);
    const auto count = static_cast<int64_t>(values.size());
    inputs_[i].resize(static_cast<size_t>(dtype_bytes(input.dtype, count).value_or(0)));
    store_numbers(input.dtype, input_shapes_[i], inputs_[i], values);
  }
  return {};
}

// Rows of boxes, scores and labels, either one list with image indices or one table a picture. What is no detection
// (NaN, a label beyond all integers, a picture that is not there) is left out.
Status Detector::collect(std::span<const TensorRef> outputs, std::span<const ResizeGeometry> geometry,
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
