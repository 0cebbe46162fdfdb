#include "detect_pictures.h"

#include <algorithm>
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

// One detector at work.
class Driver {
 public:
  Driver(const DetectJob& job, Detector& detector, PicturePool& pool, Batches& batches)
      : job_(job), detector_(detector), pool_(pool), batches_(batches) {}

  void run() {
    while (true) {
      const auto [at, end] = batches_.next();
      if (at == end) return;
      Status s;
      try {
        s = detect(at, end);
      } catch (const std::bad_alloc&) {
        s = system_error("out of memory");
      }
      if (!s.ok()) pool_.fail(at, std::move(s));
    }
  }
  double waited_ms() const { return waited_ms_; }

 private:
  Status detect(size_t at, size_t end) {
    const double asked = now_ms();
    FOVEA_TRY_SET(std::vector<Image> images, pool_.take(at, end));
    waited_ms_ += now_ms() - asked;
    for (size_t begin = 0; begin < images.size();) {
      const std::vector<PictureView> left(images.begin() + static_cast<ptrdiff_t>(begin), images.end());
      const size_t length = detector_.run_length(left, static_cast<int64_t>(job_.batch));
      FOVEA_TRY(named(detector_.enqueue(std::span(left).first(length), static_cast<int64_t>(job_.batch)), at, end));
      auto found = detector_.collect();
      if (!found.ok()) return named(found.status(), at, end);
      const Detector::Timing& t = detector_.timing();
      const double ms = (t.preprocess + t.network + t.boxes) / static_cast<double>(length);
      for (size_t k = 0; k < length; ++k) {
        job_.found(at + begin + k, std::move((*found)[k]), ms);
        if (job_.draws) pool_.draw(at + begin + k, std::move(images[begin + k]));
      }
      batches_.done(length);
      begin += length;
    }
    if (!job_.draws) pool_.give_back(std::move(images));
    return {};
  }

  Status named(Status s, size_t at, size_t end) const {
    return s.ok() ? s : s.in(fmt::format("{}", fmt::join(job_.paths.subspan(at, end - at), ", ")));
  }

  const DetectJob& job_;
  Detector& detector_;
  PicturePool& pool_;
  Batches& batches_;
  double waited_ms_ = 0;
};

}  // namespace

Result<double> detect_pictures(const DetectJob& job) {
  const double begin = now_ms();
  PicturePool pool(job.paths, job.threads, job.draw);
  Batches batches(job, pool);
  std::vector<Driver> drivers;
  for (const auto& detector : job.detectors) drivers.emplace_back(job, *detector, pool, batches);
  std::vector<std::thread> team;
  for (size_t i = 1; i < drivers.size(); ++i) team.emplace_back([&driver = drivers[i]] { driver.run(); });
  drivers[0].run();
  for (std::thread& t : team) t.join();
  const double all_ms = static_cast<double>(drivers.size()) * (now_ms() - begin);
  FOVEA_TRY(pool.finish());
  double waited_ms = 0;
  for (const Driver& driver : drivers) waited_ms += driver.waited_ms();
  return waited_ms / all_ms;
}

}  // namespace fovea::core::tool
