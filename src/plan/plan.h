// Plan: what a run does, step by step, for every size: sizes are slots of a shape program, memory is buffers with a
// lifetime. A specialisation puts numbers in.
#pragma once

#include <string>
#include <vector>

#include "ir/shape_program.h"
#include "tactics/assignment.h"

namespace fovea::core {

// A value in one format. Several tensors may lie in one buffer: views, and outputs that take over an input's memory.
struct PlanTensor {
  const Value* value = nullptr;
  Format format;
  enum class Home : uint8_t { kConstant, kInput, kBuffer } home = Home::kBuffer;
  int input = -1;   // kInput: which of the graph's
  int buffer = -1;  // kBuffer
  Shape shape;
  std::vector<int> dims;     // slots of the shape
  std::vector<int> strides;  // slots, in elements; empty: dense
  int offset = -1;           // slot, in elements from the buffer's start; -1: none
  bool dynamic = false;      // does the shape depend on data?
  int reshape_of = -1;       // the tensor whose elements these are, as many of them for sure only once sizes are known

  DType dtype() const { return format.dtype(value->dtype); }
};

struct PlanBuffer {
  int tensor = -1;                 // the one whose storage it is; others are views of it or as large
  int first = 1 << 30, last = -1;  // positions of the first and last step that touch it
  bool shape_phase = false;        // filled at specialisation, read-only afterwards
};

struct Step {
  // kCopy: into dense memory. kTransfer: to the other place, as it is. kReadSizes: the host waits for sizes that the
  // device has decided.
  enum class Kind : uint8_t { kGroup, kReformat, kCopy, kMaterialise, kIf, kTransfer, kReadSizes };
  Kind kind = Kind::kGroup;
  int choice = -1;  // kGroup: index into Plan::assignment.groups; -1 in the shape phase: the reference kernel
  const Node* node = nullptr;        // whose outputs it makes; for labels, attributes, data-dependent sizes
  std::vector<int> inputs, outputs;  // tensors; -1 where absent
  bool copy_residual = false;        // the residual must be copied into the output first: others still need it
  bool dynamic = false;              // some tensor's shape depends on data
  Place place = Place::kHost;        // kDevice: asked of the device's stream
  std::vector<int> elements;         // kMaterialise: slots of the elements
  int sizes = -1;                    // on the device: its first word in the list of sizes that the device decides
  std::vector<Step> branches[2];     // kIf: then, else
  // Where `before` is not -1, a device may run it beside others: anywhere behind position `after` (-1: from the
  // beginning) and in front of `before`.
  int after = -1, before = -1;
  int position = 0;
  int index = 0;  // of all steps, shape phase first, depth first; prepared kernels are kept by it
};

struct Plan {
  const Graph* graph = nullptr;
  Assignment assignment;
  ShapeProgram program;
  std::vector<PlanTensor> tensors;
  std::vector<PlanBuffer> buffers;
  std::vector<Step> shape_steps, run_steps;
  std::vector<int> outputs;       // tensors of the graph's outputs, plain and dense
  std::vector<int> device_sizes;  // slots of the sizes that the device decides, in the order of their words
  int positions = 0, steps = 0;
  int reformats = 0, views = 0, copies = 0, transfers = 0, size_reads = 0;  // for the report
};

// The graph must outlive the plan.
Result<Plan> build_plan(const Graph& graph, Assignment assignment);

// The steps that can run beside others, once it is known which tensors lie in which buffers; build_plan() ends with it.
void find_beside(Plan& plan);

// A readable listing, for inspect and tests.
std::string to_string(const Plan& plan);

// ---- memory
struct Interval {
  int first, last;  // inclusive positions
  int64_t bytes;
  int64_t offset = 0;  // result
  // The index of one whose first step is this one's last: it may be written where this is read, as long as it begins
  // `lead` bytes in front of this.
  int reached_by = -1;
  int64_t lead = 0;
};
// As place() counts bytes.
inline int64_t placed(int64_t bytes) { return (bytes + 63) / 64 * 64; }
// Bytes that both can have in common.
int64_t shared_bytes(const Interval& read, const Interval& written);
// The first position at which most is alive, and how much: no placement needs less.
struct Fullest {
  int position = -1;
  int64_t bytes = 0;
};
Fullest fullest(const std::vector<Interval>& intervals);
// Offsets such that intervals alive at the same time do not overlap, but where they may; 64-byte aligned. Returns the
// bytes needed; with `enough` of them it does not look for less.
int64_t place(std::vector<Interval>& intervals, int64_t enough = 0);

}  // namespace fovea::core
