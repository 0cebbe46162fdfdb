#include "tests/api/text_engine.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "ir/parse.h"
#include "ops/op.h"

void write_text_engine(const std::string& path, const std::string& graph) {
  using namespace fovea::core;
  auto g = parse(graph, find_op);
  ASSERT_TRUE(g.ok()) << g.status().message();
  EngineData data;
  data.graph = *std::move(g);
  const Status s = write_engine(path, data);
  ASSERT_TRUE(s.ok()) << s.message();
}
