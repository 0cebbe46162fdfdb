// The compile report: what was chosen and why, as JSON; kept in the engine, shown by `fovea inspect`.
#pragma once

#include <string>

#include "builder/compile.h"
#include "plan/device_use.h"
#include "runtime/memory.h"
#include "tactics/cost.h"

namespace fovea::core {

struct ProfileReport {
  SymbolValues profile;
  Recipe recipe;
  std::vector<GroupChoice> groups;
  std::vector<GroupCost> costs = {};  // of the groups
  double reformat_ms = 0;
  int reformats = 0, views = 0, copies = 0, transfers = 0, size_reads = 0;
  DeviceUse device = {};
  MemoryNeeds memory = {};
  int64_t packed_weight_bytes = 0;
  int64_t memory_limit = 0;  // 0: none
  int64_t total_bytes() const { return memory.total() + packed_weight_bytes; }
};

std::string report_json(const CompileResult& result, const std::vector<ProfileReport>& profiles);

}  // namespace fovea::core
