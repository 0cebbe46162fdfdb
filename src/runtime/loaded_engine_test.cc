// Engines on this machine and on others.
#include "runtime/loaded_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "backends/cpu/target.h"
#include "runtime/executor_testing.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

EngineData engine_data() {
  EngineData data;
  data.graph = parsed(kTrunk);
  const Target here = cpu_target();
  TimingCache timings;
  Timer timer(timings, 1, false);
  PackedWeightsMap weights;
  const SymbolValues profile{{"n", 1}};
  auto assignment = choose(*data.graph, profile, timer, weights, {});
  EXPECT_TRUE(assignment.ok());
  data.targets.push_back(
      {here.build, here.libraries, here.device, here.features, 1, {to_recipe(*data.graph, profile, *assignment)}});
  return data;
}

std::vector<std::vector<float>> outputs_of(LoadedEngine& e, const TensorPtr& in) {
  Executor executor;
  auto spec = e.main().specialise(Shapes{in->dims()}, 1);
  EXPECT_TRUE(spec.ok() && executor.bind(*spec).ok());
  std::vector<TensorRef> out(e.main().graph().outputs.size());
  const TensorRef ref = TensorRef::of(*in);
  EXPECT_TRUE(executor.run(std::span(&ref, 1), out).ok());
  std::vector<std::vector<float>> values;
  for (const TensorRef& r : out) values.emplace_back(r.as<float>(), r.as<float>() + r.count());
  return values;
}

TEST(LoadedEngine, ARecipeOfThisMachineIsUsed) {
  auto e = LoadedEngine::from(engine_data(), {});
  ASSERT_TRUE(e.ok()) << e.status().message();
  EXPECT_EQ((*e)->replanned(), "");
}

TEST(LoadedEngine, APlantedRecipeIsNotUsedAndSaidSo) {
  std::mt19937 rng(7);
  const TensorPtr in = random_tensor(DType::kFloat32, {2, 3, 16, 16}, rng);
  auto here = LoadedEngine::from(engine_data(), {});
  ASSERT_TRUE(here.ok());
  const auto want = outputs_of(**here, in);
  struct Case {
    std::function<void(EngineTarget&)> change;
    std::string why;
  };
  const Case cases[] = {
      {[](EngineTarget& t) { t.device = "Another CPU"; }, "its recipe was made on 'Another CPU'"},
      {[](EngineTarget& t) { t.features += ",amx"; }, "amx"},
      {[](EngineTarget& t) { t.libraries = "oneDNN 9.9"; }, "its recipe was made with oneDNN 9.9"},
      {[](EngineTarget& t) { t.build = "0.0.1 (abc)"; }, "its recipe was made by fovea 0.0.1 (abc)"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].kernel = "no_such_kernel"; },
       "kernel 'no_such_kernel' does not exist in this build"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].revision += 1; }, "revision"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].nodes = {100000}; }, "names a node that the graph does not have"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].formats.inputs.clear(); }, "as the recipe has it"},
  };
  for (const Case& c : cases) {
    EngineData data = engine_data();
    c.change(data.targets[0]);
    std::string log;
    LoadOptions options;
    options.log = [&](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) log += text;
    };
    auto e = LoadedEngine::from(std::move(data), options);
    ASSERT_TRUE(e.ok()) << e.status().message();
    EXPECT_THAT((*e)->replanned(), HasSubstr(c.why));
    EXPECT_THAT(log, HasSubstr("planning anew for this machine"));
    const auto found = outputs_of(**e, in);
    for (size_t o = 0; o < want.size(); ++o)
      EXPECT_THAT(found[o], testing::Pointwise(testing::FloatNear(1e-3f), want[o])) << c.why;
  }
}

}  // namespace
}  // namespace fovea::core
