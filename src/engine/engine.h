// The engine file: a portable graph with weights in their master type, and for each target a recipe of choices.
//
//   header (64 bytes) | structure (FlatBuffers, engine.fbs) | weights (64-byte aligned)
//
// Everything is checksummed; nothing in it is code. A hostile file gets an error, never a crash.
#pragma once

#include "backends/target.h"
#include "base/file.h"
#include "ir/graph.h"
#include "tactics/assignment.h"

namespace fovea::core {

inline constexpr uint32_t kEngineFormat = 1;

struct EngineTarget {
  std::string build, libraries, device, features;
  int threads = 1;
  std::vector<Recipe> recipes;  // one a profile
  Limits limits = {};           // of the device, for reports
};

struct EngineData {
  std::string fovea_version, git_hash;
  std::string source_name;
  uint64_t source_hash = 0;
  std::string card;                   // the model card's text; empty if there is none
  std::unique_ptr<Graph> graph;       // after all passes, unfused
  std::unique_ptr<Graph> preprocess;  // picture -> network input; null without a card
  std::vector<EngineTarget> targets;
  std::string report;                      // JSON
  std::shared_ptr<const MappedFile> file;  // what constants lie in, if it was read from a file
};

Status write_engine(const std::string& path, const EngineData& data);
// Weights stay in the mapped file, which the tensors keep alive. Checks checksums, structure, and infers the graph
// anew.
Result<EngineData> read_engine(const std::string& path);

struct EngineSections {  // sizes for inspect
  int64_t file = 0, structure = 0, weights = 0;
};
Result<EngineSections> engine_sections(const std::string& path);

}  // namespace fovea::core
