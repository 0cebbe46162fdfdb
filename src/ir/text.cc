#include "ir/text.h"

#include <xxhash.h>

#include <cctype>
#include <cstring>

namespace fovea::core {
namespace text_detail {

std::string quoted(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (c == '\n') out += "\\n";
    else if (u < 0x20 || u == 0x7f) out += fmt::format("\\x{:02x}", u);
    else out += c;
  }
  return out + "\"";
}

bool bare_name(std::string_view name) {
  if (name.empty()) return false;
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && !std::strchr("_./-$", c)) return false;
  return true;
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve(bytes.size() / 3 * 4 + 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < n ? static_cast<uint32_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

namespace {

// Shortest text that reads back as the same number, and as a floating one.
template <typename T>
std::string float_text(T v) {
  std::string s = fmt::format("{}", v);
  if (s.find_first_not_of("-0123456789") == std::string::npos) s += ".0";
  return s;
}

// The elements as numbers, or nullopt where numbers cannot say them: NaNs with a payload, types C++ has no numbers for.
std::optional<std::string> elements_text(const Tensor& t) {
  std::string out;
  auto add = [&](const std::string& s) { out += (out.empty() ? "" : ", ") + s; };
  if (t.dtype() == DType::kString) {
    for (const std::string& s : t.string_values()) add(quoted(s));
    return out;
  }
  bool exact = true;
  const bool has_type = dispatch_dtype(t.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (const T& v : t.as<T>()) {
      if constexpr (std::is_same_v<T, bool>) add(v ? "true" : "false");
      else if constexpr (std::is_integral_v<T>) add(std::to_string(v));
      else if constexpr (std::is_floating_point_v<T>) add(float_text(v)), exact &= !std::isnan(v);
      else add(float_text(static_cast<float>(v))), exact &= !std::isnan(static_cast<float>(v));
    }
  });
  return has_type && exact ? std::optional(out) : std::nullopt;
}

bool all_equal(const Tensor& t) {
  const auto bytes = t.bytes();
  if (dtype_bits(t.dtype()) % 8 != 0 || bytes.empty()) return false;
  const size_t size = static_cast<size_t>(dtype_bits(t.dtype())) / 8;
  return bytes.size() <= size || std::memcmp(bytes.data(), bytes.data() + size, bytes.size() - size) == 0;
}

std::string type_text(DType type, const Dims& dims) {
  std::string s = std::string(to_string(type)) + "[";
  for (size_t i = 0; i < dims.size(); ++i) s += (i ? "," : "") + std::to_string(dims[i]);
  return s + "]";
}

std::string tensor_text(const Tensor& t, bool full, int64_t inline_elements) {
  std::string head = type_text(t.dtype(), t.dims()) + " ";
  if (t.count() <= inline_elements || t.dtype() == DType::kString)
    if (auto text = elements_text(t)) return head + "{" + *text + "}";
  if (all_equal(t))
    if (auto one = Tensor::copy(t.dtype(), {}, t.bytes().first(static_cast<size_t>(dtype_bits(t.dtype())) / 8));
        one.ok())
      if (auto text = elements_text(**one)) return head + "splat(" + *text + ")";
  if (full || t.count() <= inline_elements) return head + "base64(\"" + base64(t.bytes()) + "\")";
  return head + fmt::format("digest({:016x})", digest(t));
}

}  // namespace

std::string attr_text(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        auto list = [&](auto&& element) {
          std::string s = "[";
          if constexpr (!std::is_same_v<T, TensorPtr> && !std::is_arithmetic_v<T> && !std::is_same_v<T, std::string>)
            for (const auto& e : v) s += (s.size() > 1 ? ", " : "") + element(e);
          return s + "]";
        };
        if constexpr (std::is_same_v<T, bool>) return v ? "true" : "false";
        else if constexpr (std::is_same_v<T, int64_t>) return std::to_string(v);
        else if constexpr (std::is_same_v<T, double>) return float_text(v);
        else if constexpr (std::is_same_v<T, std::string>) return quoted(v);
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
          return list([](int64_t e) { return std::to_string(e); });
        else if constexpr (std::is_same_v<T, std::vector<double>>) return list([](double e) { return float_text(e); });
        else if constexpr (std::is_same_v<T, std::vector<std::string>>)
          return list([](const std::string& e) { return quoted(e); });
        else return v ? tensor_text(*v, true, 64) : "none";
      },
      value);
}

}  // namespace text_detail

