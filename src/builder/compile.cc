#include "builder/compile.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "backends/cpu/target.h"
#include "builder/card_lowering.h"
#include "builder/memory_limit.h"
#include "builder/report.h"
#include "ir/infer.h"
#include "ir/text.h"
#include "onnx/reader.h"
#include "passes/check.h"
#include "patterns/patterns.h"
#include "picture/inputs.h"
#include "plan/plan.h"
#include "runtime/specialisation.h"

namespace fovea::core {
namespace {

class Compiler {
 public:
  explicit Compiler(const CompileOptions& options)
      : o_(options), threads_(options.threads > 0 ? options.threads : hardware_threads()) {}

  Result<CompileResult> run() {
    FOVEA_TRY(stage("read", [&] { return read(); }));
    FOVEA_TRY(stage("passes", [&] { return passes(); }));
    permit(graph(), o_.precision);
    FOVEA_TRY(stage("kernels", [&] { return kernels(); }));
    const Target here = o_.device ? o_.device->target() : cpu_target();
    EngineData& e = result_.engine;
    e.fovea_version = version_string(), e.git_hash = git_hash();
    e.source_name = std::filesystem::path(o_.model).filename().string();
    e.source_hash = info_.hash;
    std::vector<Recipe> recipes;
    for (const ProfileReport& p : profiles_) recipes.push_back(p.recipe);
    e.targets.push_back({here.build, here.libraries, here.device, here.features, threads_, std::move(recipes),
                         o_.device ? o_.device->limits() : Limits()});
    e.report = report_json(result_, profiles_);
    return std::move(result_);
  }

 private:
  template <typename F>
  Status stage(std::string name, F&& f) {
    const auto begin = std::chrono::steady_clock::now();
    Status s = f();
    result_.stages.push_back(
        {std::move(name), std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count()});
    return s;
  }

  Graph& graph() { return *result_.engine.graph; }

  Status read() {
    progress("reading", 0, 1);
    FOVEA_TRY_SET(result_.engine.graph, read_onnx(o_.model, {}, &info_));
    if (!o_.card.empty()) FOVEA_TRY(lower());
    print("import");
    return {};
  }

  // The card becomes operators; the engine keeps what is left of it, which describes the outputs as they are now.
  Status lower() {
    FOVEA_TRY_SET(ModelCard card, read_card(o_.card));
    TensorPtr anchors;
    if (card.postprocess && card.postprocess->decode != BoxDecode::kNone) {
      FOVEA_TRY_SET(NpyArray a, read_anchors(card, o_.card));
      FOVEA_TRY_SET(anchors, Tensor::copy(a.dtype, a.shape, a.data));
    }
    FOVEA_TRY_SET(LoweredCard lowered, lower_card(graph(), card, std::move(anchors)));
    result_.engine.card = to_toml(lowered.card);
    result_.engine.preprocess = std::move(lowered.preprocess);
    card_ = std::move(card);
    return {};
  }

  void print(std::string_view pass) {
    for (const std::string& want : o_.print_ir_after)
      if ((want == pass || want == "all") && o_.print_ir) {
        printed_.insert(want);
        return o_.print_ir(pass, ::fovea::core::print(graph()));
      }
  }
  void progress(std::string_view what, int done, int total) {
    if (o_.progress) o_.progress(what, done, total);
  }

  Status passes() {
    const std::vector<Stage> stages = pipeline(patterns());
    for (const std::string& want : o_.print_ir_after)
      if (want != "all" && want != "import" && !find_pass(stages, want))
        return invalid_argument("--print-ir-after: no pass is named '{}'", want);
    PassOptions options;
    options.threads = threads_;
    options.disabled = o_.disabled_passes;
    std::unique_ptr<Checker> checker;
    if (o_.verify) {
      FOVEA_TRY(infer_graph(graph()));
      FOVEA_TRY_SET(std::vector<TensorPtr> inputs, inputs_to_compare());
      CheckOptions check;
      check.repro = o_.repro, check.threads = threads_;
      progress("evaluating the imported graph", 0, 1);
      auto made = Checker::create(graph(), std::move(inputs), check);
      if (!made.ok()) return made.status();
      checker = *std::move(made);
    }
    options.after_pass = [&](const Pass& pass, const Graph& g) {
      print(pass.name);
      return checker ? checker->after_pass(pass, g) : Status();
    };
    FOVEA_TRY_SET(result_.passes, run_stages(graph(), stages, options));
    for (const std::string& want : o_.print_ir_after)
      if (!printed_.contains(want) && o_.log)
        o_.log(LogLevel::kWarning, fmt::format("--print-ir-after: the pass '{}' changed nothing", want));
    if (checker && o_.log)
      o_.log(LogLevel::kInfo, fmt::format("--verify: {} nodes evaluated, {} values compared", checker->evaluated(),
                                          checker->compared()));
    return {};
  }

  const ModelCard* card() const { return card_ ? &*card_ : nullptr; }

  // Of the first profile's sizes.
  Result<std::vector<TensorPtr>> inputs_to_compare() {
    FOVEA_TRY_SET(std::vector<SymbolValues> profiles, complete_profiles());
    FOVEA_TRY_SET(Sizes sizes, Sizes::make(graph(), profiles[0]));
    FOVEA_TRY_SET(auto inputs, example_inputs(graph(), card(), sizes, 1));
    return std::vector<TensorPtr>(inputs.begin(), inputs.end());
  }

