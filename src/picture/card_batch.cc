#include "picture/card_batch.h"

namespace fovea::core {
namespace {

const Value* find(const std::vector<Value*>& values, const std::string& name) {
  for (const Value* v : values)
    if (v->name == name) return v;
  return nullptr;
}

// Does the input's first axis count pictures? `batch` is that axis of the picture input.
bool has_batch_axis(const Value& input, const InputCard& card, const Dim& batch) {
  const size_t rank = input.shape.size();
  if (rank == 0) return false;
  const Dim& first = input.shape[0];
  size_t own = card.role == InputRole::kPaddingMask ? 2 : 1;
  // [2] is height and width; where it is open it is one number a picture.
  if (card.role == InputRole::kScale && !first.is_const()) own = 0;
  return rank > own && (!first.is_const() || first == batch);
}

// What has room for one picture only, in words; empty if nothing has.
std::string single_picture(const Graph& graph, const ModelCard& card, const Dim& batch) {
  for (const InputCard& c : card.inputs)
    if (const Value* v = find(graph.inputs, c.name);
        v && c.role != InputRole::kConstant && !has_batch_axis(*v, c, batch))
      return fmt::format("inputs: tensor '{}', {} {}, has no axis for the pictures of a batch with role = \"{}\"",
                         v->name, to_string(v->dtype), to_string(v->shape), to_string(c.role));
  const OutputsCard& o = card.outputs;
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const Value& v = *graph.outputs[i];
    if (graph.output_names[i] != o.boxes || !o.image_index.empty()) continue;
    if (v.shape.size() == 3 && !(v.shape[0].is_const(1) && !batch.is_const(1))) continue;
    return fmt::format(
        "outputs.boxes: tensor '{}', {} {}, does not say which picture of a batch a row belongs to, and "
        "outputs.image_index names no output that does",
        o.boxes, to_string(v.dtype), to_string(v.shape));
  }
  return "";
}

}  // namespace

Result<CardBatch> card_batch(const Graph& graph, const ModelCard& card) {
  const Value* picture = find(graph.inputs, card.picture.input);
  const bool has_batch = card.picture.layout == PictureLayout::kNchw || card.picture.layout == PictureLayout::kNhwc;
  if (!picture || !has_batch || picture->shape.empty()) return CardBatch{};
  const Dim& batch = picture->shape[0];
  const CardBatch found{batch.hi(), batch.is_const()};
  if (found.most <= 1) return found;
  const std::string why = single_picture(graph, card, batch);
  if (why.empty()) return found;
  if (found.fixed)
    return invalid_argument("card: {}; the network takes {} pictures a run: export it with a batch of 1", why,
                            found.most);
  return CardBatch{};
}

}  // namespace fovea::core
