#include "ir/parse.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "ir/cursor.h"
#include "ir/infer.h"
#include "ir/text.h"

namespace fovea::core {
namespace {

constexpr int kMaxRegionDepth = 16;

// Normally distributed by the sum of uniform numbers: the same on every platform, good enough for weights.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  float normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(sum);
  }

 private:
  uint64_t state_;
};

std::optional<std::vector<std::byte>> unbase64(std::string_view s) {
  std::vector<std::byte> out;
  uint32_t group = 0;
  int bits = 0;
  while (!s.empty() && s.back() == '=') s.remove_suffix(1);
  for (char c : s) {
    int v = c >= 'A' && c <= 'Z'   ? c - 'A'
            : c >= 'a' && c <= 'z' ? c - 'a' + 26
            : c >= '0' && c <= '9' ? c - '0' + 52
            : c == '+'             ? 62
            : c == '/'             ? 63
                                   : -1;
    if (v < 0) return std::nullopt;
    group = group << 6 | static_cast<uint32_t>(v);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<std::byte>(group >> bits & 255));
  }
  return out;
}

class GraphParser {
 public:
  GraphParser(std::string_view text, OpLookup ops, const ParseOptions& options)
      : in_(text), ops_(ops), options_(options) {}

  Result<std::unique_ptr<Graph>> run() {
    auto graph = std::make_unique<Graph>();
    root_ = graph.get();
    if (in_.take_word("symbols")) FOVEA_TRY(symbols());
    if (!in_.take_word("graph")) return in_.fail("expected 'graph'");
    FOVEA_TRY(body(*graph, 0));
    if (!in_.done()) return in_.fail("expected the end of the text");
    return graph;
  }

 private:
  // "(" element "," ... ")" or other brackets, possibly empty.
  template <typename F>
  Status list(std::string_view open, std::string_view close, F&& element) {
    FOVEA_TRY(in_.expect(open));
    if (in_.take(close)) return {};
    do {
      FOVEA_TRY(element());
    } while (in_.take(","));
    return in_.expect(close);
  }

  // ---- symbols
  Status symbols() {
    return list("(", ")", [&]() -> Status {
      const size_t start = in_.at();
      std::string name(in_.word());
      while (in_.take(".")) name += "." + std::string(in_.word());
      if (!valid_symbol_name(name) || symbols_.contains(name))
        return in_.fail_at(start, fmt::format("'{}' cannot be the name of a size", name));
      Symbol symbol{name};
      if (in_.take_word("in")) {
        FOVEA_TRY(in_.expect("["));
        FOVEA_TRY_SET(symbol.lo, in_.number_as<int64_t>());
        FOVEA_TRY(in_.expect(","));
        FOVEA_TRY_SET(symbol.hi, in_.number_as<int64_t>());
        FOVEA_TRY(in_.expect("]"));
        if (symbol.lo > symbol.hi || symbol.lo < -kUnbounded || symbol.hi > kUnbounded)
          return in_.fail_at(start, "impossible bounds");
      }
      symbol.data_dependent = in_.take_word("data");
      symbols_[name] = root_->declare_symbol(std::move(symbol));
      return {};
    });
  }
  Result<Expr> expr() {
    return in_.expr([&](std::string_view name) -> SymbolPtr {
      auto it = symbols_.find(std::string(name));
      return it == symbols_.end() ? nullptr : it->second;
    });
  }
  Result<Dim> dim() {
    const size_t start = in_.at();
    FOVEA_TRY_SET(Expr e, expr());
    if (e.dtype() != DType::kInt64) return in_.fail_at(start, "a size is an int64");
    return e;
  }

