#include "picture_pool.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace fovea::core::tool {

PicturePool::PicturePool(std::span<const std::string> paths, int threads, Draw draw)
    : paths_(paths), draw_(std::move(draw)), failed_(paths.size()), decoded_(paths.size()) {
  for (int i = 0; i < threads; ++i) team_.emplace_back([this] { work(); });
}

PicturePool::~PicturePool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_there_.notify_all();
  for (std::thread& t : team_) t.join();
}

void PicturePool::allow(size_t end) {
  {
    std::lock_guard lock(mutex_);
    allowed_ = std::max(allowed_, end);
  }
  work_there_.notify_all();
}

Result<std::vector<Image>> PicturePool::take(size_t at, size_t end) {
  std::unique_lock lock(mutex_);
  const auto is_void = [&] { return failed_ < end; };
  const auto wanted = std::span(decoded_).subspan(at, end - at);
  const auto missing = std::ranges::count_if(wanted, [](const auto& image) { return !image; });
  const auto taker = takers_.emplace(takers_.end(), at, end, static_cast<size_t>(missing));
  taker->woken.wait(lock, [&] { return taker->missing == 0 || is_void(); });
  const bool complete = taker->missing == 0;
  takers_.erase(taker);
  if (!complete) return internal_error("{}: void after the failure of a picture before it", paths_[at]);
  std::vector<Image> images;
  for (auto& decoded : wanted) {
    FOVEA_TRY_SET(Image image, *std::exchange(decoded, std::nullopt));
    images.push_back(std::move(image));
  }
  return images;
}

void PicturePool::draw(size_t i, Image image) {
  {
    std::lock_guard lock(mutex_);
    if (i < failed_) drawings_.emplace_back(i, std::move(image));
  }
  work_there_.notify_one();
}

void PicturePool::give_back(std::vector<Image> images) {
  constexpr size_t kMostKept = size_t{4} << 20;  // what is larger takes long to decode
  std::erase_if(images, [](const Image& image) { return image.rgb.capacity() > kMostKept; });
  std::lock_guard lock(mutex_);
  std::ranges::move(images, std::back_inserter(spare_));
}

void PicturePool::fail(size_t i, Status status) {
  {
    std::lock_guard lock(mutex_);
    if (i >= failed_) return;
    failed_ = i, status_ = std::move(status);
    std::erase_if(drawings_, [&](const auto& drawing) { return drawing.first >= failed_; });
    for (Taker& taker : takers_) taker.woken.notify_one();
  }
  drawn_.notify_all();
}

size_t PicturePool::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

Status PicturePool::finish() {
  std::unique_lock lock(mutex_);
  drawn_.wait(lock, [&] { return drawings_.empty() && drawing_ == 0; });
  return status_;
}

// Drawing goes first: so no more pictures wait for it than were decoded before.
void PicturePool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_there_.wait(lock, [&] { return stop_ || has_work(); });
    if (stop_) return;
    if (!drawings_.empty()) draw_one(lock);
    else decode_one(lock);
  }
}

void PicturePool::decode_one(std::unique_lock<std::mutex>& lock) {
  const size_t i = next_++;
  Image spare;
  if (!spare_.empty()) {
    spare = std::move(spare_.back());
    spare_.pop_back();
  }
  lock.unlock();
  Result<Image> image = Status();
  try {
    image = read_image(paths_[i], std::move(spare));
  } catch (const std::bad_alloc&) {
    image = system_error("out of memory");
  }
  lock.lock();
  decoded_[i] = std::move(image);
  arrived(i);
}

void PicturePool::arrived(size_t i) {
  for (Taker& taker : takers_)
    if (i >= taker.at && i < taker.end && --taker.missing == 0) taker.woken.notify_one();
}

void PicturePool::draw_one(std::unique_lock<std::mutex>& lock) {
  auto [i, image] = std::move(drawings_.front());
  drawings_.pop_front();
  ++drawing_;
  lock.unlock();
  Status status;
  try {
    status = draw_(i, std::move(image));
  } catch (const std::bad_alloc&) {
    status = system_error("out of memory");
  }
  if (!status.ok()) fail(i, std::move(status));
  lock.lock();
  --drawing_;
  drawn_.notify_all();
}

}  // namespace fovea::core::tool
