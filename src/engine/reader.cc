#include <xxhash.h>

#include <cmath>
#include <cstring>

#include "engine/engine.h"
#include "engine/engine_generated.h"
#include "engine/format.h"
#include "ir/infer.h"
#include "ir/verify.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

template <typename V>
size_t length(const V* v) {
  return v ? v->size() : 0;
}
std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }
std::vector<std::string> texts(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* v) {
  std::vector<std::string> out;
  for (unsigned i = 0; i < length(v); ++i) out.push_back(text(v->Get(i)));
  return out;
}
// By bytes: the verifier does not hold a vector's elements to their alignment. Little-endian, as all that fovea runs
// on.
template <typename T>
std::vector<T> numbers(const flatbuffers::Vector<T>* v) {
  std::vector<T> out(length(v));
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(T));
  return out;
}

class Reader {
 public:
  Reader(const std::string& path, std::shared_ptr<const MappedFile> file) : path_(path), file_(std::move(file)) {}

  Result<EngineData> read() {
    FOVEA_TRY(header());
    const Bytes all = file_->bytes();
    const auto* structure = reinterpret_cast<const uint8_t*>(all.data() + sizeof(EngineHeader));
    flatbuffers::Verifier verifier(structure, h_.structure_size, /*max_depth=*/64, /*max_tables=*/4'000'000);
    if (!fbs::VerifyEngineBuffer(verifier)) return bad("its structure section is malformed");
    const fbs::Engine* e = fbs::GetEngine(structure);
    weights_ = all.subspan(h_.weights_offset, h_.weights_size);
    FOVEA_TRY(tensors(e));
    EngineData data;
    data.fovea_version = text(e->fovea_version()), data.git_hash = text(e->git_hash());
    data.source_name = text(e->source_name()), data.source_hash = e->source_hash();
    data.card = text(e->card()), data.report = text(e->report());
    data.file = file_;
    FOVEA_TRY_SET(data.graph, whole_graph(e->graph(), e->symbols()));
    if (e->preprocess()) {
      FOVEA_TRY_SET(data.preprocess, whole_graph(e->preprocess(), e->preprocess_symbols()));
    }
    for (unsigned i = 0; i < length(e->targets()); ++i) {
      FOVEA_TRY_SET(EngineTarget t, target(*e->targets()->Get(i)));
      data.targets.push_back(std::move(t));
    }
    return data;
  }

  Status header() {
    const Bytes all = file_->bytes();
    if (all.size() < sizeof(EngineHeader))
      return bad(fmt::format("expected at least {} bytes, found {}", sizeof(EngineHeader), all.size()));
    std::memcpy(&h_, all.data(), sizeof h_);
    if (std::memcmp(h_.magic, kEngineMagic, sizeof kEngineMagic) != 0)
      return bad("it does not begin with the signature of a .fov file");
    if (h_.format > kEngineFormat)
      return invalid_model(
          "{}: engine format {}, this fovea reads up to {}: use a newer fovea, or compile the model again", path_,
          h_.format, kEngineFormat);
    if (h_.header_hash != XXH3_64bits(all.data(), offsetof(EngineHeader, header_hash)))
      return bad("the checksum of its header does not match");
    const uint64_t size = all.size();
    if (h_.header_size != sizeof h_ || h_.structure_size > size - sizeof h_ || h_.weights_offset % 64 ||
        h_.weights_offset < sizeof h_ + h_.structure_size || h_.weights_offset > size ||
        h_.weights_size != size - h_.weights_offset)
      return bad(fmt::format("its sections do not fit into its {} bytes: truncated?", size));
    if (XXH3_64bits(all.data() + sizeof h_, h_.structure_size) != h_.structure_hash)
      return bad("the checksum of its structure does not match");
    for (size_t i = sizeof h_ + h_.structure_size; i < h_.weights_offset; ++i)
      if (all[i] != std::byte{0}) return bad("its padding is not empty");
    if (XXH3_64bits(all.data() + h_.weights_offset, h_.weights_size) != h_.weights_hash)
      return bad("the checksum of its weights does not match");
    file_->release_pages();
    return {};
  }
  const EngineHeader& fields() const { return h_; }

