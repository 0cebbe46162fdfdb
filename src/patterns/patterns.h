// Patterns: exported subgraphs become the operators that they mean. One rewrite a file, its equation in its first
// comment; patterns.inc lists them. They match canonical graphs by structure and algebra, never by a node's name.
#pragma once

#include <span>

#include "passes/pass.h"

namespace fovea::core {

std::span<const Pass> patterns();  // for pipeline()

#define FOVEA_PATTERN(function, name, reason) Result<bool> function(Graph& graph, PassContext& context);
#include "patterns/patterns.inc"
#undef FOVEA_PATTERN

}  // namespace fovea::core
