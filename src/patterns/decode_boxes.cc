// What a head predicts, decoded from anchors to corners, as every exporter spells it out: slices of the deltas,
// arithmetic with constant columns of the anchors, an exponential, and the corners put together.
//   Concat(c - s/2, c + s/2) == DecodeBoxes(t, anchors) {variances}
//   where c = t_xy * v * w + x and s = exp(t_wh * u) * w for constants x, w (a column of each for every box), v, u
//   (numbers)
// Matched by algebra: each of the four outputs is brought to the form a * t_i + b + g * exp(min(u * t_k, m)), a, b and
// g columns; how slices, views and factors are ordered does not matter.
#include <cmath>

#include "ops/axis.h"
#include "ops/decode_boxes.h"
#include "passes/rewrite.h"
#include "patterns/patterns.h"

namespace fovea::core {
namespace {

constexpr int64_t kMostBoxes = 1 << 20;

// A number for each box, or one for all.
class Column {
 public:
  Column(double v = 0) : numbers_{v} {}
  explicit Column(std::vector<double> numbers) : numbers_(std::move(numbers)) {
    if (std::ranges::all_of(numbers_, [&](double v) { return v == numbers_[0]; })) numbers_.resize(1);
  }
  bool uniform() const { return numbers_.size() == 1; }
  bool zero() const { return uniform() && numbers_[0] == 0; }
  double operator[](size_t i) const { return numbers_[uniform() ? 0 : i]; }
  size_t size() const { return numbers_.size(); }

  template <typename F>
  friend Column combined(const Column& a, const Column& b, F&& f) {
    std::vector<double> r(std::max(a.size(), b.size()));
    for (size_t i = 0; i < r.size(); ++i) r[i] = f(a[i], b[i]);
    return Column(std::move(r));
  }

 private:
  std::vector<double> numbers_;
};
Column operator*(const Column& a, const Column& b) {
  return combined(a, b, [](double x, double y) { return x * y; });
}
Column operator+(const Column& a, const Column& b) {
  return combined(a, b, [](double x, double y) { return x + y; });
}

// a * t[i] + b + g * exp(min(u * t[k], m)); i and k are -1 where there is no such term.
struct Form {
  int i = -1, k = -1;
  Column a, b, g;
  double u = 0, m = std::numeric_limits<double>::infinity();
  bool capped = false;  // the linear part is cut to m: an argument of an exponential only
  bool constant() const { return i < 0 && k < 0; }
};

std::optional<Form> sum(Form x, const Form& y) {
  if (x.capped || y.capped) return std::nullopt;
  if (x.i >= 0 && y.i >= 0 && x.i != y.i) return std::nullopt;
  if (x.k >= 0 && y.k >= 0 && (x.k != y.k || x.u != y.u || x.m != y.m)) return std::nullopt;
  if (x.i < 0) x.i = y.i;
  if (x.k < 0) x.k = y.k, x.u = y.u, x.m = y.m;
  x.a = x.a + y.a, x.b = x.b + y.b, x.g = x.g + y.g;
  return x;
}

std::optional<Form> scaled(Form x, const Column& by) {
  if (x.capped) return std::nullopt;
  x.a = x.a * by, x.b = x.b * by, x.g = x.g * by;
  return x;
}

std::optional<Form> exponential(const Form& x) {
  if (x.i < 0 || x.k >= 0 || !x.a.uniform() || !x.b.zero()) return std::nullopt;
  Form r;
  r.k = x.i, r.u = x.a[0], r.m = x.m;
  r.g = Column(1);
  return r;
}

std::optional<Form> cut(Form x, const Column& most) {
  if (!most.uniform() || most[0] <= 0 || x.capped || x.i < 0 || x.k >= 0 || !x.a.uniform() || !x.b.zero())
    return std::nullopt;
  x.m = most[0], x.capped = true;
  return x;
}

class Matcher {
 public:
  explicit Matcher(const Value& boxes) : rank_(boxes.shape.size()), boxes_(boxes.shape[rank_ - 2].int_value()) {}

  const Value* deltas() const { return deltas_; }

  // Coordinate `c` of a value: of its last axis, where it has all of the boxes' axes; of rank one less it is one alone.
  std::optional<Form> form(const Value* v, int64_t c) {
    if (v->constant) return column(*v, c);
    if (++looked_ > kMostLooks) return std::nullopt;
    if (!shaped(*v)) return std::nullopt;
    if (v != deltas_ && v->producer) {
      const Value* before = deltas_;
      if (auto f = made_by(*v->producer, *v, c)) return f;
      deltas_ = before;
    }
    // What is no arithmetic of this kind is where it begins; all of it has to begin in one place.
    const bool whole = v->shape.size() == rank_;
    if (!whole || !v->shape.back().is_const(4) || (deltas_ && v != deltas_)) return std::nullopt;
    deltas_ = v;
    Form f;
    f.i = static_cast<int>(c), f.a = Column(1);
    return f;
  }