 private:
  Status bad(std::string_view what) const { return invalid_model("{}: not a usable .fov engine: {}", path_, what); }

  Status tensors(const fbs::Engine* e) {
    for (unsigned i = 0; i < length(e->tensors()); ++i) {
      const fbs::Tensor* t = e->tensors()->Get(i);
      auto type = dtype_from_onnx(t->dtype());
      if (!type || *type == DType::kString) return bad(fmt::format("tensor {} has an unknown type", i));
      if (t->offset() > weights_.size() || t->size() > weights_.size() - t->offset() || t->offset() % 64)
        return bad(fmt::format("tensor {} lies outside the weights", i));
      auto tensor = Tensor::wrap(*type, numbers(t->dims()), weights_.subspan(t->offset(), t->size()), file_);
      if (!tensor.ok()) return bad(fmt::format("tensor {}: {}", i, tensor.status().message()));
      if (*type == DType::kBool)
        for (std::byte b : (*tensor)->bytes())
          if (b > std::byte{1}) return bad(fmt::format("tensor {} holds a bool that is neither 0 nor 1", i));
      tensors_.push_back(*tensor);
    }
    return {};
  }

  Result<std::unique_ptr<Graph>> whole_graph(const fbs::Graph* from,
                                             const flatbuffers::Vector<flatbuffers::Offset<fbs::Symbol>>* symbols) {
    if (!from) return bad("it holds no graph");
    auto g = std::make_unique<Graph>(text(from->name()));
    for (unsigned i = 0; i < length(symbols); ++i) {
      const fbs::Symbol* s = symbols->Get(i);
      if (s->lo() < 0 || s->lo() > s->hi() || s->hi() > kUnbounded || text(s->name()).empty() ||
          g->symbol(text(s->name())))
        return bad("a size symbol has impossible bounds");
      g->declare_symbol({text(s->name()), s->lo(), s->hi(), s->data_dependent()});
    }
    FOVEA_TRY(fill(*g, from));
    FOVEA_TRY(infer_graph(*g));
    if (Status s = verify(*g); !s.ok()) return bad(s.message());
    return g;
  }

  Status fill(Graph& g, const fbs::Graph* from) {
    const auto count = length(from->values());
    std::vector<Value*> values(count, nullptr);
    auto at = [&](int i) -> Value* {
      return i >= 0 && static_cast<size_t>(i) < count ? values[static_cast<size_t>(i)] : nullptr;
    };
    for (unsigned k = 0; k < length(from->inputs()); ++k) {
      const int i = from->inputs()->Get(k);
      if (i < 0 || static_cast<size_t>(i) >= count || at(i)) return bad("an input index is out of range");
      FOVEA_TRY_SET(values[static_cast<size_t>(i)], input(g, *from->values()->Get(static_cast<unsigned>(i))));
    }
    for (unsigned i = 0; i < count; ++i) {
      const fbs::Value* v = from->values()->Get(i);
      if (v->constant() < 0) continue;
      if (values[i] || static_cast<size_t>(v->constant()) >= tensors_.size())
        return bad("a constant index is out of range");
      values[i] = g.add_constant(tensors_[static_cast<size_t>(v->constant())], text(v->name()));
      FOVEA_TRY(details(*values[i], *v));
    }
    for (unsigned k = 0; k < length(from->nodes()); ++k) FOVEA_TRY(node(g, *from->nodes()->Get(k), from, values));
    for (unsigned k = 0; k < length(from->outputs()); ++k) {
      Value* v = at(from->outputs()->Get(k));
      if (!v) return bad("an output index is out of range");
      g.outputs.push_back(v);
    }
    g.output_names = texts(from->output_names());
    if (!g.parent() && g.output_names.size() != g.outputs.size())
      return bad("outputs and their names differ in number");
    return {};
  }

  Status details(Value& to, const fbs::Value& v) {
    if (v.precision() > static_cast<uint8_t>(PrecisionClass::kScore)) return bad("unknown precision class");
    to.precision = static_cast<PrecisionClass>(v.precision());
    if (const fbs::Storage* s = v.storage()) {
      auto type = dtype_from_onnx(s->type());
      if (!type) return bad("unknown storage type");
      to.storage = {*type, numbers(s->scale()), numbers(s->zero_point()), s->axis(), s->tf32()};
    }
    return {};
  }

