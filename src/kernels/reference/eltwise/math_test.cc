#include <cmath>
#include <limits>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

struct Function {
  const char* op;
  AttrMap attrs;
  double (*value)(double);
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::log1p(std::exp(x)); }

std::vector<Function> functions() {
  return {
      {"Abs", {}, [](double x) { return std::fabs(x); }},
      {"Neg", {}, [](double x) { return -x; }},
      {"Exp", {}, [](double x) { return std::exp(x); }},
      {"Log", {}, [](double x) { return std::log(x); }},
      {"Sqrt", {}, [](double x) { return std::sqrt(x); }},
      {"Reciprocal", {}, [](double x) { return 1 / x; }},
      {"Erf", {}, [](double x) { return std::erf(x); }},
      {"Sign", {}, [](double x) { return x > 0   ? 1.0
                                         : x < 0 ? -1.0
                                                 : x; }},
      {"Floor", {}, [](double x) { return std::floor(x); }},
      {"Ceil", {}, [](double x) { return std::ceil(x); }},
      {"Round", {}, [](double x) { return std::nearbyint(x); }},
      {"Sin", {}, [](double x) { return std::sin(x); }},
      {"Cos", {}, [](double x) { return std::cos(x); }},
      {"Tan", {}, [](double x) { return std::tan(x); }},
      {"Asin", {}, [](double x) { return std::asin(x); }},
      {"Acos", {}, [](double x) { return std::acos(x); }},
      {"Atan", {}, [](double x) { return std::atan(x); }},
      {"Sinh", {}, [](double x) { return std::sinh(x); }},
      {"Cosh", {}, [](double x) { return std::cosh(x); }},
      {"Asinh", {}, [](double x) { return std::asinh(x); }},
      {"Acosh", {}, [](double x) { return std::acosh(x); }},
      {"Atanh", {}, [](double x) { return std::atanh(x); }},
      {"Tanh", {}, [](double x) { return std::tanh(x); }},
      {"Relu", {}, [](double x) { return x < 0 ? 0 : x; }},
      {"Sigmoid", {}, sigmoid},
      {"Softplus", {}, softplus},
      {"Softsign", {}, [](double x) { return x / (1 + std::fabs(x)); }},
      {"Mish", {}, [](double x) { return x * std::tanh(softplus(x)); }},
      {"Swish", {{"alpha", 1.5}}, [](double x) { return x * sigmoid(1.5 * x); }},
      {"HardSwish", {}, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
      {"HardSigmoid", {}, [](double x) { return std::clamp(0.2f * x + 0.5, 0.0, 1.0); }},
      {"HardSigmoid", {{"alpha", 0.5}, {"beta", 0.25}}, [](double x) { return std::clamp(0.5 * x + 0.25, 0.0, 1.0); }},
      {"LeakyRelu", {}, [](double x) { return x < 0 ? 0.01f * x : x; }},
      {"LeakyRelu", {{"alpha", 0.5}}, [](double x) { return x < 0 ? 0.5 * x : x; }},
      {"Elu", {{"alpha", 2.0}}, [](double x) { return x < 0 ? 2 * std::expm1(x) : x; }},
      {"Celu", {{"alpha", 2.0}}, [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }},
      {"Selu",
       {},
       [](double x) { return 1.05070102214813232421875 * (x < 0 ? 1.67326319217681884765625 * std::expm1(x) : x); }},
      {"ThresholdedRelu", {{"alpha", 0.5}}, [](double x) { return x > 0.5 ? x : 0; }},
      {"Gelu", {}, [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }},
      {"Gelu",
       {{"approximate", std::string("tanh")}},
       [](double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
  };
}

TEST(ReferenceUnary, EqualsTheFunction) {
  for (unsigned seed = 0; seed < 3; ++seed) {
    std::mt19937 rng(seed);
    for (const Function& f : functions())
      for (const Dims& dims : {Dims{}, Dims{0, 3}, Dims{2, 3, 5}, Dims{1}})
        for (DType type : {DType::kFloat32, DType::kFloat64, DType::kFloat16}) {
          SCOPED_TRACE(fmt::format("{} of {}, seed {}", f.op, to_string(type), seed));
          const TensorPtr x = random_tensor(rng, type, dims);
          std::vector<double> want;
          for (double v : x->to_doubles()) want.push_back(f.value(v));
          // Half has 11 bits; a few of its functions step (Round), which its own rounding of the input decides before.
          const double tolerance = type == DType::kFloat64 ? 1e-14 : type == DType::kFloat16 ? 1e-3 : 32 * kFloatStep;
          for (RunOptions options : layouts()) {
            const TensorPtr y = only(run_onnx(f.op, f.attrs, {x}, options));
            ASSERT_TRUE(y);
            ASSERT_EQ(y->dims(), dims);
            expect_close(y, want, tolerance);
          }
        }
  }
}

TEST(ReferenceUnary, InfinitiesAndNaN) {
  const TensorPtr x = floats({3}, {kNaN, kInf, -kInf});
  auto run = [&](const char* op) { return only(run_onnx(op, {}, {x})); };
  const double nan = kNaN, inf = kInf;
  expect_close(run("Sigmoid"), {nan, 1, 0});
  expect_close(run("Tanh"), {nan, 1, -1});
  expect_close(run("Softplus"), {nan, inf, 0});
  expect_close(run("Exp"), {nan, inf, 0});
  expect_close(run("Relu"), {nan, inf, 0});
  expect_close(run("Sign"), {nan, 1, -1});
  expect_close(run("HardSigmoid"), {nan, 1, 0});
  expect_close(run("Elu"), {nan, inf, -1});
  expect_close(run("Floor"), {nan, inf, -inf});
  expect_close(run("IsNaN"), {1, 0, 0});
  expect_close(run("IsInf"), {0, 1, 1});
  expect_close(only(run_onnx("IsInf", {{"detect_negative", int64_t{0}}}, {x})), {0, 1, 0});
}

TEST(ReferenceUnary, RoundsHalvesToEven) {
  expect_close(only(run_onnx("Round", {}, {floats({6}, {-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f})})),
               {-2, -2, 0, 0, 2, 2});
}

TEST(ReferenceClip, BoundsAreInputsOrAttributes) {
  const TensorPtr x = floats({5}, {-3, -1, 0.5f, 2, kNaN}), low = floats({}, {-1}), high = floats({}, {1});
  expect_close(only(run_onnx("Clip", {}, {x, low, high})), {-1, -1, 0.5, 1, kNaN});
  expect_close(only(run_onnx("Clip", {}, {x, nullptr, high})), {-3, -1, 0.5, 1, kNaN});
  expect_close(only(run_onnx("Clip", {}, {x, low})), {-1, -1, 0.5, 2, kNaN});
  expect_close(only(run_onnx("Clip", {}, {x})), {-3, -1, 0.5, 2, kNaN});
  RunOptions old;
  old.opset = 6;
  expect_close(only(run_onnx("Clip", {{"min", -1.0}, {"max", 1.0}}, {x}, old)), {-1, -1, 0.5, 1, kNaN});
  EXPECT_FALSE(run_onnx("Clip", {}, {x, floats({2}, {0, 1})}).ok());
  EXPECT_FALSE(run_onnx("Clip", {}, {x, integers({}, {0})}).ok());
  // Where the bounds cross, the upper one wins.
  expect_close(only(run_onnx("Clip", {}, {x, high, low})), {-1, -1, -1, -1, kNaN});
}

struct Binary {
  const char* op;
  AttrMap attrs;
  double (*value)(double, double);
};

double floor_mod(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

std::vector<Binary> binaries() {
  return {
      {"Add", {}, [](double a, double b) { return a + b; }},
      {"Sub", {}, [](double a, double b) { return a - b; }},
      {"Mul", {}, [](double a, double b) { return a * b; }},
      {"Div", {}, [](double a, double b) { return a / b; }},
      {"Max", {}, [](double a, double b) { return std::max(a, b); }},
      {"Min", {}, [](double a, double b) { return std::min(a, b); }},
      {"Mod", {{"fmod", int64_t{1}}}, [](double a, double b) { return std::fmod(a, b); }},
      {"Mod", {}, floor_mod},
      {"Equal", {}, [](double a, double b) { return double(a == b); }},
      {"Greater", {}, [](double a, double b) { return double(a > b); }},
      {"GreaterOrEqual", {}, [](double a, double b) { return double(a >= b); }},
      {"Less", {}, [](double a, double b) { return double(a < b); }},
      {"LessOrEqual", {}, [](double a, double b) { return double(a <= b); }},
  };
}

// b's dimensions: a's from the right, some of them 1 or missing; sometimes the other way round.
std::pair<Dims, Dims> broadcast_pair(std::mt19937& rng) {
  Dims a, b;
  for (unsigned i = 0, rank = rng() % 5; i < rank; ++i) a.push_back(1 + static_cast<int64_t>(rng() % 4));
  for (size_t i = rng() % (a.size() + 1); i < a.size(); ++i) b.push_back(rng() % 2 ? a[i] : 1);
  for (size_t i = 0; i < b.size(); ++i)
    if (rng() % 4 == 0) a[a.size() - b.size() + i] = 1;
  if (!a.empty() && rng() % 8 == 0) a[0] = 0, b = rng() % 2 ? Dims{} : Dims{1};
  return rng() % 2 ? std::pair(a, b) : std::pair(b, a);
}

std::vector<double> broadcast_values(const Dims& to, const Tensor& a, const Tensor& b, double (*f)(double, double)) {
  const auto x = a.to_doubles(), y = b.to_doubles();
  std::vector<double> out;
  Walker w(to, {broadcast_strides(a.dims(), to), broadcast_strides(b.dims(), to)});
  for (int64_t i = 0; i < w.count(); ++i, w.next())
    out.push_back(f(x[static_cast<size_t>(w.offset(0))], y[static_cast<size_t>(w.offset(1))]));
  return out;
}

TEST(ReferenceBinary, BroadcastsAsNumPy) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 rng(seed);
    const auto [first, second] = broadcast_pair(rng);
    for (const Binary& f : binaries())
      for (DType type : {DType::kFloat32, DType::kInt64, DType::kInt8, DType::kFloat64}) {
        SCOPED_TRACE(fmt::format("{} of {}, seed {}", f.op, to_string(type), seed));
        const TensorPtr a = random_tensor(rng, type, first);
        TensorPtr b = random_tensor(rng, type, second);
        if (is_integer(type) && (std::string_view(f.op) == "Div" || std::string_view(f.op) == "Mod"))  // no zeros
          b = only(run_onnx("Add", {},
                            {only(run_onnx("Mul", {}, {b, b})),
                             only(run_onnx("Cast", {{"to", static_cast<int64_t>(type)}}, {integers({}, {1})}))}));
        if (type == DType::kInt8 && !is_float(type) && std::string_view(f.op) == "Div")
          continue;  // b may have wrapped to zero
        if (type == DType::kInt8 && std::string_view(f.op) == "Mod") continue;
        for (RunOptions options : layouts()) {
          const TensorPtr y = only(run_onnx(f.op, f.attrs, {a, b}, options));
          ASSERT_TRUE(y);
          std::vector<double> want = broadcast_values(y->dims(), *a, *b, f.value);
          for (double& v : want) {
            if (!is_integer(y->dtype())) continue;
            v = std::trunc(v);
            if (type == DType::kInt8) v = static_cast<int8_t>(static_cast<int64_t>(v));
          }
          expect_close(y, want, type == DType::kFloat64 ? 1e-15 : 4 * kFloatStep);
        }
      }
  }
}

TEST(ReferenceBinary, IntegersWrapAndDoNotTrap) {
  const int64_t low = std::numeric_limits<int64_t>::min(), high = std::numeric_limits<int64_t>::max();
  auto run = [](const char* op, std::vector<int64_t> a, std::vector<int64_t> b) {
    const auto n = static_cast<int64_t>(a.size());
    TensorPtr y = only(run_onnx(op, {}, {integers({n}, a), integers({n}, b)}));
    return y ? y->to_ints() : std::vector<int64_t>();
  };
  EXPECT_EQ(run("Add", {high}, {1}), std::vector<int64_t>{low});
  EXPECT_EQ(run("Sub", {low}, {1}), std::vector<int64_t>{high});
  EXPECT_EQ(run("Mul", {high, low}, {2, -1}), (std::vector<int64_t>{-2, low}));
  EXPECT_EQ(run("Div", {low, -7, 7}, {-1, 2, -2}), (std::vector<int64_t>{low, -3, -3}));
  EXPECT_EQ(run("Mod", {low, -7, 7, -7}, {-1, 2, -2, 7}), (std::vector<int64_t>{0, 1, -1, 0}));
  for (const char* op : {"Div", "Mod"}) {
    auto r = run_onnx(op, {}, {integers({2}, {1, 2}), integers({2}, {1, 0})});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
  }
}

TEST(ReferenceBinary, MaxAndMinPropagateNaN) {
  const TensorPtr a = floats({4}, {kNaN, 1, -kInf, 3}), b = floats({4}, {1, kNaN, 2, kInf});
  expect_close(only(run_onnx("Max", {}, {a, b})), {kNaN, kNaN, 2, kInf});
  expect_close(only(run_onnx("Min", {}, {a, b})), {kNaN, kNaN, -kInf, 3});
  expect_close(only(run_onnx("Max", {}, {b, a, floats({1}, {5})})), {kNaN, kNaN, 5, kInf});
}

TEST(ReferenceBinary, ShapesThatDoNotBroadcastAreRefused) {
  const TensorPtr a = floats({2, 3}, std::vector<float>(6)), b = floats({4}, std::vector<float>(4));
  EXPECT_FALSE(run_onnx("Mul", {}, {a, b}).ok());
  RunOptions symbolic;
  symbolic.symbolic_shapes = true;
  EXPECT_FALSE(run_onnx("Mul", {}, {a, b}, symbolic).ok());
}

TEST(ReferencePow, TypesMayDiffer) {
  expect_close(only(run_onnx("Pow", {}, {floats({3}, {1, 2, 3}), integers({}, {2})})), {1, 4, 9});
  expect_close(only(run_onnx("Pow", {}, {integers({3}, {1, 2, -3}), integers({3}, {5, 62, 3})})),
               {1, 4611686018427387904.0, -27});
  expect_close(only(run_onnx("Pow", {}, {integers({3}, {4, 9, 2}), floats({}, {0.5f})})), {2, 3, 1});
  expect_close(only(run_onnx("Pow", {}, {integers({4}, {1, -1, -1, 2}), integers({4}, {-3, -3, -2, -1})})),
               {1, -1, 1, 0});
  expect_close(only(run_onnx("Pow", {}, {floats({2, 1}, {2, 3}), floats({2}, {2, 0.5f})})),
               {4, std::sqrt(2.0), 9, std::sqrt(3.0)});
}

TEST(ReferenceMod, SignsOfFloats) {
  const TensorPtr a = floats({4}, {-4.3f, 7.2f, -4.3f, 5}), b = floats({4}, {2.1f, -3.4f, -8, kInf});
  expect_close(only(run_onnx("Mod", {{"fmod", int64_t{1}}}, {a, b})),
               {std::fmod(-4.3f, 2.1f), std::fmod(7.2f, -3.4f), -4.3f, 5});
  expect_close(only(run_onnx("Mod", {}, {a, b})),
               {std::fmod(-4.3f, 2.1f) + 2.1f, std::fmod(7.2f, -3.4f) - 3.4f, -4.3f, 5});
}

TEST(ReferenceLogical, TruthTables) {
  const bool a[] = {false, false, true, true}, b[] = {false, true, false, true};
  const TensorPtr x = Tensor::of<bool>({4}, std::span<const bool>(a)),
                  y = Tensor::of<bool>({4}, std::span<const bool>(b));
  for (RunOptions options : layouts()) {
    expect_close(only(run_onnx("And", {}, {x, y}, options)), {0, 0, 0, 1});
    expect_close(only(run_onnx("Or", {}, {x, y}, options)), {0, 1, 1, 1});
    expect_close(only(run_onnx("Xor", {}, {x, y}, options)), {0, 1, 1, 0});
    expect_close(only(run_onnx("Equal", {}, {x, y}, options)), {1, 0, 0, 1});
    expect_close(only(run_onnx("Not", {}, {x}, options)), {1, 1, 0, 0});
  }
  EXPECT_FALSE(run_onnx("And", {}, {integers({1}, {1}), integers({1}, {1})}).ok());
}

TEST(ReferenceBitwise, ShiftsAndMasks) {
  auto u8 = [](std::vector<uint8_t> v) {
    return Tensor::of<uint8_t>({static_cast<int64_t>(v.size())}, std::span<const uint8_t>(v));
  };
  auto shift = [](const char* direction, TensorPtr x, TensorPtr by) {
    return only(run_onnx("BitShift", {{"direction", std::string(direction)}}, {x, by}));
  };
  expect_close(shift("LEFT", u8({1, 2, 255, 1}), u8({1, 7, 4, 8})), {2, 0, 240, 0});
  expect_close(shift("RIGHT", u8({16, 4, 255, 1}), u8({1, 2, 3, 9})), {8, 1, 31, 0});
  expect_close(shift("RIGHT", integers({3}, {-8, -8, 8}), integers({3}, {1, 64, -1})), {-4, -1, 0});
  expect_close(only(run_onnx("BitwiseAnd", {}, {u8({12}), u8({10})})), {8});
  expect_close(only(run_onnx("BitwiseOr", {}, {u8({12}), u8({10})})), {14});
  expect_close(only(run_onnx("BitwiseXor", {}, {u8({12}), u8({10})})), {6});
  expect_close(only(run_onnx("BitwiseNot", {}, {u8({12})})), {243});
  EXPECT_FALSE(run_onnx("BitShift", {}, {u8({1}), u8({1})}).ok());
}

TEST(ReferencePRelu, SlopeIsBroadcast) {
  const TensorPtr x = floats({1, 2, 2}, {-1, 2, -3, 4}), slope = floats({2, 1}, {0.5f, 2});
  for (RunOptions options : layouts()) expect_close(only(run_onnx("PRelu", {}, {x, slope}, options)), {-0.5, 2, -6, 4});
  EXPECT_FALSE(run_onnx("PRelu", {}, {slope, x}).ok());
}

TEST(ImportVariadic, BecomesChains) {
  const TensorPtr a = floats({2}, {1, 2}), b = floats({1}, {10}), c = floats({2, 1}, {100, 200});
  expect_close(only(run_onnx("Sum", {}, {a, b, c})), {111, 112, 211, 212});
  expect_close(only(run_onnx("Mean", {}, {a, b, c})), {37, 112.0 / 3, 211.0 / 3, 212.0 / 3});
  expect_close(only(run_onnx("Max", {}, {a, b, c})), {100, 100, 200, 200});
  expect_close(only(run_onnx("Min", {}, {a})), {1, 2});
  EXPECT_FALSE(run_onnx("Sum", {}, {}).ok());
}

// The symbols' real values are put in after the run and compared with what the kernels computed.
TEST(InferMath, KnownElementsAreTheComputedOnes) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 rng(seed);
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::vector<int64_t> first(3), second(3);
    for (int64_t& v : first) v = static_cast<int64_t>(rng() % 41) - 20;
    for (int64_t& v : second) v = static_cast<int64_t>(rng() % 20) + 1;
    const TensorPtr a = integers({3}, first), b = integers({3}, second);
    RunOptions known;
    known.symbolic = {0};
    for (const Binary& f : binaries()) ASSERT_TRUE(only(run_onnx(f.op, f.attrs, {a, b}, known))) << f.op;
    for (const char* op : {"Abs", "Neg"}) ASSERT_TRUE(only(run_onnx(op, {}, {a}, known))) << op;
    ASSERT_TRUE(only(run_onnx("Clip", {}, {a, integers({}, {-5}), integers({}, {7})}, known)));
    ASSERT_TRUE(only(run_onnx("Pow", {}, {a, integers({}, {2})}, known)));
  }
}

