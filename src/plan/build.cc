#include <algorithm>
#include <map>

#include "ops/axis.h"
#include "plan/plan.h"
#include "plan/views.h"

namespace fovea::core {
namespace {

constexpr int kForever = 1 << 29;

class Builder {
 public:
  Builder(const Graph& graph, Assignment assignment) : phases_(find_phases(graph)) {
    plan_.graph = &graph;
    plan_.assignment = std::move(assignment);
    for (size_t i = 0; i < plan_.assignment.groups.size(); ++i) {
      const Group& g = plan_.assignment.groups[i].group;
      choice_of_[g.nodes.back()] = static_cast<int>(i);
      for (size_t k = 0; k + 1 < g.nodes.size(); ++k) inner_.insert(g.nodes[k]);
      for (const Node* n : g.nodes) member_of_[n] = static_cast<int>(i);
    }
  }

  Result<Plan> run() {
    const Graph& graph = *plan_.graph;
    for (const SymbolPtr& s : graph.symbols()) plan_.program.add_symbol(s);
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      int t = add_tensor(graph.inputs[i], Format());
      plan_.tensors[idx(t)].home = PlanTensor::Home::kInput;
      plan_.tensors[idx(t)].input = static_cast<int>(i);
    }
    FOVEA_TRY(body(graph, plan_.run_steps));
    for (const Value* v : graph.outputs) {
      FOVEA_TRY_SET(int t, dense(v, home(*v), plan_.run_steps));
      plan_.outputs.push_back(t);
    }
    finish();
    return std::move(plan_);
  }

 private:
  static size_t idx(int i) { return static_cast<size_t>(i); }
  using Key = std::pair<const Value*, Format>;