  // With sizes that no profile names: batch 1, and a middling picture.
  Result<std::vector<SymbolValues>> complete_profiles() {
    std::vector<SymbolValues> profiles = o_.profiles;
    if (profiles.empty()) profiles.emplace_back();
    for (SymbolValues& p : profiles) {
      add_usual_sizes(graph(), card(), 1, p);
      if (auto s = Sizes::make(graph(), p); !s.ok()) return s.status().in("--shapes");
    }
    return profiles;
  }

  Status kernels() {
    TimingCache cache;
    if (!o_.timing_cache.empty()) FOVEA_TRY(cache.load(o_.timing_cache));
    FOVEA_TRY_SET(std::vector<SymbolValues> profiles, complete_profiles());
    Timer timer(cache, threads_, o_.timing);
    PackedWeightsMap weights;
    for (size_t i = 0; i < profiles.size(); ++i) {
      ChooseOptions options;
      options.threads = threads_, options.keep_candidates = true, options.device = o_.device.get();
      const auto report = [&](std::string_view what) {
        return [&, what](int done, int total) {
          progress(fmt::format("{}, profile {} of {}", what, i + 1, profiles.size()), done, total);
        };
      };
      options.prebuild_progress = report("building kernels"), options.progress = report("choosing kernels");
      FOVEA_TRY_SET(const Sizes sizes, Sizes::make(graph(), profiles[i]));
      MemoryLimit limit(o_.memory_limit, graph(), threads_, o_.device.get());
      // A kernel may refuse when it is made ready for good: rows for any size are not asked before.
      while (true) {
        FOVEA_TRY_SET(Assignment assignment, choose(graph(), profiles[i], timer, weights, options));
        std::vector<Specialisation::Refusal> refusals;
        auto made = profile(profiles[i], std::move(assignment), weights, refusals);
        if (made.ok()) {
          if (limit.fits(*made)) {
            for (const GroupChoice& g : made->groups) made->costs.push_back(group_cost(g.group, g.formats, sizes));
            limit.annotate(*made);
            profiles_.push_back(*std::move(made));
            break;
          }
          FOVEA_TRY_SET(const bool lighter, limit.lighten(*made, sizes, options));
          if (!lighter) return limit.over();
          continue;
        }
        const size_t before = options.banned.size();
        for (const auto& r : refusals) options.banned.try_emplace({r.position, r.kernel}, r.reason);
        if (options.banned.size() > before) continue;
        if (o_.profiles.empty() && made.status().kind() == ErrorKind::kInvalidArgument)
          return guessed_sizes(made.status(), profiles[i]);
        return made.status();
      }
    }
    result_.kernels_timed = timer.measured();
    if (!o_.timing_cache.empty() && timer.measured() > 0) FOVEA_TRY(cache.save(o_.timing_cache));
    return {};
  }

  static std::string profile_text(const SymbolValues& sizes) {
    std::string text;
    for (const auto& [name, size] : sizes) text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, size);
    return text;
  }
  static Status guessed_sizes(const Status& refused, const SymbolValues& sizes) {
    const std::string text = profile_text(sizes);
    return invalid_argument(
        "{}; nobody named sizes, these are guessed: {}. Name some that the model takes: --shapes {}", refused.message(),
        text, text);
  }

  Result<ProfileReport> profile(const SymbolValues& sizes, Assignment assignment, PackedWeightsMap& weights,
                                std::vector<Specialisation::Refusal>& refusals) {
    ProfileReport report{sizes, to_recipe(graph(), sizes, assignment), assignment.groups, {}, assignment.reformat_ms};
    FOVEA_TRY_SET(Plan plan, build_plan(graph(), std::move(assignment)));
    report.reformats = plan.reformats, report.views = plan.views, report.copies = plan.copies;
    report.transfers = plan.transfers, report.size_reads = plan.size_reads;
    report.device = device_use(plan);
    FOVEA_TRY_SET(auto spec, Specialisation::make(std::make_shared<const Plan>(std::move(plan)), sizes, threads_,
                                                  weights, refusals, o_.device.get()));
    report.memory = memory_needs(*spec), report.packed_weight_bytes = weights.bytes();
    name_variants(*spec, spec->plan().run_steps, node_positions(graph()), report);
    return report;
  }

  // A kernel that was told how much workspace it has takes the same of its library's ways again when the engine runs.
  static void name_variants(const Specialisation& spec, std::span<const Step> steps,
                            const std::unordered_map<const Node*, int>& positions, ProfileReport& report) {
    for (const Step& step : steps) {
      for (const auto& b : step.branches) name_variants(spec, b, positions, report);
      if (step.kind != Step::Kind::kGroup || step.choice < 0) continue;
      GroupChoice& c = report.groups[static_cast<size_t>(step.choice)];
      const PreparedKernel* kernel = spec.kernel(step);
      if (c.workspace_limit == kAnyWorkspace || !c.variant.empty() || !kernel) continue;
      c.variant = kernel->detail();
      for (RecipeGroup& r : report.recipe.groups)
        if (r.nodes.back() == positions.at(c.group.nodes.back())) r.variant = c.variant;
    }
  }

  const CompileOptions& o_;
  int threads_;
  CompileResult result_;
  ModelInfo info_;
  std::set<std::string> printed_;
  std::optional<ModelCard> card_;
  std::vector<ProfileReport> profiles_;
};

}  // namespace

Result<CompileResult> compile(const CompileOptions& options) { return Compiler(options).run(); }

}  // namespace fovea::core
