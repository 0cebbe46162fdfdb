// --memory-limit: what gives way where a profile takes more than it may.
//
// A run's memory is its arenas (what lies in them at once, and the workspace of the kernel that runs), packed weights,
// staging, and tensors that depend on sizes alone. First kernels that can do with less workspace are told how much they
// have, where they stick out of the arena. What that cannot save, packed weights have to: those kernels go first that
// save most for the time they cost. Last, kernels go whose workspace sticks out, if another candidate's is smaller.
#pragma once

#include <map>

#include "builder/report.h"
#include "tactics/assignment.h"

namespace fovea::core {

class MemoryLimit {
 public:
  // `bytes`: 0 for none. The device must outlive this.
  MemoryLimit(int64_t bytes, const Graph& graph, int threads, Device* device);
  bool fits(const ProfileReport& report) const { return bytes_ == 0 || report.total_bytes() <= bytes_; }
  // Bans kernels and limits workspaces for the next choice; false where nothing is left that could take less.
  Result<bool> lighten(const ProfileReport& report, const Sizes& sizes, ChooseOptions& options);
  // Why the least that was found is too much.
  Status over() const;
  // Says of what was left out how much it would have taken.
  void annotate(ProfileReport& report) const;

 private:
  using Key = std::pair<int, std::string>;  // last node's position, kernel
  struct Footprint {
    int64_t weights = 0, workspace = 0;
  };
  Key key(const GroupChoice& c) const;
  Result<Footprint> footprint(const GroupChoice& c, const KernelRow& row, const FormatChoice& formats,
                              const std::string& variant, const Sizes& sizes);
  bool can_shrink(const GroupChoice& c, int64_t workspace, const ChooseOptions& options) const;
  int64_t least_of_others(const GroupChoice& c, int64_t workspace, const Sizes& sizes);
  Status shrink_workspaces(const ProfileReport& report, bool may_ban, const Sizes& sizes, ChooseOptions& options,
                           int64_t& excess);
  Status make_do(const GroupChoice& c, int64_t workspace, int64_t room, const Sizes& sizes, ChooseOptions& options);
  Status shed_weights(const ProfileReport& report, const Sizes& sizes, ChooseOptions& options, int64_t& excess);
  void ban(const GroupChoice& c, const Footprint& takes, ChooseOptions& options);

  int64_t bytes_;
  std::unordered_map<const Node*, int> positions_;
  int threads_;
  Device* device_;
  std::map<std::string, Footprint> known_;
  std::map<Key, int64_t> banned_;  // bytes
  std::optional<ProfileReport> least_;
  bool changed_ = false;
};

}  // namespace fovea::core
