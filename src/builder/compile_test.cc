// compile() as a whole, on the network in models/.
#include "builder/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "picture/detector.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kModel = FOVEA_SOURCE_DIR "/models/small_ssd/";

CompileOptions options_with_card() {
  CompileOptions options;
  options.model = kModel + "small_ssd.onnx", options.card = kModel + "card.toml";
  options.profiles = {{{"n", 1}}, {{"n", 2}}};
  options.threads = 1, options.timing = false;
  return options;
}

TEST(Compile, EveryPassIsVerifiedAndTheDetectorFindsThings) {
  CompileOptions options = options_with_card();
  options.verify = true;
  auto made = compile(options);
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_FALSE(made->passes.empty());
  EXPECT_FALSE(made->stages.empty());
  EXPECT_EQ(made->kernels_timed, 0);
  ASSERT_EQ(made->engine.targets.size(), 1u);
  EXPECT_EQ(made->engine.targets[0].recipes.size(), 2u);
  ASSERT_TRUE(made->engine.preprocess);

  LoadOptions load;
  load.threads = 1;
  auto engine = LoadedEngine::from(std::move(made->engine), load);
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  EXPECT_EQ((*engine)->replanned(), "");
  auto detector = Detector::make(*engine);
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  auto image = read_image(kModel + "pictures/000001.jpg");
  ASSERT_TRUE(image.ok()) << image.status().message();
  const PictureView picture(*image);
  auto found = (*detector)->detect(std::span(&picture, 1), 1);
  ASSERT_TRUE(found.ok()) << found.status().message();
  ASSERT_FALSE((*found)[0].empty());
  const Detection& best = (*found)[0][0];
  EXPECT_GT(best.score, 0.5f);
  EXPECT_LT(best.x0, best.x1);
  EXPECT_LT(best.y0, best.y1);
  EXPECT_GT(best.x1, 0);
  EXPECT_LT(best.x0, static_cast<float>(image->width));
}

TEST(Compile, TheSameEngineTwiceAndAfterReading) {
  const auto folder = fs::temp_directory_path() / fmt::format("fovea_compile_test_{}", ::getpid());
  fs::create_directories(folder);
  auto write = [&](const EngineData& data, const std::string& name) {
    const std::string path = (folder / name).string();
    Status s = write_engine(path, data);
    EXPECT_TRUE(s.ok()) << s.message();
    return *read_file(path);
  };
  auto a = compile(options_with_card()), b = compile(options_with_card());
  ASSERT_TRUE(a.ok() && b.ok());
  const std::string first = write(a->engine, "a.fov");
  EXPECT_TRUE(first == write(b->engine, "b.fov"));
  auto back = read_engine((folder / "a.fov").string());
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_TRUE(first == write(*back, "c.fov"));
  fs::remove_all(folder);
}

int64_t bytes_of_a_run(const CompileResult& made) {
  return nlohmann::json::parse(made.engine.report)["profiles"][0]["total_bytes"];
}

// What the error says is enough, and one byte less is not.
TEST(Compile, AMemoryLimitHolds) {
  CompileOptions options = options_with_card();
  options.profiles = {{{"n", 2}}};
  auto free = compile(options);
  ASSERT_TRUE(free.ok()) << free.status().message();
  options.memory_limit = bytes_of_a_run(*free);
  auto same = compile(options);
  ASSERT_TRUE(same.ok()) << same.status().message();
  EXPECT_EQ(bytes_of_a_run(*same), options.memory_limit);
  EXPECT_EQ(nlohmann::json::parse(same->engine.report)["profiles"][0]["left_out_for_memory"].size(), 0u);
  options.memory_limit = 1;
  auto refused = compile(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().kind(), ErrorKind::kInvalidArgument);
  const std::string text = refused.status().message();
  const std::string before = "expected at least ";
  EXPECT_THAT(text, HasSubstr("profile n=2 needs"));
  options.memory_limit = std::stoll(text.substr(text.find(before) + before.size()));
  auto least = compile(options);
  ASSERT_TRUE(least.ok()) << least.status().message();
  EXPECT_LE(bytes_of_a_run(*least), options.memory_limit);
  --options.memory_limit;
  EXPECT_FALSE(compile(options).ok());
}

TEST(Compile, WhatIsWrongIsSaid) {
  auto error = [](const std::function<void(CompileOptions&)>& change, const std::string& what) {
    CompileOptions options = options_with_card();
    change(options);
    auto r = compile(options);
    ASSERT_FALSE(r.ok()) << what;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(r.status().message(), HasSubstr(what));
  };
  error([](CompileOptions& o) { o.model = "none.onnx"; }, "none.onnx");
  error([](CompileOptions& o) { o.card = "none.toml"; }, "none.toml");
  error([](CompileOptions& o) { o.profiles = {{{"z", 1}}}; }, "z");
  error([](CompileOptions& o) { o.disabled_passes = {"no_such_pass"}; }, "no_such_pass");
}

}  // namespace
}  // namespace fovea::core