  // ---- graph and regions
  Status body(Graph& g, int depth) {
    if (depth > kMaxRegionDepth) return in_.fail("regions are nested too deeply");
    FOVEA_TRY(in_.expect("@"));
    FOVEA_TRY_SET(g.name, in_.name());
    FOVEA_TRY(list("(", ")", [&] { return input(g); }));
    FOVEA_TRY(in_.expect("->"));
    std::vector<std::pair<size_t, std::string>> outputs;  // where it stands, what it names
    FOVEA_TRY(list("(", ")", [&] { return output(g, outputs); }));
    FOVEA_TRY(in_.expect("{"));
    while (!in_.take("}")) {
      if (in_.done()) return in_.fail("expected '}'");
      FOVEA_TRY(statement(g, depth));
    }
    for (const auto& [at, name] : outputs) {
      Value* v = g.find(name);
      if (!v) return in_.fail_at(at, fmt::format("output '%{}' is not defined", name));
      g.outputs.push_back(v);
    }
    return {};
  }

  Status input(Graph& g) {
    FOVEA_TRY_SET(std::string name, new_name(g));
    FOVEA_TRY(in_.expect(":"));
    return type(*g.add_input(std::move(name), DType::kUndefined, {}), true);
  }

  // "boxes = %b"; a region's outputs may go without names.
  Status output(Graph& g, std::vector<std::pair<size_t, std::string>>& outputs) {
    if (in_.peek() != '%') {
      FOVEA_TRY_SET(std::string name, in_.name());
      g.output_names.push_back(std::move(name));
      FOVEA_TRY(in_.expect("="));
    } else if (!g.parent()) {
      return in_.fail("an output of the graph needs a name: name = %value");
    }
    const size_t at = in_.at();
    FOVEA_TRY(in_.expect("%"));
    FOVEA_TRY_SET(std::string value, in_.name());
    outputs.emplace_back(at, std::move(value));
    return {};
  }

  // A name that is new in this graph.
  Result<std::string> new_name(const Graph& g) {
    const size_t at = in_.at();
    FOVEA_TRY(in_.expect("%"));
    FOVEA_TRY_SET(std::string name, in_.name());
    if (name.empty() || g.find(name)) return in_.fail_at(at, fmt::format("'%{}' is defined twice", name));
    return name;
  }

  // "%a, _, %b = Op(...)" or "%c = constant ...".
  Status statement(Graph& g, int depth) {
    std::vector<std::string> names;  // "" where nobody wants the output
    const size_t start = in_.at();
    do {
      if (in_.take_word("_")) {
        names.emplace_back();
        continue;
      }
      FOVEA_TRY_SET(std::string name, new_name(g));
      if (std::find(names.begin(), names.end(), name) != names.end())
        return in_.fail_at(start, fmt::format("'%{}' is defined twice", name));
      names.push_back(std::move(name));
    } while (in_.take(","));
    FOVEA_TRY(in_.expect("="));
    if (in_.take_word("constant")) {
      if (names.size() != 1 || names[0].empty()) return in_.fail_at(start, "a constant has one name");
      return constant(g, std::move(names[0]));
    }
    return node(g, names, depth);
  }

  Status constant(Graph& g, std::string name) {
    FOVEA_TRY_SET(TensorPtr t, tensor());
    return extras(*g.add_constant(std::move(t), std::move(name)));
  }

  // ---- nodes
  Status node(Graph& g, const std::vector<std::string>& names, int depth) {
    const size_t start = in_.at();
    const std::string_view op_name = in_.word();
    const OpInfo* op = ops_(op_name);
    if (!op) return in_.fail_at(start, fmt::format("there is no operator '{}'", op_name.substr(0, 80)));
    std::vector<Value*> inputs;
    int own = -1;
    FOVEA_TRY(node_inputs(g, inputs, own));
    FOVEA_TRY_SET(AttrsPtr attrs, attributes(*op));
    Node* n = g.add_node(op, std::move(attrs), std::move(inputs), 0);
    for (const std::string& name : names) {
      if (name.empty()) n->outputs.push_back(nullptr);
      else g.add_output(n, name);
    }
    n->own_inputs = op->regions > 0 && own < 0 ? static_cast<int>(n->inputs.size()) : own;
    FOVEA_TRY(arity(*n, start));
    const bool typed = in_.take(":");
    if (typed) FOVEA_TRY(types(*n));
    if (in_.take_word("defines")) FOVEA_TRY(list("(", ")", [&] { return definition(*n); }));
    if (in_.take_word("from")) FOVEA_TRY(origin(*n));
    for (int i = 0; i < op->regions; ++i) {
      if (!in_.take_word("region")) return in_.fail(fmt::format("expected region {} of {}", i + 1, op->regions));
      n->regions.push_back(g.make_region(""));
      FOVEA_TRY(body(*n->regions.back(), depth + 1));
    }
    if (typed) return {};
    Status s = infer_node(g, *n);
    if (!s.ok()) return in_.fail_at(start, s.message());
    for (const SizeDefinition& d : n->sizes) symbols_[d.symbol->name] = d.symbol;
    return {};
  }

