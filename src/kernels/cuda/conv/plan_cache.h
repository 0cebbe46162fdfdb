// A library's plans in the user's cache: what took it long to find and build, by all that it depends on.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/target.h"

namespace fovea::core::cuda {

struct StoredPlan {
  std::string name;   // as the library calls it
  std::string bytes;  // as the library wrote it
};

// Plans belong to the libraries, the driver and the GPU of `target`, and to what they compute: `description`.
std::string plan_key(const Target& target, std::string_view description);

// The plan that was kept for `variant`, which may be empty. Nothing where there is none, or no whole one.
std::optional<StoredPlan> read_plan(const std::string& key, std::string_view variant);
void write_plan(const std::string& key, std::string_view variant, const StoredPlan& plan);

}  // namespace fovea::core::cuda
