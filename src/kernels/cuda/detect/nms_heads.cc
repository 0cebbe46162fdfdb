// The Concat of a detector's score heads, activation, threshold and Nms as one group: no tensor of scores is ever
// written.
#include "kernels/cuda/detect/head_map.h"
#include "kernels/cuda/detect/nms_args.h"
#include "ops/softmax.h"

namespace fovea::core {
namespace {

using namespace cuda;

constexpr size_t kSources = 6;  // behind Nms's own inputs

class NmsHeads final : public PreparedKernel {
 public:
  NmsArgs args;
  ScoreHeads scores;

  Status run(KernelContext& c) const override {
    ScoreHeads s = scores;
    for (int i = 0; i < s.heads.pieces; ++i) s.heads.piece[i].data = c.in(kSources + static_cast<size_t>(i)).data;
    NmsTensors t = nms_tensors(c);
    t.heads = &s;
    return check(run_nms(args, t, handle_of(c)), "nms");
  }
  int64_t workspace_bytes() const override { return nms_workspace(args); }
};

std::optional<ScoreActivation> activation_of(const Node& n) {
  if (n.is("Sigmoid")) return ScoreActivation::kSigmoid;
  if (n.is("Softmax") && n.as<SoftmaxAttrs>().axis + 1 == static_cast<int64_t>(n.output()->shape.size()))
    return ScoreActivation::kSoftmax;
  return std::nullopt;
}

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  for (const HeadTree& tree : head_trees(graph, anchor)) {
    Group g;
    g.nodes = tree.nodes;
    const Value* scores = tree.joined;
    const Node* user = only_user(graph, scores);
    if (user && activation_of(*user)) {
      g.nodes.push_back(user);
      scores = user->output();
      user = only_user(graph, scores);
    }
    if (!user || !user->is("Nms") || user->input(nms_input::kScores) != scores) continue;
    g.nodes.push_back(user);
    g.inputs.assign(user->inputs.begin(), user->inputs.end());
    g.inputs.resize(kSources, nullptr);
    g.inputs[nms_input::kScores] = nullptr;
    g.inputs.insert(g.inputs.end(), tree.sources.begin(), tree.sources.end());
    g.outputs.assign(user->outputs.begin(), user->outputs.end());
    return {g};
  }
  return {};
}

std::span<const Value* const> sources(const Group& g) { return std::span(g.inputs).subspan(kSources); }

std::string refuse(const Group& group) {
  const Node& nms = *group.nodes.back();
  if (nms.as<NmsAttrs>().classes_per_box > 1) return "several classes of each box kept";
  if (std::string why = heads_refusal(sources(group)); !why.empty()) return why;
  return nms_refusal(group);
}

std::vector<FormatChoice> formats(const Group& group) {
  FormatChoice c;
  for (size_t i = 0; i < kSources; ++i) c.inputs.push_back(i < nms_input::kMaxPerGroup ? kPlain : kHost);
  c.inputs.resize(group.inputs.size(), head_format(sources(group)));
  c.outputs.assign(group.outputs.size(), kPlain);
  return {c};
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  auto kernel = std::make_unique<NmsHeads>();
  const Node &nms = *c.group.nodes.back(), &before = *nms.input(nms_input::kScores)->producer;
  const auto activation = activation_of(before);
  bool numbers_first = false;
  FOVEA_TRY_SET(kernel->scores.heads,
                map_heads(c, kSources, activation ? before.input(0) : before.output(), numbers_first));
  const Heads& h = kernel->scores.heads;
  if (numbers_first) return unsupported("scores are [image, number, box]");
  kernel->scores.activation = activation.value_or(ScoreActivation::kNone);
  FOVEA_TRY_SET(kernel->args, nms_args(c, nms, {h.images, h.boxes, h.numbers}));
  if (kernel->args.best_of_box != kNoLimit) return unsupported("only the best classes of a box are candidates");
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_nms_heads_cuda = {.name = "nms_heads_cuda",
                                         .op = "Concat",
                                         .revision = 3,
                                         .dynamic_shapes = true,  // those of its outputs
                                         .reaches_back = true,
                                         .place = Place::kDevice,
                                         .match = match,
                                         .refuse = refuse,
                                         .formats = formats,
                                         .prepare = prepare,
                                         .preference = 4};

}  // namespace fovea::core
