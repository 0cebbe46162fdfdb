// Kernels and formats chosen together. A group's state is its candidate (kernel and formats); an edge costs a reformat
// where producer and consumer disagree. First a pass forwards that is exact on chains (each state keeps the best way to
// reach it), then sweeps that change one group at a time while the total falls.
#include <algorithm>
#include <list>
#include <map>
#include <set>

#include "base/cpu_features.h"
#include "kernels/prebuild.h"
#include "tactics/assignment.h"

namespace fovea::core {
namespace {

struct Candidate {
  const KernelRow* row = nullptr;
  FormatChoice formats;
  std::string variant;
  double ms = 0;
  int64_t workspace_limit = kAnyWorkspace;
};

struct Site {  // a group that is certain, with the ways to run it
  Group group;
  std::vector<Candidate> candidates;
  std::vector<CandidateNote> notes;
  int chosen = 0;
  int position = 0;
};

std::string formats_text(const FormatChoice& choice) {
  std::string s;
  for (const Format& f : choice.inputs) s += (s.empty() ? "" : ",") + to_string(f);
  s += " ->";
  for (const Format& f : choice.outputs) s += " " + to_string(f);
  return s;
}

CandidateNote refused(const KernelRow& row, std::string why) {
  CandidateNote note;
  note.kernel = row.name, note.refusal = std::move(why), note.row = &row;
  return note;
}

class Chooser {
 public:
  Chooser(const Sizes& sizes, const Phases& phases, Timer& timer, PackedWeights& weights, const ChooseOptions& options,
          const std::unordered_map<const Node*, int>& positions)
      : sizes_(sizes), phases_(phases), timer_(timer), weights_(weights), options_(options), positions_(positions) {}

  Status run(const Graph& graph, Assignment& out) {
    // Branches are taken by the host, and stay there.
    device_ = graph.parent() ? nullptr : options_.device;
    home_ = Format(Layout::kPlain, device_ ? Place::kDevice : Place::kHost);
    sites_.clear(), producer_.clear(), covered_.clear();
    FOVEA_TRY(cover(graph));
    link();
    forward(graph);
    for (int sweep = 0; sweep < 4 && improve(graph); ++sweep) {
    }
    for (Site& s : sites_) {
      const Candidate& c = s.candidates[static_cast<size_t>(s.chosen)];
      out.groups.push_back({std::move(s.group), c.row, c.formats, c.variant, c.row && timer_.enabled() ? c.ms : -1,
                            std::move(s.notes), c.workspace_limit});
    }
    for (const auto& node : graph.nodes())
      if (phases_.of(*node) == Phase::kRun)
        for (const auto& region : node->regions)
          FOVEA_TRY(Chooser(sizes_, phases_, timer_, weights_, options_, positions_).run(*region, out));
    return {};
  }

 private:
  // ---- which groups
  bool open(const Node& n) const {
    return phases_.of(n) == Phase::kRun && !is_reshape(n) && n.regions.empty() && !covered_.contains(&n);
  }

  PrepareContext describe(const KernelRow& row, const Group& group, const FormatChoice& formats) const {
    PrepareContext context = describe_group(group, formats, sizes_, options_.threads, weights_, device_);
    if (auto it = options_.workspace_limits.find({positions_.at(group.nodes.back()), std::string(row.name)});
        it != options_.workspace_limits.end())
      context.workspace_limit = it->second;
    return context;
  }

  // What takes the host long and can be done side by side, for the groups that rows like best; equal ones once.
  void prebuild(const Graph& graph, const std::function<void(int done, int total)>& progress) const {
    std::list<Group> groups;
    std::vector<Prebuild> work;
    std::set<std::string> seen;
    for (const auto& node : graph.nodes()) {
      if (!open(*node)) continue;
      for (const KernelRow* row : device_->kernels()) {
        if (row->op != node->op->name || !row->prebuild || row->dynamic_shapes) continue;
        for (Group& group : row->match(graph, *node)) {
          if (!refuse(*row, group).empty()) continue;
          const Group& kept = groups.emplace_back(std::move(group));
          for (const FormatChoice& formats : formats_of(*row, kept)) {
            PrepareContext context = describe(*row, kept, formats);
            context.tune = timer_.enabled();
            if (!preference(*row, kept, formats) && timer_.prepares(*row, context) &&
                seen.insert(timing_key(*row, context)).second)
              work.push_back({row, std::move(context)});
          }
          break;
        }
      }
    }
    const int total = static_cast<int>(work.size());
    prebuild_all(std::move(work), progress ? [&](int done) { progress(done, total); } : std::function<void(int)>());
  }

