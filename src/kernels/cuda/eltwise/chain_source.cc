#include "kernels/cuda/eltwise/chain_source.h"

#include <fmt/format.h>

namespace fovea::core::cuda::chain {
namespace {

// No header is included: users may have the driver and NVRTC alone. Products and sums that must not be joined into one
// rounding are written as intrinsics.
constexpr std::string_view kPrelude = R"(
typedef unsigned short u16;
struct Half { u16 bits; };
struct Bool { unsigned char value; };
#define DEVICE __device__ __forceinline__
DEVICE float get(float x) { return x; }
DEVICE float get(Half x) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits)); return f; }
DEVICE int get(int x) { return x; }
DEVICE long long get(long long x) { return x; }
DEVICE bool get(Bool x) { return x.value != 0; }
DEVICE void put(float& to, float x) { to = x; }
DEVICE void put(Half& to, float x) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x)); to.bits = h; }
DEVICE void put(int& to, int x) { to = x; }
DEVICE void put(long long& to, long long x) { to = x; }
DEVICE void put(Bool& to, bool x) { to.value = x ? 1 : 0; }
DEVICE float rounded(float x) { Half h; put(h, x); return get(h); }
DEVICE float number(long long bits, float) { return __int_as_float((int)bits); }
DEVICE int number(long long bits, int) { return (int)bits; }
DEVICE long long number(long long bits, long long) { return bits; }
DEVICE bool number(long long bits, bool) { return bits != 0; }

DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
DEVICE int add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
DEVICE long long add(long long a, long long b) { return (long long)((unsigned long long)a + (unsigned long long)b); }
DEVICE float sub(float a, float b) { return __fsub_rn(a, b); }
DEVICE int sub(int a, int b) { return (int)((unsigned)a - (unsigned)b); }
DEVICE long long sub(long long a, long long b) { return (long long)((unsigned long long)a - (unsigned long long)b); }
DEVICE float mul(float a, float b) { return __fmul_rn(a, b); }
DEVICE int mul(int a, int b) { return (int)((unsigned)a * (unsigned)b); }
DEVICE long long mul(long long a, long long b) { return (long long)((unsigned long long)a * (unsigned long long)b); }
DEVICE float divide(float a, float b) { return __fdiv_rn(a, b); }
DEVICE float power(float a, float b) { return (float)pow((double)a, (double)b); }
template <typename T> DEVICE T largest(T a, T b) { return a > b || a != a ? a : b; }
template <typename T> DEVICE T smallest(T a, T b) { return a < b || a != a ? a : b; }
template <typename T> DEVICE T at_least(T x, T low) { return x < low ? low : x; }
template <typename T> DEVICE T at_most(T x, T high) { return x > high ? high : x; }
template <typename T> DEVICE T relu(T x) { return x < (T)0 ? (T)0 : x; }
template <typename T> DEVICE T sign(T x) { return x > (T)0 ? (T)1 : x < (T)0 ? (T)-1 : x; }
DEVICE float negative(float x) { return -x; }
DEVICE int negative(int x) { return (int)(0u - (unsigned)x); }
DEVICE long long negative(long long x) { return (long long)(0ull - (unsigned long long)x); }
DEVICE float absolute(float x) { return fabsf(x); }
DEVICE int absolute(int x) { return x < 0 ? negative(x) : x; }
DEVICE long long absolute(long long x) { return x < 0 ? negative(x) : x; }