TEST(InferMath, FloatsKeepTheirOwnRounding) {
  // min(800 / 1333.5, ...) and the like, as torchvision's resize computes its size
  Graph graph("g");
  const Dim h(graph.declare_symbol({"h", 1, 8192, false}));
  Value* x = graph.add_input("x", DType::kFloat32, {1});
  x->known = std::make_shared<const SymValue>(SymValue{cast(h, DType::kFloat32)});
  Value* scale = graph.add_constant(Tensor::of<float>({1}, {0.7f}));
  Node* mul = graph.add_node(find_op("Mul"), nullptr, {x, scale});
  ASSERT_TRUE(infer_node(graph, *mul).ok());
  Node* floor = graph.add_node(find_op("Floor"), nullptr, {mul->output()});
  ASSERT_TRUE(infer_node(graph, *floor).ok());
  ASSERT_TRUE(floor->output()->known);
  const Expr size = cast(*floor->output()->known->front(), DType::kInt64);
  for (int64_t v = 1; v < 3000; v += 7) {
    auto r = evaluate(size, [&](const Symbol&) { return std::optional(v); });
    ASSERT_TRUE(r.ok());
    EXPECT_EQ(*r, static_cast<int64_t>(std::floor(static_cast<float>(v) * 0.7f)));
  }
}

TEST(InferMath, DivisionByWhatMayBeZeroIsLeftToTheRun) {
  RunOptions options;
  options.symbolic = {0, 1};
  expect_close(only(run_onnx("Div", {}, {integers({1}, {7}), integers({1}, {2})}, options)), {3});
  EXPECT_FALSE(run_onnx("Div", {}, {integers({1}, {7}), integers({1}, {0})}, options).ok());
}

}  // namespace
}  // namespace fovea::core::test
