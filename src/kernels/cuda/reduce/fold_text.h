// The parts of a fold's source that are the same for all; fold_source.cc writes the rest around them.
#pragma once

#include <string_view>

namespace fovea::core::cuda::fold {

// What two become: the same whichever comes first, so that all threads which join the same have the same.
inline constexpr std::string_view kFolds = R"(
DEVICE float lowest(float) { return __int_as_float((int)0xff800000u); }
DEVICE int lowest(int) { return (int)0x80000000u; }
DEVICE long long lowest(long long) { return (long long)0x8000000000000000ull; }
DEVICE bool lowest(bool) { return false; }
DEVICE float highest(float) { return __int_as_float(0x7f800000); }
DEVICE int highest(int) { return 0x7fffffff; }
DEVICE long long highest(long long) { return 0x7fffffffffffffffll; }
DEVICE bool highest(bool) { return true; }
template <typename T> struct Sum {
  typedef T Part;
  DEVICE static T none() { return (T)0; }
  DEVICE static T join(T a, T b) { return add(a, b); }
};
DEVICE double mul(double a, double b) { return a * b; }
template <typename T> struct Product {
  typedef T Part;
  DEVICE static T none() { return (T)1; }
  DEVICE static T join(T a, T b) { return mul(a, b); }
};
template <typename T> struct Largest {
  typedef T Part;
  DEVICE static T none() { return lowest((T)0); }
  DEVICE static T join(T a, T b) { return largest(a, b); }
};
template <typename T> struct Smallest {
  typedef T Part;
  DEVICE static T none() { return highest((T)0); }
  DEVICE static T join(T a, T b) { return smallest(a, b); }
};
// Exponentials of x as the largest x, and the sum of exp(x - largest); a NaN is in the sum.
struct Exponentials { float largest, sum; };
DEVICE float share(const Exponentials& e, float largest) {
  return e.largest == largest ? e.sum : __fmul_rn(e.sum, expf(e.largest - largest));
}
template <typename T> struct LogSumExp {
  typedef Exponentials Part;
  DEVICE static Part none() { return {lowest(0.f), 0.f}; }
  DEVICE static Part join(const Part& a, const Part& b) {
    const float largest = a.largest > b.largest ? a.largest : b.largest;
    return {largest, __fadd_rn(share(a, largest), share(b, largest))};
  }
};
DEVICE Exponentials exponential(float x) { return x != x ? Exponentials{lowest(0.f), x} : Exponentials{x, 1.f}; }
DEVICE float logarithm(const Exponentials& e) { return __fadd_rn(e.largest, logf(e.sum)); }
DEVICE float mean(float sum, long long n) { return __fdiv_rn(sum, __ll2float_rn(n)); }
DEVICE long long mean(long long sum, long long n) { return sum / n; }

template <typename T> DEVICE T exchanged(T x, unsigned distance) { return __shfl_xor_sync(0xffffffffu, x, distance); }
DEVICE bool exchanged(bool x, unsigned distance) { return exchanged((int)x, distance) != 0; }
DEVICE Exponentials exchanged(const Exponentials& e, unsigned distance) {
  return {exchanged(e.largest, distance), exchanged(e.sum, distance)};
}
)";

// How threads divide the work; the same for all folds.
inline constexpr std::string_view kBody = R"(
// Where each operand and the output is.
struct Place { long long in[kInputs]; long long out; };
// Goes on along loops [first, last): most often one. Unrolled it would be most of the code.
DEVICE void walk(const Arguments& a, int first, int last, unsigned index, Place& p) {
#pragma unroll 1
  for (int d = last - 1; d >= first; --d) {
    const unsigned rest = d > first ? quotient(index, a.size[d]) : 0, i = index - rest * a.size[d].divisor;
#pragma unroll
    for (int k = 0; k < kInputs; ++k) p.in[k] += (long long)i * a.stride[k][d];
    p.out += (long long)i * a.stride[10][d];
    index = rest;
  }
}