DEVICE float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return __fdiv_rn(x >= 0.f ? 1.f : e, __fadd_rn(1.f, e));
}
DEVICE float softplus(float x) {
  return x > 0.f ? __fadd_rn(x, log1pf(expf(-x))) : log1pf(expf(x));
}
DEVICE float hard_sigmoid(float x, float alpha, float beta) {
  const float y = __fadd_rn(__fmul_rn(alpha, x), beta);
  return y < 0.f ? 0.f : y > 1.f ? 1.f : y;
}
DEVICE float hard_swish(float x) { return __fmul_rn(x, hard_sigmoid(x, 1.f / 6.f, 0.5f)); }
DEVICE float leaky_relu(float x, float alpha) { return x < 0.f ? __fmul_rn(alpha, x) : x; }
DEVICE float elu(float x, float alpha) { return x < 0.f ? __fmul_rn(alpha, expm1f(x)) : x; }
DEVICE float celu(float x, float alpha) { return x < 0.f ? __fmul_rn(alpha, expm1f(__fdiv_rn(x, alpha))) : x; }
DEVICE float selu(float x, float alpha, float gamma) {
  return __fmul_rn(gamma, x < 0.f ? __fmul_rn(alpha, expm1f(x)) : x);
}
DEVICE float thresholded(float x, float alpha) { return x > alpha ? x : 0.f; }
DEVICE float softsign(float x) { return __fdiv_rn(x, __fadd_rn(1.f, fabsf(x))); }
DEVICE float mish(float x) { return __fmul_rn(x, tanhf(softplus(x))); }
DEVICE float swish(float x, float alpha) { return __fmul_rn(x, sigmoid(__fmul_rn(alpha, x))); }
DEVICE float gelu(float x) {
  return __fmul_rn(__fmul_rn(0.5f, x), __fadd_rn(1.f, erff(__fmul_rn(x, 0.7071067811865476f))));
}
DEVICE float gelu_tanh(float x) {
  const float cube = __fmul_rn(__fmul_rn(__fmul_rn(0.044715f, x), x), x);
  return __fmul_rn(__fmul_rn(0.5f, x), __fadd_rn(1.f, tanhf(__fmul_rn(0.7978845608028654f, __fadd_rn(x, cube)))));
}

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(int x) { return __int2float_rn(x); }
DEVICE float to_float(long long x) { return __ll2float_rn(x); }
DEVICE float to_float(bool x) { return x ? 1.f : 0.f; }
DEVICE int to_int(float x) { return x >= -2147483648.f && x < 2147483648.f ? (int)x : (int)0x80000000u; }
DEVICE int to_int(int x) { return x; }
DEVICE int to_int(long long x) { return (int)x; }
DEVICE int to_int(bool x) { return x ? 1 : 0; }
DEVICE long long to_long(float x) {
  return x >= -9223372036854775808.f && x < 9223372036854775808.f ? (long long)x : (long long)0x8000000000000000ull;
}
DEVICE long long to_long(int x) { return x; }
DEVICE long long to_long(long long x) { return x; }
DEVICE long long to_long(bool x) { return x ? 1 : 0; }
template <typename T> DEVICE bool to_bool(T x) { return x != (T)0; }

template <typename T, int V>
struct __align__(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Pack { T lane[V]; };
// n of V elements, the rest are zero; step 0: one for all.
template <int V, typename T, typename L>
DEVICE void load(const T* p, int step, int n, L (&x)[V]) {
  if (V == 1) {
    x[0] = get(p[0]);
  } else if (step == 0) {
    const L one = get(p[0]);
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = one;
  } else if (n == V) {
    const Pack<T, V> pack = *(const Pack<T, V>*)p;
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = get(pack.lane[k]);
  } else {
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = k < n ? get(p[k]) : (L)0;
  }
}
template <int V, typename T, typename L>
DEVICE void store(T* p, int n, const L (&x)[V]) {
  if (n == V) {
    Pack<T, V> pack;
#pragma unroll
    for (int k = 0; k < V; ++k) put(pack.lane[k], x[k]);
    *(Pack<T, V>*)p = pack;
  } else {
#pragma unroll
    for (int k = 0; k < V; ++k)
      if (k < n) put(p[k], x[k]);
  }
}
DEVICE unsigned quotient(unsigned n, const Division& d) { return (__umulhi(n, d.magic) + n) >> d.shift; }
)";

}  // namespace

std::string_view lane_type(Type type) {
  switch (type) {
    case Type::kFloat:
    case Type::kHalf: return "float";
    case Type::kInt: return "int";
    case Type::kLong: return "long long";
    case Type::kBool: return "bool";
  }
  return "";
}
std::string_view stored_type(Type type) {
  return type == Type::kHalf ? "Half" : type == Type::kBool ? "Bool" : lane_type(type);
}

std::string source_head() { return std::string(kArgumentsText) + std::string(kPrelude); }

std::string Chain::function(std::string_view name, Front from, Front to) const {
  const std::string_view type = lane_type(to.steps > 0 ? steps[to.steps - 1].result : operands[0].stored);
  std::string text = fmt::format("DEVICE {} {}(const Arguments& a", type, name);
  if (from.steps > 0) text += fmt::format(", {} v{}", lane_type(steps[from.steps - 1].result), from.steps - 1);
  for (size_t i = from.operands; i < to.operands; ++i)
    text += fmt::format(", {} x{}", lane_type(operands[i].stored), i);
  text += ") {\n";
  for (size_t s = from.steps; s < to.steps; ++s) {
    const bool half = steps[s].result == Type::kHalf;
    text += fmt::format("  const {} v{} = {}{}{};\n", lane_type(steps[s].result), s, half ? "rounded(" : "",
                        steps[s].expression, half ? ")" : "");
  }
  return text + (to.steps > 0 ? fmt::format("  return v{};\n}}\n", to.steps - 1) : "  return x0;\n}\n");
}

