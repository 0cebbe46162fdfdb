#include "kernels/cuda/detect/head_map.h"

#include <algorithm>
#include <numeric>

#include "ops/axis.h"
#include "ops/transpose.h"

namespace fovea::core::cuda {
namespace {

// ---- the tree

bool reshapes(const Node& n) {
  return n.is("Reshape") || n.is("Squeeze") || n.is("Unsqueeze") || n.is("Flatten") || n.is("Identity");
}

bool is_view(const Node& n) {
  if (!n.sizes.empty()) return false;
  if (reshapes(n) || n.is("Transpose")) return true;
  return n.is("Slice") && std::all_of(n.inputs.begin() + 1, n.inputs.end(), [](Value* v) { return !v || v->constant; });
}

bool in(const Group& group, const Node* node) { return std::ranges::find(group.nodes, node) != group.nodes.end(); }

// From the source to the Concat's input.
std::vector<const Node*> chain(const Value* input, const std::function<bool(const Node*)>& part) {
  std::vector<const Node*> nodes;
  for (; input->producer && part(input->producer); input = input->producer->inputs[0]) nodes.push_back(input->producer);
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

// ---- the map: each dimension is a product of factors, the outermost first

struct Factor {
  int64_t size, stride;
};
using Factors = std::vector<Factor>;
struct View {
  std::vector<Factors> dims;
  int64_t offset = 0;
};

int64_t size_of(const Factors& dim) {
  return std::accumulate(dim.begin(), dim.end(), int64_t{1}, [](int64_t p, const Factor& f) { return p * f.size; });
}

Status cannot(const Node& node) { return unsupported("{} is no view of factors of its input", node.label()); }

Result<View> reshaped(const Node& node, const View& from, const Dims& to) {
  std::vector<Factor> rest;
  for (auto dim = from.dims.rbegin(); dim != from.dims.rend(); ++dim)
    rest.insert(rest.end(), dim->rbegin(), dim->rend());
  std::erase_if(rest, [](const Factor& f) { return f.size == 1; });
  View view{{}, from.offset};
  for (int64_t size : to) {
    Factors dim;
    while (size > 1) {
      if (rest.empty()) return cannot(node);
      Factor& f = rest.back();
      const int64_t part = std::min(size, f.size);
      if (f.size % part != 0 || size % part != 0) return cannot(node);
      dim.push_back({part, f.size / part * f.stride});
      size /= part;
      if (f.size == part) rest.pop_back();
      else f.size /= part;
    }
    view.dims.push_back(std::move(dim));
  }
  if (!rest.empty()) return cannot(node);
  return view;
}

Result<View> sliced(const Node& node, View view, const Dims& to) {
  auto list = [&](size_t i) { return node.input(i) ? node.input(i)->constant->to_ints() : std::vector<int64_t>(); };
  const auto starts = list(1), axes = list(3), steps = list(4);
  const auto rank = static_cast<int64_t>(view.dims.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    int64_t axis = i < axes.size() ? axes[i] : static_cast<int64_t>(i);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || (i < steps.size() && steps[i] != 1)) return cannot(node);
    Factors& dim = view.dims[static_cast<size_t>(axis)];
    const int64_t size = size_of(dim), kept = to[static_cast<size_t>(axis)];
    const int64_t start = std::clamp<int64_t>(starts[i] < 0 ? starts[i] + size : starts[i], 0, size);
    if (kept == size) continue;
    if (dim.size() != 1 || start + kept > size) return cannot(node);
    view.offset += start * dim[0].stride;
    dim[0].size = kept;
  }
  return view;
}

Result<View> stepped(const Node& node, View view, const Dims& to) {
  if (node.is("Slice")) return sliced(node, std::move(view), to);
  if (!node.is("Transpose")) return reshaped(node, view, to);
  View result{{}, view.offset};
  for (int64_t axis : node.as<TransposeAttrs>().perm) result.dims.push_back(view.dims[static_cast<size_t>(axis)]);
  return result;
}

// Neighbours that are one stride become one factor; pixels and channels, which are below `pitch`, stay apart.
Factors merged(const Factors& dim, int64_t pitch) {
  Factors out;
  for (const Factor& f : dim) {
    if (f.size == 1) continue;
    if (!out.empty() && out.back().stride == f.size * f.stride && (out.back().stride < pitch || f.stride >= pitch))
      out.back() = {out.back().size * f.size, f.stride};
    else out.push_back(f);
  }
  return out;
}

Result<HeadPiece> piece_of(const View& view, size_t boxes_axis, int64_t pitch, int64_t pixels) {
  const Status other =
      unsupported("the boxes of a level are not ordered by pixel and anchor, or not all of its pixels");
  const Factors boxes = merged(view.dims[boxes_axis], pitch), numbers = merged(view.dims[3 - boxes_axis], pitch);
  if (boxes.size() > 2 || numbers.size() > 1) return other;
  HeadPiece p;
  p.pitch = static_cast<uint32_t>(pitch), p.pixels = p.anchors = 1;
  p.offset = static_cast<uint32_t>(view.offset);
  if (!numbers.empty()) p.number_stride = static_cast<uint32_t>(numbers[0].stride);
  int64_t inner = 1, last = view.offset;
  for (auto f = boxes.rbegin(); f != boxes.rend(); ++f) {
    const bool of_pixels = f->stride >= pitch;
    if (of_pixels ? p.pixels != 1 || f->stride != pitch : p.anchors != 1) return other;
    (of_pixels ? p.pixels : p.anchors) = static_cast<uint32_t>(f->size);
    (of_pixels ? p.box_pixel : p.box_anchor) = static_cast<uint32_t>(inner);
    if (!of_pixels) p.anchor_stride = static_cast<uint32_t>(f->stride);
    inner *= f->size;
  }
  last += (p.anchors - 1) * int64_t{p.anchor_stride} + (size_of(numbers) - 1) * p.number_stride;
  if (p.pixels != pixels || view.offset < 0 || last >= pitch) return other;
  return p;
}

// What a reshape behind the Concat makes of one of its pieces: the joined axis has the piece's share.
Result<Dims> share(const Node& node, const View& piece, size_t& axis, const Dims& from, const Dims& to) {
  int64_t before = 1, count = 1, others = 1;
  for (size_t i = 0; i < axis; ++i) before *= from[i];
  for (const Factors& d : piece.dims) count *= size_of(d);
  size_t at = 0;
  for (int64_t product = 1; at < to.size() && product < before; ++at) product *= to[at];
  while (at < to.size() && to[at] == 1 && from[axis] != 1) ++at;
  if (at == to.size()) return cannot(node);
  for (size_t i = 0; i < to.size(); ++i) others *= i == at ? 1 : to[i];
  if (others == 0 || count % others != 0) return cannot(node);
  Dims result = to;
  result[at] = count / others;
  axis = at;
  return result;
}

class Mapper {
 public:
  Mapper(const PrepareContext& c, const Value* joined) : c_(c), concat_(*c.group.nodes[0]) {
    behind_ = chain(joined, [&](const Node* n) { return n != &concat_ && in(c.group, n); });
  }