  std::function<SymbolPtr(std::string_view)> lookup(const Graph& g) {
    return [&g](std::string_view name) { return g.symbol(std::string(name)); };
  }

  Result<Value*> input(Graph& g, const fbs::Value& v) {
    auto type = dtype_from_onnx(v.dtype());
    if (!type || length(v.shape()) > kMaxRank)
      return bad(fmt::format("input '{}' has an unknown type or too many dimensions", text(v.name())));
    Shape shape;
    for (const std::string& s : texts(v.shape())) {
      FOVEA_TRY_SET(Expr e, parse_expr(s, lookup(g)));
      if (e.dtype() != DType::kInt64) return bad("a size is no integer");
      shape.push_back(e);
    }
    Value* value = g.add_input(text(v.name()), *type, std::move(shape));
    FOVEA_TRY(details(*value, v));
    return value;
  }

  Result<AttrMap> attributes(const fbs::Node& n) {
    AttrMap map;
    for (unsigned i = 0; i < length(n.attrs()); ++i) {
      const fbs::Attr* a = n.attrs()->Get(i);
      AttrValue value;
      switch (a->kind()) {
        case 0: value = a->i(); break;
        case 1: value = a->i() != 0; break;
        case 2: value = a->f(); break;
        case 3: value = text(a->s()); break;
        case 4: value = numbers(a->ints()); break;
        case 5: value = numbers(a->floats()); break;
        case 6: value = texts(a->strings()); break;
        case 7: {
          if (a->tensor() >= 0 && static_cast<size_t>(a->tensor()) >= tensors_.size())
            return bad("an attribute's tensor is out of range");
          value = a->tensor() < 0 ? TensorPtr() : tensors_[static_cast<size_t>(a->tensor())];
          break;
        }
        default: return bad("an attribute of unknown kind");
      }
      map.emplace_back(text(a->name()), std::move(value));
    }
    return map;
  }

  Status node(Graph& g, const fbs::Node& n, const fbs::Graph* from, std::vector<Value*>& values) {
    const OpInfo* op = find_op(text(n.op()));
    if (!op)
      return unsupported("{}: operator '{}' is not known to this fovea: use a newer one, or compile the model again",
                         path_, text(n.op()));
    std::vector<Value*> inputs;
    for (unsigned i = 0; i < length(n.inputs()); ++i) {
      const int k = n.inputs()->Get(i);
      if (k < -1 || k >= static_cast<int>(values.size()) || (k >= 0 && !values[static_cast<size_t>(k)]))
        return bad("a node reads a value that is not there yet");
      inputs.push_back(k < 0 ? nullptr : values[static_cast<size_t>(k)]);
    }
    const auto own = static_cast<int>(op->regions ? static_cast<size_t>(std::max(n.own_inputs(), 0)) : inputs.size());
    const auto outputs = static_cast<int>(length(n.outputs()));
    if (own < op->min_inputs || (op->max_inputs >= 0 && own > op->max_inputs) ||
        own > static_cast<int>(inputs.size()) || outputs < op->min_outputs || outputs > op->max_outputs ||
        static_cast<int>(length(n.regions())) != op->regions)
      return bad(fmt::format("a {} node has the wrong number of inputs, outputs or regions", op->name));
    for (int i = 0; i < op->min_inputs; ++i)
      if (!inputs[static_cast<size_t>(i)]) return bad(fmt::format("a {} node lacks input {}", op->name, i));
    AttrsPtr attrs;
    FOVEA_TRY_SET(AttrMap map, attributes(n));
    if (op->attrs.from_map) {
      FOVEA_TRY_SET(attrs, op->attrs.from_map(map));
    } else if (!map.empty()) {
      return bad(fmt::format("a {} node has attributes", op->name));
    }
    Node* node = g.add_node(op, std::move(attrs), std::move(inputs), 0);
    node->origin = texts(n.origin());
    if (op->regions) node->own_inputs = own;
    for (unsigned i = 0; i < length(n.outputs()); ++i) {
      const int k = n.outputs()->Get(i);
      if (k < -1 || k >= static_cast<int>(values.size()) || (k >= 0 && values[static_cast<size_t>(k)]))
        return bad("a value has two producers");
      if (k < 0) {
        node->outputs.push_back(nullptr);
        continue;
      }
      const fbs::Value* v = from->values()->Get(static_cast<unsigned>(k));
      values[static_cast<size_t>(k)] = g.add_output(node, text(v->name()));
      FOVEA_TRY(details(*values[static_cast<size_t>(k)], *v));
    }
    for (unsigned i = 0; i < length(n.sizes()); ++i) {
      const fbs::SizeDefinition* d = n.sizes()->Get(i);
      SymbolPtr s = g.symbol(text(d->symbol()));
      if (!s || !s->data_dependent) return bad("a data-dependent size has no symbol");
      FOVEA_TRY_SET(Expr bound, parse_expr(text(d->bound()), lookup(g)));
      if (bound.dtype() != DType::kInt64 || d->output() < 0 || d->output() >= outputs || d->dim() < 0 ||
          d->dim() >= kMaxRank)
        return bad("a data-dependent size has no place");
      node->sizes.push_back({std::move(s), d->output(), d->dim(), std::move(bound)});
    }
    if (++depth_ > 32) return bad("regions are nested too deeply");
    for (unsigned i = 0; i < length(n.regions()); ++i) {
      auto region = g.make_region(text(n.regions()->Get(i)->name()));
      FOVEA_TRY(fill(*region, n.regions()->Get(i)));
      if (region->inputs.size() != node->inputs.size() - static_cast<size_t>(own))
        return bad("a region's inputs are not its node's captures");
      node->regions.push_back(std::move(region));
    }
    --depth_;
    return {};
  }

