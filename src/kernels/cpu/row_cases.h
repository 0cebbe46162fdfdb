// For the test and the benchmark of all rows: small graphs, one in a line of row_cases*.inc, as ONNX would write them.
//   Conv 2x17x38x38 c:24x17x3x3 c:24 | strides=2,1 pads=1,1,1,1 group=1 | Add Relu
// The operator and its inputs (c: a constant of that shape, i: integers, - absent; bool:, int32: and int64: before a
// shape that is not of float32; few: before one of float32 makes all inputs multiples of 1/4, equal ones among them,
// that no storage rounds), its attributes, and what follows it: Add brings an input of the output's shape, add:24 a
// constant (so do sub, mul, div, max, min); other operators take attributes in brackets, several with semicolons
// between, Clip its bounds: LeakyRelu(alpha=0.1), Clip(0,6). AddConv:24 brings the 1x1 convolution of an input of 24
// channels.
#pragma once

#include <charconv>
#include <random>

#include "ir/infer.h"
#include "kernels/kernel.h"
#include "ops/op.h"

namespace fovea::core::rows {

struct Case {
  std::unique_ptr<Graph> graph;
  const Node* anchor = nullptr;
  int64_t sum_length = 1;  // terms of one output element
  bool few = false;        // inputs are multiples of 1/4
  double flop = 0;         // multiplications and additions, where convolutions and products count them
};

inline constexpr std::string_view kCases[] = {
#define FOVEA_CASE(line) line,
#include "kernels/cpu/row_cases.inc"
#include "kernels/cpu/row_cases_nms.inc"
#undef FOVEA_CASE
};

namespace detail {

inline std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  while (true) {
    size_t end = std::min(text.find(at), text.size());
    parts.emplace_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}
inline std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> kept;
  for (std::string& w : split(text, ' '))
    if (!w.empty()) kept.push_back(std::move(w));
  return kept;
}
inline std::vector<int64_t> numbers(std::string_view text, char at) {
  std::vector<int64_t> values;
  for (const std::string& s : split(text, at))
    if (!s.empty()) values.push_back(std::stoll(s));
  return values;
}

inline AttrValue attribute(const std::string& name, const std::string& text) {
  constexpr std::string_view kLists[] = {"strides", "pads", "dilations",      "kernel_shape",
                                         "axes",    "perm", "output_padding", "output_shape"};
  if (std::ranges::find(kLists, name) != std::end(kLists)) return numbers(text, ',');
  if (name == "clip") return text == "1";
  if (name == "variances" || name == "scales") {
    std::vector<double> factors;
    for (const std::string& s : split(text, ',')) factors.push_back(std::stod(s));
    return factors;
  }
  if (name == "alpha" || name == "beta" || name == "epsilon" || name == "max_log_size" || name.starts_with("clip_") ||
      name.ends_with("_threshold") || name == "soft_sigma")
    return std::stod(text);
  if (std::isalpha(static_cast<unsigned char>(text[0]))) return text;
  return int64_t{std::stoll(text)};
}
inline AttrMap attributes(const std::vector<std::string>& fields) {
  AttrMap map;
  for (const std::string& f : fields)
    if (size_t at = f.find('='); at != std::string::npos)
      map.emplace_back(f.substr(0, at), attribute(f.substr(0, at), f.substr(at + 1)));
  return map;
}

inline TensorPtr random_constant(std::mt19937& rng, Dims dims, float scale) {
  auto t = Tensor::allocate(DType::kFloat32, std::move(dims));
  if (!t.ok()) return nullptr;
  std::normal_distribution<float> normal(0, scale);
  auto* p = reinterpret_cast<float*>((*t)->mutable_data());
  for (int64_t i = 0; i < (*t)->count(); ++i) p[i] = normal(rng);
  return *t;
}

// What an input of a case holds; integers are few, so that equal ones meet.
inline TensorPtr random_input(std::mt19937& rng, const Value& v, bool few) {
  const Dims dims = *constant_shape(v.shape);
  if (v.dtype == DType::kFloat32 && !few) return random_constant(rng, dims, 1);
  auto t = Tensor::allocate(v.dtype, dims);
  if (!t.ok()) return nullptr;
  dispatch_dtype(v.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* p = reinterpret_cast<T*>((*t)->mutable_data());
    for (int64_t i = 0; i < (*t)->count(); ++i) {
      const int number = static_cast<int>(rng() % 17) - 8;
      if constexpr (std::is_same_v<T, bool>) p[i] = number > 0;
      else if constexpr (std::is_floating_point_v<T>) p[i] = static_cast<T>(number) / 4;
      else if constexpr (std::is_integral_v<T>) p[i] = static_cast<T>(number);
    }
  });
  return *t;
}

