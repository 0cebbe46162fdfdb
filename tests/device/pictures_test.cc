// Pictures to boxes on a device: the same as on the processor, however the pictures lie and whatever is still in
// flight. The one that every machine has (fake/fake.cc) does nothing before somebody waits for it; test_device.h names
// others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "builder/card_lowering.h"
#include "ops/op.h"
#include "ops/reshape.h"
#include "ops/softmax.h"
#include "picture/detector.h"
#include "tests/device/test_device.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

Image picture(int64_t height, int64_t width, uint32_t seed) {
  Image image{height, width, {}};
  for (int64_t i = 0; i < height * width * 3; ++i)
    image.rgb.push_back(static_cast<uint8_t>(seed = seed * 1664525 + 1013904223 + static_cast<uint32_t>(i)));
  return image;
}

// Hands a picture of 2 x 2 through as three boxes, doubled. `first` reads the picture; Softmax has no kernel there.
class Network {
 public:
  explicit Network(std::string_view first = "Relu", int64_t fixed = 0) {
    const Dim n = fixed ? Dim(fixed) : Dim(graph_.declare_symbol({"n", 1, 64, false}));
    Value* image = graph_.add_input("image", DType::kFloat32, {n, 3, 2, 2});
    Value* scores = graph_.add_input("scores_in", DType::kFloat32, {n, 3});
    const bool softmax = first == "Softmax";
    Value* x = add(first, {image}, softmax ? make_attrs(SoftmaxAttrs{.axis = 3}) : nullptr);
    x = add("Add", {x, x});
    const std::vector<int64_t> shape{0, -1, 4};
    Value* to = graph_.add_constant(Tensor::of<int64_t>({3}, std::span<const int64_t>(shape)));
    graph_.outputs = {add("Reshape", {x, to}, make_attrs(ReshapeAttrs{})), add("Relu", {scores})};
    graph_.output_names = {"boxes", "scores"};
    card_.picture.input = "image";
    card_.picture.resize = {.mode = ResizeMode::kStretch, .height = 2, .width = 2};
    card_.picture.pad_value = {0, 0, 0}, card_.picture.mean = {0, 0, 0}, card_.picture.std = {1, 1, 1};
    card_.outputs.boxes = "boxes", card_.outputs.scores = "scores";
    InputCard& side = card_.inputs.emplace_back();
    side.name = "scores_in", side.role = InputRole::kConstant;
    for (int64_t i = 0; i < std::max<int64_t>(fixed, 1); ++i) side.value.insert(side.value.end(), {0.75, 0.5, 0.25});
  }

  std::shared_ptr<LoadedEngine> open(const char* device) {
    auto lowered = lower_card(graph_, card_, nullptr);
    EXPECT_TRUE(lowered.ok()) << lowered.status().message();
    EngineData data;
    data.card = to_toml(lowered->card), data.graph = graph_.clone(), data.preprocess = std::move(lowered->preprocess);
    LoadOptions options;
    options.threads = 1;
    if (device) options.device = *open_device(device);
    auto engine = LoadedEngine::from(std::move(data), options);
    EXPECT_TRUE(engine.ok()) << engine.status().message();
    return *engine;
  }

 private:
  Value* add(std::string_view op, std::vector<Value*> inputs, AttrsPtr attrs = nullptr) {
    Node* node = graph_.add_node(find_op(op), std::move(attrs), std::move(inputs));
    EXPECT_TRUE(infer_node(graph_, *node).ok());
    return node->output();
  }
  Graph graph_{"toy"};
  ModelCard card_;
};

using Found = std::vector<std::vector<Detection>>;

Found detect(Detector& detector, const std::vector<Image>& pictures, int64_t batch) {
  auto found = detector.detect(std::vector<PictureView>(pictures.begin(), pictures.end()), batch);
  EXPECT_TRUE(found.ok()) << found.status().message();
  return found.ok() ? *found : Found();
}
// The fake's kernels are the processor's own; others may round otherwise.
void expect_found(const Found& found, const Found& want) {
  if (on_fake()) {
    EXPECT_EQ(found, want);
    return;
  }
  ASSERT_EQ(found.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(found[i].size(), want[i].size()) << "picture " << i;
    for (size_t k = 0; k < want[i].size(); ++k) {
      const Detection &f = found[i][k], &w = want[i][k];
      EXPECT_EQ(f.label, w.label);
      EXPECT_NEAR(f.score, w.score, 1e-5);
      for (const auto side : {&Detection::x0, &Detection::y0, &Detection::x1, &Detection::y1})
        EXPECT_NEAR(f.*side, w.*side, 5e-3 * (1 + std::abs(w.*side))) << "picture " << i << ", box " << k;
    }
  }
}
Found collect(Detector& detector) {
  auto found = detector.collect();
  EXPECT_TRUE(found.ok()) << found.status().message();
  return found.ok() ? *found : Found();
}
void enqueue(Detector& detector, const std::vector<Image>& pictures) {
  const Status s = detector.enqueue(std::vector<PictureView>(pictures.begin(), pictures.end()));
  EXPECT_TRUE(s.ok()) << s.message();
}

