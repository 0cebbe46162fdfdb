// Nms: ops/nms.cc says what it computes.
#include "kernels/reference/detect/nms_select.h"
#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

using nms::Candidate;

// A row of the outputs.
template <typename C>
struct Row {
  Candidate<C> found;
  int64_t image;
};

template <typename C>
class Nms {
 public:
  explicit Nms(KernelContext& c, nms::Suppress<C> hard = nms::suppress<C>,
               nms::SuppressSoftly<C> soft = nms::suppress_softly<C>)
      : c_(c), a_(c.attrs<NmsAttrs>()), hard_(hard), soft_(soft) {}

  Status run() {
    FOVEA_TRY(load_inputs());
    select();
    switch (a_.output) {
      case NmsOutput::kIndices: return write_indices();
      case NmsOutput::kIndicesByScore: return write_indices_by_score();
      case NmsOutput::kPadded: return write_padded();
      case NmsOutput::kDetections: return write_detections();
    }
    return {};
  }

 private:
  Status load_inputs() {
    const TensorRef &boxes = c_.in(0), &scores = c_.in(1);
    batch_ = scores.dims[0], n_ = scores.dims[1];
    classes_ = scores.rank == 3 ? scores.dims[2] : 1;
    q_ = boxes.rank == 4 ? boxes.dims[2] : 1;
    if (boxes.dims[0] != batch_ || boxes.dims[1] != n_ || boxes.dims[static_cast<size_t>(boxes.rank - 1)] != 4 ||
        (q_ != 1 && q_ != classes_))
      return invalid_argument("boxes [{}] and scores [{}] do not belong together", fmt::join(boxes.shape(), ","),
                              fmt::join(scores.shape(), ","));
    boxes_ = load<C>(c_, boxes);
    scores_ = load<C>(c_, scores);
    if (c_.has(nms_input::kGroup)) {
      const TensorRef& group = c_.in(nms_input::kGroup);
      if (group.dims[0] != batch_ || group.dims[1] != n_)
        return invalid_argument("group [{}] does not belong to scores [{}]", fmt::join(group.shape(), ","),
                                fmt::join(scores.shape(), ","));
      group_ = load<int64_t>(c_, group);
    }
    limits_ = {static_cast<C>(a_.score_threshold), static_cast<C>(a_.iou_threshold), a_.max_per_group};
    int64_t limit = 0;
    FOVEA_TRY(read_scalar(nms_input::kIouThreshold, limits_.iou_threshold));
    FOVEA_TRY(read_scalar(nms_input::kScoreThreshold, limits_.score_threshold));
    FOVEA_TRY(read_scalar(nms_input::kMaxPerGroup, limit));
    if (c_.has(nms_input::kMaxPerGroup)) limits_.max_per_group = std::max<int64_t>(limit, 0);
    return {};
  }

  template <typename T>
  Status read_scalar(size_t i, T& to) {
    if (!c_.has(i)) return {};
    if (c_.in(i).count() != 1) return invalid_argument("input {}: expected one number, found {}", i, c_.in(i).count());
    to = *load<T>(c_, c_.in(i));
    return {};
  }

  nms::Image<C> image(int64_t b) const {
    return {
        boxes_ + b * n_ * q_ * 4, scores_ + b * n_ * classes_, group_ ? group_ + b * n_ : nullptr, n_, q_, classes_};
  }

  int64_t most_kept(int64_t candidates) const {
    return a_.max_total < 0 ? candidates : std::min(candidates, a_.max_total);
  }

  void select() {
    nms::Workspace<C> w{};
    w.hard = hard_, w.soft = soft_;
    w.row = c_.scratch->template array<Candidate<C>>(classes_);
    int64_t largest = 0, total = 0;
    for (int64_t b = 0; b < batch_; ++b) {
      int64_t count = 0;
      nms::for_each_candidate(a_, limits_, image(b), w.row, [&](const Candidate<C>&) { ++count; });
      largest = std::max(largest, count);
      total += most_kept(count);
    }
    w.candidates = c_.scratch->template array<Candidate<C>>(largest);
    if (a_.group == NmsGroup::kClass) {
      w.unsorted = c_.scratch->template array<Candidate<C>>(largest);
      w.ends = c_.scratch->template array<int64_t>(classes_);
    }
    w.kept = c_.scratch->template array<nms::Corners<C>>(largest);
    if (a_.soft_sigma > 0) w.queue = c_.scratch->template array<nms::Queued<C>>(largest);
    per_box_ = std::min(a_.classes_per_box, classes_ - (a_.background >= 0 && a_.background < classes_));
    rows_ = c_.scratch->template array<Row<C>>(total * std::max<int64_t>(per_box_, 1));
    counts_ = c_.scratch->template array<int64_t>(batch_);
    for (int64_t b = 0; b < batch_; ++b) {
      const int64_t found = nms::select(a_, limits_, image(b), w);
      const int64_t before = count_;
      for (int64_t i = 0; i < found; ++i) add_rows(b, w.candidates[i], w.row);
      counts_[b] = count_ - before;
    }
  }

  void add_rows(int64_t b, const Candidate<C>& found, Candidate<C>* row) {
    if (per_box_ <= 1) {
      rows_[count_++] = {found, b};
      return;
    }
    const C* scores = image(b).scores + found.box * classes_;
    int64_t count = 0;
    for (int64_t k = 0; k < classes_; ++k)
      if (k != a_.background)
        row[count++] = {std::isnan(scores[k]) ? -std::numeric_limits<C>::infinity() : scores[k], found.box, k,
                        found.key};
    std::partial_sort(row, row + per_box_, row + count, nms::before<C>);
    for (int64_t i = 0; i < per_box_; ++i) rows_[count_++] = {row[i], b};
  }