 private:
  static constexpr int kMostLooks = 500;

  bool shaped(const Value& v) const {
    const size_t r = v.shape.size();
    if (v.dtype != DType::kFloat32) return false;
    if (r == rank_) return v.shape[r - 2].is_const(boxes_) && v.shape[r - 1].is_const();
    return r + 1 == rank_ && v.shape[r - 1].is_const(boxes_);
  }

  std::optional<Form> made_by(const Node& n, const Value& v, int64_t c) {
    const bool whole = v.shape.size() == rank_;
    if (n.is("Squeeze") || n.is("Unsqueeze") || n.is("Reshape")) return viewed(*n.inputs[0], whole, c);
    if (n.is("Concat")) return whole ? part(n, c) : std::nullopt;
    if (n.is("Slice")) return whole ? sliced(n, c) : std::nullopt;
    if (n.inputs.empty() || !n.inputs[0]) return std::nullopt;
    auto x = form(n.inputs[0], c);
    if (!x) return std::nullopt;
    if (n.is("Exp")) return exponential(*x);
    if (n.is("Clip")) return limited(n, *x, c);
    if (n.inputs.size() != 2 || !n.inputs[1]) return std::nullopt;
    auto y = form(n.inputs[1], c);
    if (!y) return std::nullopt;
    if (n.is("Min")) return x->constant() ? cut(*y, x->b) : y->constant() ? cut(*x, y->b) : std::nullopt;
    if (n.is("Add")) return sum(*x, *y);
    if (n.is("Sub")) {
      auto minus = scaled(*y, Column(-1));
      return minus ? sum(*x, *minus) : std::nullopt;
    }
    if (n.is("Mul") && y->constant()) return scaled(*x, y->b);
    if (n.is("Mul") && x->constant()) return scaled(*y, x->b);
    if (n.is("Div") && y->constant())
      return scaled(*x, combined(Column(1), y->b, [](double one, double by) { return one / by; }));
    return std::nullopt;
  }

  // Between [.., boxes] and [.., boxes, 1].
  std::optional<Form> viewed(const Value& from, bool whole, int64_t c) {
    if (c != 0 || !shaped(from) || (from.shape.size() == rank_) == whole) return std::nullopt;
    return form(&from, 0);
  }

  std::optional<Form> part(const Node& n, int64_t c) {
    if (n.as<AxisAttrs>().axis + 1 != static_cast<int64_t>(rank_)) return std::nullopt;
    for (const Value* input : n.inputs) {
      if (!input->shape.back().is_const()) return std::nullopt;
      const int64_t size = input->shape.back().int_value();
      if (c < size) return form(input, c);
      c -= size;
    }
    return std::nullopt;
  }

  std::optional<Form> sliced(const Node& n, int64_t c) {
    const Value* x = n.inputs[0];
    const auto starts = constant_ints(n.input(1)), axes = constant_ints(n.input(3)), steps = constant_ints(n.input(4));
    const auto axis = static_cast<int64_t>(rank_) - 1;
    if (x->shape.size() != rank_ || !x->shape.back().is_const() || !starts || starts->size() != 1 || !axes ||
        ((*axes)[0] != axis && (*axes)[0] != -1) || (n.input(4) && (!steps || (*steps)[0] != 1)))
      return std::nullopt;
    const int64_t size = x->shape.back().int_value(), start = (*starts)[0];
    const int64_t at = (start < 0 ? std::max<int64_t>(start + size, 0) : start) + c;
    return at < size ? form(x, at) : std::nullopt;
  }

  // A bound above alone.
  std::optional<Form> limited(const Node& n, const Form& x, int64_t c) const {
    if (n.input(1) && uniform(n.input(1)).value_or(0) > -1e30) return std::nullopt;
    const Value* bound = n.input(2);
    const auto most = bound && bound->constant ? column(*bound, c) : std::nullopt;
    return most ? cut(x, most->b) : std::nullopt;
  }

