#include "base/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace fovea::core {
namespace {

TEST(SideBySide, DoesEachOnce) {
  for (size_t count : {0, 1, 3, 100}) {
    std::vector<std::atomic<int>> times(count);
    side_by_side(count, [&](size_t i) { ++times[i]; });
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(times[i], 1) << i << " of " << count;
  }
}

TEST(SideBySide, SaysHowManyAreDone) {
  std::vector<int> heard;
  const auto here = std::this_thread::get_id();
  std::atomic<bool> go = false;
  side_by_side(
      5, [&](size_t) { go.wait(false); },
      [&](int done) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        heard.push_back(done);
        go = true, go.notify_all();
      });
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard[0], 0);
  EXPECT_TRUE(std::ranges::is_sorted(heard));
}

}  // namespace
}  // namespace fovea::core
