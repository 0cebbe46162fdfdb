#include <xxhash.h>

#include <cstring>
#include <unordered_map>

#include "engine/engine.h"
#include "engine/engine_generated.h"
#include "engine/format.h"

namespace fovea::core {
namespace {

using flatbuffers::Offset;
using flatbuffers::Vector;
using Strings = Vector<Offset<flatbuffers::String>>;

class Writer {
 public:
  explicit Writer(const EngineData& data) : data_(data) {}

  Status write(const std::string& path) {
    FOVEA_TRY(build());
    EngineHeader header{};
    std::memcpy(header.magic, kEngineMagic, sizeof kEngineMagic);
    header.format = kEngineFormat, header.header_size = sizeof header;
    header.structure_size = b_.GetSize();
    header.structure_hash = XXH3_64bits(b_.GetBufferPointer(), b_.GetSize());
    header.weights_offset = (sizeof header + header.structure_size + 63) / 64 * 64;
    header.weights_size = weights_size_;

    FOVEA_TRY_SET(auto out, FileWriter::create(path));
    const std::string padding(header.weights_offset - sizeof header - header.structure_size, '\0');
    header.weights_hash = hash_weights();
    header.header_hash = XXH3_64bits(&header, offsetof(EngineHeader, header_hash));
    FOVEA_TRY(out->write(std::as_bytes(std::span(&header, 1))));
    FOVEA_TRY(out->write(std::as_bytes(std::span(b_.GetBufferPointer(), b_.GetSize()))));
    FOVEA_TRY(out->write(padding));
    Status bad;
    each_piece([&](Bytes piece) {
      if (bad.ok()) bad = out->write(piece);
    });
    FOVEA_TRY(bad);
    return out->commit();
  }

 private:
  // ---- weights: the bytes of each tensor, padded to 64
  template <typename F>
  void each_piece(F&& f) const {
    static constexpr std::byte kZeros[64] = {};
    for (const TensorPtr& t : tensors_) {
      f(t->bytes());
      f(Bytes(kZeros, (64 - t->bytes().size() % 64) % 64));
    }
  }
  uint64_t hash_weights() const {
    std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
    XXH3_64bits_reset(state.get());
    each_piece([&](Bytes piece) { XXH3_64bits_update(state.get(), piece.data(), piece.size()); });
    return XXH3_64bits_digest(state.get());
  }

  int tensor(const TensorPtr& t) {
    auto [it, fresh] = tensor_index_.try_emplace(t.get(), static_cast<int>(tensors_.size()));
    if (fresh) {
      tensors_.push_back(t);
      tensor_tables_.push_back(fbs::CreateTensor(b_, static_cast<uint8_t>(t->dtype()), b_.CreateVector(t->dims()),
                                                 weights_size_, t->bytes().size()));
      weights_size_ += (t->bytes().size() + 63) / 64 * 64;
    }
    return it->second;
  }

  // ---- structure
  Offset<Strings> strings(const std::vector<std::string>& list) { return b_.CreateVectorOfStrings(list); }

  Offset<fbs::Attr> attr(const std::string& name, const AttrValue& value) {
    auto key = b_.CreateString(name);
    Offset<flatbuffers::String> s = 0;
    Offset<Vector<int64_t>> ints = 0;
    Offset<Vector<double>> floats = 0;
    Offset<Strings> list = 0;
    int constant = -1;
    if (auto* v = std::get_if<std::string>(&value)) s = b_.CreateString(*v);
    else if (auto* vi = std::get_if<std::vector<int64_t>>(&value)) ints = b_.CreateVector(*vi);
    else if (auto* vd = std::get_if<std::vector<double>>(&value)) floats = b_.CreateVector(*vd);
    else if (auto* vs = std::get_if<std::vector<std::string>>(&value)) list = strings(*vs);
    else if (auto* vt = std::get_if<TensorPtr>(&value); vt && *vt) constant = tensor(*vt);
    fbs::AttrBuilder a(b_);
    a.add_name(key);
    a.add_kind(static_cast<uint8_t>(value.index()));
    if (auto* i = std::get_if<int64_t>(&value)) a.add_i(*i);
    if (auto* flag = std::get_if<bool>(&value)) a.add_i(*flag);
    if (auto* f = std::get_if<double>(&value)) a.add_f(*f);
    a.add_s(s), a.add_ints(ints), a.add_floats(floats), a.add_strings(list), a.add_tensor(constant);
    return a.Finish();
  }