  Result<EngineTarget> target(const fbs::Target& t) {
    EngineTarget out{text(t.build()), text(t.libraries()), text(t.device()), text(t.features()), t.threads(), {}, {}};
    if (const fbs::Limits* l = t.limits())
      out.limits = {l->bytes_per_second(), l->flops_fp32(), l->flops_tf32(), l->flops_fp16()};
    for (double most :
         {out.limits.bytes_per_second, out.limits.flops_fp32, out.limits.flops_tf32, out.limits.flops_fp16})
      if (!(most >= 0) || std::isinf(most)) return bad("a device has impossible limits");
    for (unsigned i = 0; i < length(t.recipes()); ++i) {
      const fbs::Recipe* r = t.recipes()->Get(i);
      Recipe recipe;
      for (unsigned k = 0; k < length(r->profile()); ++k)
        recipe.profile[text(r->profile()->Get(k)->name())] = r->profile()->Get(k)->value();
      for (unsigned k = 0; k < length(r->groups()); ++k) {
        const fbs::RecipeGroup* g = r->groups()->Get(k);
        RecipeGroup group{numbers(g->nodes()), text(g->kernel()), g->revision(), {}, text(g->variant()), g->ms()};
        for (auto [list, to] : {std::pair(g->input_formats(), &group.formats.inputs),
                                std::pair(g->output_formats(), &group.formats.outputs)})
          for (uint16_t code : numbers(list)) {
            const std::optional<Format> format = format_from_code(code);
            if (!format) return bad("unknown format");
            to->push_back(*format);
          }
        recipe.groups.push_back(std::move(group));
      }
      out.recipes.push_back(std::move(recipe));
    }
    return out;
  }

  const std::string& path_;
  std::shared_ptr<const MappedFile> file_;
  EngineHeader h_{};
  Bytes weights_;
  std::vector<TensorPtr> tensors_;
  int depth_ = 0;
};

}  // namespace

Result<EngineData> read_engine(const std::string& path) {
  FOVEA_TRY_SET(auto file, MappedFile::open(path));
  return Reader(path, std::move(file)).read();
}

Result<EngineSections> engine_sections(const std::string& path) {
  FOVEA_TRY_SET(auto file, MappedFile::open(path));
  Reader reader(path, file);
  FOVEA_TRY(reader.header());
  return EngineSections{static_cast<int64_t>(file->bytes().size()),
                        static_cast<int64_t>(reader.fields().structure_size),
                        static_cast<int64_t>(reader.fields().weights_size)};
}

}  // namespace fovea::core
