// The device that the tests here run on: fake:0, which every machine has, or what FOVEA_TEST_DEVICE names.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

inline std::string from_environment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}
inline const std::string& test_device() {
  static const std::string name = from_environment("FOVEA_TEST_DEVICE", "fake:0");
  return name;
}
inline bool on_fake() { return test_device().starts_with("fake"); }

// Where small_ssd is: a folder that FOVEA_TEST_MODELS names, or that of the repository.
inline std::string small_ssd() {
  return from_environment("FOVEA_TEST_MODELS", FOVEA_SOURCE_DIR "/models") + "/small_ssd/";
}
inline bool has_small_ssd() { return std::filesystem::exists(small_ssd() + "small_ssd.onnx"); }

#define FOVEA_NEEDS_FAKE(what) \
  if (!on_fake()) GTEST_SKIP() << test_device() << " does not do it: " what
#define FOVEA_NEEDS_SMALL_SSD() \
  if (!has_small_ssd()) GTEST_SKIP() << "no small_ssd here: name its parent folder in FOVEA_TEST_MODELS"
