// Times every row of kernels.inc on the cases of row_cases.inc: time, GFLOP a second, and that as a share of what the
// processor can do at most ("peaks").
//   rows_bench --benchmark_filter='winograd.*64x75'    (--threads=N for another team than all cores)
// A machine that others use gives no times worth reading: --cpu measures the processor's time on one thread instead.
#include <benchmark/benchmark.h>

#include <cstring>
#include <ctime>

#include "base/cpu_features.h"
#include "kernels/cpu/row_cases.h"
#include "kernels/cpu/row_runner.h"

namespace fovea::core {
namespace {

constexpr uint32_t kSeed = 1;

// One row, group and layout on one case, ready to run.
struct Entry {
  rows::Case owner;
  rows::WeightsMap weights;
  Group group;
  std::unique_ptr<PrepareContext> context;
  std::unique_ptr<PreparedKernel> kernel;
  double flop = 0;
};

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Additions and multiplications a second of one core: independent multiply-adds on all vector registers, in assembly so
// that no compiler has an opinion.
constexpr int64_t kRounds = 20'000'000;

double peak_avx512() {
  const double begin = thread_seconds();
  for (int64_t i = 0; i < kRounds; ++i)
    asm volatile(
        "vfmadd132ps %%zmm0,%%zmm0,%%zmm0\n vfmadd132ps %%zmm1,%%zmm1,%%zmm1\n vfmadd132ps %%zmm2,%%zmm2,%%zmm2\n"
        "vfmadd132ps %%zmm3,%%zmm3,%%zmm3\n vfmadd132ps %%zmm4,%%zmm4,%%zmm4\n vfmadd132ps %%zmm5,%%zmm5,%%zmm5\n"
        "vfmadd132ps %%zmm6,%%zmm6,%%zmm6\n vfmadd132ps %%zmm7,%%zmm7,%%zmm7\n vfmadd132ps %%zmm8,%%zmm8,%%zmm8\n"
        "vfmadd132ps %%zmm9,%%zmm9,%%zmm9\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
  return 2.0 * 10 * 16 * kRounds / (thread_seconds() - begin);
}

double peak_avx2() {
  const double begin = thread_seconds();
  for (int64_t i = 0; i < kRounds; ++i)
    asm volatile(
        "vfmadd132ps %%ymm0,%%ymm0,%%ymm0\n vfmadd132ps %%ymm1,%%ymm1,%%ymm1\n vfmadd132ps %%ymm2,%%ymm2,%%ymm2\n"
        "vfmadd132ps %%ymm3,%%ymm3,%%ymm3\n vfmadd132ps %%ymm4,%%ymm4,%%ymm4\n vfmadd132ps %%ymm5,%%ymm5,%%ymm5\n"
        "vfmadd132ps %%ymm6,%%ymm6,%%ymm6\n vfmadd132ps %%ymm7,%%ymm7,%%ymm7\n vfmadd132ps %%ymm8,%%ymm8,%%ymm8\n"
        "vfmadd132ps %%ymm9,%%ymm9,%%ymm9\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
  return 2.0 * 10 * 8 * kRounds / (thread_seconds() - begin);
}

double peak_flops() {
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    if (cpu_features() & kCpuAvx2) best = std::max(best, peak_avx2());
    if (cpu_features() & kCpuAvx512) best = std::max(best, peak_avx512());
  }
  return best;
}

void measure(benchmark::State& state, Entry& e, double peak) {
  rows::Runner runner(*e.context, *e.kernel, true);
  std::mt19937 rng(kSeed);
  std::vector<TensorPtr> inputs;
  for (const Value* v : e.group.inputs)
    inputs.push_back(v && !v->constant ? rows::detail::random_constant(rng, *constant_shape(v->shape), 1) : nullptr);
  Status s = runner.set_inputs(inputs);
  for (auto unused : state) {
    if (s.ok()) s = runner.run();
    if (!s.ok()) return state.SkipWithError(s.message().c_str());
  }
  if (e.flop == 0) return;
  state.counters["GFLOP"] =
      benchmark::Counter(e.flop * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["peaks"] =
      benchmark::Counter(e.flop / peak * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

std::string formats_text(const FormatChoice& choice) {
  return fmt::format("{}>{}", to_string(choice.inputs[0]), to_string(choice.outputs[0]));
}

std::string underscored(std::string_view line) {
  std::string s;
  for (const std::string& w : rows::detail::words(line)) s += (s.empty() ? "" : "_") + w;
  return s;
}

class Registry {
 public:
  Registry(int threads, bool cpu_time) : threads_(threads), cpu_time_(cpu_time), peak_(peak_flops() * threads) {}

  Status add(std::string_view line) {
    FOVEA_TRY_SET(rows::Case probe, rows::parse_case(line, kSeed));
    for (const KernelRow* row : cpu_kernels()) {
      if (row->op != probe.anchor->op->name || (row->features & cpu_features()) != row->features) continue;
      const std::vector<Group> groups = row->match(*probe.graph, *probe.anchor);
      for (size_t g = 0; g < groups.size(); ++g) {
        if (row->refuse && !row->refuse(groups[g]).empty()) continue;
        for (const FormatChoice& formats : formats_of(*row, groups[g]))
          FOVEA_TRY(add_entry(line, *row, g, formats));
        break;  // the largest group it takes
      }
    }
    return {};
  }

 private:
  // The kernel is prepared when its turn comes: all of them at once would not fit into memory.
  Status add_entry(std::string_view line, const KernelRow& row, size_t group, const FormatChoice& formats) {
    const std::string name = fmt::format("{}/{}/{}", row.name, formats_text(formats), underscored(line));
    auto* b = benchmark::RegisterBenchmark(name.c_str(), [this, line, &row, group, formats](benchmark::State& state) {
      Entry e;
      auto parsed = rows::parse_case(line, kSeed);
      if (!parsed.ok()) return state.SkipWithError(parsed.status().message().c_str());
      e.owner = *std::move(parsed);
      e.group = row.match(*e.owner.graph, *e.owner.anchor).at(group);
      e.flop = e.owner.flop;
      e.context = std::make_unique<PrepareContext>(rows::describe(e.group, formats, threads_, e.weights));
      auto kernel = row.prepare(*e.context);
      if (!kernel.ok()) return state.SkipWithError(kernel.status().message().c_str());
      e.kernel = *std::move(kernel);
      state.SetLabel(e.kernel->detail());
      measure(state, e, peak_);
    });
    b->Unit(benchmark::kMillisecond);
    if (!cpu_time_) b->UseRealTime();
    return {};
  }

  int threads_;
  bool cpu_time_;
  double peak_;
};

}  // namespace
}  // namespace fovea::core

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  int threads = fovea::core::hardware_threads();
  bool cpu_time = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) == 0) threads = std::max(1, std::atoi(argv[i] + 10));
    else if (std::strcmp(argv[i], "--cpu") == 0) cpu_time = true, threads = 1;
    else return benchmark::ReportUnrecognizedArguments(argc, argv), 2;
  }
  fovea::core::Registry registry(threads, cpu_time);
  for (std::string_view line : fovea::core::rows::kCases)
    if (fovea::core::Status s = registry.add(line); !s.ok()) {
      std::fprintf(stderr, "%s: %s\n", std::string(line).c_str(), s.message().c_str());
      return 1;
    }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
