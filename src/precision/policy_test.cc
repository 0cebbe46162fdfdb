#include "precision/policy.h"

#include <gtest/gtest.h>

#include "ir/parse.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

TEST(Precision, NamesAreThoseOfTheCommandLine) {
  EXPECT_EQ(precision_from_string("fp32"), Precision::kFloat32);
  EXPECT_EQ(precision_from_string("tf32"), Precision::kTf32);
  EXPECT_EQ(precision_from_string("fp16"), Precision::kFloat16);
  EXPECT_EQ(precision_from_string("int8"), std::nullopt);
}

TEST(Precision, OnlyFeaturesMayBeStoredInLess) {
  for (const Precision p : {Precision::kFloat32, Precision::kTf32, Precision::kFloat16}) {
    Graph g;
    Value *feature = g.add_input("feature", DType::kFloat32, {1}), *score = g.add_input("score", DType::kFloat32, {1}),
          *index = g.add_input("index", DType::kInt64, {1}), *fixed = g.add_input("fixed", DType::kFloat32, {1});
    score->precision = PrecisionClass::kScore;
    fixed->storage.type = DType::kInt8;
    permit(g, p);
    EXPECT_EQ(feature->storage.type, p == Precision::kFloat16 ? DType::kFloat16
                                     : p == Precision::kTf32  ? DType::kFloat32
                                                              : DType::kUndefined);
    EXPECT_EQ(feature->storage.tf32, p == Precision::kTf32);
    EXPECT_EQ(score->storage.type, DType::kUndefined);
    EXPECT_EQ(index->storage.type, DType::kUndefined);
    EXPECT_EQ(fixed->storage.type, DType::kInt8);
  }
}

}  // namespace
}  // namespace fovea::core
