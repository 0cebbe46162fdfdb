#include "picture/detector.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "kernels/reference/reference.h"
#include "picture/card_batch.h"
#include "picture/inputs.h"

namespace fovea::core {
namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
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
  rows_.set_up(*engine_);
  inputs_.resize(g.inputs.size());
  input_shapes_.resize(g.inputs.size());
  return {};
}

int Detector::output(const std::string& name) const {
  const auto& names = engine_->main().graph().output_names;
  auto it = std::find(names.begin(), names.end(), name);
  return it == names.end() ? -1 : static_cast<int>(it - names.begin());
}

Detector::~Detector() {
  if (in_flight_) settle();
}

// What the device still works on is memory of this detector and of pictures.
void Detector::settle() {
  in_flight_ = false;
  if (network_.stream()) (void)network_.stream()->synchronize();
}

size_t Detector::run_length(std::span<const PictureView> pictures, int64_t batch) const {
  batch = fixed_batch_ > 0 ? fixed_batch_ : std::clamp<int64_t>(batch, 1, max_batch_);
  const auto geometry = [&](const PictureView& p) { return resize_geometry(card_.picture.resize, p.height, p.width); };
  size_t end = 0;
  for (; end < pictures.size() && end < static_cast<size_t>(batch); ++end) {
    const ResizeGeometry first = geometry(pictures[0]), g = geometry(pictures[end]);
    if (g.input_h != first.input_h || g.input_w != first.input_w) break;
  }
  return end;
}

Result<std::vector<std::vector<Detection>>> Detector::detect(std::span<const PictureView> pictures, int64_t batch) {
  Timing sum;
  std::vector<std::vector<Detection>> out;
  while (!pictures.empty()) {
    const size_t length = run_length(pictures, batch);
    FOVEA_TRY(enqueue(pictures.first(length), batch));
    FOVEA_TRY_SET(auto found, collect());
    std::ranges::move(found, std::back_inserter(out));
    sum.preprocess += timing_.preprocess, sum.network += timing_.network, sum.boxes += timing_.boxes;
    pictures = pictures.subspan(length);
  }
  timing_ = sum;
  return out;
}

Status Detector::enqueue(std::span<const PictureView> pictures, int64_t batch) {
  if (in_flight_) return internal_error("a detector was given pictures before its last ones were collected");
  if (pictures.empty() || run_length(pictures, std::ssize(pictures)) != pictures.size())
    return internal_error("{} pictures that one run cannot take", pictures.size());
  Status s = start(pictures, batch);
  if (!s.ok()) settle();
  else in_flight_ = true;
  return s;
}

// A batch is filled up with its last picture; those detections are dropped.
void Detector::find_geometry(std::span<const PictureView> pictures, size_t rows) {
  geometry_.clear();
  for (size_t r = 0; r < rows; ++r) {
    const PictureView& p = pictures[std::min(r, pictures.size() - 1)];
    geometry_.push_back(resize_geometry(card_.picture.resize, p.height, p.width));
  }
}

Status Detector::start(std::span<const PictureView> pictures, int64_t batch) {
  const double begin = now_ms();
  timing_ = {};
  pictures_ = pictures.size();
  std::vector<int64_t>& shape = input_shapes_[picture_input_];
  const std::vector<int64_t> last = shape;
  FOVEA_TRY_SET(shape, rows_.row_shape(pictures[0]));
  if (has_batch_) {
    shape[0] = std::max<int64_t>(std::ssize(pictures), batch);
    const bool is_ready = engine_->device() && shape == last;
    if (fixed_batch_ > 0) shape[0] = fixed_batch_;
    else if (!is_ready) shape[0] = std::ssize(pictures);
  }
  const size_t rows = has_batch_ ? static_cast<size_t>(shape[0]) : pictures.size();
  find_geometry(pictures, rows);
  FOVEA_TRY(fill_others(geometry_));
  const Graph& g = engine_->main().graph();
  FOVEA_TRY_SET(auto spec, engine_->main().specialise(input_shapes_, engine_->threads()));
  network_.check_finite = check_finite;
  FOVEA_TRY(network_.bind(std::move(spec)));
  in_.clear();
  for (size_t i = 0; i < g.inputs.size(); ++i)
    in_.push_back(TensorRef::dense_of(g.inputs[i]->dtype, input_shapes_[i], inputs_[i].data()));
  FOVEA_TRY_SET(in_[picture_input_], rows_.fill(pictures, rows, shape, network_, picture_input_));
  timing_.preprocess = now_ms() - begin;
  return run_network();
}

Status Detector::run_network() {
  const double begin = now_ms();
  Device* device = engine_->device();
  if (device && !begin_) {
    FOVEA_TRY_SET(begin_, device->create_event());
    FOVEA_TRY_SET(end_, device->create_event(sleeps));
  }
  if (device) FOVEA_TRY(network_.stream()->record(*begin_));
  FOVEA_TRY(network_.enqueue(in_));
  FOVEA_TRY(network_.send_outputs());
  if (device) FOVEA_TRY(network_.stream()->record(*end_));
  timing_.network = now_ms() - begin;
  return {};
}

Result<std::vector<std::vector<Detection>>> Detector::collect() {
  if (!in_flight_) return internal_error("a detector was asked for boxes before it was given pictures");
  result_.resize(engine_->main().graph().outputs.size());
  Status s;
  if (end_ && sleeps) s = end_->wait();
  if (s.ok()) s = network_.finish(result_);
  settle();
  FOVEA_TRY(std::move(s));
  if (engine_->device()) {
    FOVEA_TRY_SET(timing_.network, end_->ms_since(*begin_));
  }
  const double ran = now_ms();
  std::vector<std::vector<Detection>> out(pictures_);
  FOVEA_TRY(read_outputs(result_, geometry_, out));
  timing_.boxes = now_ms() - ran;
  return out;
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

}  // namespace fovea::core