  // ---- tensors
  int add_tensor(const Value* v, const Format& format) {
    PlanTensor t;
    t.value = v, t.format = format, t.shape = v->shape;
    set_dims(t);
    plan_.tensors.push_back(std::move(t));
    int id = static_cast<int>(plan_.tensors.size()) - 1;
    by_value_[{v, format}] = id;
    return id;
  }
  void set_dims(PlanTensor& t) {
    t.dims.clear();
    for (const Dim& d : t.shape) {
      t.dims.push_back(plan_.program.add(d));
      t.dynamic |= d.data_dependent();
    }
  }
  int add_buffered(const Value* v, const Format& format, bool shape_phase) {
    int t = add_tensor(v, format);
    plan_.tensors[idx(t)].buffer = add_buffer(t, shape_phase);
    return t;
  }
  int add_buffer(int tensor, bool shape_phase) {
    PlanBuffer b;
    b.tensor = tensor, b.shape_phase = shape_phase;
    plan_.buffers.push_back(b);
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  // The tensor of `v` in `format`, made from what there is.
  Result<int> tensor(const Value* v, const Format& format, std::vector<Step>& steps) {
    if (auto it = by_value_.find({v, format}); it != by_value_.end()) return it->second;
    if (format != Format() || made(v)) return reformatted(v, format, steps);
    if (v->is_constant()) {
      int t = add_tensor(v, format);
      plan_.tensors[idx(t)].home = PlanTensor::Home::kConstant;
      return t;
    }
    if (phases_.materialised.contains(v)) return materialised(v, steps);
    return internal_error("no step of the plan makes value '{}'", v->name);
  }

  // A tensor of the value, in whichever format; -1: none yet. Of several, one in `place`.
  int made_in(const Value* v, Place place) const {
    int found = -1;
    for (auto it = by_value_.lower_bound({v, Format()}); it != by_value_.end() && it->first.first == v; ++it)
      if (found < 0 || (it->first.second.place == place && plan_.tensors[idx(found)].format.place != place))
        found = it->second;
    return found;
  }
  bool made(const Value* v) const { return made_in(v, Place::kHost) >= 0; }
  // Where the value is, or will be made.
  Place home(const Value& v) const {
    const int t = made_in(&v, Place::kHost);
    return t < 0 ? Place::kHost : plan_.tensors[idx(t)].format.place;
  }

  // Between places values travel plain and in their own type; layouts and types change on either side.
  Result<int> reformatted(const Value* v, const Format& format, std::vector<Step>& steps) {
    const Format plain(Layout::kPlain, format.place);
    int from = made_in(v, format.place);
    if (from < 0) {
      FOVEA_TRY_SET(from, tensor(v, Format(), steps));
    }
    const Place source = plan_.tensors[idx(from)].format.place;
    if (source != format.place) {
      FOVEA_TRY_SET(from, dense(v, source, steps));
      if (format != plain) {
        FOVEA_TRY_SET(from, tensor(v, plain, steps));
      }
    }
    const bool crosses = format == plain && source != format.place;
    const bool shape_phase = phases_.shape_only(*v);
    if (crosses && source == Place::kDevice && !fixed(*v)) read_sizes(v->producer, steps);
    Step s = make_step(crosses ? Step::Kind::kTransfer : Step::Kind::kReformat, v->producer, {from},
                       {add_buffered(v, format, shape_phase)});
    s.place = crosses ? Place::kDevice : format.place;
    int result = s.outputs[0];
    if (!shape_phase) ++(crosses ? plan_.transfers : plan_.reformats);
    add_step(std::move(s), shape_phase ? plan_.shape_steps : steps);
    return result;
  }

  // Before the host handles what depends on sizes that the device decides.
  void read_sizes(const Node* reader, std::vector<Step>& steps) {
    if (!unread_sizes_) return;
    unread_sizes_ = false;
    ++plan_.size_reads;
    Step s = make_step(Step::Kind::kReadSizes, reader, {}, {});
    s.place = Place::kDevice;
    add_step(std::move(s), steps);
  }

  Result<int> materialised(const Value* v, std::vector<Step>& steps) {
    const bool shape_phase = phases_.shape_only(*v);
    Step s = make_step(Step::Kind::kMaterialise, v->producer, {}, {add_buffered(v, Format(), shape_phase)});
    for (const auto& e : *v->known) {
      s.elements.push_back(plan_.program.add(*e));
      s.dynamic |= e->data_dependent();
    }
    if (s.dynamic) read_sizes(v->producer, steps);
    int result = s.outputs[0];
    add_step(std::move(s), shape_phase ? plan_.shape_steps : steps);
    return result;
  }

  // Plain and without gaps: what kernels that know no strides read.
  Result<int> dense(const Value* v, Place place, std::vector<Step>& steps) {
    const Format plain(Layout::kPlain, place);
    FOVEA_TRY_SET(int t, tensor(v, plain, steps));
    if (plan_.tensors[idx(t)].strides.empty()) return t;
    if (auto it = dense_copies_.find({v, plain}); it != dense_copies_.end()) return it->second;
    const bool shape_phase = phases_.shape_only(*v);
    auto kept = by_value_[{v, plain}];
    int copy = add_buffered(v, plain, shape_phase);
    by_value_[{v, plain}] = kept;
    dense_copies_[{v, plain}] = copy;
    ++plan_.copies;
    Step s = make_step(Step::Kind::kCopy, v->producer, {t}, {copy});
    s.place = place;
    add_step(std::move(s), shape_phase ? plan_.shape_steps : steps);
    return copy;
  }

  // ---- steps
  Step make_step(Step::Kind kind, const Node* node, std::vector<int> inputs, std::vector<int> outputs) {
    Step s;
    s.kind = kind, s.node = node, s.inputs = std::move(inputs), s.outputs = std::move(outputs);
    return s;
  }

  void add_step(Step s, std::vector<Step>& steps) {
    s.position = plan_.positions++;
    s.index = plan_.steps++;
    for (const auto* list : {&s.inputs, &s.outputs})
      for (int t : *list)
        if (t >= 0) s.dynamic |= plan_.tensors[idx(t)].dynamic;
    steps.push_back(std::move(s));
  }

  Status body(const Graph& graph, std::vector<Step>& steps) {
    for (const auto& node : graph.nodes()) {
      const Node& n = *node;
      const Phase phase = phases_.of(n);
      if (phase == Phase::kNever || inner_.contains(&n)) continue;
      auto& list = phase == Phase::kShape ? plan_.shape_steps : steps;
      Status s = is_reshape(n)            ? reshape(n, list)
                 : !n.regions.empty()     ? branch(n, list)
                 : phase == Phase::kShape ? reference(n, list)
                                          : group(n, list);
      FOVEA_TRY(s);
    }
    return {};
  }

  // Step that makes n's outputs with the reference kernel, in the shape phase.
  Status reference(const Node& n, std::vector<Step>& steps) {
    Step s = make_step(Step::Kind::kGroup, &n, {}, {});
    for (const Value* v : n.inputs) {
      if (!v) {
        s.inputs.push_back(-1);
        continue;
      }
      FOVEA_TRY_SET(int t, tensor(v, Format(), steps));
      s.inputs.push_back(t);
    }
    for (const Value* v : n.outputs) s.outputs.push_back(v ? add_buffered(v, Format(), true) : -1);
    add_step(std::move(s), steps);
    return {};
  }

  Status group(const Node& n, std::vector<Step>& steps) {
    auto it = choice_of_.find(&n);
    if (it == choice_of_.end()) return internal_error("{} belongs to no group", n.label());
    const GroupChoice& choice = plan_.assignment.groups[idx(it->second)];
    const bool copies = !choice.row || choice.row->copies_view;
    if (copies && (strided_views(n, choice, steps) || concat_in_place(n, choice))) return {};
    Step s = make_step(Step::Kind::kGroup, &n, {}, {});
    s.choice = it->second;
    for (size_t i = 0; i < choice.group.inputs.size(); ++i) {
      const Value* v = choice.group.inputs[i];
      if (!v) {
        s.inputs.push_back(-1);
        continue;
      }
      const Format& format = choice.formats.inputs[i];
      const bool strided = !choice.row || choice.row->strided_inputs;
      const bool plain = format == Format(Layout::kPlain, format.place);
      auto t = plain && !strided ? dense(v, format.place, steps) : tensor(v, format, steps);
      if (!t.ok()) return t.status();
      s.inputs.push_back(*t);
    }
    for (size_t k = 0; k < choice.group.outputs.size(); ++k) {
      const Value* v = choice.group.outputs[k];
      s.outputs.push_back(v ? add_buffered(v, choice.formats.outputs[k], false) : -1);
    }
    if (choice.row && choice.row->place == Place::kDevice) on_device(choice.group, s);
    add_step(std::move(s), steps);
    return {};
  }

  // A step of the device, with words for the sizes that it decides.
  void on_device(const Group& group, Step& s) {
    s.place = Place::kDevice;
    for (const Node* node : group.nodes)
      for (const SizeDefinition& d : node->sizes) {
        if (s.sizes < 0) s.sizes = static_cast<int>(plan_.device_sizes.size());
        plan_.device_sizes.push_back(plan_.program.symbol_slot(d.symbol->name));
        unread_sizes_ = true;
      }
  }

  Status reshape(const Node& n, std::vector<Step>& steps) {
    const Place place = home(*n.inputs[0]);
    FOVEA_TRY_SET(int from, dense(n.inputs[0], place, steps));
    int to = add_tensor(n.outputs[0], {Layout::kPlain, place});
    const PlanTensor source = plan_.tensors[idx(from)];
    PlanTensor& t = plan_.tensors[idx(to)];
    t.home = source.home, t.input = source.input, t.buffer = source.buffer, t.offset = source.offset,
    t.reshape_of = from;
    if (auto it = strides_.find(from); it != strides_.end())
      strides_[to] = {dense_strides(plan_.tensors[idx(to)].shape).pitch, it->second.offset};
    // Where data decides the source's size, the view is looked at anew in every run, even if its own shape is fixed.
    t.dynamic |= source.dynamic;
    if (source.home == PlanTensor::Home::kConstant) view_of_constant_[to] = from;
    ++plan_.views;
    return {};
  }

  // A node whose outputs are looks at its input's memory: readers take strides or make a dense copy.
  bool strided_views(const Node& n, const GroupChoice& choice, std::vector<Step>& steps) {
    if (!is_strided_view(n) || !n.sizes.empty() || !fixed(*n.inputs[0])) return false;
    for (const Value* v : n.outputs)
      if (v && !(copies_runs(n) || readers_stride(*v))) return false;
    const Format plain(Layout::kPlain, choice.row ? choice.row->place : Place::kHost);
    auto made = tensor(n.inputs[0], plain, steps);
    if (!made.ok()) return false;
    const PlanTensor source = plan_.tensors[idx(*made)];
    // A source that is a look at what data decides is checked by the step that reads it.
    if (source.home == PlanTensor::Home::kConstant || source.dynamic || dtype_bits(source.dtype()) < 8)
      return false;
    std::vector<std::optional<Strides>> views;
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      views.push_back(n.outputs[i] ? view_of(n, i, strides_of(*made)) : std::nullopt);
      if (n.outputs[i] && !views.back()) return false;
    }
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (!n.outputs[i]) continue;
      const int to = add_tensor(n.outputs[i], plain);
      PlanTensor& t = plan_.tensors[idx(to)];
      t.home = source.home, t.buffer = source.buffer, t.input = source.input;
      t.offset = plan_.program.add(views[i]->offset);
      for (const Dim& p : views[i]->pitch) t.strides.push_back(plan_.program.add(p));
      strides_[to] = *std::move(views[i]);
      ++plan_.views;
    }
    return true;
  }