class Parser {
 public:
  explicit Parser(uint32_t seed) : rng_(seed) { case_.graph = std::make_unique<Graph>("case"); }

  Result<Case> parse(std::string_view line) {
    const std::vector<std::string> parts = split(line, '|');
    std::vector<std::string> head = words(parts[0]);
    std::vector<std::string> fields = parts.size() > 1 ? words(parts[1]) : std::vector<std::string>();
    std::vector<Value*> inputs;
    for (size_t i = 1; i < head.size(); ++i) inputs.push_back(input(head[i], inputs));
    FOVEA_TRY_SET(Value * value, node(head[0], attributes(fields), inputs));
    case_.anchor = value->producer;
    count(*case_.anchor);
    for (const std::string& w : words(parts.size() > 2 ? parts[2] : "")) {
      FOVEA_TRY_SET(value, follow(w, value));
    }
    if (value->producer == case_.anchor) {
      for (Value* v : value->producer->outputs) output(v);
    } else {
      output(value);
    }
    return std::move(case_);
  }

 private:
  Value* input(const std::string& word, const std::vector<Value*>& before) {
    if (word == "-") return nullptr;
    if (word.starts_with("i:")) {
      const Dims values = numbers(word.substr(2), ',');
      return case_.graph->add_constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
    }
    for (const DType type : {DType::kBool, DType::kInt32, DType::kInt64})
      if (const std::string prefix = fmt::format("{}:", to_string(type)); word.starts_with(prefix))
        return fresh(numbers(word.substr(prefix.size()), 'x'), type);
    if (word.starts_with("few:")) {
      case_.few = true;
      return fresh(numbers(word.substr(4), 'x'));
    }
    if (!word.starts_with("c:")) return fresh(numbers(word, 'x'));
    Dims dims = numbers(word.substr(2), 'x');
    int64_t terms = 1;  // weights are scaled so that outputs are of size 1
    if (before.size() == 1)
      for (size_t i = 1; i < dims.size(); ++i) terms *= dims[i];
    return case_.graph->add_constant(random_constant(rng_, std::move(dims), 1 / std::sqrt(static_cast<float>(terms))));
  }

  Value* fresh(const Dims& dims, DType type = DType::kFloat32) {
    return case_.graph->add_input(fmt::format("x{}", case_.graph->inputs.size()), type,
                                  Shape(dims.begin(), dims.end()));
  }
  void output(Value* v) {
    if (!v) return;
    case_.graph->output_names.push_back(fmt::format("y{}", case_.graph->outputs.size()));
    case_.graph->outputs.push_back(v);
  }

  Result<Value*> node(const std::string& op_type, AttrMap map, const std::vector<Value*>& inputs) {
    const OpDef* def = find_onnx_op("", op_type);
    if (!def) return canonical(op_type, map, inputs);
    OnnxNode onnx;
    onnx.op_type = op_type, onnx.opset = 21, onnx.attributes = std::move(map), onnx.inputs = inputs,
    onnx.outputs = std::vector<std::string>(parts_of(op_type, onnx.attributes, inputs), "y");
    ImportContext context(*case_.graph, onnx, *def);
    FOVEA_TRY(def->import(context));
    FOVEA_TRY(context.deferred());
    return context.results()[0];
  }

