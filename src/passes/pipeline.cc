// The story of the compiler between reader and tactics: an exported graph goes in, a small one of the same meaning
// comes out. What is fused and how it is stored is decided later, by device.
#include "passes/pass.h"

namespace fovea::core {
namespace {

// Know everything that can be known, and say what cannot be run.
constexpr Pass kBegin[] = {
    {"infer", infer_pass, "types, shapes, known elements and data-dependent sizes of every value"},
    {"dead_code", remove_dead, "what no output needs is not worth a look"},
};

// Exported graphs are mostly arithmetic on sizes. Each of these makes work for the others, so they run until none has
// any.
constexpr Pass kSimplify[] = {
    {"sink_constants", sink_constants, "branches see constants of the graph around them as their own"},
    {"fold_constants", fold_constants, "what depends on no input is computed now, with the reference kernels"},
    {"inline_branches", inline_branches, "an If whose condition is known is one of its branches"},
    {"no_ops", remove_no_ops, "Cast to the same type, Slice of everything, x * 1 and their like go"},
    {"reshapes", simplify_reshapes,
     "chains of views are one Reshape to a constant shape, so that shape arithmetic dies"},
    {"slices", simplify_slices, "a slice of a Concat is a slice of one part"},
    {"transposes", simplify_transposes, "transposes meet and cancel, through element-wise operators too"},
    {"reductions", merge_reductions, "a mean over rows of a mean over columns is one mean over both"},
    {"common_subexpressions", merge_equal,
     "the same computation twice is one; four NonZero of a mask agree on their size"},
    {"dead_code", remove_dead, "what the passes before left without use"},
};

// The arithmetic of convolutions and matrix products, once their neighbours are plain.
constexpr Pass kWeights[] = {
    {"affine", fold_affine, "batch norms, scales and shifts behind a convolution or product move into its weights"},
    {"bias", fold_bias, "MatMul + Add of a vector is a Gemm"},
    {"dead_code", remove_dead, "the constants that were folded away"},
};

constexpr Pass kEnd[] = {
    {"join_convolutions", join_convolutions, "heads on the same features are one convolution, and slices of it"},
    {"dead_code", remove_dead, "the weights that were joined"},
    {"classify", classify, "what a value means decides what it may be stored as: coordinates and scores stay float32"},
};

}  // namespace

std::vector<Stage> pipeline(std::span<const Pass> patterns) {
  return {
      {"begin", kBegin},
      {"simplify", kSimplify, true},
      {"weights", kWeights},
      {"patterns", patterns, true},         // exported subgraphs become detection's own operators
      {"simplify again", kSimplify, true},  // of what weights and patterns left
      {"end", kEnd},
  };
}

}  // namespace fovea::core