  // Concat of whole pieces of memory, one behind the other: whoever makes a piece writes it where it belongs.
  bool concat_in_place(const Node& n, const GroupChoice& choice) {
    if (!n.is("Concat") || !fixed(*n.output())) return false;
    const auto axis = static_cast<size_t>(n.as<AxisAttrs>().axis);
    if (!product(std::span(n.output()->shape).first(axis)).is_const(1) || dtype_bits(n.output()->dtype) < 8)
      return false;
    const Format plain(Layout::kPlain, choice.row ? choice.row->place : Place::kHost);
    std::vector<int> buffers;
    for (const Value* v : n.inputs) {
      auto it = by_value_.find({v, plain});
      if (it == by_value_.end()) return false;
      const int buffer = plan_.tensors[idx(it->second)].buffer;
      if (!whole_buffer(it->second) || std::ranges::count(buffers, buffer) > 0) return false;
      buffers.push_back(buffer);
    }
    const int to = add_buffered(n.output(), plain, false);
    Dim offset = 0;
    for (size_t i = 0; i < buffers.size(); ++i) {
      for (size_t t = 0; t < plan_.tensors.size(); ++t) {
        PlanTensor& piece = plan_.tensors[t];
        if (piece.home != PlanTensor::Home::kBuffer || piece.buffer != buffers[i]) continue;
        piece.buffer = plan_.tensors[idx(to)].buffer;
        piece.offset = plan_.program.add(offset);
        strides_[static_cast<int>(t)] = {dense_strides(piece.shape).pitch, offset};
      }
      offset = offset + product(n.inputs[i]->shape);
    }
    ++plan_.views;
    return true;
  }