  // One number, one a coordinate, or one a box and coordinate.
  std::optional<Form> column(const Value& v, int64_t c) const {
    const Dims& dims = v.constant->dims();
    if (v.dtype != DType::kFloat32 || dims.size() > rank_ || v.constant->count() > kMostBoxes * 4) return std::nullopt;
    Form f;
    if (v.constant->count() == 1) {
      f.b = Column(v.constant->to_doubles()[0]);
      return f;
    }
    // A value of rank one less has no axis of coordinates; constants with it are as long as there are boxes.
    const size_t r = dims.size();
    const bool flat = dims[r - 1] == boxes_ && (r < 2 || dims[r - 2] == 1);
    const int64_t width = flat ? 1 : dims[r - 1], rows = flat ? boxes_ : r < 2 ? 1 : dims[r - 2];
    if (v.constant->count() != width * rows || (rows != 1 && rows != boxes_) || (width != 1 && c >= width))
      return std::nullopt;
    const auto all = v.constant->to_doubles();
    std::vector<double> numbers;
    for (int64_t i = 0; i < rows; ++i) numbers.push_back(all[static_cast<size_t>(i * width + (width == 1 ? 0 : c))]);
    f.b = Column(std::move(numbers));
    return f;
  }

  size_t rank_;
  int64_t boxes_;
  const Value* deltas_ = nullptr;
  int looked_ = 0;
};

bool near(double a, double b) { return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b)); }

// x / y, where that is one number for all boxes.
std::optional<double> ratio(const Column& x, const Column& y) {
  const size_t n = std::max(x.size(), y.size());
  const double r = x[0] / y[0];
  for (size_t i = 0; i < n; ++i)
    if (!std::isfinite(r) || !near(x[i], r * y[i])) return std::nullopt;
  return r;
}

bool same(const Column& x, const Column& y) {
  for (size_t i = 0; i < std::max(x.size(), y.size()); ++i)
    if (!near(x[i], y[i])) return false;
  return true;
}

struct Decoded {
  DecodeBoxesAttrs attrs;
  std::vector<float> anchors;
};

// The four corners' forms to attributes and anchors.
std::optional<Decoded> decoded(const Form (&f)[4], int64_t boxes) {
  Decoded d;
  d.attrs.variances.assign(4, 1);
  d.anchors.resize(static_cast<size_t>(boxes) * 4);
  double most = 0;
  for (size_t c = 0; c < 2; ++c) {
    const Form &low = f[c], &high = f[c + 2];
    const bool alike = low.i == static_cast<int>(c) && high.i == low.i && low.k == static_cast<int>(c) + 2 &&
                       high.k == low.k && low.u == high.u && low.m == high.m && !low.capped && !high.capped &&
                       same(low.a, high.a) && same(low.b, high.b) && same(low.g * Column(-1), high.g);
    if (!alike) return std::nullopt;
    const Column side = high.g * Column(2);
    const auto v = ratio(low.a, side);
    if (!v || *v == 0 || low.u == 0) return std::nullopt;
    d.attrs.variances[c] = *v, d.attrs.variances[c + 2] = low.u;
    if (c == 1 && low.m != most) return std::nullopt;
    most = low.m;
    for (size_t i = 0; i < static_cast<size_t>(boxes); ++i)
      d.anchors[4 * i + c] = static_cast<float>(low.b[i]), d.anchors[4 * i + c + 2] = static_cast<float>(side[i]);
  }
  d.attrs.max_log_size = std::isfinite(most) ? most : 0;
  for (double& v : d.attrs.variances) v = static_cast<double>(static_cast<float>(v));
  return d;
}

Result<bool> raise(Graph& g, Node& node) {
  if (!node.is("Concat")) return false;
  const Value* boxes = node.output();
  const size_t rank = boxes->shape.size();
  if (rank < 2 || rank > 3 || boxes->dtype != DType::kFloat32 || !boxes->shape[rank - 1].is_const(4) ||
      !boxes->shape[rank - 2].is_const() || node.as<AxisAttrs>().axis + 1 != static_cast<int64_t>(rank))
    return false;
  const int64_t count = boxes->shape[rank - 2].int_value();
  if (count == 0 || count > kMostBoxes) return false;
  Matcher matcher(*boxes);
  Form forms[4];
  for (int64_t c = 0; c < 4; ++c) {
    auto f = matcher.form(boxes, c);
    if (!f) return false;
    forms[c] = *std::move(f);
  }
  const Value* deltas = matcher.deltas();
  if (!deltas || !same_shape(deltas, boxes)) return false;
  auto d = decoded(forms, count);
  if (!d) return false;
  Value* anchors = g.add_constant(Tensor::of<float>({count, 4}, std::span<const float>(d->anchors)));
  FOVEA_TRY_SET(Value * fresh,
                insert(g, op_DecodeBoxes, make_attrs(d->attrs), {const_cast<Value*>(deltas), anchors}, node));
  replace(g, node.output(), fresh, true);
  return true;
}

}  // namespace

Result<bool> raise_decode_boxes(Graph& graph, PassContext&) { return for_each_node(graph, raise); }

}  // namespace fovea::core
