// Times the rows of kernels.inc on the layers of SSD300 at batch 64, and with --all on the cases of their test: several
// runs in one captured graph, between two events of the device. "floor": what moving its bytes or multiplying takes at
// the device's best. Small cases find their data in the device's cache.
//   cuda_bench --benchmark_filter='fp16.*256x64x1x1'    (--tune: a library's ways are timed first, as compile does)
#include <benchmark/benchmark.h>

#include <cstring>

#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/row_cases.h"

namespace fovea::core {
namespace {

constexpr uint32_t kSeed = 1;
constexpr int kRepeats = 10;

constexpr std::string_view kSsd300[] = {
    "Conv 64x3x300x300 c:64x3x7x7 c:64 | strides=2,2 pads=3,3,3,3 | "
    "Relu MaxPool(kernel_shape=3,3;strides=2,2;pads=1,1,1,1)",
    "Conv 64x64x75x75 c:64x64x3x3 c:64 | pads=1,1,1,1 | Relu",
    "Conv 64x64x75x75 c:256x64x1x1 c:256 | | Add Relu",
    "Conv 64x128x38x38 c:512x128x1x1 c:512 | | Add Relu",
    "Conv 64x256x38x38 c:256x256x3x3 c:256 | pads=1,1,1,1 | Relu",
    "Conv 64x1024x38x38 c:256x1024x1x1 c:256 | | Relu",
    "Conv 64x256x38x38 c:1024x256x1x1 c:1024 | | Add Relu",
    "Conv 64x1024x38x38 c:352x1024x3x3 c:352 | pads=1,1,1,1 |",
    "MaxPool 64x64x150x150 | kernel_shape=3,3 strides=2,2 pads=1,1,1,1 |",
    "Softmax 64x8732x81 | axis=2 |",
    "DecodeBoxes 64x8732x4 8732x4 | variances=0.1,0.1,0.2,0.2 |",
    // As many scores as a trained network leaves; all of them.
    "Nms 16x8732x4 16x8732x81 | output=padded background=0 box_form=any_diagonal score_compare=gt score_threshold=3 "
    "pre_top_k=256 iou_threshold=0.5 max_total=200 |",
    "Nms 16x8732x4 16x8732x81 | output=padded background=0 box_form=any_diagonal pre_top_k=256 iou_threshold=0.5 "
    "max_total=200 |",
};

enum class Storage { kFloat32, kFloat16, kTf32 };
constexpr std::string_view kStorages[] = {"fp32", "fp16", "tf32"};

void allow(Graph& graph, Storage storage) {
  if (storage == Storage::kFloat16) rows::allow_half(graph);
  if (storage == Storage::kTf32) rows::allow_tf32(graph);
}

// Large ones are a piece at random, repeated: to draw all of it would take longer than everything else.
TensorPtr input_of(std::mt19937& rng, const Value& v, bool few) {
  const Dims dims = *constant_shape(v.shape);
  constexpr int64_t kPiece = 1 << 18;
  if (v.dtype != DType::kFloat32 || element_count(dims).value_or(0) <= kPiece)
    return rows::detail::random_input(rng, v, few);
  auto made = Tensor::allocate(v.dtype, dims);
  if (!made.ok()) return nullptr;
  const TensorPtr piece = rows::detail::random_constant(rng, {kPiece}, 1);
  std::byte* to = (*made)->mutable_data();
  const size_t size = piece->bytes().size(), all = (*made)->bytes().size();
  for (size_t at = 0; at < all; at += size) std::memcpy(to + at, piece->bytes().data(), std::min(size, all - at));
  return *made;
}

// What has to be moved and multiplied, and how long the device takes for the longer of the two.
struct Cost {
  double bytes = 0, floor_seconds = 0;
};
Cost cost_of(const Group& group, const FormatChoice& formats, double flop) {
  Cost cost;
  const bool half = formats.inputs[0].storage == DType::kFloat16;
  auto add = [&](const Value* v, Format format) {
    if (!v) return;
    // Weights are packed in the type that they are multiplied in.
    if (half && v->constant && v->dtype == DType::kFloat32) format.storage = DType::kFloat16;
    const auto shape = constant_shape(v->shape);
    if (!shape) return;
    cost.bytes += static_cast<double>(storage_elements(format.layout, *shape)) * dtype_bits(format.dtype(v->dtype)) / 8;
  };
  for (size_t i = 0; i < group.inputs.size(); ++i) add(group.inputs[i], formats.inputs[i]);
  for (size_t i = 0; i < group.outputs.size(); ++i) add(group.outputs[i], formats.outputs[i]);
  const Limits& l = gpu().device->limits();
  const double peak = half ? l.flops_fp16 : group.outputs[0]->storage.tf32 ? l.flops_tf32 : l.flops_fp32;
  if (l.bytes_per_second > 0) cost.floor_seconds = cost.bytes / l.bytes_per_second;
  const Node& anchor = *group.nodes[0];
  if (peak > 0 && (anchor.is("Conv") || anchor.is("ConvTranspose") || anchor.is("MatMul") || anchor.is("Gemm")))
    cost.floor_seconds = std::max(cost.floor_seconds, flop / peak);
  return cost;
}

Result<double> seconds_of(CudaRunner& runner, DeviceGraph& graph, int runs) {
  FOVEA_TRY_SET(const auto begin, gpu().device->create_event());
  FOVEA_TRY_SET(const auto end, gpu().device->create_event());
  FOVEA_TRY(runner.stream().record(*begin));
  FOVEA_TRY(runner.stream().launch(graph));
  FOVEA_TRY(runner.stream().record(*end));
  FOVEA_TRY(runner.stream().synchronize());
  FOVEA_TRY_SET(const double ms, end->ms_since(*begin));
  return ms * 1e-3 / runs;
}

Status measure(benchmark::State& state, CudaRunner& runner, const Cost& cost) {
  FOVEA_TRY(runner.run(false));
  FOVEA_TRY_SET(const auto one, runner.record(1));
  FOVEA_TRY(runner.stream().launch(*one));
  FOVEA_TRY_SET(const double once, seconds_of(runner, *one, 1));
  const int runs = std::clamp(static_cast<int>(1e-3 / std::max(once, 1e-6)), 4, 64);
  FOVEA_TRY_SET(const auto graph, runner.record(runs));
  FOVEA_TRY(runner.stream().launch(*graph));
  double best = 1e9;
  for (auto unused : state) {
    FOVEA_TRY_SET(const double seconds, seconds_of(runner, *graph, runs));
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  state.counters["best"] = best * 1e6;
  state.counters["floor"] = cost.floor_seconds * 1e6;
  state.counters["of_floor"] = best / std::max(cost.floor_seconds, 1e-12);
  state.counters["GB/s"] = cost.bytes * 1e-9 / best;
  return {};
}

// One row, group and format on one case. All is made when its turn comes, and gone behind it.
struct Entry {
  std::string_view line;
  Storage storage;
  const KernelRow* row;
  size_t group, formats;
  bool tune;

  Status run(benchmark::State& state) const {
    if (!gpu().device) return unsupported("{}", gpu().why);
    FOVEA_TRY_SET(rows::Case c, rows::parse_case(line, kSeed));
    allow(*c.graph, storage);
    const Group g = row->match(*c.graph, *c.anchor).at(group);
    const FormatChoice f = formats_of(*row, g).at(formats);
    rows::WeightsMap weights;
    PrepareContext context = rows::describe(g, f, 1, weights);
    context.device = gpu().device.get(), context.tune = tune;
    FOVEA_TRY_SET(const auto kernel, row->prepare(context));
    state.SetLabel(kernel->detail());
    std::mt19937 rng(kSeed);
    std::vector<TensorPtr> inputs;
    for (const Value* v : g.inputs) inputs.push_back(v && !v->constant ? input_of(rng, *v, c.few) : nullptr);
    CudaRunner runner(*gpu().device, context, *kernel);
    FOVEA_TRY(runner.set_up(inputs, f));
    return measure(state, runner, cost_of(g, f, c.flop));
  }
};

std::string name_of(const Entry& e, const FormatChoice& formats) {
  std::string name = fmt::format("{}/{}/{}>{}/", e.row->name, kStorages[static_cast<size_t>(e.storage)],
                                 to_string(formats.inputs[0]), to_string(formats.outputs[0]));
  const size_t before = name.size();
  for (const std::string& w : rows::detail::words(e.line)) name += (name.size() > before ? "_" : "") + w;
  return name;
}

// Every row that takes the case, with the largest group that it takes.
Status add(std::string_view line, bool tune) {
  FOVEA_TRY_SET(const rows::Case c, rows::parse_case(line, kSeed));
  for (const Storage storage : {Storage::kFloat32, Storage::kFloat16, Storage::kTf32}) {
    if (storage == Storage::kTf32 && !c.anchor->is("Conv")) continue;
    allow(*c.graph, storage);
    for (const KernelRow* row : cuda_kernels()) {
      if (row->op != c.anchor->op->name) continue;
      const std::vector<Group> groups = row->match(*c.graph, *c.anchor);
      for (size_t g = 0; g < groups.size(); ++g) {
        if (row->refuse && !row->refuse(groups[g]).empty()) continue;
        const std::vector<FormatChoice> offered = formats_of(*row, groups[g]);
        for (size_t f = 0; f < offered.size(); ++f) {
          // What it offers in any case is registered once.
          const auto is_half = [](const Format& x) { return x.storage == DType::kFloat16; };
          const bool half =
              std::ranges::any_of(offered[f].inputs, is_half) || std::ranges::any_of(offered[f].outputs, is_half);
          if (half != (storage == Storage::kFloat16)) continue;
          const Entry e{line, storage, row, g, f, tune};
          benchmark::RegisterBenchmark(name_of(e, offered[f]).c_str(),
                                       [e](benchmark::State& state) {
                                         if (const Status s = e.run(state); !s.ok())
                                           state.SkipWithError(s.message().c_str());
                                       })
              ->UseManualTime()
              ->Iterations(kRepeats)
              ->Unit(benchmark::kMicrosecond);
        }
        break;
      }
    }
  }
  return {};
}

}  // namespace
}  // namespace fovea::core

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  bool all = false, tune = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--all") == 0) all = true;
    else if (std::strcmp(argv[i], "--tune") == 0) tune = true;
    else return benchmark::ReportUnrecognizedArguments(argc, argv), 2;
  }
  std::vector<std::string_view> lines(std::begin(fovea::core::kSsd300), std::end(fovea::core::kSsd300));
  if (all)
    lines.insert(lines.end(), std::begin(fovea::core::rows::kCudaCases), std::end(fovea::core::rows::kCudaCases));
  for (std::string_view line : lines)
    if (fovea::core::Status s = fovea::core::add(line, tune); !s.ok()) {
      std::fprintf(stderr, "%s: %s\n", std::string(line).c_str(), s.message().c_str());
      return 1;
    }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
