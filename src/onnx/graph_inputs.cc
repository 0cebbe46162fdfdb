#include "onnx/graph_inputs.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <unordered_set>

namespace fovea::core {
namespace {

constexpr int64_t kMaxBatch = 1024, kMaxSide = 8192;

// A dim_param is any text ("batch size", "floor(h/2)"); a symbol is an identifier.
std::string identifier(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 64)) out += std::isalnum(static_cast<unsigned char>(c)) || c == '_' ? c : '_';
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0]))) out = "_" + out;
  // Words that the text form of a size reads as literals.
  for (std::string_view word : {"true", "false", "inff", "infd", "nanf", "nand"})
    if (out == word) out += "_";
  return out;
}

class InputSymbols {
 public:
  InputSymbols(const ReadOptions& options, Graph& graph)
      : options_(options), graph_(graph), used_(options.bounds.size()) {}

  // First pass: a name that is a batch anywhere has a batch's bounds everywhere.
  void note(const onnx::TensorShapeProto& shape) {
    if (shape.dim_size() == 4 && !shape.dim(0).dim_param().empty()) batches_.insert(shape.dim(0).dim_param());
  }

  Result<Shape> shape(const onnx::TensorShapeProto& proto) {
    Shape out;
    for (int i = 0; i < proto.dim_size(); ++i) {
      const auto& d = proto.dim(i);
      if (d.has_dim_value() && d.dim_value() >= 0) {
        out.emplace_back(int64_t{d.dim_value()});
      } else if (d.has_dim_value() && d.dim_value() < -1) {
        return invalid_model("expected a size of at least 0 (or -1 where it is unknown) at {}, found {}", i,
                             d.dim_value());
      } else {
        const bool batch = proto.dim_size() == 4 && i == 0;
        FOVEA_TRY_SET(SymbolPtr symbol,
                      d.dim_param().empty() ? unnamed(i, proto.dim_size()) : named(d.dim_param(), batch));
        out.emplace_back(symbol);
      }
    }
    return out;
  }

  Status all_bounds_used() const {
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) continue;
      std::string known;
      for (const SymbolPtr& s : graph_.symbols()) known += (known.empty() ? "" : ", ") + s->name;
      return invalid_argument("bounds for '{}': expected one of the model's symbolic sizes ({})",
                              options_.bounds[i].symbol, known.empty() ? "it has none" : known);
    }
    return {};
  }

 private:
  Result<SymbolPtr> named(const std::string& dim_param, bool batch) {
    auto known = by_param_.find(dim_param);
    if (known != by_param_.end()) return known->second;
    FOVEA_TRY_SET(SymbolPtr symbol, declare(identifier(dim_param), dim_param, batch || batches_.contains(dim_param)));
    by_param_[dim_param] = symbol;
    return symbol;
  }

  Result<SymbolPtr> unnamed(int axis, int rank) {
    static constexpr std::string_view kPicture[] = {"n", "c", "h", "w"};
    const std::string name(rank == 4 ? kPicture[axis] : "d");
    return declare(name, name, rank == 4 && axis == 0);
  }

  Result<SymbolPtr> declare(const std::string& base, const std::string& dim_param, bool batch) {
    std::string name = base;
    for (int i = 1; graph_.symbol(name); ++i) name = fmt::format("{}{}", base, i);
    int64_t lo = 1, hi = batch ? kMaxBatch : kMaxSide;
    for (size_t i = 0; i < used_.size(); ++i) {
      const SymbolBounds& b = options_.bounds[i];
      if (b.symbol != name && b.symbol != dim_param) continue;
      if (b.lo < 0 || b.lo > b.hi || b.hi > kUnbounded)
        return invalid_argument("bounds for '{}': expected 0 <= lowest <= highest, found {} to {}", b.symbol, b.lo,
                                b.hi);
      lo = b.lo, hi = b.hi, used_[i] = true;
    }
    return graph_.declare_symbol({name, lo, hi, false});
  }

  const ReadOptions& options_;
  Graph& graph_;
  std::vector<bool> used_;
  std::unordered_set<std::string> batches_;
  std::map<std::string, SymbolPtr> by_param_;
};

Status add_input(const onnx::ValueInfoProto& v, InputSymbols& symbols, Graph& graph) {
  const auto& tensor = v.type().tensor_type();
  auto type = dtype_from_onnx(tensor.elem_type());
  if (!type) return invalid_model("expected an element type 1 to {}, found {}", kMaxDType, tensor.elem_type());
  if (tensor.shape().dim_size() > kMaxRank)
    return unsupported("rank {}, at most {} is supported", tensor.shape().dim_size(), kMaxRank);
  FOVEA_TRY_SET(Shape shape, symbols.shape(tensor.shape()));
  graph.add_input(v.name(), *type, std::move(shape));
  return {};
}

}  // namespace

Status add_graph_inputs(const onnx::GraphProto& proto, const ReadOptions& options, Graph& graph) {
  std::unordered_set<std::string> constants;
  for (const auto& t : proto.initializer()) constants.insert(t.name());
  InputSymbols symbols(options, graph);
  std::vector<const onnx::ValueInfoProto*> inputs;
  for (const auto& v : proto.input()) {
    if (constants.contains(v.name())) continue;
    if (v.name().empty()) return invalid_model("input {} has no name", inputs.size());
    if (v.type().value_case() != onnx::TypeProto::kTensorType &&
        v.type().value_case() != onnx::TypeProto::VALUE_NOT_SET)
      return unsupported("input '{}': expected a tensor, found a sequence, map, optional or sparse tensor", v.name());
    if (!v.type().tensor_type().has_shape())
      return invalid_model("input '{}': expected a declared shape (sizes may be symbolic), found none", v.name());
    symbols.note(v.type().tensor_type().shape());
    inputs.push_back(&v);
  }
  for (const auto* v : inputs) {
    Status s = add_input(*v, symbols, graph);
    if (!s.ok()) return s.kind() == ErrorKind::kInvalidArgument ? s : s.in(fmt::format("input '{}'", v->name()));
  }
  return symbols.all_bounds_used();
}

}  // namespace fovea::core