uint64_t digest(const Tensor& t) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  auto add = [&](const void* p, size_t n) { XXH3_64bits_update(state, p, n); };
  const auto type = static_cast<uint64_t>(t.dtype()), rank = static_cast<uint64_t>(t.dims().size());
  add(&type, sizeof type), add(&rank, sizeof rank);
  add(t.dims().data(), t.dims().size() * sizeof(int64_t));
  for (const std::string& s : t.string_values()) {
    const uint64_t size = s.size();
    add(&size, sizeof size), add(s.data(), s.size());
  }
  if (!t.bytes().empty()) add(t.bytes().data(), t.bytes().size());
  const uint64_t h = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return h;
}

namespace {

using namespace text_detail;

constexpr std::string_view kPrecisionNames[] = {"feature", "shape", "coordinate", "score"};

std::string name_text(char sigil, std::string_view name) {
  return sigil + (bare_name(name) ? std::string(name) : quoted(name));
}
std::string ref(const Value* v) { return v ? name_text('%', v->name) : "_"; }

class Printer {
 public:
  explicit Printer(const PrintOptions& options) : options_(options) {}

  void symbols(const Graph& graph) {
    if (graph.symbols().empty()) return;
    std::string s;
    for (const SymbolPtr& symbol : graph.symbols()) {
      s += s.empty() ? "symbols(" : ", ";
      s += fmt::format("{} in [{},{}]{}", symbol->name, symbol->lo, symbol->hi, symbol->data_dependent ? " data" : "");
    }
    line(s + ")");
  }

  void graph(const Graph& g, std::string_view keyword) {
    std::string head = fmt::format("{} {}(", keyword, name_text('@', g.name));
    for (size_t i = 0; i < g.inputs.size(); ++i) head += (i ? ", " : "") + ref(g.inputs[i]) + ": " + type(*g.inputs[i]);
    head += ") -> (";
    for (size_t i = 0; i < g.outputs.size(); ++i) {
      head += i ? ", " : "";
      if (i < g.output_names.size())
        head += (bare_name(g.output_names[i]) ? g.output_names[i] : quoted(g.output_names[i])) + " = ";
      head += ref(g.outputs[i]);
    }
    line(head + ") {");
    ++depth_;
    constants(g);
    for (const auto& n : g.nodes()) {
      line(node(*n));
      ++depth_;
      for (const auto& region : n->regions) graph(*region, "region");
      --depth_;
    }
    --depth_;
    line("}");
  }

  std::string node(const Node& n) const {
    std::string s, types, defines;
    for (const Value* v : n.outputs) s += (s.empty() ? "" : ", ") + ref(v);
    s += fmt::format(" = {}(", n.op->name);
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (static_cast<int>(i) == n.own_inputs) s += "; ";
      else if (i) s += ", ";
      s += ref(n.inputs[i]);
    }
    if (n.own_inputs == static_cast<int>(n.inputs.size())) s += ";";
    s += ")" + attributes(n);
    for (const Value* v : n.outputs) types += (types.empty() ? "" : ", ") + (v ? type(*v) : "_");
    s += " : " + types;
    for (const SizeDefinition& d : n.sizes) {
      defines += defines.empty() ? " defines(" : ", ";
      defines += fmt::format("{} = {}[{}] <= {}", d.symbol->name, ref(n.output(static_cast<size_t>(d.output))), d.dim,
                             d.bound.str());
    }
    s += defines + (defines.empty() ? "" : ")");
    for (size_t i = 0; options_.origin && i < n.origin.size(); ++i) s += (i ? ", " : " from ") + quoted(n.origin[i]);
    return s;
  }