// A thread's part of a line, and its line's column in the block: lines are neighbours, or parts are.
struct Work {
  unsigned parts, across, part, column, line;
  bool inside;
  DEVICE Work(const FoldArguments& f, bool columns, unsigned lanes) {
    parts = 1u << f.log_parts, across = 256u >> f.log_parts;
    part = columns ? threadIdx.x / across : threadIdx.x & (parts - 1);
    column = columns ? threadIdx.x & (across - 1) : threadIdx.x >> f.log_parts;
    line = (blockIdx.x * across + column) * lanes;
    inside = line < f.lines;
  }
};

// Joins what the parts of each line have: in all of its threads x[0] (columns: x[0] to x[V - 1]) becomes the whole.
template <typename F, bool kColumns, int V>
DEVICE void join_parts(const Work& w, typename F::Part (&x)[V], typename F::Part* shared) {
  if (kColumns) {
    if (w.parts == 1) return;
    __syncthreads();  // others may still read what was there
#pragma unroll
    for (int k = 0; k < V; ++k) shared[k * 256 + threadIdx.x] = x[k];
    __syncthreads();
    for (unsigned half = w.parts / 2; half > 0; half /= 2) {
      if (w.part < half) {
#pragma unroll
        for (int k = 0; k < V; ++k) {
          x[k] = F::join(x[k], shared[k * 256 + threadIdx.x + half * w.across]);
          shared[k * 256 + threadIdx.x] = x[k];
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = shared[k * 256 + w.column];
  } else {
#pragma unroll
    for (int k = 1; k < V; ++k) x[0] = F::join(x[0], x[k]);
    for (unsigned d = (w.parts < 32 ? w.parts : 32) / 2; d > 0; d /= 2) x[0] = F::join(x[0], exchanged(x[0], d));
    if (w.parts <= 32) return;
    __syncthreads();
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x / 32] = x[0];
    __syncthreads();
    const unsigned warps = w.parts / 32;
    x[0] = shared[w.column * warps];
    for (unsigned i = 1; i < warps; ++i) x[0] = F::join(x[0], shared[w.column * warps + i]);
  }
}
)";

inline constexpr std::string_view kReduction = R"(
DEVICE void finish(const FoldArguments& f, unsigned line, const Fold::Part& part) {
  Place p = {};
  walk(f.chain, 0, f.kept, line, p);
  const Folded whole[1] = {finished(part, f.length)};
  write<1>(f.chain, p, whole);
}

template <int V, bool kColumns>
DEVICE void reduce(const FoldArguments& f, Fold::Part* shared) {
  constexpr unsigned kLines = kColumns ? V : 1, kElements = kColumns ? 1 : V;
  const Arguments& a = f.chain;
  const Work w(f, kColumns, kLines);
  Fold::Part x[V];
#pragma unroll
  for (int k = 0; k < V; ++k) x[k] = Fold::none();
  if (w.inside) {
    Place start = {};
    walk(a, 0, f.kept, w.line, start);
    const unsigned step = w.parts * kElements, begin = blockIdx.y * f.slice;
    const unsigned end = f.length - begin < f.slice ? f.length : begin + f.slice;
    unsigned i = begin + w.part * kElements;
    for (; i < end; i += kOnTheWay * step) {
      Lane e[kOnTheWay][V];  // asked for before the first is used
#pragma unroll
      for (int j = 0; j < kOnTheWay; ++j) {
        if (i + j * step < end) {
          Place p = start;
          walk(a, f.kept, a.rank, i + j * step, p);
          read<V>(a, p, e[j]);
        }
      }
#pragma unroll
      for (int j = 0; j < kOnTheWay; ++j) {
        if (i + j * step < end) {
#pragma unroll
          for (int k = 0; k < V; ++k) x[k] = Fold::join(x[k], taken(e[j][k]));
        }
      }
    }
  }
  join_parts<Fold, kColumns>(w, x, shared);
  if (w.part != 0 || !w.inside) return;
#pragma unroll
  for (int k = 0; k < (int)kLines; ++k) {
    if (f.slices == 1) finish(f, w.line + k, x[k]);
    else ((Fold::Part*)f.parts)[(long long)blockIdx.y * f.lines + w.line + k] = x[k];
  }
}

// What the slices of each line came to.
DEVICE void reduce_slices(const FoldArguments& f, Fold::Part* shared) {
  const Work w(f, true, 1);
  Fold::Part x[1] = {Fold::none()};
  if (w.inside)
    for (unsigned i = w.part; i < f.slices; i += w.parts)
      x[0] = Fold::join(x[0], ((const Fold::Part*)f.parts)[(long long)i * f.lines + w.line]);
  join_parts<Fold, true>(w, x, shared);
  if (w.part == 0 && w.inside) finish(f, w.line, x[0]);
}
)";

