// Plans in the user's cache: what they are found by, and what becomes of files that are stale, cut off or hostile.
// Needs no GPU.
#include "kernels/cuda/conv/plan_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "kernels/cuda/conv/cudnn_plans.h"

namespace fovea::core::cuda {
namespace {

namespace fs = std::filesystem;

const Target kTarget{"0.1.0", "CUDA 13.0, cuDNN 9.19.0", "NVIDIA H200", "sm_90,132 multiprocessors"};

class PlanCache : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/fovea_plan_cache_XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    if (const char* before = std::getenv("XDG_CACHE_HOME")) before_ = before;
    ::setenv("XDG_CACHE_HOME", folder, 1);
  }
  void TearDown() override {
    if (before_) ::setenv("XDG_CACHE_HOME", before_->c_str(), 1);
    else ::unsetenv("XDG_CACHE_HOME");
    fs::remove_all(folder_);
  }

  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      if (entry.is_regular_file()) found.push_back(entry.path());
    return found;
  }
  static void put(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  fs::path folder_;
  std::optional<std::string> before_;
};

TEST_F(PlanCache, GivesBackWhatWasKept) {
  const std::string key = plan_key(kTarget, "conv a"), bytes("\0plan\n\xff", 7);
  EXPECT_FALSE(read_plan(key, "eng1"));
  write_plan(key, "eng1", {"eng1", bytes});
  const auto plan = read_plan(key, "eng1");
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->name, "eng1");
  EXPECT_EQ(plan->bytes, bytes);
}

TEST_F(PlanCache, KeepsApartWhatDiffers) {
  write_plan(plan_key(kTarget, "conv a"), "eng1", {"eng1", "one"});
  EXPECT_FALSE(read_plan(plan_key(kTarget, "conv a"), "eng2"));
  EXPECT_FALSE(read_plan(plan_key(kTarget, "conv a"), ""));
  EXPECT_FALSE(read_plan(plan_key(kTarget, "conv b"), "eng1"));
  for (auto part : {&Target::libraries, &Target::device, &Target::features}) {
    Target other = kTarget;
    other.*part += "1";
    EXPECT_FALSE(read_plan(plan_key(other, "conv a"), "eng1"));
  }
  // fovea's own build is no reason to build again.
  Target newer = kTarget;
  newer.build = "0.2.0";
  EXPECT_TRUE(read_plan(plan_key(newer, "conv a"), "eng1"));
  EXPECT_FALSE(read_plan(plan_key(kTarget, "conv a") + "1", "eng"));
}

TEST_F(PlanCache, TakesNothingFromFilesThatAreNotWhole) {
  const std::string key = plan_key(kTarget, "conv a");
  write_plan(key, "eng1", {"eng1", "serialised plan"});
  ASSERT_EQ(files().size(), 1u);
  const fs::path path = files()[0];
  auto whole = read_file(path.string());
  ASSERT_TRUE(whole.ok());
  for (size_t length = 0; length < whole->size(); ++length) {
    put(path, whole->substr(0, length));
    EXPECT_FALSE(read_plan(key, "eng1")) << length << " bytes";
  }
  for (size_t i = 0; i < whole->size(); ++i) {
    std::string wrong = *whole;
    wrong[i] = static_cast<char>(wrong[i] ^ 4);
    put(path, wrong);
    const auto plan = read_plan(key, "eng1");
    // The two separators around the hash carry nothing.
    if (plan) EXPECT_EQ(plan->bytes, "serialised plan") << "byte " << i;
  }
  put(path, *whole);
  EXPECT_TRUE(read_plan(key, "eng1"));
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_FALSE(read_plan(key, "eng1"));
}

TEST_F(PlanCache, OverwritesABadFile) {
  const std::string key = plan_key(kTarget, "conv a");
  write_plan(key, "", {"eng1", "one"});
  put(files()[0], "garbage");
  EXPECT_FALSE(read_plan(key, ""));
  write_plan(key, "", {"eng2", "two"});
  ASSERT_TRUE(read_plan(key, ""));
  EXPECT_EQ(read_plan(key, "")->name, "eng2");
}

TEST_F(PlanCache, DoesWithoutAFolder) {
  ::setenv("XDG_CACHE_HOME", "/dev/null", 1);
  const std::string key = plan_key(kTarget, "conv a");
  write_plan(key, "eng1", {"eng1", "one"});
  EXPECT_FALSE(read_plan(key, "eng1"));
}

// ---- what the front end wrote: UBJSON, here by hand

std::string member(const std::string& name, const std::string& value) {
  return std::string("i") + static_cast<char>(name.size()) + name + value;
}
std::string plan_of(std::initializer_list<char> ids, const std::string& left_out = "") {
  std::string list = "[";
  for (const char id : ids) list += std::string("i") + id;
  std::string text = "{";
  for (const auto& [name, value] :
       std::initializer_list<std::pair<std::string, std::string>>{{"json_version",
                                                                   "Si\x03"
                                                                   "1.0"},
                                                                  {"cudnn_backend_data", "Si\x02{}"},
                                                                  {"behavior_notes", "[[]]"},
                                                                  {"variant_pack_uids", list + "]"},
                                                                  {"variant_pack_replacements", "[]"},
                                                                  {"fe_workspace_size", std::string("i\0", 2)}})
    if (name != left_out) text += member(name, value);
  return text + "}";
}

TEST(CudnnPlans, KnowsAPlanForItsTensors) {
  const std::vector<int64_t> ids = {1, 2, 5};
  EXPECT_TRUE(is_cudnn_plan(plan_of({1, 2, 5}), ids));
  EXPECT_TRUE(is_cudnn_plan(plan_of({5, 1, 2}), ids));
  EXPECT_FALSE(is_cudnn_plan(plan_of({1, 2}), ids));
  EXPECT_FALSE(is_cudnn_plan(plan_of({1, 2, 4}), ids));
  EXPECT_FALSE(is_cudnn_plan(plan_of({1, 2, 3, 5}), ids));
}

TEST(CudnnPlans, TakesNothingElseForOne) {
  const std::vector<int64_t> ids = {1, 2, 5};
  for (const char* name : {"json_version", "cudnn_backend_data", "behavior_notes", "variant_pack_uids",
                           "variant_pack_replacements", "fe_workspace_size"})
    EXPECT_FALSE(is_cudnn_plan(plan_of({1, 2, 5}, name), ids)) << name;
  const std::string whole = plan_of({1, 2, 5});
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(is_cudnn_plan(std::string_view(whole).substr(0, length), ids)) << length << " bytes";
  EXPECT_FALSE(is_cudnn_plan(whole + "Z", ids));
  for (const char* text :
       {"", "Z", "[]", "{}", "Si\x02{}", "[[[[[[[[", "garbage", "{#L\x7f\xff\xff\xff\xff\xff\xff\xff"})
    EXPECT_FALSE(is_cudnn_plan(text, ids)) << text;
}

}  // namespace
}  // namespace fovea::core::cuda