  // Does this tensor fill its buffer, as every other in it does, with nothing but plain elements?
  bool whole_buffer(int tensor) const {
    const PlanTensor& own = plan_.tensors[idx(tensor)];
    if (own.home != PlanTensor::Home::kBuffer || plan_.buffers[idx(own.buffer)].shape_phase) return false;
    return std::ranges::all_of(plan_.tensors, [&](const PlanTensor& t) {
      return t.home != PlanTensor::Home::kBuffer || t.buffer != own.buffer ||
             (t.format == own.format && t.format.layout == Layout::kPlain && t.strides.empty() && t.offset < 0 && !t.dynamic &&
              product(t.shape) == product(own.shape));
    });
  }

  static bool fixed(const Value& v) {
    return std::ranges::none_of(v.shape, [](const Dim& d) { return d.data_dependent(); });
  }
  Strides strides_of(int tensor) const {
    auto it = strides_.find(tensor);
    return it == strides_.end() ? dense_strides(plan_.tensors[idx(tensor)].shape) : it->second;
  }
  // Does everything that reads `v` take it with any strides?
  bool readers_stride(const Value& v) const {
    return !v.uses.empty() && !plan_.graph->is_output(&v) && std::ranges::all_of(v.uses, [&](const Use& use) {
      auto it = member_of_.find(use.node);
      if (it == member_of_.end()) return false;
      const KernelRow* row = plan_.assignment.groups[idx(it->second)].row;
      return !is_reshape(*use.node) && (!row || row->strided_inputs);
    });
  }

