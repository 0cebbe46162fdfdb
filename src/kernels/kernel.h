// Kernel rows: everything faster than the reference is one file and one row in a table.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/device.h"
#include "backends/format.h"
#include "ir/graph.h"
#include "kernels/context.h"

namespace fovea::core {

// The nodes one kernel call stands for. nodes.back() gives outputs; what lies between the nodes is used by them alone.
struct Group {
  std::vector<const Node*> nodes;    // in order; nodes[0] is the anchor that the row was asked for
  std::vector<const Value*> inputs;  // in the row's own order; null where absent
  std::vector<const Value*> outputs;
  int residual = -1;  // index of the input whose memory the output takes over, or -1
  bool keeps_inputs = false;  // no output may take an input's memory, whatever the row's in_place says
};

struct TensorDesc {
  DType dtype = DType::kUndefined;  // as stored
  std::vector<int64_t> shape;  // logical: N, C, H, W whatever the layout
  Layout layout = Layout::kPlain;
  TensorPtr constant;  // its elements (plain), if they never change
};

// Formats of a group's inputs and outputs that go together.
struct FormatChoice {
  std::vector<Format> inputs, outputs;
  friend bool operator==(const FormatChoice&, const FormatChoice&) = default;
};
FormatChoice all_plain(const Group& group, Place place = Place::kHost);

// Weights as kernels want them, shared by all specialisations of an engine that ask for the same key.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
  virtual std::shared_ptr<void> find(const std::string& key) = 0;
  // What is known under this name from now on: another thread may have put the same there meanwhile.
  virtual std::shared_ptr<void> put(const std::string& key, std::shared_ptr<void> packed, int64_t bytes) = 0;
};

inline constexpr int64_t kAnyWorkspace = INT64_MAX;

struct PrepareContext {
  const Group& group;
  std::vector<TensorDesc> inputs, outputs;  // as group's; absent inputs have dtype kUndefined
  int threads = 1;
  PackedWeights* weights = nullptr;  // never null when prepare() is called
  Device* device = nullptr;          // for rows of Place::kDevice; outlives what is prepared
  std::string_view variant = {};     // which of a library's ways, as detail() named it when it was timed; empty: any
  bool tune = false;                 // may time a library's ways against each other
  std::vector<std::vector<int64_t>> results = {};  // shape of the first output of each of the group's nodes
  // What a library's way may take as workspace; where none takes so little, the one that takes the least is right.
  int64_t workspace_limit = kAnyWorkspace;
};

// One of a library's ways to do what a kernel does.
struct KernelVariant {
  std::string name;
  int64_t workspace_bytes = 0;
};

// A kernel made ready for one set of shapes. Immutable: contexts in several threads run the same one.
class PreparedKernel {
 public:
  virtual ~PreparedKernel() = default;
  virtual Status run(KernelContext& context) const = 0;
  virtual int64_t workspace_bytes() const { return 0; }  // KernelContext::workspace
  virtual std::string detail() const { return ""; }      // what a library chose, for the report
  virtual std::vector<KernelVariant> over_limit() const { return {}; }  // left out for PrepareContext::workspace_limit
  // Bytes by which output 0 must begin in front of input 0 (at least) to be allowed to reach into its memory, where
  // nobody needs the input afterwards: what is written never overtakes what is still to be read. -1: it must not.
  virtual int64_t overlap_lead() const { return -1; }
};

struct KernelRow {
  std::string_view name;        // "onednn_conv_winograd"
  std::string_view op;          // the anchor's operator
  int revision = 1;             // a new one makes old timings void
  uint32_t features = 0;        // CpuFeature bits it needs
  bool strided_inputs = false;  // takes plain inputs with any strides
  bool dynamic_shapes = false;  // prepare() does not depend on sizes; sizes may be data-dependent
  bool in_place = false;        // output 0 may take input 0's memory when both have the same size
  bool reaches_back = false;    // its groups hold nodes that do not follow the anchor: asked before all other rows
  bool copies_view = false;     // copies what a view would do without: taken only where there can be none
  bool limits_workspace = false;  // heeds PrepareContext::workspace_limit
  Place place = Place::kHost;   // where it runs
  // The groups that start at `anchor` and that this row would take, the largest first (the others serve where a node of
  // a larger one already belongs elsewhere); empty if it has nothing to do here. Called on a graph after all passes.
  std::vector<Group> (*match)(const Graph& graph, const Node& anchor) = nullptr;
  // Why it cannot serve a group of these types and shapes; empty if it can. Symbolic sizes are Values' shapes.
  std::string (*refuse)(const Group& group) = nullptr;
  // Formats it offers; the first is the one it likes best. Null: everything plain, in the row's own place. A kernel of a
  // device that reads a constant only in prepare() takes it as Layout::kPlain on the host.
  std::vector<FormatChoice> (*formats)(const Group& group) = nullptr;
  // Fails with kUnsupported and a reason where a library has nothing good for these sizes. A device's rows are called
  // for several groups at once.
  Result<std::unique_ptr<PreparedKernel>> (*prepare)(const PrepareContext& context) = nullptr;
  // The part of prepare() that takes the host long (a library's plans to build), where there is one: called before it
  // for many groups side by side, so that prepare() finds it done. See kernels/prebuild.h.
  void (*prebuild)(const PrepareContext& context) = nullptr;
  double preference = 1;     // without timing: the candidate with the largest takes it
};

// What the row offers for a group that it takes.
std::vector<FormatChoice> formats_of(const KernelRow& row, const Group& group);

// All CPU rows, in the order of kernels.inc.
std::span<const KernelRow* const> cpu_kernels();
// Of the device, or of the CPU; null if there is none.
const KernelRow* find_kernel(std::string_view name, const Device* device = nullptr);

// ---- building blocks for match()
Group single_node_group(const Node& node);
std::vector<Group> match_node(const Graph& graph, const Node& anchor);  // a match(): the node alone
// A prepare() for kernels that sizes do not matter to.
template <typename Kernel>
Result<std::unique_ptr<PreparedKernel>> prepare_as(const PrepareContext&) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<Kernel>());
}
// The one node that uses `value`, if it has exactly one use and is no output of the graph.
const Node* only_user(const Graph& graph, const Value* value);

// A change of layout (and of strides where plain), rank 4. Times as a kernel; runs over oneDNN's team.
Status reformat(const TensorRef& from, Layout from_layout, const TensorRef& to, Layout to_layout, int threads);

}  // namespace fovea::core
