// The compile report: what was chosen and why, as JSON; kept in the engine, shown by `fovea inspect`.
#pragma once

#include <string>

#include "builder/compile.h"
#include "plan/plan.h"

namespace fovea::core {

struct ProfileReport {
  SymbolValues profile;
  Recipe recipe;
  std::vector<GroupChoice> groups;
  double reformat_ms = 0;
  int reformats = 0, views = 0, copies = 0, transfers = 0, size_reads = 0;
  int64_t arena_bytes = 0, device_arena_bytes = 0, packed_weight_bytes = 0;
};

std::string report_json(const CompileResult& result, const std::vector<ProfileReport>& profiles);

}  // namespace fovea::core
