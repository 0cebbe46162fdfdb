// Which kernel runs which nodes, in which formats.
#pragma once

#include <map>
#include <string>

#include "tactics/phases.h"
#include "tactics/sizes.h"
#include "tactics/timing.h"

namespace fovea::core {

struct CandidateNote {
  std::string kernel, formats;  // formats: "c16,plain -> c16"
  double ms = -1;               // measured, or -1
  std::string refusal;          // why not, or empty
  std::string variant;          // which of a library's ways
  int64_t bytes = -1;           // of packed weights and workspace, where they were too many
  const KernelRow* row = nullptr;
  FormatChoice choice;  // what `formats` tells
};

struct GroupChoice {
  Group group;
  const KernelRow* row = nullptr;  // null: the reference kernel, on one node
  FormatChoice formats;
  std::string variant;  // which of a library's ways; empty: its own choice
  double ms = -1;       // what it was measured to take in the profile; -1 unknown
  std::vector<CandidateNote> candidates;
  int64_t workspace_limit = kAnyWorkspace;
};

// The run phase of a graph, regions included, each node in exactly one group; in order of each group's last node.
struct Assignment {
  std::vector<GroupChoice> groups;
  double reformat_ms = 0;  // estimated
};

// A recipe's form of an assignment: nodes by their position in the engine's graph, depth first. Reference groups are
// left out.
struct RecipeGroup {
  std::vector<int> nodes;
  std::string kernel;
  int revision = 0;
  FormatChoice formats;
  std::string variant;
  double ms = -1;
};
struct Recipe {
  SymbolValues profile;
  std::vector<RecipeGroup> groups;
};

// Kernels that are not asked again: (last node's position, kernel) -> why.
using Banned = std::map<std::pair<int, std::string>, std::string>;
// What a kernel may take as workspace, by the same keys.
using WorkspaceLimits = std::map<std::pair<int, std::string>, int64_t>;

struct ChooseOptions {
  int threads = 1;
  Device* device = nullptr;      // null: the processor alone
  bool keep_candidates = false;  // for the report
  Banned banned;
  WorkspaceLimits workspace_limits;
  const Recipe* prefer = nullptr;  // its choices are taken where they still can be
  std::function<void(int done, int total)> progress, prebuild_progress;
};

// Chooses for one profile. The reference kernel is always a candidate, the last one.
Result<Assignment> choose(const Graph& graph, const SymbolValues& profile, Timer& timer, PackedWeights& weights,
                          const ChooseOptions& options);

Recipe to_recipe(const Graph& graph, const SymbolValues& profile, const Assignment& assignment);
// The assignment a recipe tells of, or kUnsupported with what does not fit (kernel gone, another revision, other
// nodes).
Result<Assignment> from_recipe(const Graph& graph, const Recipe& recipe, const Device* device = nullptr);

// Position of every node, depth first, regions after their node.
std::unordered_map<const Node*, int> node_positions(const Graph& graph);
// Why the row cannot take the group whose sizes are as they are inferred; empty if it can.
std::string sizes_refusal(const KernelRow& row, const Group& group);
// Milliseconds by bytes and multiplications alone, for choosing without timing.
double rough_ms(const PrepareContext& context);
PrepareContext describe_group(const Group& group, const FormatChoice& formats, const Sizes& sizes, int threads,
                              PackedWeights& weights, Device* device);

}  // namespace fovea::core
