#include "onnx/attributes.h"

namespace fovea::core {
namespace {

using Attribute = onnx::AttributeProto;

// Files older than the field `type` leave it out: then the one field that is set tells.
Attribute::AttributeType type_of(const Attribute& a) {
  if (a.has_type() && a.type() != Attribute::UNDEFINED) return a.type();
  if (a.has_f()) return Attribute::FLOAT;
  if (a.has_i()) return Attribute::INT;
  if (a.has_s()) return Attribute::STRING;
  if (a.has_t()) return Attribute::TENSOR;
  if (a.has_g()) return Attribute::GRAPH;
  if (a.floats_size()) return Attribute::FLOATS;
  if (a.strings_size()) return Attribute::STRINGS;
  return Attribute::INTS;
}

Result<AttrValue> read_attribute(Attribute& a, ExternalData& external, const std::string& label) {
  if (!a.ref_attr_name().empty())
    return invalid_model("attribute '{}' refers to '{}' of a function, but the node stands in no function", a.name(),
                         a.ref_attr_name());
  switch (type_of(a)) {
    case Attribute::FLOAT: return AttrValue(static_cast<double>(a.f()));
    case Attribute::INT: return AttrValue(int64_t{a.i()});
    case Attribute::STRING: return AttrValue(a.s());
    case Attribute::FLOATS: return AttrValue(std::vector<double>(a.floats().begin(), a.floats().end()));
    case Attribute::INTS: return AttrValue(std::vector<int64_t>(a.ints().begin(), a.ints().end()));
    case Attribute::STRINGS: return AttrValue(std::vector<std::string>(a.strings().begin(), a.strings().end()));
    case Attribute::TENSOR: {
      FOVEA_TRY_SET(TensorPtr t,
                    read_tensor(*a.mutable_t(), external, fmt::format("{}: attribute '{}'", label, a.name())));
      return AttrValue(std::move(t));
    }
    case Attribute::SPARSE_TENSOR:
    case Attribute::SPARSE_TENSORS: return unsupported("attribute '{}' is a sparse tensor", a.name());
    default:
      return unsupported("attribute '{}' is of a kind (number {}) that fovea does not read", a.name(),
                         static_cast<int>(a.type()));
  }
}

template <typename T>
TensorPtr vector_tensor(const std::vector<T>& values) {
  return Tensor::of<T>({static_cast<int64_t>(values.size())}, std::span<const T>(values));
}

std::vector<float> floats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

TensorPtr constant_of(const std::string& name, const AttrValue& value) {
  if (auto* t = std::get_if<TensorPtr>(&value); t && name == "value") return *t;
  if (auto* i = std::get_if<int64_t>(&value); i && name == "value_int") return Tensor::scalar(*i);
  if (auto* f = std::get_if<double>(&value); f && name == "value_float") return Tensor::scalar(static_cast<float>(*f));
  if (auto* s = std::get_if<std::string>(&value); s && name == "value_string") return Tensor::strings({}, {*s});
  if (auto* v = std::get_if<std::vector<int64_t>>(&value); v && name == "value_ints") return vector_tensor(*v);
  if (auto* v = std::get_if<std::vector<double>>(&value); v && name == "value_floats") return vector_tensor(floats(*v));
  if (auto* v = std::get_if<std::vector<std::string>>(&value); v && name == "value_strings")
    return Tensor::strings({static_cast<int64_t>(v->size())}, *v);
  return nullptr;
}

}  // namespace

std::string node_label(const onnx::NodeProto& node) {
  const bool named = !node.name().empty();
  return fmt::format("{} '{}'", node.op_type(),
                     named                ? node.name()
                     : node.output_size() ? node.output(0)
                                          : std::string());
}

Status read_attributes(onnx::NodeProto& node, ExternalData& external, AttrMap& to) {
  const std::string label = node_label(node);
  for (Attribute& a : *node.mutable_attribute()) {
    for (const auto& [name, unused] : to)
      if (name == a.name()) return invalid_model("{}: attribute '{}' is given twice", label, name);
    if (type_of(a) == Attribute::GRAPH) continue;
    auto value = read_attribute(a, external, label);
    if (!value.ok()) return value.status().message().starts_with(label) ? value.status() : value.status().in(label);
    to.emplace_back(a.name(), *std::move(value));
  }
  return {};
}

Result<TensorPtr> read_constant(onnx::NodeProto& node, ExternalData& external) {
  AttrMap attributes;
  FOVEA_TRY(read_attributes(node, external, attributes));
  const std::string label = node_label(node);
  if (node.input_size() != 0 || node.output_size() != 1)
    return invalid_model("{}: expected no input and 1 output, found {} and {}", label, node.input_size(),
                         node.output_size());
  if (attributes.size() != 1) return invalid_model("{}: expected 1 attribute, found {}", label, attributes.size());
  TensorPtr tensor = constant_of(attributes[0].first, attributes[0].second);
  if (!tensor)
    return invalid_model("{}: expected an attribute value, value_int(s), value_float(s) or value_string(s), found '{}'",
                         label, attributes[0].first);
  return tensor;
}

}  // namespace fovea::core
