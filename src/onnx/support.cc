#include "onnx/support.h"

#include <map>
#include <set>

#include "onnx/attributes.h"
#include "onnx/names.h"
#include "onnx/reader.h"

namespace fovea::core {
namespace {

bool is_default(std::string_view domain) { return domain.empty() || domain == "ai.onnx"; }

Status check_opset(const onnx::ModelProto& model) {
  bool found = false;
  for (const auto& o : model.opset_import()) {
    if (!is_default(o.domain())) continue;
    found = true;
    if (o.version() < 1) return invalid_model("expected an opset of at least 1, found {}", o.version());
    if (o.version() < kOldestOpset || o.version() > kNewestOpset)
      return unsupported(
          "opset {} of the default domain: fovea reads {} to {}; convert the model (onnx.version_converter) or export "
          "it again",
          o.version(), kOldestOpset, kNewestOpset);
  }
  if (!found && model.opset_import_size() == 0) return invalid_model("expected an opset_import, found none");
  return {};
}

struct Unknown {
  int nodes = 0;
  std::string first, nearest;
  bool function = false;
};

class OperatorScan {
 public:
  explicit OperatorScan(const onnx::ModelProto& model) {
    for (const auto& f : model.functions()) functions_.insert({f.domain(), f.name()});
  }

  void visit(const onnx::GraphProto& g) {
    for (const auto& n : g.node()) {
      if (!known(n)) {
        const bool standard = is_default(n.domain());
        Unknown& u = unknown_[standard ? n.op_type() : n.domain() + ":" + n.op_type()];
        if (u.nodes++ == 0)
          u = {1, node_label(n), nearest_onnx_op(n.op_type()), functions_.contains({n.domain(), n.op_type()})};
      }
      for (const auto* sub : subgraphs(n)) visit(*sub);
    }
  }

  Status status() const {
    if (unknown_.empty()) return {};
    std::string list;
    for (const auto& [name, u] : unknown_) {
      list += fmt::format("{}{} ({} {}, first {}", list.empty() ? "" : "; ", name, u.nodes,
                          u.nodes == 1 ? "node" : "nodes", u.first);
      if (u.function) list += "; a function of the model: inline it, onnx.inliner.inline_local_functions";
      else if (!u.nearest.empty() && u.nearest != name) list += fmt::format("; did you mean {}?", u.nearest);
      list += ")";
    }
    return unsupported("{} {} not supported: {}", unknown_.size(),
                       unknown_.size() == 1 ? "operator is" : "operators are", list);
  }

 private:
  bool known(const onnx::NodeProto& n) const {
    if (functions_.contains({n.domain(), n.op_type()})) return false;
    return (is_default(n.domain()) && n.op_type() == "Constant") || find_onnx_op(n.domain(), n.op_type());
  }

  std::set<std::pair<std::string, std::string>> functions_;
  std::map<std::string, Unknown> unknown_;
};

}  // namespace

int64_t opset_of(const onnx::ModelProto& model, std::string_view domain) {
  for (const auto& o : model.opset_import())
    if (o.domain() == domain || (is_default(domain) && is_default(o.domain()))) return o.version();
  return 1;
}

Status check_support(const onnx::ModelProto& model) {
  FOVEA_TRY(check_opset(model));
  OperatorScan scan(model);
  scan.visit(model.graph());
  return scan.status();
}

}  // namespace fovea::core