// The largest is no NaN, as in the reference, and -infinity where there is nothing else: the rest is arithmetic.
inline constexpr std::string_view kSoftmax = R"(
struct Peak {
  typedef float Part;
  DEVICE static float join(float a, float b) { return fmaxf(a, b); }
};

template <int V, bool kColumns>
DEVICE void softmax(const FoldArguments& f, float* shared) {
  constexpr unsigned kLines = kColumns ? V : 1, kElements = kColumns ? 1 : V;
  const Arguments& a = f.chain;
  const Work w(f, kColumns, kLines);
  const unsigned first = w.part * kElements, step = w.parts * kElements, end = w.inside ? f.length : 0;
  Place start = {};
  if (w.inside) walk(a, 0, f.kept, w.line, start);
  float x[kHeld][V], top[V], sum[V];
#pragma unroll
  for (int k = 0; k < V; ++k) top[k] = lowest(0.f), sum[k] = 0.f;
  if (f.held) {
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (first + j * step < end) {
        Place p = start;
        walk(a, f.kept, a.rank, first + j * step, p);
        read<V>(a, p, x[j]);
      } else {
#pragma unroll
        for (int k = 0; k < V; ++k) x[j][k] = lowest(0.f);
      }
    }
#pragma unroll
    for (int j = 0; j < kHeld; ++j)
#pragma unroll
      for (int k = 0; k < V; ++k) top[k] = fmaxf(top[k], x[j][k]);
  } else {
    for (unsigned i = first; i < end; i += step) {
      Place p = start;
      walk(a, f.kept, a.rank, i, p);
      read<V>(a, p, x[0]);
#pragma unroll
      for (int k = 0; k < V; ++k) top[k] = fmaxf(top[k], x[0][k]);
    }
  }
  join_parts<Peak, kColumns>(w, top, shared);
  if (f.held) {
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (first + j * step < end) {
#pragma unroll
        for (int k = 0; k < V; ++k) {
          x[j][k] = kept(__fsub_rn(x[j][k], top[kColumns ? k : 0]));
          sum[k] = __fadd_rn(sum[k], weight(x[j][k]));
        }
      }
    }
  } else {
    for (unsigned i = first; i < end; i += step) {
      Place p = start;
      walk(a, f.kept, a.rank, i, p);
      read<V>(a, p, x[0]);
#pragma unroll
      for (int k = 0; k < V; ++k)
        sum[k] = __fadd_rn(sum[k], weight(kept(__fsub_rn(x[0][k], top[kColumns ? k : 0]))));
    }
  }
  join_parts<Sum<float>, kColumns>(w, sum, shared);
#pragma unroll
  for (int k = 0; k < V; ++k) sum[k] = total(sum[k]);
  if (f.held) {
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      if (first + j * step < end) {
        Place p = start;
        walk(a, f.kept, a.rank, first + j * step, p);
#pragma unroll
        for (int k = 0; k < V; ++k) x[j][k] = finished(x[j][k], sum[kColumns ? k : 0]);
        write<V>(a, p, x[j]);
      }
    }
  } else {
    for (unsigned i = first; i < end; i += step) {
      Place p = start;
      walk(a, f.kept, a.rank, i, p);
      read<V>(a, p, x[0]);
#pragma unroll
      for (int k = 0; k < V; ++k)
        x[0][k] = finished(kept(__fsub_rn(x[0][k], top[kColumns ? k : 0])), sum[kColumns ? k : 0]);
      write<V>(a, p, x[0]);
    }
  }
}
)";

}  // namespace fovea::core::cuda::fold
