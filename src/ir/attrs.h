// Attributes of an operator: one plain struct an operator, with one list of its fields. The reader, the verifier, the
// text form, the engine file and the kernels all share it.
//
//   struct ConvAttrs {
//     std::vector<int64_t> strides;
//     int64_t group = 1;
//     static void fields(auto& self, auto&& field) { field("strides", self.strides); field("group", self.group); }
//   };
//
// Field types: int64_t, bool, double, std::string, DType, vectors of int64_t, double and std::string, TensorPtr, and
// enums with a name table found by argument-dependent lookup: `std::span<const std::string_view> enum_names(MyEnum)`
// whose index is the enum's value (0, 1, ...).
#pragma once

#include <memory>
#include <string>
#include <typeindex>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "ir/tensor.h"

namespace fovea::core {

using AttrValue = std::variant<int64_t, bool, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>, TensorPtr>;
using AttrMap = std::vector<std::pair<std::string, AttrValue>>;  // in the order of the declaration

class AttrsBase {
 public:
  virtual ~AttrsBase() = default;
  virtual const void* get(std::type_index type) const = 0;
};
using AttrsPtr = std::shared_ptr<const AttrsBase>;  // null: the operator has no attributes

template <typename T>
class AttrsHolder final : public AttrsBase {
 public:
  explicit AttrsHolder(T value) : value_(std::move(value)) {}
  const void* get(std::type_index type) const override { return type == typeid(T) ? &value_ : nullptr; }

 private:
  T value_;
};

template <typename T>
AttrsPtr make_attrs(T value) {
  return std::make_shared<AttrsHolder<T>>(std::move(value));
}

namespace attrs_detail {

template <typename T>
AttrValue encode(const T& v) {
  if constexpr (std::is_same_v<T, DType>) return std::string(to_string(v));
  else if constexpr (std::is_enum_v<T>) return std::string(enum_names(v)[static_cast<size_t>(v)]);
  else return v;
}

template <typename T>
bool decode(const AttrValue& from, T& to) {
  if constexpr (std::is_same_v<T, DType>) {
    auto* s = std::get_if<std::string>(&from);
    auto t = s ? dtype_from_string(*s) : std::nullopt;
    if (t) to = *t;
    return t.has_value();
  } else if constexpr (std::is_enum_v<T>) {
    auto* s = std::get_if<std::string>(&from);
    auto names = enum_names(to);
    for (size_t i = 0; s && i < names.size(); ++i) {
      if (names[i] != *s) continue;
      to = static_cast<T>(i);
      return true;
    }
    return false;
  } else {
    auto* v = std::get_if<T>(&from);
    if (v) to = *v;
    return v != nullptr;
  }
}

}  // namespace attrs_detail

// How a table row converts an operator's struct; made by attrs_codec<T>().
struct AttrsCodec {
  AttrMap (*to_map)(const AttrsBase* attrs) = nullptr;  // null: the operator has no attributes
  Result<AttrsPtr> (*from_map)(const AttrMap& map) =
      nullptr;  // missing fields keep their defaults, unknown ones are errors
};

template <typename T>
constexpr AttrsCodec attrs_codec() {
  AttrsCodec codec;
  codec.to_map = [](const AttrsBase* attrs) {
    AttrMap map;
    if (const auto* v = attrs ? static_cast<const T*>(attrs->get(typeid(T))) : nullptr)
      T::fields(*v, [&](const char* name, const auto& value) { map.emplace_back(name, attrs_detail::encode(value)); });
    return map;
  };
  codec.from_map = [](const AttrMap& map) -> Result<AttrsPtr> {
    T value;
    size_t used = 0;
    Status bad;
    T::fields(value, [&](const char* name, auto& to) {
      for (const auto& [key, from] : map) {
        if (key != name) continue;
        ++used;
        if (!attrs_detail::decode(from, to)) bad = invalid_model("attribute '{}' has a value of the wrong type", name);
      }
    });
    if (!bad.ok()) return bad;
    if (used != map.size()) return invalid_model("unknown attribute among {} given", map.size());
    return make_attrs(std::move(value));
  };
  return codec;
}

}  // namespace fovea::core
