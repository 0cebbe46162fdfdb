// The Concat of a detector's heads, and the decoding behind it, straight from what the convolutions left.
#include "kernels/cuda/detect/decode_args.h"
#include "kernels/cuda/detect/head_map.h"

namespace fovea::core {
namespace {

using namespace cuda;

enum Input : size_t { kDeltas, kAnchors, kSize, kSources };  // without decoding the first three are null

class GatherHeads final : public PreparedKernel {
 public:
  Heads heads;
  bool numbers_first = false;
  std::optional<DecodeArgs> decode;

  Status run(KernelContext& c) const override {
    Heads h = heads;
    for (int i = 0; i < h.pieces; ++i) h.piece[i].data = c.in(kSources + static_cast<size_t>(i)).data;
    float* const out = c.out().as<float>();
    if (!decode) return check(gather_heads(h, numbers_first, out, handle_of(c)), "gather_heads");
    const float* const size = c.has(kSize) ? c.in(kSize).as<float>() : nullptr;
    return check(decode_heads(h, *decode, c.in(kAnchors).as<float>(), size, out, handle_of(c)), "decode_heads");
  }
};

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  std::vector<Group> groups;
  for (const HeadTree& tree : head_trees(graph, anchor)) {
    Group g;
    g.nodes = tree.nodes;
    g.inputs.assign(kSources, nullptr);
    g.inputs.insert(g.inputs.end(), tree.sources.begin(), tree.sources.end());
    if (const Node* user = only_user(graph, tree.joined);
        user && user->is("DecodeBoxes") && user->input(0) == tree.joined) {
      Group decoded = g;
      decoded.nodes.push_back(user);
      decoded.inputs[kAnchors] = user->input(1), decoded.inputs[kSize] = user->input(2);
      decoded.outputs = {user->output()};
      groups.push_back(std::move(decoded));
    }
    // What gives the output comes last.
    if (tree.joined->producer == g.nodes[0]) continue;
    g.outputs = {tree.joined};
    groups.push_back(std::move(g));
  }
  return groups;
}

std::span<const Value* const> sources(const Group& g) { return std::span(g.inputs).subspan(kSources); }

std::string refuse(const Group& group) {
  for (size_t i : {kAnchors, kSize})
    if (const Value* v = group.inputs[i]; v && v->dtype != DType::kFloat32)
      return fmt::format("'{}' is {}, not float32", v->name, to_string(v->dtype));
  return heads_refusal(sources(group));
}

std::vector<FormatChoice> formats(const Group& group) {
  FormatChoice c{std::vector<Format>(kSources, kPlain), {kPlain}};
  c.inputs.resize(group.inputs.size(), head_format(sources(group)));
  return {c};
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  auto kernel = std::make_unique<GatherHeads>();
  const Node& last = *c.group.nodes.back();
  const bool decodes = last.is("DecodeBoxes");
  FOVEA_TRY_SET(kernel->heads, map_heads(c, kSources, decodes ? last.input(0) : last.output(), kernel->numbers_first));
  const Heads& h = kernel->heads;
  if (decodes) {
    if (kernel->numbers_first || h.numbers != 4) return unsupported("deltas are not [image, box, 4]");
    FOVEA_TRY_SET(kernel->decode, decode_args(c, last, {h.images, h.boxes, 4}));
  }
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_gather_heads_cuda = {.name = "gather_heads_cuda",
                                            .op = "Concat",
                                            .reaches_back = true,
                                            .place = Place::kDevice,
                                            .match = match,
                                            .refuse = refuse,
                                            .formats = formats,
                                            .prepare = prepare,
                                            .preference = 4};

}  // namespace fovea::core