  Offset<fbs::Value> value(const Value& v) {
    std::vector<std::string> shape;
    if (v.graph_input)
      for (const Dim& d : v.shape) shape.push_back(d.str());
    auto name = b_.CreateString(v.name);
    auto dims = strings(shape);
    Offset<fbs::Storage> storage = 0;
    if (v.storage.type != DType::kUndefined)
      storage = fbs::CreateStorage(b_, static_cast<uint8_t>(v.storage.type), b_.CreateVector(v.storage.scale),
                                   b_.CreateVector(v.storage.zero_point), v.storage.axis, v.storage.tf32);
    return fbs::CreateValue(b_, name, static_cast<uint8_t>(v.dtype), dims, v.constant ? tensor(v.constant) : -1,
                            static_cast<uint8_t>(v.precision), storage);
  }

  Offset<fbs::Graph> graph(const Graph& g) {
    std::unordered_map<const Value*, int> index;
    std::vector<Offset<fbs::Value>> values;
    auto add = [&](const Value* v) {
      if (!v) return -1;
      auto [it, fresh] = index.try_emplace(v, static_cast<int>(values.size()));
      if (fresh) values.push_back(value(*v));
      return it->second;
    };
    std::vector<int> inputs, outputs;
    for (const Value* v : g.inputs) inputs.push_back(add(v));
    std::vector<Offset<fbs::Node>> nodes;
    for (const auto& n : g.nodes()) nodes.push_back(node(*n, add));
    for (const Value* v : g.outputs) outputs.push_back(add(v));
    auto name = b_.CreateString(g.name);
    auto values_v = b_.CreateVector(values);
    auto inputs_v = b_.CreateVector(inputs), outputs_v = b_.CreateVector(outputs);
    auto names = strings(g.output_names);
    auto nodes_v = b_.CreateVector(nodes);
    return fbs::CreateGraph(b_, name, values_v, inputs_v, outputs_v, names, nodes_v);
  }

  template <typename Add>
  Offset<fbs::Node> node(const Node& n, Add&& add) {
    std::vector<int> inputs, outputs;
    for (const Value* v : n.inputs) inputs.push_back(add(v));
    for (const Value* v : n.outputs) outputs.push_back(add(v));
    std::vector<Offset<fbs::Attr>> attrs;
    if (n.op->attrs.to_map)
      for (const auto& [key, v] : n.op->attrs.to_map(n.attrs.get())) attrs.push_back(attr(key, v));
    std::vector<Offset<fbs::SizeDefinition>> sizes;
    for (const SizeDefinition& d : n.sizes)
      sizes.push_back(fbs::CreateSizeDefinition(b_, b_.CreateString(d.symbol->name), d.output, d.dim,
                                                b_.CreateString(d.bound.str())));
    std::vector<Offset<fbs::Graph>> regions;
    for (const auto& r : n.regions) regions.push_back(graph(*r));
    auto op = b_.CreateString(std::string(n.op->name));
    auto attrs_v = b_.CreateVector(attrs);
    auto inputs_v = b_.CreateVector(inputs), outputs_v = b_.CreateVector(outputs);
    auto sizes_v = b_.CreateVector(sizes);
    auto origin = strings(n.origin);
    auto regions_v = b_.CreateVector(regions);
    return fbs::CreateNode(b_, op, attrs_v, inputs_v, outputs_v, n.own_inputs, sizes_v, origin, regions_v);
  }

