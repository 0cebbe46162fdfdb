// Threads that decode pictures ahead of those who detect on them, and write drawings behind.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "picture/image.h"

namespace fovea::core::tool {

class PicturePool {
 public:
  using Draw = std::function<Status(size_t picture, Image image)>;

  PicturePool(std::span<const std::string> paths, int threads, Draw draw);
  ~PicturePool();  // what has not begun is left undone

  // Pictures before `end` may be decoded from now on: no more of them wait in memory than were allowed and not taken.
  void allow(size_t end);
  // Pictures [at, end) that were allowed, once; waits until they are decoded. A failure, too, where a failure before
  // them makes them void.
  Result<std::vector<Image>> take(size_t at, size_t end);
  void draw(size_t i, Image image);
  // Pictures whose memory others may be decoded into: threads that ask the system for each picture's, and return it,
  // wait for each other. No more than were alive at once, of at most 4 MiB each.
  void give_back(std::vector<Image> images);

  // A failure makes void what comes behind its picture; that of the earliest picture counts.
  void fail(size_t i, Status status);
  size_t failed() const;  // the picture, or how many there are
  // Waits for the drawings. The failure that counts, or none.
  Status finish();

 private:
  void work();
  bool has_work() const { return !drawings_.empty() || next_ < std::min(allowed_, failed_); }
  void decode_one(std::unique_lock<std::mutex>& lock);
  void arrived(size_t i);
  void draw_one(std::unique_lock<std::mutex>& lock);

  const std::span<const std::string> paths_;
  const Draw draw_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable work_there_, drawn_;
  bool stop_ = false;
  size_t allowed_ = 0, next_ = 0, failed_;
  Status status_;
  std::vector<std::optional<Result<Image>>> decoded_;  // by picture
  std::vector<Image> spare_;
  // Who waits is woken once, for all of its pictures.
  struct Taker {
    size_t at, end, missing;
    std::condition_variable woken{};
  };
  std::list<Taker> takers_;
  std::deque<std::pair<size_t, Image>> drawings_;
  int drawing_ = 0;  // threads at it
  std::vector<std::thread> team_;
};

}  // namespace fovea::core::tool