  Status cover(const Graph& graph) {
    int done = 0, total = static_cast<int>(graph.nodes().size());
    if (device_) prebuild(graph, graph.parent() ? nullptr : options_.prebuild_progress);
    // Those that reach back come first: in order, what is in front of their anchors would be taken already.
    for (const auto& node : graph.nodes())
      if (open(*node)) FOVEA_TRY(cover_from(graph, *node, true));
    for (const auto& node : graph.nodes()) {
      if (options_.progress && !graph.parent()) options_.progress(++done, total);
      if (open(*node)) FOVEA_TRY(cover_from(graph, *node, false));
    }
    std::stable_sort(sites_.begin(), sites_.end(),
                     [](const Site& a, const Site& b) { return a.position < b.position; });
    return {};
  }

  // The largest group that starts here and that some kernel takes; the node alone on its reference kernel if none does.
  Status cover_from(const Graph& graph, const Node& anchor, bool reaching_back) {
    struct Offer {
      const KernelRow* row;
      Group group;
    };
    std::vector<CandidateNote> notes = std::move(refused_back_[&anchor]);
    Site site;
    auto ask = [&](std::span<const KernelRow* const> rows) -> Status {
      std::vector<Offer> offers;
      for (const KernelRow* row : rows) {
        if (row->op != anchor.op->name || row->reaches_back != reaching_back) continue;
        if (row->place == Place::kHost && (row->features & cpu_features()) != row->features) {
          notes.push_back(refused(*row, "needs " + cpu_features_string(row->features)));
          continue;
        }
        for (Group& group : row->match(graph, anchor)) {
          std::string refusal = refuse(*row, group);
          if (refusal.empty()) offers.push_back({row, std::move(group)});
          else notes.push_back(refused(*row, std::move(refusal)));
        }
      }
      std::stable_sort(offers.begin(), offers.end(),
                       [](const Offer& a, const Offer& b) { return a.group.nodes.size() > b.group.nodes.size(); });
      for (size_t i = 0; i < offers.size() && site.candidates.empty();) {
        size_t end = i;  // offers of one extent compete
        while (end < offers.size() && offers[end].group.nodes == offers[i].group.nodes) ++end;
        site.group = offers[i].group;
        for (; i < end; ++i) FOVEA_TRY(time(*offers[i].row, offers[i].group, site, notes));
      }
      return {};
    };
    // What the device can do it does: the way to the host and back costs more than any kernel saves.
    if (device_) FOVEA_TRY(ask(device_->kernels()));
    if (site.candidates.empty()) FOVEA_TRY(ask(cpu_kernels()));
    if (site.candidates.empty() && reaching_back) {
      for (CandidateNote& n : notes) refused_back_[&anchor].push_back(std::move(n));
      return {};
    }
    if (site.candidates.empty()) {
      site.group = single_node_group(anchor);
      site.candidates.push_back({nullptr, all_plain(site.group), "", 0});
    }
    for (const Node* n : site.group.nodes) covered_.insert(n);
    site.position = positions_.at(site.group.nodes.back());
    if (options_.keep_candidates) site.notes = std::move(notes);
    sites_.push_back(std::move(site));
    return {};
  }

  std::string refuse(const KernelRow& row, const Group& group) const {
    if (auto it = options_.banned.find({positions_.at(group.nodes.back()), std::string(row.name)});
        it != options_.banned.end())
      return it->second;
    for (const Node* n : group.nodes) {
      if (covered_.contains(n)) return fmt::format("{} is in another group", n->label());
      if (phases_.of(*n) != Phase::kRun) return fmt::format("{} does not run in every run", n->label());
    }
    if (std::string refusal = sizes_refusal(row, group); !refusal.empty()) return refusal;
    return row.refuse ? row.refuse(group) : "";
  }