  Result<HeadPiece> piece(size_t i, const TensorDesc& source, int64_t images, size_t& boxes_axis, int64_t& boxes,
                          int64_t& numbers) {
    const auto& s = source.shape;
    const int64_t pitch = (s[1] + 7) / 8 * 8, pixels = s[2] * s[3];
    View view{{{{s[0], pixels * pitch}}, {{s[1], 1}}, {{s[2], s[3] * pitch}}, {{s[3], pitch}}}, 0};
    for (const Node* n : chain(concat_.inputs[i], [&](const Node* n) { return in(c_.group, n); })) {
      FOVEA_TRY_SET(view, stepped(*n, std::move(view), shape_of(*n)));
    }
    auto axis = static_cast<size_t>(concat_.as<AxisAttrs>().axis);
    Dims from = shape_of(concat_);
    for (const Node* n : behind_) {
      Dims to = shape_of(*n);
      if (n->is("Transpose")) {
        const auto& perm = n->as<TransposeAttrs>().perm;
        axis = static_cast<size_t>(std::ranges::find(perm, static_cast<int64_t>(axis)) - perm.begin());
        FOVEA_TRY_SET(view, stepped(*n, std::move(view), to));
      } else {
        FOVEA_TRY_SET(const Dims own, share(*n, view, axis, from, to));
        FOVEA_TRY_SET(view, reshaped(*n, view, own));
      }
      from = std::move(to);
    }
    if (view.dims.size() != 3 || axis == 0) return unsupported("the joined tensor is not [image, box, number]");
    if (images != s[0] || size_of(view.dims[0]) != images ||
        (images > 1 && (view.dims[0].size() != 1 || view.dims[0][0].stride != pixels * pitch)))
      return unsupported("images are not the outermost dimension");
    boxes_axis = axis, boxes = size_of(view.dims[axis]), numbers = size_of(view.dims[3 - axis]);
    FOVEA_TRY_SET(HeadPiece p, piece_of(view, axis, pitch, pixels));
    p.image_stride = pixels * pitch;
    return p;
  }