  Status branch(const Node& n, std::vector<Step>& steps) {
    const auto own = idx(n.own_inputs);
    Step s = make_step(Step::Kind::kIf, &n, {}, {});
    FOVEA_TRY_SET(int condition, tensor(n.inputs[0], Format(), steps));
    s.inputs.push_back(condition);
    // Captures are made before the branches, so that either finds them.
    std::vector<int> captured;
    for (size_t i = own; i < n.inputs.size(); ++i) {
      FOVEA_TRY_SET(int t, tensor(n.inputs[i], Format(), steps));
      captured.push_back(t);
    }
    read_sizes(&n, steps);
    for (const Value* v : n.outputs) s.outputs.push_back(v ? add_buffered(v, Format(), false) : -1);
    s.position = plan_.positions++;
    s.index = plan_.steps++;
    s.dynamic = true;
    for (size_t b = 0; b < n.regions.size(); ++b) {
      const Graph& region = *n.regions[b];
      for (size_t i = 0; i < region.inputs.size(); ++i) alias(region.inputs[i], captured[i]);
      FOVEA_TRY(body(region, s.branches[b]));
      for (size_t k = 0; k < region.outputs.size(); ++k) {
        if (s.outputs[k] < 0) continue;
        FOVEA_TRY_SET(int t, tensor(region.outputs[k], Format(), s.branches[b]));
        Step copy = make_step(Step::Kind::kCopy, &n, {t}, {s.outputs[k]});
        copy.dynamic = true;
        add_step(std::move(copy), s.branches[b]);
      }
    }
    steps.push_back(std::move(s));
    return {};
  }

  // Value `v` (a region's input) is the tensor `source` of the graph outside.
  void alias(const Value* v, int source) {
    const PlanTensor from = plan_.tensors[idx(source)];
    int to = add_tensor(v, Format());
    PlanTensor& t = plan_.tensors[idx(to)];
    t.home = from.home, t.input = from.input, t.buffer = from.buffer, t.offset = from.offset, t.strides = from.strides;
    t.shape = from.shape, t.dims = from.dims, t.dynamic = from.dynamic, t.reshape_of = from.reshape_of;
    if (auto it = strides_.find(source); it != strides_.end()) strides_[to] = Strides(it->second);
    if (from.home == PlanTensor::Home::kConstant) view_of_constant_[to] = source;
  }

  // ---- lifetimes
  template <typename F>
  static void for_steps(std::vector<Step>& steps, F&& f) {
    for (Step& s : steps) {
      f(s);
      for (auto& b : s.branches) for_steps(b, f);
    }
  }

  void finish() {
    // A view of a constant reads the constant itself: find the tensor that holds it.
    for (auto& [view, source] : view_of_constant_) {
      int root = source;
      while (view_of_constant_.contains(root)) root = view_of_constant_.at(root);
      plan_.tensors[idx(view)].input = root;
    }
    for (PlanTensor& t : plan_.tensors)
      if (t.home == PlanTensor::Home::kConstant && t.input < 0 && t.value->is_constant())
        t.input = static_cast<int>(&t - plan_.tensors.data());
    lifetimes();
    take_over();
    lifetimes();
    find_beside(plan_);
  }

  void lifetimes() {
    for (PlanBuffer& b : plan_.buffers) b.first = kForever, b.last = -1;
    auto touch = [&](int tensor, int position) {
      if (tensor < 0 || plan_.tensors[idx(tensor)].home != PlanTensor::Home::kBuffer) return;
      PlanBuffer& b = plan_.buffers[idx(plan_.tensors[idx(tensor)].buffer)];
      b.first = std::min(b.first, position), b.last = std::max(b.last, position);
    };
    auto visit = [&](Step& s) {
      for (int t : s.inputs) touch(t, s.position);
      for (int t : s.outputs) touch(t, s.position);
    };
    for_steps(plan_.shape_steps, visit);
    for_steps(plan_.run_steps, visit);
    for (int t : plan_.outputs) touch(t, kForever);
  }

  // Outputs that take over an input's memory: residuals must, element-wise kernels may.
  void take_over() {
    for_steps(plan_.run_steps, [&](Step& s) {
      if (s.kind != Step::Kind::kGroup || s.choice < 0) return;
      const GroupChoice& c = plan_.assignment.groups[idx(s.choice)];
      if (!c.row) return;
      const bool may = c.row->in_place && !c.group.keeps_inputs;
      const int wanted = c.group.residual >= 0 ? c.group.residual : may ? 0 : -1;
      if (wanted < 0) return;
      if (!merge(s.inputs[idx(wanted)], s.outputs[0], s)) s.copy_residual = c.group.residual >= 0;
    });
  }

