#include "kernels/reference/close.h"
#include "ops/gemm.h"

namespace fovea::core::test {
namespace {

int64_t pick(std::mt19937& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}

// One product of [rows, depth] with [depth, columns].
void multiply(const double* a, const double* b, int64_t rows, int64_t depth, int64_t columns,
              std::vector<double>& out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) sum += a[r * depth + k] * b[k * columns + j];
      out.push_back(sum);
    }
}

TEST(ReferenceMatMul, BroadcastsBatches) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const int64_t rows = pick(rng, seed % 9 == 0 ? 0 : 1, 9), depth = pick(rng, seed % 7 == 0 ? 0 : 1, 20),
                  columns = pick(rng, 1, 40);
    Dims batch, a_dims, b_dims;
    for (int64_t i = 0, rank = pick(rng, 0, 3); i < rank; ++i) batch.push_back(pick(rng, 1, 3));
    for (int64_t d : batch)
      a_dims.push_back(rng() % 3 ? d : 1), b_dims.push_back(a_dims.back() == d && rng() % 2 ? 1 : d);
    a_dims.insert(a_dims.end(), {rows, depth}), b_dims.insert(b_dims.end(), {depth, columns});
    for (DType type : {DType::kFloat32, DType::kFloat64, DType::kInt32}) {
      const TensorPtr a = random_tensor(rng, type, a_dims), b = random_tensor(rng, type, b_dims);
      const auto x = a->to_doubles(), y = b->to_doubles();
      std::vector<double> want;
      Walker w(batch, {broadcast_strides(std::span(a_dims).first(batch.size()), batch),
                       broadcast_strides(std::span(b_dims).first(batch.size()), batch)});
      for (int64_t i = 0; i < w.count(); ++i, w.next())
        multiply(x.data() + w.offset(0) * rows * depth, y.data() + w.offset(1) * depth * columns, rows, depth, columns,
                 want);
      for (RunOptions options : layouts())
        expect_close(only(run_onnx("MatMul", {}, {a, b}, options)), want,
                     type == DType::kFloat32 ? 2 * kFloatStep : 1e-13);
    }
  }
}

TEST(ReferenceMatMul, Vectors) {
  const TensorPtr v = floats({2}, {1, 2}), m = floats({2, 3}, {1, 2, 3, 4, 5, 6}),
                  t = floats({1, 3, 2}, {1, 2, 3, 4, 5, 6});
  for (RunOptions options : layouts()) {
    TensorPtr row = only(run_onnx("MatMul", {}, {v, m}, options)),
              column = only(run_onnx("MatMul", {}, {t, v}, options)),
              dot = only(run_onnx("MatMul", {}, {v, v}, options));
    ASSERT_TRUE(row && column && dot);
    EXPECT_EQ(row->dims(), Dims{3});
    EXPECT_EQ(column->dims(), (Dims{1, 3}));
    EXPECT_EQ(dot->dims(), Dims{});
    expect_close(row, {9, 12, 15});
    expect_close(column, {5, 11, 17});
    expect_close(dot, {5});
  }
  EXPECT_FALSE(run_onnx("MatMul", {}, {m, v}).ok());
  EXPECT_FALSE(run_onnx("MatMul", {}, {m, floats({}, {1})}).ok());
  RunOptions symbolic;
  symbolic.symbolic_shapes = true;
  EXPECT_FALSE(run_onnx("MatMul", {}, {m, v}, symbolic).ok());
}

TEST(ReferenceMatMul, IntegersWrap) {
  const int64_t big = int64_t{1} << 62;
  EXPECT_EQ(only(run_onnx("MatMul", {}, {integers({1, 2}, {big, big}), integers({2, 1}, {2, 2})}))->to_ints(),
            std::vector<int64_t>{0});
}

TEST(ReferenceGemm, AllForms) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const int64_t rows = pick(rng, 1, 9), depth = pick(rng, 0, 20), columns = pick(rng, 1, 40);
    GemmAttrs attrs{.alpha = rng() % 2 ? 1.0 : 0.5,
                    .beta = rng() % 2 ? 1.0 : -2.0,
                    .transA = rng() % 2 != 0,
                    .transB = rng() % 2 != 0};
    const Dims addends[] = {{}, {1}, {columns}, {1, columns}, {rows, 1}, {rows, columns}};
    const Dims addend = addends[rng() % 6];
    const TensorPtr a = random_tensor(rng, DType::kFloat32, attrs.transA ? Dims{depth, rows} : Dims{rows, depth});
    const TensorPtr b = random_tensor(rng, DType::kFloat32, attrs.transB ? Dims{columns, depth} : Dims{depth, columns});
    const TensorPtr c = rng() % 4 ? random_tensor(rng, DType::kFloat32, addend) : nullptr;
    const auto x = a->to_doubles(), y = b->to_doubles(), z = c ? c->to_doubles() : std::vector<double>();
    const auto steps = broadcast_strides(addend, Dims{rows, columns});
    std::vector<double> want;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < depth; ++k)
          sum += x[static_cast<size_t>(attrs.transA ? k * rows + r : r * depth + k)] *
                 y[static_cast<size_t>(attrs.transB ? j * depth + k : k * columns + j)];
        want.push_back(attrs.alpha * sum + (c ? attrs.beta * z[static_cast<size_t>(r * steps[0] + j * steps[1])] : 0));
      }
    const AttrMap map = {{"alpha", attrs.alpha},
                         {"beta", attrs.beta},
                         {"transA", int64_t{attrs.transA}},
                         {"transB", int64_t{attrs.transB}}};
    for (RunOptions options : layouts()) expect_close(only(run_onnx("Gemm", map, {a, b, c}, options)), want);
  }
}

TEST(ReferenceGemm, RefusesWhatDoesNotFit) {
  const TensorPtr a = floats({2, 3}, std::vector<float>(6)), b = floats({3, 4}, std::vector<float>(12));
  EXPECT_FALSE(run_onnx("Gemm", {}, {a, a}).ok());
  EXPECT_FALSE(run_onnx("Gemm", {}, {a, b, floats({3}, {1, 2, 3})}).ok());
  EXPECT_FALSE(run_onnx("Gemm", {}, {a, b, floats({1, 1, 1}, {1})}).ok());
  RunOptions symbolic;
  symbolic.symbolic_shapes = true;
  EXPECT_FALSE(run_onnx("Gemm", {}, {a, a}, symbolic).ok());
  EXPECT_FALSE(run_onnx("Gemm", {}, {a, b, floats({3}, {1, 2, 3})}, symbolic).ok());
}

}  // namespace
}  // namespace fovea::core::test