  Status time(const KernelRow& row, const Group& group, Site& site, std::vector<CandidateNote>& notes) {
    for (FormatChoice& formats : formats_of(row, group)) {
      const PrepareContext context = describe(row, group, formats);
      const RecipeGroup* preferred = preference(row, group, formats);
      auto timed = preferred            ? Result<TimingCache::Entry>({0.0, "", preferred->variant, {}})
                   : row.dynamic_shapes ? Result<TimingCache::Entry>({rough_ms(context) / row.preference, "", "", {}})
                                        : timer_.kernel(row, context);
      if (!timed.ok() && timed.status().kind() != ErrorKind::kUnsupported)
        return timed.status().in(fmt::format("{} on {}", row.name, group.nodes[0]->label()));
      CandidateNote note = refused(row, timed.ok() ? "" : timed.status().message());
      note.formats = formats_text(formats), note.choice = formats;
      if (timed.ok()) {
        for (const KernelVariant& v : timed->over_limit) {
          CandidateNote left_out = note;
          left_out.refusal = fmt::format("its workspace of {} bytes does not fit --memory-limit", v.workspace_bytes);
          left_out.variant = v.name, left_out.bytes = v.workspace_bytes;
          notes.push_back(std::move(left_out));
        }
        note.ms = timed->ms, note.variant = timed->variant;
        site.candidates.push_back({&row, std::move(formats), timed->variant, timed->ms, context.workspace_limit});
      }
      notes.push_back(std::move(note));
    }
    return {};
  }

  // The recipe's choice, if this is it.
  const RecipeGroup* preference(const KernelRow& row, const Group& group, const FormatChoice& formats) const {
    if (!options_.prefer) return nullptr;
    for (const RecipeGroup& r : options_.prefer->groups) {
      if (r.nodes.size() != group.nodes.size() || r.nodes.back() != positions_.at(group.nodes.back())) continue;
      return r.kernel == row.name && r.revision == row.revision && r.formats == formats ? &r : nullptr;
    }
    return nullptr;
  }

  // ---- formats
  void link() {
    for (size_t s = 0; s < sites_.size(); ++s)
      for (size_t k = 0; k < sites_[s].group.outputs.size(); ++k)
        if (const Value* v = sites_[s].group.outputs[k]) producer_[v] = {static_cast<int>(s), static_cast<int>(k)};
    consumers_.assign(sites_.size(), {});
    for (size_t s = 0; s < sites_.size(); ++s)
      for (size_t i = 0; i < sites_[s].group.inputs.size(); ++i) {
        const Value* v = sites_[s].group.inputs[i];
        auto it = v ? producer_.find(v) : producer_.end();
        if (it != producer_.end())
          consumers_[static_cast<size_t>(it->second.first)].push_back({static_cast<int>(s), static_cast<int>(i)});
      }
  }

  double reformat(const Value& v, const Format& from, const Format& to) {
    if (from == to || v.is_constant() || phases_.shape_only(v)) return 0;
    auto key = std::make_tuple(&v, from, to);
    auto [it, fresh] = reformats_.try_emplace(key, 0.0);
    if (fresh) it->second = timer_.reformat(v.dtype, sizes_.upper(v.shape), from, to, device_);
    return it->second;
  }

  static Format at(const std::vector<Format>& formats, size_t i) { return i < formats.size() ? formats[i] : Format(); }

  // Does somebody who is no site (graph output, view, region, branch) want the value plain, at home?
  bool wanted_plain(const Graph& graph, const Value& v) const {
    if (graph.is_output(&v)) return true;
    return std::any_of(v.uses.begin(), v.uses.end(),
                       [&](const Use& u) { return !covered_.contains(u.node) && phases_.of(*u.node) == Phase::kRun; });
  }

  void forward(const Graph& graph) {
    std::vector<std::vector<double>> cost(sites_.size());
    for (size_t s = 0; s < sites_.size(); ++s) {
      for (const Candidate& c : sites_[s].candidates) {
        double total = c.ms;
        for (size_t i = 0; i < sites_[s].group.inputs.size(); ++i) total += arrive(s, i, at(c.formats.inputs, i), cost);
        cost[s].push_back(total);
      }
    }
    for (size_t s = sites_.size(); s-- > 0;) {
      double best = 0;
      for (size_t c = 0; c < cost[s].size(); ++c) {
        double total = cost[s][c] + leave(graph, s, c);
        if (c == 0 || total < best * 0.97) best = total, sites_[s].chosen = static_cast<int>(c);
      }
    }
  }

  // What it costs to have input i in `format`: the regret of the producer's states plus the reformat.
  double arrive(size_t s, size_t i, const Format& format, const std::vector<std::vector<double>>& cost) {
    const Value* v = sites_[s].group.inputs[i];
    if (!v || v->is_constant()) return 0;
    auto it = producer_.find(v);
    if (it == producer_.end()) return reformat(*v, home_, format);
    const auto [p, output] = it->second;
    const auto& costs = cost[static_cast<size_t>(p)];
    if (costs.empty()) return 0;
    const double least = *std::min_element(costs.begin(), costs.end());
    double best = 1e30;
    for (size_t c = 0; c < costs.size(); ++c) {
      const Format from = at(sites_[static_cast<size_t>(p)].candidates[c].formats.outputs, static_cast<size_t>(output));
      best = std::min(best, costs[c] - least + reformat(*v, from, format));
    }
    return best;
  }