  bool merge(int from, int to, const Step& s) {
    const PlanTensor &a = plan_.tensors[idx(from)], &b = plan_.tensors[idx(to)];
    if (a.home != PlanTensor::Home::kBuffer || b.home != PlanTensor::Home::kBuffer || a.buffer == b.buffer)
      return false;
    if (!a.strides.empty() || a.offset >= 0 || b.offset >= 0 || a.format != b.format ||
        a.dtype() != b.dtype() || a.shape != b.shape)
      return false;
    PlanBuffer &x = plan_.buffers[idx(a.buffer)], &y = plan_.buffers[idx(b.buffer)];
    if (x.shape_phase || x.last != s.position || y.first != s.position) return false;
    // The step must read the buffer once only: conv(x) + x cannot have its sum in x.
    int reads = 0;
    for (int t : s.inputs)
      reads +=
          t >= 0 && plan_.tensors[idx(t)].home == PlanTensor::Home::kBuffer && plan_.tensors[idx(t)].buffer == a.buffer;
    if (reads != 1) return false;
    // The buffer keeps the size it was made for; a view of another size does not count.
    if (plan_.tensors[idx(x.tensor)].shape != a.shape &&
        product(plan_.tensors[idx(x.tensor)].shape) != product(a.shape))
      return false;
    const int old = b.buffer, kept = a.buffer;
    x.last = std::max(x.last, y.last);
    y.last = -1;
    for (PlanTensor& t : plan_.tensors)
      if (t.home == PlanTensor::Home::kBuffer && t.buffer == old) t.buffer = kept;
    return true;
  }

  Phases phases_;
  Plan plan_;
  std::map<Key, int> by_value_;
  std::map<Key, int> dense_copies_;
  bool unread_sizes_ = false;  // has the device decided sizes that the host does not know?
  std::map<int, int> view_of_constant_;
  std::map<int, Strides> strides_;  // of tensors that have an offset or strides, as expressions
  std::unordered_map<const Node*, int> choice_of_, member_of_;
  std::unordered_set<const Node*> inner_;
};

}  // namespace

Result<Plan> build_plan(const Graph& graph, Assignment assignment) {
  return Builder(graph, std::move(assignment)).run();
}

namespace {

void print_steps(const Plan& plan, const std::vector<Step>& steps, int indent, std::string& out) {
  auto tensor = [&](int t) {
    if (t < 0) return std::string("-");
    const PlanTensor& p = plan.tensors[static_cast<size_t>(t)];
    std::string where = p.home == PlanTensor::Home::kBuffer  ? "b" + std::to_string(p.buffer)
                        : p.home == PlanTensor::Home::kInput ? "in"
                                                             : "const";
    return fmt::format("%{}:{}{}@{}{}", p.value->name, to_string(p.format), to_string(p.shape), where,
                       p.strides.empty() ? "" : "(view)");
  };
  for (const Step& s : steps) {
    constexpr std::string_view kKinds[] = {"", "reformat", "copy", "materialise", "if", "transfer", "read_sizes"};
    std::string name(kKinds[static_cast<size_t>(s.kind)]);
    if (s.kind == Step::Kind::kGroup) {
      const GroupChoice* c = s.choice >= 0 ? &plan.assignment.groups[static_cast<size_t>(s.choice)] : nullptr;
      name = c && c->row ? std::string(c->row->name) : fmt::format("reference_{}", s.node->op->name);
    }
    out += fmt::format("{:{}}{} ", "", indent, name);
    for (int t : s.inputs) out += tensor(t) + " ";
    out += "->";
    for (int t : s.outputs) out += " " + tensor(t);
    if (s.before >= 0) out += " (may run beside others)";
    out += s.copy_residual ? " (copies residual)\n" : "\n";
    for (const auto& b : s.branches)
      if (!b.empty()) out += fmt::format("{:{}}branch\n", "", indent + 2), print_steps(plan, b, indent + 4, out);
  }
}

}  // namespace

std::string to_string(const Plan& plan) {
  std::string out = "shape phase\n";
  print_steps(plan, plan.shape_steps, 2, out);
  out += "run\n";
  print_steps(plan, plan.run_steps, 2, out);
  return out;
}

}  // namespace fovea::core