  std::string take() { return std::move(out_); }

 private:
  void line(const std::string& s) { out_ += std::string(static_cast<size_t>(depth_) * 2, ' ') + s + "\n"; }

  // Constants in the order of their first use: `values()` has none.
  void constants(const Graph& g) {
    std::vector<const Value*> order;
    std::unordered_map<const Value*, bool> seen;
    auto visit = [&](const Value* v) {
      if (v && v->is_constant() && seen.try_emplace(v, true).second) order.push_back(v);
    };
    for (const auto& n : g.nodes())
      for (const Value* v : n->inputs) visit(v);
    for (const Value* v : g.outputs) visit(v);
    for (const auto& v : g.values()) visit(v.get());
    for (const Value* v : order)
      line(ref(v) + " = constant " + tensor_text(*v->constant, options_.full, options_.inline_elements) + extras(*v));
  }

  std::string attributes(const Node& n) const {
    const AttrsCodec& codec = n.op->attrs;
    if (!codec.to_map || !n.attrs) return "";
    auto base = codec.from_map({});
    const AttrMap defaults = base.ok() ? codec.to_map(base->get()) : AttrMap();
    std::string s;
    const AttrMap map = codec.to_map(n.attrs.get());
    for (size_t i = 0; i < map.size(); ++i) {
      std::string text = attr_text(map[i].second);
      if (i < defaults.size() && text == attr_text(defaults[i].second)) continue;
      s += (s.empty() ? " {" : ", ") + map[i].first + "=" + text;
    }
    return s.empty() ? s : s + "}";
  }

  std::string type(const Value& v) const {
    std::string s(to_string(v.dtype));
    if (v.shaped) s += to_string(v.shape);
    if (v.kind != TypeKind::kTensor)
      s = fmt::format("{}<{}>", v.kind == TypeKind::kSequence ? "sequence" : "optional", s);
    if (options_.known && v.known) {
      s += " = {";
      for (size_t i = 0; i < v.known->size(); ++i) s += (i ? ", " : "") + ((*v.known)[i] ? (*v.known)[i]->str() : "_");
      s += "}";
    }
    return s + extras(v);
  }

  static std::string extras(const Value& v) {
    std::string s;
    if (v.precision != PrecisionClass::kFeature)
      s += fmt::format(" {}", kPrecisionNames[static_cast<size_t>(v.precision)]);
    if (v.storage.type == DType::kUndefined) return s;
    std::string fields;
    auto add = [&](const std::string& f) { fields += (fields.empty() ? "" : ", ") + f; };
    if (!v.storage.scale.empty()) {
      std::string list;
      for (float f : v.storage.scale) list += (list.empty() ? "" : ", ") + float_text(f);
      add("scale=[" + list + "]");
    }
    if (!v.storage.zero_point.empty()) add(fmt::format("zero_point=[{}]", fmt::join(v.storage.zero_point, ", ")));
    if (v.storage.axis != -1) add(fmt::format("axis={}", v.storage.axis));
    if (v.storage.tf32) add("tf32=1");
    return s + fmt::format(" @{}", to_string(v.storage.type)) + (fields.empty() ? "" : "(" + fields + ")");
  }

  const PrintOptions& options_;
  std::string out_;
  int depth_ = 0;
};

}  // namespace

std::string print(const Graph& graph, const PrintOptions& options) {
  Printer p(options);
  p.symbols(graph);
  p.graph(graph, "graph");
  return p.take();
}

std::string print(const Node& node, const PrintOptions& options) { return Printer(options).node(node); }

}  // namespace fovea::core
