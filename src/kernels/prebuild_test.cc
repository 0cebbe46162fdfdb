#include "kernels/prebuild.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

namespace fovea::core {
namespace {

std::atomic<int> asked = 0;

TEST(Prebuild, AsksEveryRowOnceAndFailsNever) {
  const KernelRow good = {.name = "good", .op = "Relu", .prebuild = [](const PrepareContext&) { ++asked; }};
  const KernelRow bad = {.name = "bad", .op = "Relu", .prebuild = [](const PrepareContext&) {
                           ++asked;
                           throw std::runtime_error("no memory");
                         }};
  const Group group;
  std::vector<Prebuild> work;
  for (int i = 0; i < 100; ++i) work.push_back({i % 3 ? &good : &bad, {.group = group, .inputs = {}, .outputs = {}}});
  int last = -1;
  prebuild_all(std::move(work), [&](int done) {
    EXPECT_GE(done, last);
    EXPECT_LE(done, 100);
    last = done;
  });
  EXPECT_EQ(asked, 100);
  prebuild_all({});
}

}  // namespace
}  // namespace fovea::core