 private:
  Dims shape_of(const Node& node) const {
    return c_.results[static_cast<size_t>(std::ranges::find(c_.group.nodes, &node) - c_.group.nodes.begin())];
  }
  const PrepareContext& c_;
  const Node& concat_;
  std::vector<const Node*> behind_;
};

}  // namespace

std::vector<HeadTree> head_trees(const Graph& graph, const Node& concat) {
  HeadTree tree;
  tree.nodes = {&concat};
  if (!concat.sizes.empty()) return {};
  for (const Value* input : concat.inputs) {
    const Value* source = input;
    while (source->producer && is_view(*source->producer) && source->uses.size() == 1 && !graph.is_output(source))
      source = source->producer->inputs[0];
    // A view of many users is nobody's: it is the source, and has to be of rank 4 itself.
    if (source == input || source->shape.size() != 4 || source->is_constant()) return {};
    for (const Value* v = input; v != source; v = v->producer->inputs[0]) tree.nodes.push_back(v->producer);
    tree.sources.push_back(source);
  }
  std::vector<HeadTree> trees;
  for (const Node* node = &concat;;) {
    tree.joined = node->output();
    if (tree.joined->shape.size() == 3) trees.push_back(tree);
    node = only_user(graph, tree.joined);
    if (!node || !is_view(*node) || node->is("Slice") || node->input(0) != tree.joined) break;
    tree.nodes.push_back(node);
  }
  std::reverse(trees.begin(), trees.end());
  return trees;
}

Result<Heads> map_heads(const PrepareContext& c, size_t first_source, const Value* joined, bool& numbers_first) {
  const Node& concat = *c.group.nodes[0];
  if (concat.inputs.size() > kMostPieces)
    return unsupported("{} pieces, more than {}", concat.inputs.size(), kMostPieces);
  Mapper mapper(c, joined);
  Heads h;
  h.half = c.inputs[first_source].dtype == DType::kFloat16;
  h.images = c.inputs[first_source].shape[0];
  int64_t all = 0, numbers = 0;
  for (size_t i = 0; i < concat.inputs.size(); ++i) {
    const TensorDesc& source = c.inputs[first_source + i];
    if (element_count(source.shape).value_or(0) == 0) return unsupported("nothing to compute");
    size_t axis = 0;
    int64_t boxes = 0, own = 0;
    FOVEA_TRY_SET(HeadPiece p, mapper.piece(i, source, h.images, axis, boxes, own));
    if (i > 0 && own != numbers) return unsupported("{} and {} numbers of a box", numbers, own);
    numbers = own, numbers_first = axis == 2;
    if (all + boxes > INT32_MAX || boxes * h.images > INT32_MAX || p.image_stride > INT32_MAX)
      return unsupported("{} boxes are too many", all + boxes);
    p.first_box = static_cast<uint32_t>(all);
    all += boxes;
    h.piece[h.pieces++] = p;
  }
  h.boxes = static_cast<uint32_t>(all), h.numbers = static_cast<uint32_t>(numbers);
  if (!lay_out_tiles(h)) return unsupported("{} numbers of each pixel do not fit into shared memory", numbers);
  return h;
}

Format head_format(std::span<const Value* const> sources) {
  return std::ranges::all_of(sources, [](const Value* v) { return may_be_half(*v); }) ? half(kNhwc8) : kNhwc8;
}

std::string heads_refusal(std::span<const Value* const> sources) {
  for (const Value* v : sources) {
    if (v->dtype != DType::kFloat32) return fmt::format("'{}' is {}, not float32", v->name, to_string(v->dtype));
    if (std::ranges::any_of(v->shape, [](const Dim& d) { return d.data_dependent(); }))
      return fmt::format("'{}' has a data-dependent size", v->name);
  }
  return "";
}

}  // namespace fovea::core::cuda
