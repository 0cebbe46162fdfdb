// One engine in several threads, as users see it. Small, because it runs under the thread sanitizer too, where every
// kernel is slow.
#include <fovea/compile.h>
#include <fovea/detector.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace fovea {
namespace {

namespace fs = std::filesystem;

const std::string kModel = FOVEA_SOURCE_DIR "/models/small_ssd/";

class Threads : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("fovea_threads_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    CompileOptions options;
    options.card = kModel + "card.toml", options.timing = false, options.threads = 2;
    compile(kModel + "small_ssd.onnx", path(), options);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string path() { return (folder_ / "small_ssd.fov").string(); }
  static Engine engine(int max_specialisations) {
    EngineOptions options;
    options.threads = 2, options.max_specialisations = max_specialisations;
    return Engine::open(path(), options);
  }
  static Tensor input(int64_t n) {
    Tensor t(ElementType::kFloat32, {n, 3, 256, 256});
    uint32_t state = static_cast<uint32_t>(n);
    for (int64_t i = 0; i < t.count(); ++i) {
      state = state * 1664525u + 1013904223u;
      t.as<float>()[i] = static_cast<float>(state >> 8) / (1 << 23) - 1;
    }
    return t;
  }
  // Shapes and bytes of all outputs.
  static std::vector<std::byte> run(Context& c, const Tensor& in) {
    std::vector<std::byte> all;
    auto add = [&](const void* p, size_t n) {
      const auto* bytes = static_cast<const std::byte*>(p);
      all.insert(all.end(), bytes, bytes + n);
    };
    for (const Tensor& t : c.run(std::span(&in, 1))) {
      add(t.shape().data(), t.shape().size() * sizeof(int64_t));
      add(t.data(), t.bytes());
    }
    return all;
  }
  template <typename F>
  static void twice_at_once(F&& work) {
    std::atomic<int> ready{0};
    auto start = [&](int who) {
      ++ready;
      while (ready < 2) std::this_thread::yield();
      try {
        work(who);
      } catch (const std::exception& e) {
        ADD_FAILURE() << "thread " << who << ": " << e.what();
      }
    };
    std::thread other(start, 1);
    start(0);
    other.join();
  }

  static fs::path folder_;
};
fs::path Threads::folder_;

TEST_F(Threads, ContextsThatChangeShapesOnACacheOfOne) {
  const Tensor inputs[] = {input(1), input(2)};
  std::vector<std::byte> want[2];
  {
    const Engine alone = engine(32);
    Context c = alone.create_context();
    for (int i : {0, 1}) want[i] = run(c, inputs[i]);
  }
  const Engine e = engine(1);
  twice_at_once([&](int who) {
    Context c = e.create_context();
    for (int i : {who, 1 - who, who}) EXPECT_EQ(run(c, inputs[i]), want[i]) << "thread " << who << ", input " << i;
  });
}

TEST_F(Threads, ContextsAtOnceWithTheSameShape) {
  const Engine e = engine(32);
  const Tensor in = input(1);
  Context first = e.create_context();
  const auto want = run(first, in);
  twice_at_once([&](int) {
    Context c = e.create_context();
    for (int i = 0; i < 2; ++i) EXPECT_EQ(run(c, in), want);
  });
}

TEST_F(Threads, DetectorsAtOnce) {
  const Engine e = engine(32);
  const std::string names[] = {kModel + "pictures/000001.jpg", kModel + "pictures/000012.png"};
  std::vector<Detected> want[2];
  for (int i : {0, 1}) want[i] = Detector(e).detect(read_picture(names[i]));
  EXPECT_FALSE(want[0].empty());
  twice_at_once([&](int who) {
    Detector d(e);
    const auto found = d.detect(read_picture(names[who]));
    ASSERT_EQ(found.size(), want[who].size());
    for (size_t k = 0; k < found.size(); ++k) {
      const Detected &a = found[k], &b = want[who][k];
      EXPECT_TRUE(a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1 && a.score == b.score &&
                  a.label == b.label)
          << names[who] << ", detection " << k;
    }
  });
}

// Who comes second is refused; which of the two that is, the clock decides.
template <typename F>
int refusals(F&& call) {
  std::atomic<int> done{0}, refused{0};
  auto work = [&] {
    while (done == 0 && refused == 0) {
      try {
        call();
        ++done;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
        EXPECT_NE(std::string(e.what()).find("used by two threads at once"), std::string::npos) << e.what();
        ++refused;
      }
    }
  };
  std::thread a(work), b(work);
  a.join(), b.join();
  EXPECT_GE(done, 1);
  return refused;
}

TEST_F(Threads, AContextInTwoThreadsIsRefused) {
  const Engine e = engine(32);
  const Tensor in = input(1);
  Context c = e.create_context();
  std::atomic<bool> tried{false};
  int refused = 0;
  // The run waits in its first step until the other thread has tried.
  std::atomic<bool> inside{false};
  c.set_observer([&](const StepInfo&) {
    inside = true;
    while (!tried) std::this_thread::yield();
  });
  std::thread other([&] {
    while (!inside) std::this_thread::yield();
    for (const auto& call :
         std::vector<std::function<void()>>{[&] { c.run(std::span(&in, 1)); }, [&] { c.prepare({in.shape()}); },
                                            [&] { c.set_observer(nullptr); }, [&] { c.check_finite(true); }}) {
      try {
        call();
      } catch (const Error& error) {
        refused += std::string(error.what()).find("two threads at once") != std::string::npos;
      }
    }
    tried = true;
  });
  EXPECT_EQ(c.run(std::span(&in, 1)).size(), 4u);
  other.join();
  EXPECT_EQ(refused, 4);
}

TEST_F(Threads, ADetectorInTwoThreadsIsRefused) {
  const Engine e = engine(32);
  Detector d(e);
  const Picture picture = read_picture(kModel + "pictures/000001.jpg");
  int refused = 0;
  for (int tries = 0; tries < 20 && refused == 0; ++tries) refused += refusals([&] { d.detect(picture); });
  EXPECT_GT(refused, 0);
  EXPECT_FALSE(d.detect(picture).empty());
}

}  // namespace
}  // namespace fovea
