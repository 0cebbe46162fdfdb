// NVIDIA's libraries that are missing, too old, or no such libraries: what is said of them. No GPU is needed, for the
// libraries are made of libraries_fake.cc. What was opened stays open, so each answer is had in a process of its own.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "backends/cuda/code_check.h"
#include "backends/cuda/cuda.h"

namespace fovea::core::cuda {
namespace {

class CudaLibraries : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(FOVEA_FAKE_CUDA)) GTEST_SKIP() << "the libraries for this test are not here";
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
  // `ask` with the libraries of `folders`; what it gives goes to stderr.
  template <typename F>
  static void say(const std::string& folders, const F& ask) {
    std::string list;
    for (size_t at = 0; at < folders.size();) {
      const size_t end = std::min(folders.find(' ', at), folders.size());
      list += (at ? ":" : "") + (FOVEA_FAKE_CUDA "/" + folders.substr(at, end - at));
      at = end + 1;
    }
    ::setenv("FOVEA_CUDA_LIBRARIES", list.c_str(), 1);
    const auto result = ask();
    if (result.ok()) std::fputs("ok", stderr);
    else std::fprintf(stderr, "%d: %s\n", static_cast<int>(result.status().kind()), result.status().message().c_str());
    std::exit(0);
  }
  static Result<std::string> compile() { return compile_source("extern \"C\" __global__ void k() {}", "sm_90"); }
};
const auto kGood = testing::ExitedWithCode(0);
// The kind that exit code 4 stands for.
std::string limit(const std::string& text) {
  return std::to_string(static_cast<int>(ErrorKind::kUnsupported)) + ": " + text;
}

TEST_F(CudaLibraries, ThatAreNewEnoughServe) { EXPECT_EXIT(say("cudart nvrtc cudnn", cudnn_version), kGood, "ok"); }

TEST_F(CudaLibraries, ThatAreMissingAreNamed) {
  EXPECT_EXIT(say("nvrtc", [] { return open_library("libfovea_absent.so.1"); }), kGood,
              limit("libfovea_absent.so.1 cannot be opened .*: install NVIDIA's package of it, or name its folder in "
                    "FOVEA_CUDA_LIBRARIES"));
}

TEST_F(CudaLibraries, ThatAreTooOldAreNamed) {
  EXPECT_EXIT(say("cudart nvrtc old_cudnn", cudnn_version), kGood,
              limit("cuDNN: expected 9.8.0 or newer, found 9.1.0: install a newer package of it"));
  EXPECT_EXIT(say("old_nvrtc", compile), kGood, limit("libnvrtc.so.13 lacks functions of NVRTC 13"));
}

TEST_F(CudaLibraries, ThatAreSomethingElseAreNamed) {
  EXPECT_EXIT(say("cudart nvrtc no_cudnn", cudnn_version), kGood,
              limit("libcudnn.so.9 has no cudnnGetVersion: it is no cuDNN"));
}

TEST_F(CudaLibraries, ThatDoNotKnowTheGpuSaySo) {
  EXPECT_EXIT(say("nvrtc", compile), kGood,
              limit("NVRTC 13.0 does not compile for sm_90: expected one of sm_75 to sm_80; install a newer package"));
}

// ---- the build's own code

TEST(CudaCode, ThatIsMissingIsNamed) {
  EXPECT_TRUE(check_code(cudaSuccess, "cuda:0", 9, 0).ok());
  for (const cudaError_t none : {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction}) {
    const Status s = check_code(none, "cuda:3", 8, 6);
    EXPECT_EQ(s.kind(), ErrorKind::kUnsupported);
    EXPECT_EQ(s.message(), fmt::format("cuda:3: this build of fovea has no code for sm_86, but for {}: build it with "
                                       "FOVEA_CUDA_ARCHITECTURES=all",
                                       FOVEA_CUDA_ARCHITECTURES));
  }
  const Status old = check_code(cudaErrorUnsupportedPtxVersion, "cuda:0", 12, 0);
  EXPECT_EQ(old.kind(), ErrorKind::kUnsupported);
  EXPECT_TRUE(
      old.message().starts_with("cuda:0: this build of fovea has only PTX for sm_120, which the driver cannot"));
  EXPECT_TRUE(old.message().ends_with("or a build with FOVEA_CUDA_ARCHITECTURES=120")) << old.message();
  EXPECT_EQ(check_code(cudaErrorMemoryAllocation, "cuda:0", 9, 0).kind(), ErrorKind::kSystem);
}

}  // namespace
}  // namespace fovea::core::cuda
