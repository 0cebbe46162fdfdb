#include "detect_pictures.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include <fmt/ranges.h>

#include "picture_pool.h"

namespace fovea::core::tool {
namespace {

// Hands out batches in order.
class Batches {
 public:
  Batches(const DetectJob& job, PicturePool& pool) : job_(job), pool_(pool) { pool_.allow(job_.batch + job_.ahead); }
  // [at, end); empty when there are no more, or they are void.
  std::pair<size_t, size_t> next() {
    std::lock_guard lock(mutex_);
    const size_t at = next_;
    if (at >= pool_.failed()) return {at, at};
    next_ = std::min(at + job_.batch, job_.paths.size());
    pool_.allow(next_ + job_.ahead);
    return {at, next_};
  }
  void done(size_t pictures) {
    std::lock_guard lock(mutex_);
    done_ += pictures;
    progress_.show("detecting", static_cast<int>(done_), static_cast<int>(job_.paths.size()));
  }

 private:
  const DetectJob& job_;
  PicturePool& pool_;
  std::mutex mutex_;
  size_t next_ = 0, done_ = 0;
  Progress progress_;
};

// One crew at work.
class Driver {
 public:
  Driver(const DetectJob& job, const Crew& crew, PicturePool& pool, Batches& batches)
      : job_(job), crew_(crew), pool_(pool), batches_(batches) {}

  void run() {
    while (true) {
      const auto [at, end] = batches_.next();
      if (at == end) break;
      guarded(at, [&, at = at, end = end] { return detect(at, end); });
    }
    while (!flights_.empty()) guarded(flights_.front().batch_at, [&] { return land(); });
  }

 private:
  struct Flight {
    Detector* detector;
    size_t at, batch_at, batch_end;  // its first picture, and the batch that it is of
    std::vector<Image> images;
  };

  template <typename Work>
  void guarded(size_t batch_at, Work&& work) {
    Status s;
    try {
      s = work();
    } catch (const std::bad_alloc&) {
      s = system_error("out of memory");
    }
    if (!s.ok()) pool_.fail(batch_at, std::move(s));
  }

  Status detect(size_t at, size_t end) {
    std::vector<Image> images;
    for (size_t i = at; i < end; ++i) {
      FOVEA_TRY_SET(Image image, pool_.take(i));
      images.push_back(std::move(image));
    }
    for (size_t begin = 0; begin < images.size();) {
      const std::vector<PictureView> left(images.begin() + static_cast<ptrdiff_t>(begin), images.end());
      const size_t length = crew_[0]->run_length(left, static_cast<int64_t>(job_.batch));
      while (flights_.size() >= crew_.size()) {
        const size_t earlier = flights_.front().batch_at;
        guarded(earlier, [&] { return land(); });
      }
      Detector& detector = *crew_[runs_++ % crew_.size()];
      FOVEA_TRY(named(detector.enqueue(std::span(left).first(length), static_cast<int64_t>(job_.batch)), at, end));
      const auto first = images.begin() + static_cast<ptrdiff_t>(begin);
      flights_.push_back({&detector, at + begin, at, end, {}});
      std::move(first, first + static_cast<ptrdiff_t>(length), std::back_inserter(flights_.back().images));
      begin += length;
      if (crew_.size() == 1) FOVEA_TRY(land());
    }
    return {};
  }

  // The oldest run's boxes.
  Status land() {
    Flight flight = std::move(flights_.front());
    flights_.pop_front();
    auto found = flight.detector->collect();
    if (!found.ok()) return named(found.status(), flight.batch_at, flight.batch_end);
    const Detector::Timing& t = flight.detector->timing();
    for (size_t k = 0; k < found->size(); ++k) {
      const size_t i = flight.at + k;
      job_.found(i, std::move((*found)[k]), (t.preprocess + t.network + t.boxes) / static_cast<double>(found->size()));
      if (job_.draws) pool_.draw(i, std::move(flight.images[k]));
    }
    batches_.done(found->size());
    return {};
  }

  Status named(Status s, size_t at, size_t end) const {
    return s.ok() ? s : s.in(fmt::format("{}", fmt::join(job_.paths.subspan(at, end - at), ", ")));
  }

  const DetectJob& job_;
  const Crew& crew_;
  PicturePool& pool_;
  Batches& batches_;
  size_t runs_ = 0;
  std::deque<Flight> flights_;
};

}  // namespace

Status detect_pictures(const DetectJob& job) {
  PicturePool pool(job.paths, job.threads, job.draw);
  Batches batches(job, pool);
  auto drive = [&](const Crew& crew) { Driver(job, crew, pool, batches).run(); };
  std::vector<std::thread> team;
  for (size_t i = 1; i < job.crews.size(); ++i) team.emplace_back(drive, std::cref(job.crews[i]));
  drive(job.crews[0]);
  for (std::thread& t : team) t.join();
  return pool.finish();
}

}  // namespace fovea::core::tool