  Status node_inputs(const Graph& g, std::vector<Value*>& inputs, int& own) {
    FOVEA_TRY(in_.expect("("));
    while (!in_.take(")")) {
      if (own < 0 && in_.take(";")) {
        own = static_cast<int>(inputs.size());
        continue;
      }
      if (!inputs.empty() && own != static_cast<int>(inputs.size())) FOVEA_TRY(in_.expect(","));
      if (in_.take_word("_")) {
        inputs.push_back(nullptr);
        continue;
      }
      const size_t at = in_.at();
      FOVEA_TRY(in_.expect("%"));
      FOVEA_TRY_SET(std::string name, in_.name());
      Value* v = g.find(name);
      if (!v) return in_.fail_at(at, fmt::format("'%{}' is not defined before its use", name));
      inputs.push_back(v);
    }
    return {};
  }

  Status arity(const Node& n, size_t at) const {
    const OpInfo& op = *n.op;
    const int in = n.own_inputs >= 0 ? n.own_inputs : static_cast<int>(n.inputs.size()),
              out = static_cast<int>(n.outputs.size());
    if (n.own_inputs >= 0 && op.regions == 0)
      return in_.fail_at(at, fmt::format("{} has no regions, so nothing can be captured", op.name));
    if (in < op.min_inputs || (op.max_inputs >= 0 && in > op.max_inputs))
      return in_.fail_at(at,
                         fmt::format("{} takes {} to {} inputs, found {}", op.name, op.min_inputs, op.max_inputs, in));
    if (out < op.min_outputs || (op.max_outputs >= 0 && out > op.max_outputs))
      return in_.fail_at(
          at, fmt::format("{} has {} to {} outputs, found {}", op.name, op.min_outputs, op.max_outputs, out));
    for (int i = 0; i < op.min_inputs; ++i)
      if (!n.inputs[static_cast<size_t>(i)])
        return in_.fail_at(at, fmt::format("{}: input {} is required", op.name, i));
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (!n.inputs[i] && n.own_inputs >= 0 && static_cast<int>(i) >= n.own_inputs)
        return in_.fail_at(at, "a capture cannot be absent");
    return {};
  }