  // f(row) -> int64 into output i, a row each `stride` elements.
  template <typename F>
  void write_ints(size_t i, const F& f) {
    if (!c_.wants(i)) return;
    auto* out = result_buffer<int64_t>(c_, c_.out(i));
    for (int64_t k = 0; k < count_; ++k) out[k] = f(rows_[k]);
    finish(c_, c_.out(i), out);
  }

  void write_scores(size_t i) {
    if (!c_.wants(i)) return;
    auto* out = result_buffer<C>(c_, c_.out(i));
    for (int64_t k = 0; k < count_; ++k) out[k] = rows_[k].found.score;
    finish(c_, c_.out(i), out);
  }

  void copy_box(const Row<C>& row, C* to) const {
    const C* box = image(row.image).box(row.found);
    for (int i = 0; i < 4; ++i) to[i] = a_.clip ? std::clamp(box[i], C(0), C(1)) : box[i];
  }

  int64_t class_of(const Row<C>& row) const {
    const bool named = group_ && c_.in(1).rank == 2;
    return (named ? group_[row.image * n_ + row.found.box] : row.found.column) + a_.class_offset;
  }

  Status resize(std::initializer_list<size_t> outputs, int64_t k) {
    for (size_t i : outputs)
      if (c_.wants(i)) FOVEA_TRY(c_.set_output_shape(i, {k}));
    return {};
  }

  Status write_indices() {
    std::sort(rows_, rows_ + count_, [](const Row<C>& x, const Row<C>& y) {
      if (x.image != y.image) return x.image < y.image;
      return x.found.column != y.found.column ? x.found.column < y.found.column : nms::before(x.found, y.found);
    });
    if (c_.wants(0)) {
      FOVEA_TRY(c_.set_output_shape(0, {count_, 3}));
      auto* out = result_buffer<int64_t>(c_, c_.out(0));
      for (int64_t k = 0; k < count_; ++k)
        out[3 * k] = rows_[k].image, out[3 * k + 1] = rows_[k].found.column, out[3 * k + 2] = rows_[k].found.box;
      finish(c_, c_.out(0), out);
    }
    FOVEA_TRY(resize({1}, count_));
    write_scores(1);
    return {};
  }

  Status write_indices_by_score() {
    if (batch_ > 1) return invalid_argument("indices_by_score is of one image, found {}", batch_);
    FOVEA_TRY(resize({0, 1}, count_));
    write_ints(0, [](const Row<C>& row) { return row.found.box; });
    write_scores(1);
    return {};
  }

  Status write_detections() {
    if (c_.wants(0)) {
      FOVEA_TRY(c_.set_output_shape(0, {count_, 4}));
      auto* out = result_buffer<C>(c_, c_.out(0));
      for (int64_t k = 0; k < count_; ++k) copy_box(rows_[k], out + 4 * k);
      finish(c_, c_.out(0), out);
    }
    FOVEA_TRY(resize({1, 2, 3, 4}, count_));
    write_scores(1);
    write_ints(2, [this](const Row<C>& row) { return class_of(row); });
    write_ints(3, [](const Row<C>& row) { return row.image; });
    write_ints(4, [](const Row<C>& row) { return row.found.box; });
    return {};
  }

  // f(row, memory) for each row at its place among M a picture, `width` numbers each; the fill elsewhere.
  template <typename T, typename F>
  void write_padded_output(size_t i, int64_t width, const F& f) {
    if (!c_.wants(i)) return;
    const int64_t room = c_.out(i).dims[1];
    T* out = result_buffer<T>(c_, c_.out(i));
    std::fill_n(out, batch_ * room * width, a_.fill == NmsFill::kZero ? T(0) : T(-1));
    for (int64_t b = 0, first = 0; b < batch_; first += counts_[b++])
      for (int64_t k = 0; k < std::min(counts_[b], room); ++k) f(rows_[first + k], out + (b * room + k) * width);
    finish(c_, c_.out(i), out);
  }

  Status write_padded() {
    write_padded_output<C>(0, 4, [this](const Row<C>& row, C* to) { copy_box(row, to); });
    write_padded_output<C>(1, 1, [](const Row<C>& row, C* to) { *to = row.found.score; });
    write_padded_output<int64_t>(2, 1, [this](const Row<C>& row, int64_t* to) { *to = class_of(row); });
    write_padded_output<int64_t>(4, 1, [](const Row<C>& row, int64_t* to) { *to = row.found.box; });
    if (!c_.wants(3)) return {};
    auto* counts = result_buffer<int64_t>(c_, c_.out(3));
    std::copy_n(counts_, batch_, counts);
    finish(c_, c_.out(3), counts);
    return {};
  }

  KernelContext& c_;
  const NmsAttrs& a_;
  nms::Suppress<C> hard_;
  nms::SuppressSoftly<C> soft_;
  nms::Limits<C> limits_{};
  const C *boxes_ = nullptr, *scores_ = nullptr;
  const int64_t* group_ = nullptr;
  int64_t batch_ = 0, n_ = 0, classes_ = 0, q_ = 1, per_box_ = 1;
  Row<C>* rows_ = nullptr;
  int64_t* counts_ = nullptr;  // rows of each image
  int64_t count_ = 0;
};

}  // namespace

Status nms::run(KernelContext& c, Suppress<float> hard, SuppressSoftly<float> soft) {
  return Nms<float>(c, hard, soft).run();
}

Status reference_Nms(KernelContext& c) {
  const bool wide = c.in(0).dtype == DType::kFloat64 || c.in(1).dtype == DType::kFloat64;
  return wide ? Nms<double>(c).run() : Nms<float>(c).run();
}

}  // namespace fovea::core