std::string Chain::source() const {
  const size_t n = operands.size();
  std::string text = source_head() + function("lane", {}, {steps.size(), n});

  auto offset = [&](std::string_view index, std::string_view loop) {
    for (size_t i = 0; i < n; ++i)
      if (operands[i].where == Where::kPlain || operands[i].where == Where::kPixel)
        text += fmt::format("    o{0} += (long long){1} * a.stride[{0}][{2}];\n", i, index, loop);
    if (!nhwc8) text += fmt::format("    y += (long long){} * a.stride[{}][{}];\n", index, kMostOperands, loop);
  };
  auto declare_offsets = [&] {
    for (size_t i = 0; i < n; ++i)
      if (operands[i].where != Where::kChannel) text += fmt::format("  long long o{} = 0;\n", i);
  };
  auto compute = [&](std::string_view lanes) {
    text += fmt::format("  {} r[{}];\n#pragma unroll\n  for (int k = 0; k < {}; ++k) r[k] = ", lane_type(out), lanes,
                        lanes);
    text += "lane(a";
    for (size_t i = 0; i < n; ++i) text += fmt::format(", x{}[k]", i);
    text += ");\n";
  };

  if (nhwc8) {
    text += std::string(kKernelHead) + "chain(const __grid_constant__ Arguments a) {\n";
    text += "  const unsigned i = blockIdx.x * 256u + threadIdx.x;\n  if (i >= a.threads) return;\n";
    text += "  const unsigned pixel = quotient(i, a.size[0]);\n";
    text += "  const int channel = (int)(i - pixel * a.size[0].divisor) * 8;\n";
    bool pixels = false;
    for (const Operand& o : operands) pixels |= o.where == Where::kPixel;
    declare_offsets();
    if (pixels) {
      text += "  {\n    const unsigned line = quotient(pixel, a.size[1]), column = pixel - line * a.size[1].divisor;\n";
      text += "    const unsigned batch = quotient(line, a.size[2]), row = line - batch * a.size[2].divisor;\n";
      offset("batch", "0"), offset("row", "1"), offset("column", "2");
      text += "  }\n";
    }
    for (size_t i = 0; i < n; ++i) {
      const std::string type(stored_type(operands[i].stored));
      text += fmt::format("  {} x{}[8];\n", lane_type(operands[i].stored), i);
      if (operands[i].where == Where::kChannel) {
        text += fmt::format(
            "#pragma unroll\n  for (int k = 0; k < 8; ++k)\n"
            "    x{0}[k] = channel + k < a.channels ? get(((const {1}*)a.in[{0}])[(long long)(channel + k) * "
            "a.stride[{0}][0]]) : 0.f;\n",
            i, type);
      } else {
        text += operands[i].where == Where::kWhole ? fmt::format("  o{} = (long long)i * 8;\n", i)
                                                   : fmt::format("  o{} += channel;\n", i);
        text += fmt::format("  load<8>((const {1}*)a.in[{0}] + o{0}, 1, 8, x{0});\n", i, type);
      }
    }
    compute("8");
    // Lanes that no channel fills stay zero.
    text += "#pragma unroll\n  for (int k = 0; k < 8; ++k)\n    if (channel + k >= a.channels) r[k] = 0.f;\n";
    text += fmt::format("  store<8>(({}*)a.out + (long long)i * 8, 8, r);\n}}\n", stored_type(out));
    return text;
  }

  text += "template <int V>\nDEVICE void run(const Arguments& a) {\n";
  text += "  const unsigned i = blockIdx.x * 256u + threadIdx.x;\n  if (i >= a.threads) return;\n";
  text += "  const unsigned left = a.count - i * V;\n  const int n = left < V ? (int)left : V;\n";
  declare_offsets();
  text += "  long long y = 0;\n  unsigned rest = i;\n  for (int d = a.rank - 1; d > 0; --d) {\n";
  text += "    const unsigned q = quotient(rest, a.size[d]), index = rest - q * a.size[d].divisor;\n    rest = q;\n";
  offset("index", "d");
  text += "  }\n";
  offset("rest", "0");
  for (size_t i = 0; i < n; ++i)
    text += fmt::format("  {1} x{0}[V];\n  load<V>((const {2}*)a.in[{0}] + o{0}, a.step[{0}], n, x{0});\n", i,
                        lane_type(operands[i].stored), stored_type(operands[i].stored));
  compute("V");
  text += fmt::format("  store<V>(({}*)a.out + y, n, r);\n}}\n", stored_type(out));
  text += kKernelHead;
  text += "chain(const __grid_constant__ Arguments a) {\n";
  text += fmt::format("  if (a.whole) run<{}>(a);\n  else run<1>(a);\n}}\n", vector);
  return text;
}

}  // namespace fovea::core::cuda::chain