  Status types(Node& n) {
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (i) FOVEA_TRY(in_.expect(","));
      if (n.outputs[i]) FOVEA_TRY(type(*n.outputs[i], false));
      else FOVEA_TRY(in_.expect("_"));
    }
    return {};
  }

  // "k0 = %nz[1] <= n*8732"
  Status definition(Node& n) {
    const size_t start = in_.at();
    SizeDefinition d;
    FOVEA_TRY_SET(Dim symbol, expr_until_equals());
    if (symbol.op() != ExprOp::kSymbol || !symbol.symbol()->data_dependent)
      return in_.fail_at(start, "expected a data-dependent size");
    d.symbol = symbol.symbol();
    FOVEA_TRY(in_.expect("%"));
    FOVEA_TRY_SET(std::string name, in_.name());
    auto it = std::find_if(n.outputs.begin(), n.outputs.end(), [&](const Value* v) { return v && v->name == name; });
    if (it == n.outputs.end()) return in_.fail_at(start, fmt::format("'%{}' is not an output of this node", name));
    d.output = static_cast<int>(it - n.outputs.begin());
    FOVEA_TRY(in_.expect("["));
    FOVEA_TRY_SET(d.dim, in_.number_as<int>());
    FOVEA_TRY(in_.expect("]"));
    if (d.dim < 0 || d.dim >= static_cast<int>((*it)->shape.size()))
      return in_.fail_at(start, "the output has no such dimension");
    d.bound = d.symbol->hi;
    if (in_.take("<=")) {
      FOVEA_TRY_SET(d.bound, dim());
    }
    n.sizes.push_back(std::move(d));
    return {};
  }
  Result<Dim> expr_until_equals() {
    const size_t start = in_.at();
    std::string name(in_.word());
    while (in_.take(".")) name += "." + std::string(in_.word());
    auto it = symbols_.find(name);
    if (it == symbols_.end()) return in_.fail_at(start, fmt::format("unknown symbol '{}'", name));
    FOVEA_TRY(in_.expect("="));
    return Dim(it->second);
  }

  Status origin(Node& n) {
    do {
      FOVEA_TRY_SET(std::string s, in_.quoted());
      n.origin.push_back(std::move(s));
    } while (in_.take(","));
    return {};
  }

  // ---- attributes: the declaration's defaults say which types to read
  Result<AttrsPtr> attributes(const OpInfo& op) {
    if (!op.attrs.from_map)
      return in_.peek() == '{' ? Result<AttrsPtr>(in_.fail(fmt::format("{} has no attributes", op.name))) : AttrsPtr();
    FOVEA_TRY_SET(AttrsPtr defaults, op.attrs.from_map({}));
    if (in_.peek() != '{') return defaults;
    const AttrMap known = op.attrs.to_map(defaults.get());
    AttrMap map;
    const size_t start = in_.at();
    auto entry = [&]() -> Status {
      const size_t at = in_.at();
      std::string name(in_.word());
      auto same_name = [&](const auto& pair) { return pair.first == name; };
      auto it = std::find_if(known.begin(), known.end(), same_name);
      if (it == known.end()) return in_.fail_at(at, fmt::format("{} has no attribute '{}'", op.name, name));
      if (std::any_of(map.begin(), map.end(), same_name))
        return in_.fail_at(at, fmt::format("attribute '{}' is given twice", name));
      FOVEA_TRY(in_.expect("="));
      AttrValue value = it->second;
      FOVEA_TRY(std::visit([&](auto& v) { return attribute(v); }, value));
      map.emplace_back(std::move(name), std::move(value));
      return {};
    };
    FOVEA_TRY(list("{", "}", entry));
    auto attrs = op.attrs.from_map(map);
    if (!attrs.ok()) return in_.fail_at(start, attrs.status().message());
    return attrs;
  }

  template <typename T>
  Status attribute(T& v) {
    if constexpr (std::is_same_v<T, bool>) return boolean(v);
    else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double> || std::is_same_v<T, float> ||
                       std::is_same_v<T, int32_t>)
      return number(v);
    else if constexpr (std::is_same_v<T, std::string>) {
      FOVEA_TRY_SET(v, in_.quoted());
    } else if constexpr (std::is_same_v<T, TensorPtr>) {
      v = nullptr;
      if (in_.take_word("none")) return {};
      FOVEA_TRY_SET(v, tensor());
    } else {
      v.clear();
      return list("[", "]", [&] { return attribute(v.emplace_back()); });
    }
    return {};
  }
  template <typename T>
  Status number(T& v) {
    FOVEA_TRY_SET(v, in_.number_as<T>());
    return {};
  }
  Status boolean(bool& v) {
    v = in_.take_word("true");
    if (!v && !in_.take_word("false")) return in_.fail("expected true or false");
    return {};
  }

  // ---- types of values
  Status type(Value& v, bool is_input) {
    if (in_.take_word("sequence")) v.kind = TypeKind::kSequence;
    else if (in_.take_word("optional")) v.kind = TypeKind::kOptional;
    if (v.kind != TypeKind::kTensor) FOVEA_TRY(in_.expect("<"));
    FOVEA_TRY(dtype(v.dtype));
    v.shaped = is_input;
    if (in_.peek() == '[') {
      v.shaped = true;
      FOVEA_TRY(list("[", "]", [&]() -> Status {
        FOVEA_TRY_SET(Dim d, dim());
        v.shape.push_back(d);
        return {};
      }));
      if (v.shape.size() > kMaxRank) return in_.fail(fmt::format("a rank above {}", kMaxRank));
    }
    if (v.kind != TypeKind::kTensor) FOVEA_TRY(in_.expect(">"));
    if (in_.take("=")) FOVEA_TRY(known(v));
    return extras(v);
  }

  Status dtype(DType& out) {
    const size_t start = in_.at();
    const std::string_view name = in_.word();
    auto type = dtype_from_string(name);
    if (!type) return in_.fail_at(start, fmt::format("there is no element type '{}'", name.substr(0, 40)));
    out = *type;
    return {};
  }

  Status known(Value& v) {
    SymValue elements;
    const size_t start = in_.at();
    FOVEA_TRY(list("{", "}", [&]() -> Status {
      if (in_.take_word("_")) {
        elements.emplace_back();
        return {};
      }
      FOVEA_TRY_SET(Expr e, expr());
      elements.emplace_back(std::move(e));
      return {};
    }));
    if (static_cast<int64_t>(elements.size()) > kMaxSymElements ||
        !product(v.shape).is_const(static_cast<int64_t>(elements.size())))
      return in_.fail_at(start,
                         fmt::format("{} known elements in a value of shape {}", elements.size(), to_string(v.shape)));
    v.known = std::make_shared<const SymValue>(std::move(elements));
    return {};
  }

  // Precision class and storage.
  Status extras(Value& v) {
    if (in_.take_word("shape")) v.precision = PrecisionClass::kShape;
    else if (in_.take_word("coordinate")) v.precision = PrecisionClass::kCoordinate;
    else if (in_.take_word("score")) v.precision = PrecisionClass::kScore;
    if (!in_.take("@")) return {};
    FOVEA_TRY(dtype(v.storage.type));
    if (in_.peek() != '(') return {};
    return list("(", ")", [&]() -> Status {
      const size_t at = in_.at();
      const std::string_view field = in_.word();
      FOVEA_TRY(in_.expect("="));
      if (field == "scale") return attribute(v.storage.scale);
      if (field == "zero_point") return attribute(v.storage.zero_point);
      if (field == "axis") return number(v.storage.axis);
      if (field == "tf32") {
        int tf32 = 0;
        FOVEA_TRY(number(tf32));
        v.storage.tf32 = tf32 != 0;
        return {};
      }
      return in_.fail_at(at, fmt::format("a storage has no '{}'", field.substr(0, 40)));
    });
  }

  // ---- tensors
  Result<TensorPtr> tensor() {
    const size_t start = in_.at();
    DType type = DType::kUndefined;
    FOVEA_TRY(dtype(type));
    Dims dims;
    FOVEA_TRY(list("[", "]", [&]() -> Status {
      FOVEA_TRY_SET(int64_t d, in_.number_as<int64_t>());
      dims.push_back(d);
      return {};
    }));
    auto count = element_count(dims);
    if (!count || dims.size() > kMaxRank) return in_.fail_at(start, "impossible dimensions");
    if (type == DType::kString) return strings(std::move(dims), *count);
    auto bytes = dtype_bytes(type, *count);
    if (!bytes || *bytes > options_.max_constant_bytes - constant_bytes_)
      return in_.fail_at(start, fmt::format("constants of more than {} bytes", options_.max_constant_bytes));
    constant_bytes_ += *bytes;
    if (in_.take_word("digest")) return from_digest(type, dims);
    if (in_.take_word("base64")) return from_base64(type, std::move(dims));
    FOVEA_TRY_SET(auto t, Tensor::allocate(type, std::move(dims)));
    FOVEA_TRY(fill(*t));
    return TensorPtr(std::move(t));
  }

  Result<TensorPtr> strings(Dims dims, int64_t count) {
    std::vector<std::string> values;
    FOVEA_TRY(list("{", "}", [&]() -> Status {
      FOVEA_TRY_SET(std::string s, in_.quoted());
      values.push_back(std::move(s));
      return {};
    }));
    if (static_cast<int64_t>(values.size()) != count)
      return in_.fail(fmt::format("expected {} elements, found {}", count, values.size()));
    return Tensor::strings(std::move(dims), std::move(values));
  }

  Result<TensorPtr> from_digest(DType type, const Dims& dims) {
    const size_t start = in_.at();
    FOVEA_TRY(in_.expect("("));
    const std::string_view hex = in_.word();
    uint64_t value = 0;
    if (std::from_chars(hex.data(), hex.data() + hex.size(), value, 16).ptr != hex.data() + hex.size())
      return in_.fail_at(start, "expected a hexadecimal number");
    FOVEA_TRY(in_.expect(")"));
    TensorPtr t = options_.find_constant ? options_.find_constant(type, dims, value) : nullptr;
    if (!t || t->dtype() != type || t->dims() != dims)
      return in_.fail_at(start, "only the digest of this constant is here, not its elements");
    return t;
  }

  Result<TensorPtr> from_base64(DType type, Dims dims) {
    const size_t start = in_.at();
    FOVEA_TRY(in_.expect("("));
    FOVEA_TRY_SET(std::string text, in_.quoted());
    FOVEA_TRY(in_.expect(")"));
    auto bytes = unbase64(text);
    if (!bytes) return in_.fail_at(start, "not base64");
    auto t = Tensor::copy(type, std::move(dims), *bytes);
    if (!t.ok()) return in_.fail_at(start, t.status().message());
    return t;
  }

  Status fill(Tensor& t) {
    const size_t start = in_.at();
    Status result;
    const bool has_numbers = dispatch_dtype(t.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::span<T> to(reinterpret_cast<T*>(t.mutable_data()), static_cast<size_t>(t.count()));
      if (in_.take_word("splat")) result = splat(to);
      else if (in_.take_word("random")) result = random(to);
      else result = elements(to);
    });
    return has_numbers
               ? result
               : in_.fail_at(start, fmt::format("{} elements can only be written as base64", to_string(t.dtype())));
  }
  template <typename T>
  Status splat(std::span<T> to) {
    FOVEA_TRY(in_.expect("("));
    T v{};
    FOVEA_TRY(element(v));
    std::fill(to.begin(), to.end(), v);
    return in_.expect(")");
  }
  template <typename T>
  Status random(std::span<T> to) {
    FOVEA_TRY(in_.expect("("));
    FOVEA_TRY_SET(uint64_t seed, in_.number_as<uint64_t>());
    Random r(seed);
    for (T& v : to) {
      if constexpr (std::is_same_v<T, bool>) v = r.next() % 2;
      else if constexpr (std::is_integral_v<T>) v = static_cast<T>(r.next() % 10);
      else v = static_cast<T>(r.normal());
    }
    return in_.expect(")");
  }
  template <typename T>
  Status elements(std::span<T> to) {
    size_t i = 0;
    FOVEA_TRY(list("{", "}", [&]() -> Status {
      if (i >= to.size()) return in_.fail(fmt::format("more than {} elements", to.size()));
      return element(to[i++]);
    }));
    if (i != to.size()) return in_.fail(fmt::format("expected {} elements, found {}", to.size(), i));
    return {};
  }
  template <typename T>
  Status element(T& v) {
    if constexpr (std::is_same_v<T, bool>) return boolean(v);
    else if constexpr (std::is_arithmetic_v<T>) return number(v);
    else {
      float f = 0;
      FOVEA_TRY(number(f));
      v = T(f);
    }
    return {};
  }

  Cursor in_;
  OpLookup ops_;
  const ParseOptions& options_;
  Graph* root_ = nullptr;
  std::unordered_map<std::string, SymbolPtr> symbols_;
  int64_t constant_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Graph>> parse(std::string_view text, OpLookup ops, const ParseOptions& options) {
  return GraphParser(text, ops, options).run();
}

}  // namespace fovea::core