// Sizes that come again and that do not, so that memory grows and recorded work is used again and made anew.
TEST(PicturesOnDevice, AreFoundTheSame) {
  for (const char* first : {"Relu", "Softmax"})  // Softmax: the host reads the picture as well
    for (const int64_t fixed : {0, 4})
      for (const bool check : {false, true}) {
        SCOPED_TRACE(fmt::format("{}, batch {}, check {}", first, fixed, check));
        Network network(first, fixed);
        const auto there = *Detector::make(network.open(test_device().c_str())),
                   here = *Detector::make(network.open(nullptr));
        there->check_finite = check;
        uint32_t seed = 1;
        for (const size_t count : {1, 4, 4, 4, 7, 2, 4}) {
          std::vector<Image> pictures;
          for (size_t i = 0; i < count; ++i, ++seed) pictures.push_back(picture(1 + seed % 5, 1 + seed * 7 % 40, seed));
          const Found want = detect(*here, pictures, 4), found = detect(*there, pictures, 4);
          ASSERT_EQ(want.size(), count);
          ASSERT_EQ(want[0].size(), 3u);
          expect_found(found, want);
        }
      }
}

TEST(PicturesOnDevice, AreWrittenWhereTheNetworkReadsThem) {
  Network network;
  const auto detector = *Detector::make(network.open(test_device().c_str()));
  for (int run = 0; run < 3; ++run) detect(*detector, {picture(3, 5, 1), picture(4, 4, 2)}, 2);
  EXPECT_NE(detector->network().input_memory(0), nullptr);
  EXPECT_EQ(detector->network().counts().synchronisations, 1);  // for the boxes
  EXPECT_LE(detector->network().counts().graphs, 2);            // between them the other input is brought over
  if (!on_fake()) return;                                       // others have a kernel for Softmax
  Network read_by_host("Softmax");
  const auto other = *Detector::make(read_by_host.open(test_device().c_str()));
  detect(*other, {picture(3, 5, 1)}, 1);
  EXPECT_EQ(other->network().input_memory(0), nullptr);
}

TEST(PicturesOnDevice, SeveralBatchesAreInFlight) {
  Network network;
  const auto engine = network.open(test_device().c_str());
  const auto here = *Detector::make(network.open(nullptr));
  std::vector<std::unique_ptr<Detector>> crew;
  for (int i = 0; i < 3; ++i) crew.push_back(*Detector::make(engine));
  for (uint32_t round = 0; round < 3; ++round) {
    std::vector<Found> want;
    for (uint32_t i = 0; i < 3; ++i) {
      std::vector<Image> pictures{picture(3, 5, 10 * round + i), picture(6, 2 + i, 20 * round + i)};
      want.push_back(detect(*here, pictures, 2));
      enqueue(*crew[i], pictures);
      for (Image& p : pictures) std::ranges::fill(p.rgb, uint8_t{0});  // theirs again
    }
    for (size_t i = 0; i < 3; ++i) expect_found(collect(*crew[i]), want[i]);
  }
  enqueue(*crew[0], {picture(3, 5, 1)});  // a detector may go while its run is on
}

// To make ready for another size takes longer than a run: the last batch of many is filled up, a first one is not.
TEST(PicturesOnDevice, AFewAfterABatchAreFilledUp) {
  Network network;
  const auto there = *Detector::make(network.open(test_device().c_str())),
             here = *Detector::make(network.open(nullptr));
  std::vector<Image> pictures;
  for (uint32_t i = 0; i < 7; ++i) pictures.push_back(picture(3 + i, 5, i));
  const auto rows = [](const Detector& d) {
    const Specialisation& s = *d.network().specialisation();
    return s.place(s.plan().outputs[0]).ref.dims[0];
  };
  const std::vector<Image> few(pictures.begin(), pictures.begin() + 2);
  expect_found(detect(*there, few, 4), detect(*here, few, 4));
  EXPECT_EQ(rows(*there), 2);
  expect_found(detect(*there, pictures, 4), detect(*here, pictures, 4));
  EXPECT_EQ(rows(*there), 4);
  EXPECT_EQ(rows(*here), 3);
  expect_found(detect(*there, few, 2), detect(*here, few, 2));  // batches of two from now on
  EXPECT_EQ(rows(*there), 2);
}

TEST(PicturesOnDevice, PinnedOnesAreReadWhereTheyLie) {
  FOVEA_NEEDS_FAKE("it reads nothing before somebody waits");
  Network network;
  const auto there = *Detector::make(network.open(test_device().c_str())),
             here = *Detector::make(network.open(nullptr));
  const Image before = picture(3, 5, 1), after = picture(3, 5, 2);
  const auto device = *open_device(test_device());
  const auto bytes = static_cast<int64_t>(before.rgb.size());
  const DeviceMemory pinned = *device->allocate(bytes, DeviceMemory::Kind::kPinned);
  std::memcpy(pinned.data(), before.rgb.data(), before.rgb.size());
  const PictureView view(3, 5, reinterpret_cast<const uint8_t*>(pinned.data()));
  const Status s = there->enqueue(std::span(&view, 1));
  ASSERT_TRUE(s.ok()) << s.message();
  std::memcpy(pinned.data(), after.rgb.data(), after.rgb.size());  // seen, since nobody has copied it yet
  EXPECT_EQ(collect(*there), detect(*here, {after}, 1));
}

TEST(PicturesOnDevice, TheTwoHalvesBelongTogether) {
  Network network;
  for (const char* device : {test_device().c_str(), static_cast<const char*>(nullptr)}) {
    const auto detector = *Detector::make(network.open(device));
    EXPECT_THAT(detector->collect().status().message(), HasSubstr("before it was given pictures"));
    const Image image = picture(3, 5, 1);
    enqueue(*detector, {image});
    const PictureView view(image);
    EXPECT_THAT(detector->enqueue(std::span(&view, 1)).message(), HasSubstr("before its last ones were collected"));
    EXPECT_EQ(collect(*detector)[0].size(), 3u);
  }
}

}  // namespace
}  // namespace fovea::core
