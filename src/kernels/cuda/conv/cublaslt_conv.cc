// A 1x1 convolution as a matrix product by cuBLASLt: pixels by channels in NHWC, channels padded to a multiple of 8.
// Several of its algorithms are timed where tactics allows it; which one it was is kept with the recipe.
#include <algorithm>
#include <limits>

#include "kernels/cuda/conv/cublaslt_product.h"
#include "kernels/cuda/conv/overlap.h"
#include "kernels/cuda/conv/packing.h"
#include "kernels/cuda/conv/tuning.h"
#include "kernels/tail.h"

namespace fovea::core {
namespace {

using namespace cuda;

// ---- which convolutions

bool is_relu(const Node& node) { return node.is("Relu"); }

// Its epilogue adds and then activates, never the other way round.
std::vector<Group> match(const Graph& graph, const Node& anchor) {
  if (!is_product(anchor)) return {};
  std::vector<Group> groups =
      match_with_tail(graph, anchor, {.inputs = kConvInputs, .bias = -1, .residual = true, .activation = is_relu});
  std::erase_if(groups, [](const Group& g) {
    return std::any_of(g.nodes.begin(), g.nodes.end() - 1, [](const Node* n) { return is_relu(*n); });
  });
  return groups;
}

// ---- the kernel

// The product of some of the pixels.
struct Rows {
  int64_t count = 0;
  Product product;
  ProductAlgorithm algorithm;
};

class ProductKernel final : public PreparedKernel {
 public:
  Rows all;
  Overlap overlap;
  std::vector<Rows> parts;  // where the overlap has two
  ConvConstants constants;
  int residual = -1;

  Status run(KernelContext& c) const override {
    auto* const from = static_cast<std::byte*>(c.in(kX).data);
    auto* const to = static_cast<std::byte*>(c.out().data);
    const void* add = residual >= 0 ? c.in(static_cast<size_t>(residual)).data : to;
    FOVEA_TRY(stream_of(c).device().make_current());  // the library's handle is that device's
    if (parts.empty()) return all.product.start(all.algorithm, from, add, to, c.workspace, handle_of(c));
    return overlap.each_part(from, to, [&](int64_t begin, int64_t count) {
      const Rows& r = count == all.count ? all : parts[begin ? 1 : 0];
      std::byte* const there = to + begin * overlap.to_bytes;
      return r.product.start(r.algorithm, from + begin * overlap.from_bytes, there, there, c.workspace, handle_of(c));
    });
  }
  int64_t workspace_bytes() const override { return Product::workspace_bytes(all.algorithm); }
  std::string detail() const override { return all.algorithm.name; }
  int64_t overlap_lead() const override { return parts.empty() ? -1 : overlap.lead(); }
};

Result<size_t> fastest(CudaDevice& device, const ProductShape& s, const Product& product,
                       std::span<const ProductAlgorithm> all) {
  FOVEA_TRY_SET(const CudaDevice::Workbench bench, device.workbench());
  Stream& stream = bench.stream;
  int64_t most = 0;
  for (const ProductAlgorithm& a : all) most = std::max(most, Product::workspace_bytes(a));
  FOVEA_TRY_SET(const DeviceMemory from, random_memory(stream, s.type, s.n * s.k));
  FOVEA_TRY_SET(const DeviceMemory to, random_memory(stream, s.type, s.n * s.m));
  FOVEA_TRY_SET(const DeviceMemory workspace, device.allocate(most, DeviceMemory::Kind::kDevice));
  double best = std::numeric_limits<double>::infinity();
  size_t chosen = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    // A residual in place adds up run by run: every algorithm starts from the same numbers.
    if (s.residual) FOVEA_TRY(fill_random(stream, s.type, to));
    auto ms = time_runs(stream, best, [&] {
      return product.start(all[i], from.data(), to.data(), to.data(), workspace.data(), stream.handle());
    });
    if (ms.ok() && *ms < 0.97 * best) best = *ms, chosen = i;
  }
  return chosen;
}

Result<ProductAlgorithm> choose_algorithm(const PrepareContext& c, const ProductShape& s, const Product& product) {
  FOVEA_TRY_SET(std::vector<ProductAlgorithm> all, product.algorithms());
  auto it = std::ranges::find_if(all, [&](const ProductAlgorithm& a) { return a.name == c.variant; });
  if (it != all.end()) return std::move(*it);
  if (!c.tune) return std::move(all[0]);
  FOVEA_TRY_SET(const size_t i, fastest(device_of(c), s, product, all));
  return std::move(all[i]);
}

// None where the library has nothing for a part that needs no more workspace than all of them: it is to save memory.
std::vector<Rows> in_parts(const ProductKernel& kernel, const std::shared_ptr<const CublasLt>& lt, ProductShape s) {
  std::vector<Rows> parts;
  const Overlap& o = kernel.overlap;
  if (!o.first) return parts;
  for (int64_t count : {o.first, o.pixels - o.first}) {
    s.n = count;
    auto product = Product::make(lt, s, kernel.constants.weights.get(), kernel.constants.bias.get());
    if (!product.ok()) return {};
    auto ways = product->algorithms();
    if (!ways.ok()) return {};
    std::erase_if(*ways, [&](const ProductAlgorithm& a) { return a.workspace > kernel.all.algorithm.workspace; });
    if (ways->empty()) return {};
    const auto same = std::ranges::find(*ways, kernel.all.algorithm.name, &ProductAlgorithm::name);
    parts.push_back({count, *std::move(product), same == ways->end() ? ways->front() : *same});
  }
  return parts;
}

// A tenth of a second, which cuDNN's plans take, too.
void open_library_ahead(const PrepareContext& c) { (void)device_of(c).cublaslt(); }

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  const std::vector<int64_t>&x = c.inputs[kX].shape, &y = c.outputs[0].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  ProductShape s{x[0] * x[2] * x[3], padded(y[1]), padded(x[1]), c.inputs[kX].dtype};
  s.tf32 = s.type == DType::kFloat32 && c.group.outputs[0]->storage.tf32;
  s.relu = is_relu(*c.group.nodes.back()), s.residual = c.group.residual >= 0;
  FOVEA_TRY_SET(auto lt, device_of(c).cublaslt());
  FOVEA_TRY(device_of(c).make_current());
  auto kernel = std::make_unique<ProductKernel>();
  kernel->residual = c.group.residual;
  // The library's table of types has a float16 bias for float16 data.
  FOVEA_TRY_SET(kernel->constants, pack_conv(c, s.type));
  const int64_t size = dtype_bits(s.type) / 8;
  kernel->overlap = Overlap::of(s.n, s.k * size, s.m * size);
  Rows& all = kernel->all;
  all.count = s.n;
  FOVEA_TRY_SET(all.product, Product::make(lt, s, kernel->constants.weights.get(), kernel->constants.bias.get()));
  FOVEA_TRY_SET(all.algorithm, choose_algorithm(c, s, all.product));
  if (!s.residual) kernel->parts = in_parts(*kernel, lt, s);
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_cublaslt_conv = {.name = "cublaslt_conv",
                                        .op = "Conv",
                                        .place = Place::kDevice,
                                        .match = match,
                                        .refuse = conv_refusal,
                                        .formats = conv_formats,
                                        .prepare = prepare,
                                        .prebuild = open_library_ahead};

}  // namespace fovea::core