  // Reformats behind a site for candidate c, given what its consumers chose; each wanted layout is paid once.
  double leave(const Graph& graph, size_t s, size_t c) {
    double total = 0;
    const Site& site = sites_[s];
    for (size_t k = 0; k < site.group.outputs.size(); ++k) {
      const Value* v = site.group.outputs[k];
      if (!v) continue;
      const Format from = at(site.candidates[c].formats.outputs, k);
      std::set<Format> wanted;
      for (auto [consumer, input] : consumers_[s]) {
        const Site& other = sites_[static_cast<size_t>(consumer)];
        if (other.group.inputs[static_cast<size_t>(input)] == v)
          wanted.insert(
              at(other.candidates[static_cast<size_t>(other.chosen)].formats.inputs, static_cast<size_t>(input)));
      }
      if (wanted_plain(graph, *v)) wanted.insert(home_);
      for (const Format& to : wanted) total += reformat(*v, from, to);
    }
    return total;
  }

  // Reformats in front of a site that only it needs.
  double enter(const Graph& graph, size_t s, size_t c) {
    double total = 0;
    const Site& site = sites_[s];
    for (size_t i = 0; i < site.group.inputs.size(); ++i) {
      const Value* v = site.group.inputs[i];
      if (!v || v->is_constant()) continue;
      const Format to = at(site.candidates[c].formats.inputs, i);
      auto it = producer_.find(v);
      if (it == producer_.end()) {
        total += reformat(*v, home_, to);
        continue;
      }
      const auto [p, output] = it->second;
      const Site& from_site = sites_[static_cast<size_t>(p)];
      const Format from =
          at(from_site.candidates[static_cast<size_t>(from_site.chosen)].formats.outputs, static_cast<size_t>(output));
      bool shared = to == home_ && wanted_plain(graph, *v);
      for (auto [consumer, input] : consumers_[static_cast<size_t>(p)]) {
        const Site& other = sites_[static_cast<size_t>(consumer)];
        if (consumer == static_cast<int>(s) || other.group.inputs[static_cast<size_t>(input)] != v) continue;
        shared |=
            at(other.candidates[static_cast<size_t>(other.chosen)].formats.inputs, static_cast<size_t>(input)) == to;
      }
      if (!shared) total += reformat(*v, from, to);
    }
    return total;
  }

  bool improve(const Graph& graph) {
    bool changed = false;
    for (size_t s = 0; s < sites_.size(); ++s) {
      Site& site = sites_[s];
      if (site.candidates.size() < 2) continue;
      auto total = [&](size_t c) { return site.candidates[c].ms + enter(graph, s, c) + leave(graph, s, c); };
      auto best = static_cast<size_t>(site.chosen);
      double best_ms = total(best);
      for (size_t c = 0; c < site.candidates.size(); ++c) {
        double ms = c == best ? best_ms : total(c);
        if (ms < best_ms * 0.999 - 1e-9) best = c, best_ms = ms;
      }
      changed |= static_cast<int>(best) != site.chosen;
      site.chosen = static_cast<int>(best);
    }
    return changed;
  }

  const Sizes& sizes_;
  const Phases& phases_;
  Timer& timer_;
  PackedWeights& weights_;
  const ChooseOptions& options_;
  const std::unordered_map<const Node*, int>& positions_;
  std::vector<Site> sites_;
  std::unordered_map<const Value*, std::pair<int, int>> producer_;
  std::vector<std::vector<std::pair<int, int>>> consumers_;
  std::unordered_set<const Node*> covered_;
  std::map<std::tuple<const Value*, Format, Format>, double> reformats_;
  std::unordered_map<const Node*, std::vector<CandidateNote>> refused_back_;  // by rows that reach back
  Device* device_ = nullptr;
  Format home_;  // where views and outputs are at home
};

}  // namespace

Result<Assignment> choose(const Graph& graph, const SymbolValues& profile, Timer& timer, PackedWeights& weights,
                          const ChooseOptions& options) {
  FOVEA_TRY_SET(Sizes sizes, Sizes::make(graph, profile));
  const Phases phases = find_phases(graph);
  const auto positions = node_positions(graph);
  Assignment assignment;
  FOVEA_TRY(Chooser(sizes, phases, timer, weights, options, positions).run(graph, assignment));
  return assignment;
}

}  // namespace fovea::core
