#include "tactics/sizes.h"

namespace fovea::core {

Result<Sizes> Sizes::make(const Graph& graph, const SymbolValues& values) {
  Sizes s;
  for (const SymbolPtr& symbol : graph.symbols()) {
    if (symbol->data_dependent) continue;
    auto it = values.find(symbol->name);
    if (it == values.end()) continue;  // a symbol that no input uses; evaluation names it if it is needed
    if (it->second < symbol->lo || it->second > symbol->hi)
      return invalid_argument("size {} = {}: expected {} to {}", symbol->name, it->second, symbol->lo, symbol->hi);
    s.values_[symbol->name] = it->second;
  }
  for (const auto& [name, value] : values) {
    if (s.values_.contains(name)) continue;
    std::string known;
    for (const SymbolPtr& symbol : graph.symbols())
      if (!symbol->data_dependent) known += (known.empty() ? "" : ", ") + symbol->name;
    return invalid_argument("the model has no size '{}'; its sizes are: {}", name, known.empty() ? "all fixed" : known);
  }
  s.add_regions(graph);
  return s;
}

void Sizes::add_regions(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    for (const auto& region : node->regions) add_regions(*region);
    for (const SizeDefinition& d : node->sizes) {
      int64_t cap = std::max<int64_t>(upper(d.bound), d.symbol->lo);
      bounded_[d.symbol->name] = std::make_shared<const Symbol>(Symbol{d.symbol->name, d.symbol->lo, cap, true});
    }
  }
}

int64_t Sizes::upper(const Dim& dim) const {
  if (dim.is_const()) return dim.int_value();
  return substitute(dim,
                    [&](const Symbol& s) -> std::optional<Expr> {
                      if (auto it = values_.find(s.name); it != values_.end()) return Expr(it->second);
                      if (auto it = bounded_.find(s.name); it != bounded_.end()) return Expr(it->second);
                      return std::nullopt;
                    })
      .hi();
}

std::vector<int64_t> Sizes::upper(const Shape& shape) const {
  std::vector<int64_t> dims;
  for (const Dim& d : shape) dims.push_back(upper(d));
  return dims;
}

int64_t Sizes::capacity(const std::string& symbol) const {
  auto it = bounded_.find(symbol);
  return it == bounded_.end() ? kUnbounded : it->second->hi;
}

Result<SymbolValues> bind_inputs(const Graph& graph, std::span<const std::vector<int64_t>> shapes) {
  SymbolValues values;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Value& input = *graph.inputs[i];
    const auto& given = shapes[i];
    auto mismatch = [&](std::string_view why) {
      std::string found;
      for (int64_t d : given) found += (found.empty() ? "" : ",") + std::to_string(d);
      return invalid_argument("input '{}': expected shape {}, found [{}]{}", input.name, to_string(input.shape), found,
                              why);
    };
    if (given.size() != input.shape.size()) return mismatch("");
    for (size_t d = 0; d < given.size(); ++d) {
      const Dim& want = input.shape[d];
      if (want.is_const()) {
        if (want.int_value() != given[d]) return mismatch("");
      } else if (want.op() == ExprOp::kSymbol) {
        const Symbol& s = *want.symbol();
        if (given[d] < s.lo || given[d] > s.hi) return mismatch(fmt::format(" ({} is {} to {})", s.name, s.lo, s.hi));
        auto [it, fresh] = values.try_emplace(s.name, given[d]);
        if (!fresh && it->second != given[d]) return mismatch(fmt::format(" ({} is {} elsewhere)", s.name, it->second));
      }
    }
  }
  return values;
}

}  // namespace fovea::core