  Offset<Vector<Offset<fbs::Symbol>>> symbols(const Graph* g) {
    std::vector<Offset<fbs::Symbol>> list;
    if (g)
      for (const SymbolPtr& s : g->symbols())
        list.push_back(fbs::CreateSymbol(b_, b_.CreateString(s->name), s->lo, s->hi, s->data_dependent));
    return b_.CreateVector(list);
  }

  Offset<fbs::Target> target(const EngineTarget& t) {
    std::vector<Offset<fbs::Recipe>> recipes;
    for (const Recipe& r : t.recipes) {
      std::vector<Offset<fbs::Size>> profile;
      for (const auto& [name, size] : r.profile) profile.push_back(fbs::CreateSize(b_, b_.CreateString(name), size));
      std::vector<Offset<fbs::RecipeGroup>> groups;
      for (const RecipeGroup& g : r.groups) {
        auto codes = [&](const std::vector<Format>& formats) {
          std::vector<uint16_t> list;
          for (const Format& f : formats) list.push_back(format_code(f));
          return b_.CreateVector(list);
        };
        auto nodes = b_.CreateVector(g.nodes);
        auto kernel = b_.CreateString(g.kernel);
        auto in = codes(g.formats.inputs), out = codes(g.formats.outputs);
        const auto variant = b_.CreateString(g.variant);
        groups.push_back(fbs::CreateRecipeGroup(b_, nodes, kernel, g.revision, g.ms, in, out, variant));
      }
      auto profile_v = b_.CreateVector(profile);
      auto groups_v = b_.CreateVector(groups);
      recipes.push_back(fbs::CreateRecipe(b_, profile_v, groups_v));
    }
    auto build = b_.CreateString(t.build), libraries = b_.CreateString(t.libraries), device = b_.CreateString(t.device),
         features = b_.CreateString(t.features);
    auto recipes_v = b_.CreateVector(recipes);
    Offset<fbs::Limits> limits = 0;
    if (const Limits& l = t.limits; l != Limits())
      limits = fbs::CreateLimits(b_, l.bytes_per_second, l.flops_fp32, l.flops_tf32, l.flops_fp16);
    return fbs::CreateTarget(b_, build, libraries, device, features, t.threads, recipes_v, limits);
  }

  Status build() {
    for (const auto& v : data_.graph->values())
      if (v->constant && v->constant->dtype() == DType::kString)
        return unsupported("constant '{}': strings cannot be written to an engine", v->name);
    auto version = b_.CreateString(data_.fovea_version), hash = b_.CreateString(data_.git_hash),
         name = b_.CreateString(data_.source_name);
    auto card = b_.CreateString(data_.card), report = b_.CreateString(data_.report);
    auto symbols_v = symbols(data_.graph.get());
    auto graph_v = graph(*data_.graph);
    auto preprocess_symbols = symbols(data_.preprocess.get());
    Offset<fbs::Graph> preprocess = 0;
    if (data_.preprocess) preprocess = graph(*data_.preprocess);
    std::vector<Offset<fbs::Target>> targets;
    for (const EngineTarget& t : data_.targets) targets.push_back(target(t));
    auto targets_v = b_.CreateVector(targets);
    auto tensors_v = b_.CreateVector(tensor_tables_);
    b_.Finish(fbs::CreateEngine(b_, version, hash, name, data_.source_hash, card, symbols_v, tensors_v, graph_v,
                                preprocess_symbols, preprocess, targets_v, report));
    return {};
  }

  const EngineData& data_;
  flatbuffers::FlatBufferBuilder b_{1 << 20};
  std::vector<TensorPtr> tensors_;
  std::vector<Offset<fbs::Tensor>> tensor_tables_;
  std::unordered_map<const Tensor*, int> tensor_index_;
  uint64_t weights_size_ = 0;
};

}  // namespace

Status write_engine(const std::string& path, const EngineData& data) { return Writer(data).write(path); }

}  // namespace fovea::core