  static size_t parts_of(const std::string& op_type, const AttrMap& map, const std::vector<Value*>& inputs) {
    if (op_type != "Split") return 1;
    if (inputs.size() > 1) return static_cast<size_t>(inputs[1]->constant->count());
    for (const auto& [name, value] : map)
      if (name == "num_outputs") return static_cast<size_t>(std::get<int64_t>(value));
    return 1;
  }

  // An operator that ONNX has not.
  Result<Value*> canonical(const std::string& name, const AttrMap& map, const std::vector<Value*>& inputs) {
    const OpInfo* op = find_op(name);
    if (!op) return internal_error("no operator reads ONNX's {}, nor is it one of fovea's own", name);
    FOVEA_TRY_SET(AttrsPtr attrs, op->attrs.from_map(map));
    Node* n = case_.graph->add_node(op, std::move(attrs), inputs, op->max_outputs);
    FOVEA_TRY(infer_node(*case_.graph, *n));
    return n->output();
  }

  Result<Value*> follow(const std::string& word, Value* value) {
    const size_t open = word.find('(');
    const std::string name = word.substr(0, open);
    const std::string inside = open == std::string::npos ? "" : word.substr(open + 1, word.size() - open - 2);
    if (name == "Add") return node("Add", {}, {value, fresh(*constant_shape(value->shape))});
    if (name.starts_with("AddConv:")) return add_conv(std::stoll(name.substr(8)), value);
    for (const char* op : {"Add", "Sub", "Mul", "Div", "Max", "Min"})
      if (name.size() >= 4 && name[3] == ':' && name.substr(1, 2) == std::string_view(op).substr(1) &&
          (name[0] ^ 0x20) == op[0])
        return node(op, {}, {value, input("c:" + name.substr(4), {})});
    if (name != "Clip") return node(name, attributes(split(inside, ';')), {value});
    std::vector<Value*> bounds = {value};
    for (const std::string& b : split(inside, ','))
      bounds.push_back(b.empty() ? nullptr : case_.graph->add_constant(Tensor::scalar(std::stof(b))));
    return node("Clip", {}, bounds);
  }

  Result<Value*> add_conv(int64_t channels, Value* value) {
    const Dims y = *constant_shape(value->shape);
    Value* x = fresh({y[0], channels, y[2], y[3]});
    Value* w = input(fmt::format("c:{}x{}x1x1", y[1], channels), {x});
    FOVEA_TRY_SET(Value * other, node("Conv", {}, {x, w, input(fmt::format("c:{}", y[1]), {})}));
    const int64_t terms = case_.sum_length;
    const double flop = case_.flop;
    count(*other->producer);
    case_.sum_length += terms, case_.flop += flop;
    return node("Add", {}, {value, other});
  }

  void count(const Node& n) {
    const auto y = constant_shape(n.output()->shape), x = constant_shape(n.input(0)->shape);
    const Value* w = n.input(1);
    if (!w || w->dtype != DType::kFloat32) {
      case_.sum_length = std::max<int64_t>(1, *element_count(*x) / std::max<int64_t>(1, *element_count(*y)));
      return;
    }
    const auto dims = constant_shape(w->shape);
    int64_t terms = 1;
    if (n.is("Conv") || n.is("ConvTranspose"))
      for (size_t i = 1; i < dims->size(); ++i) terms *= (*dims)[i];
    else terms = n.is("Gemm") ? *element_count(*x) / std::max<int64_t>(1, (*y)[0]) : x->back();
    case_.sum_length = std::max<int64_t>(1, terms);
    case_.flop =
        2.0 * static_cast<double>(terms) * static_cast<double>(*element_count(n.is("ConvTranspose") ? *x : *y));
  }

  std::mt19937 rng_;
  Case case_;
};

}  // namespace detail

inline Result<Case> parse_case(std::string_view line, uint32_t seed) { return detail::Parser(seed).parse(line); }

}  // namespace fovea::core::rows
