#include "picture/inputs.h"

#include <algorithm>
#include <random>

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

constexpr int64_t kUsualSide = 640;

const Value* picture_input(const Graph& graph, const ModelCard* card) {
  if (!card) return nullptr;
  for (const Value* v : graph.inputs)
    if (v->name == card->picture.input && v->shape.size() == picture_axes(card->picture.layout).rank) return v;
  return nullptr;
}

int64_t size_of(const Dim& d, const SymbolValues& sizes) {
  return d.op() == ExprOp::kSymbol ? sizes.at(d.symbol()->name) : d.hi();
}

// A picture that has the network's size already.
ResizeGeometry fitting_picture(const Value& input, const ModelCard& card, const SymbolValues& sizes) {
  const PictureAxes axes = picture_axes(card.picture.layout);
  const int64_t h = size_of(input.shape[axes.height], sizes), w = size_of(input.shape[axes.width], sizes);
  return {.picture_h = h, .picture_w = w, .resized_h = h, .resized_w = w, .input_h = h, .input_w = w};
}

int64_t rows_of(const Value& picture, const SymbolValues& sizes) {
  return picture.shape.size() == 4 ? size_of(picture.shape[0], sizes) : 1;
}

}  // namespace

PictureAxes picture_axes(PictureLayout layout) {
  switch (layout) {
    case PictureLayout::kNchw: return {4, 1, 2, 3};
    case PictureLayout::kNhwc: return {4, 3, 1, 2};
    case PictureLayout::kChw: return {3, 0, 1, 2};
    case PictureLayout::kHwc: return {3, 2, 0, 1};
  }
  return {};
}

const Dim* batch_axis(const Graph& graph, const ModelCard* card) {
  if (const Value* picture = picture_input(graph, card))
    return picture->shape.size() == 4 ? &picture->shape[0] : nullptr;
  for (const Value* v : graph.inputs)
    if (v->shape.size() == 4) return &v->shape[0];
  return nullptr;
}

void add_usual_sizes(const Graph& graph, const ModelCard* card, int64_t batch, SymbolValues& sizes) {
  auto add = [&](const Dim& d, int64_t usual) {
    if (d.op() != ExprOp::kSymbol) return;
    const Symbol& s = *d.symbol();
    sizes.try_emplace(s.name, std::clamp(usual, s.lo, s.hi));
  };
  // The batch's symbol may stand in other inputs too, and those may come first: it is named before them.
  if (const Value* picture = picture_input(graph, card)) {
    const PictureAxes axes = picture_axes(card->picture.layout);
    const ResizeGeometry usual = resize_geometry(card->picture.resize, kUsualSide, kUsualSide);
    if (axes.rank == 4) add(picture->shape[0], batch);
    add(picture->shape[axes.height], usual.input_h);
    add(picture->shape[axes.width], usual.input_w);
    add(picture->shape[axes.channels], card->picture.channels());
    const ResizeGeometry fits = fitting_picture(*picture, *card, sizes);
    const int64_t rows = rows_of(*picture, sizes);
    for (const Value* v : graph.inputs)
      if (const InputCard* role = find_input_card(*card, v->name)) {
        const std::vector<int64_t> shape = role_shape(*role, v->shape, rows, fits);
        for (size_t d = 0; d < shape.size(); ++d) add(v->shape[d], shape[d]);
      }
  }
  for (const Value* v : graph.inputs)
    if (v->shape.size() == 4) add(v->shape[0], batch);
  for (const Value* v : graph.inputs)
    for (const Dim& d : v->shape) add(d, kUsualSide);
}

Result<std::vector<std::shared_ptr<Tensor>>> example_inputs(const Graph& graph, const ModelCard* card,
                                                            const Sizes& sizes, unsigned seed) {
  std::vector<ResizeGeometry> fits;
  if (const Value* picture = picture_input(graph, card))
    fits.assign(static_cast<size_t>(rows_of(*picture, sizes.values())),
                fitting_picture(*picture, *card, sizes.values()));
  std::vector<std::shared_ptr<Tensor>> inputs;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (const Value* v : graph.inputs) {
    FOVEA_TRY_SET(auto t, Tensor::allocate(v->dtype, sizes.upper(v->shape)));
    KernelContext c;
    const TensorRef ref = TensorRef::dense_of(v->dtype, t->dims(), t->mutable_data());
    const InputCard* role = fits.empty() ? nullptr : find_input_card(*card, v->name);
    if (role) {
      store(c, ref, role_values(*role, t->dims(), fits).data());
    } else if (is_float(v->dtype)) {
      std::vector<float> values(static_cast<size_t>(t->count()));
      for (float& x : values) x = normal(random);
      store(c, ref, values.data());
    }
    inputs.push_back(std::move(t));
  }
  return inputs;
}

const InputCard* find_input_card(const ModelCard& card, std::string_view input) {
  for (const InputCard& c : card.inputs)
    if (c.name == input) return &c;
  return nullptr;
}

// Sizes that the model leaves open: the batch first, then the padding mask's sides, or a height and a width.
std::vector<int64_t> role_shape(const InputCard& card, const Shape& shape, int64_t rows,
                                const ResizeGeometry& picture) {
  std::vector<int64_t> sizes;
  for (size_t d = 0; d < shape.size(); ++d) {
    const bool last = d + 1 == shape.size(), mask = card.role == InputRole::kPaddingMask;
    const bool size = card.role == InputRole::kOriginalSize || card.role == InputRole::kResizedSize;
    const bool side = mask && d + 2 >= shape.size(), pair = last && (size || (card.role == InputRole::kScale && d > 0));
    const int64_t open = side ? (last ? picture.input_w : picture.input_h) : pair ? 2 : d == 0 ? rows : 1;
    sizes.push_back(shape[d].is_const() ? shape[d].int_value() : open);
  }
  return sizes;
}

std::vector<double> role_values(const InputCard& card, std::span<const int64_t> shape,
                                std::span<const ResizeGeometry> batch) {
  const auto rows = static_cast<int64_t>(batch.size());
  const int64_t count = element_count(shape).value_or(0), row_elements = count / std::max<int64_t>(rows, 1);
  std::vector<double> values;
  for (int64_t e = 0; e < count; ++e) {
    const ResizeGeometry& r = batch[static_cast<size_t>(row_elements > 0 ? std::min(e / row_elements, rows - 1) : 0)];
    const int64_t k = row_elements > 0 ? e % row_elements : 0;
    const bool first = (k % 2 == 0) == (card.order == SizeOrder::kHeightWidth);  // is this the height?
    switch (card.role) {
      case InputRole::kConstant:
        values.push_back(card.value.size() == 1 ? card.value[0]
                                                : card.value[static_cast<size_t>(e) % card.value.size()]);
        break;
      case InputRole::kOriginalSize: values.push_back(static_cast<double>(first ? r.picture_h : r.picture_w)); break;
      case InputRole::kResizedSize: values.push_back(static_cast<double>(first ? r.resized_h : r.resized_w)); break;
      case InputRole::kScale: values.push_back(row_elements == 1 || first ? r.scale_y : r.scale_x); break;
      case InputRole::kPaddingMask: {
        const int64_t x = k % r.input_w, y = k / r.input_w % r.input_h;
        const bool inside = x >= r.pad_x && x < r.pad_x + r.resized_w && y >= r.pad_y && y < r.pad_y + r.resized_h;
        values.push_back(inside == (card.true_is == MaskTruth::kPicture));
        break;
      }
    }
  }
  return values;
}

}  // namespace fovea::core
