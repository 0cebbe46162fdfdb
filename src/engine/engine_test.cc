// Engine files: what is written comes back, twice the same bytes, and whatever else is in a file is an error.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "engine/format.h"
#include "ir/parse.h"
#include "ir/text.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kText = R"(symbols(n in [1,64], h in [8,100])
graph @main(%image: float32[n,3,h,16], %c: bool[]) -> (boxes = %flat, kept = %picked, same = %y, kept2 = %picked) {
  %w = constant float32[8,3,3,3] random(1)
  %b = constant float32[8] random(2)
  %half = constant float16[2] random(3)
  %wide = constant int64[3] {0, -1, 4}
  %conv = Conv(%image, %w, %b) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "Conv_0", "Relu \"1\""
  %clip = LeakyRelu(%conv) {alpha=0.1}
  %t = Transpose(%clip) {perm=[0, 2, 3, 1]}
  %flat = Reshape(%t, %wide)
  %zero = constant float32[] {0.0}
  %m = Greater(%conv, %zero)
  %nz = NonZero(%m)
  %index = Transpose(%nz) {perm=[1, 0]}
  %picked = GatherND(%conv, %index)
  %two = constant int64[1] {2}
  %f = ConstantOfShape(%two) {value=float32[1] {2.5}}
  %d = Cast(%half) {to="float32"}
  %s = Add(%f, %d)
  %y = If(%c; %s, %f)
    region @then(%p: float32[2], %q: float32[2]) -> (%r) {
      %r = Add(%p, %q)
    }
    region @else(%p: float32[2], %q: float32[2]) -> (%r) {
      %k = constant float32[2] {1.0, 2.0}
      %r = Mul(%q, %k)
    }
})";

std::unique_ptr<Graph> parsed(const std::string& text) {
  auto g = parse(text, find_op);
  EXPECT_TRUE(g.ok()) << g.status().message() << "\n" << text;
  return g.ok() ? *std::move(g) : std::make_unique<Graph>();
}

std::string everything(const Graph& g) {
  PrintOptions options;
  options.full = true, options.known = true;
  return print(g, options);
}

EngineData example() {
  EngineData data;
  data.fovea_version = "0.1.0", data.git_hash = "abc", data.source_name = "model.onnx",
  data.source_hash = 0x123456789abcdef0u;
  data.card = "name = \"x\"\n", data.report = "{\"a\": 1}";
  data.graph = parsed(kText);
  data.graph->find("conv")->storage = {DType::kInt8, {0.5f, 0.25f}, {1, -1}, 1};
  data.graph->find("flat")->precision = PrecisionClass::kCoordinate;
  data.preprocess = parsed(
      "symbols(ph in [1,8192])\ngraph @preprocess(%picture: uint8[ph,2]) -> (out = %f) {\n  %f = Cast(%picture) "
      "{to=\"float32\"}\n}");
  EngineTarget t{"b", "l", "d", "f", 2, {}};
  t.recipes.push_back(
      {{{"n", 1}, {"h", 9}}, {{{1, 2}, "some_kernel", 3, {{Layout::kC16, Format(Layout::kNhwc8, Place::kDevice, DType::kFloat16)}, {Layout::kNhwc}}, "a way", 0.25}}});
  t.recipes.push_back({{{"n", 8}, {"h", 9}}, {}});
  t.limits = {1e12, 2e12, 3e12, 0};
  data.targets = {t, {"b2", "l2", "d2", "f2", 1, {}}};
  return data;
}

class EngineFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("fovea_engine_test_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name = "x.fov") const { return (folder_ / name).string(); }

  std::string written(const EngineData& data, const std::string& name = "x.fov") {
    Status s = write_engine(path(name), data);
    EXPECT_TRUE(s.ok()) << s.message();
    auto text = read_file(path(name));
    return text.ok() ? *text : "";
  }
  Result<EngineData> reading(const std::string& bytes) {
    std::ofstream(path("changed.fov"), std::ios::binary) << bytes;  // write_file() would wait for the disk
    return read_engine(path("changed.fov"));
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  // The file with other structure bytes, and all checksums right again.
  static std::string resealed(std::string file) {
    EngineHeader h;
    std::memcpy(&h, file.data(), sizeof h);
    h.structure_hash = XXH3_64bits(file.data() + sizeof h, h.structure_size);
    h.weights_hash = XXH3_64bits(file.data() + h.weights_offset, h.weights_size);
    return with_header(std::move(file), h);
  }
  static std::string with_header(std::string file, EngineHeader h) {
    h.header_hash = XXH3_64bits(&h, offsetof(EngineHeader, header_hash));
    std::memcpy(file.data(), &h, sizeof h);
    return file;
  }

  fs::path folder_;
};

TEST_F(EngineFile, ComesBackAsItWas) {
  const EngineData data = example();
  const std::string file = written(data);
  auto back = read_engine(path());
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(everything(*back->graph), everything(*data.graph));
  ASSERT_TRUE(back->preprocess);
  EXPECT_EQ(everything(*back->preprocess), everything(*data.preprocess));
  EXPECT_EQ(back->fovea_version, data.fovea_version);
  EXPECT_EQ(back->git_hash, data.git_hash);
  EXPECT_EQ(back->source_name, data.source_name);
  EXPECT_EQ(back->source_hash, data.source_hash);
  EXPECT_EQ(back->card, data.card);
  EXPECT_EQ(back->report, data.report);
  ASSERT_EQ(back->targets.size(), 2u);
  const EngineTarget &t = back->targets[0], &want = data.targets[0];
  EXPECT_EQ(t.build + t.libraries + t.device + t.features, "bldf");
  EXPECT_EQ(t.threads, 2);
  ASSERT_EQ(t.recipes.size(), 2u);
  EXPECT_EQ(t.recipes[0].profile, want.recipes[0].profile);
  const RecipeGroup &g = t.recipes[0].groups.at(0), &wanted = want.recipes[0].groups[0];
  EXPECT_EQ(g.nodes, wanted.nodes);
  EXPECT_EQ(g.kernel, wanted.kernel);
  EXPECT_EQ(g.revision, wanted.revision);
  EXPECT_EQ(g.variant, wanted.variant);
  EXPECT_EQ(g.formats.inputs, wanted.formats.inputs);
  EXPECT_EQ(g.formats.outputs, wanted.formats.outputs);
  EXPECT_EQ(g.ms, wanted.ms);
  EXPECT_TRUE(t.recipes[1].groups.empty());
  EXPECT_EQ(t.limits, want.limits);
  EXPECT_EQ(back->targets[1].limits, Limits());

  EXPECT_EQ(written(*back, "again.fov"), file);
  EXPECT_EQ(written(data, "first.fov"), file);

  auto sections = engine_sections(path());
  ASSERT_TRUE(sections.ok());
  EXPECT_EQ(sections->file, static_cast<int64_t>(file.size()));
  EXPECT_GT(sections->structure, 0);
  EXPECT_EQ(sections->weights % 64, 0);
}

TEST_F(EngineFile, ImpossibleLimitsAreRefused) {
  for (double most : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EngineData data = example();
    data.targets[0].limits.flops_tf32 = most;
    auto r = reading(written(data, "limits.fov"));
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
    EXPECT_THAT(r.status().message(), HasSubstr("impossible limits"));
  }
}

// One node of every operator that the text form can build from scratch would be a list to keep; attributes of every
// kind are enough.
TEST_F(EngineFile, AttributesOfEveryKind) {
  EngineData data;
  data.graph = parsed(R"(
graph @main(%x: float32[2,3,4], %boxes: float32[1,5,4], %scores: float32[1,5,2]) -> (a = %a, b = %b, c = %c, d = %d, k = %k, s = %s) {
  %a = Softmax(%x) {axis=1}
  %b = LeakyRelu(%x) {alpha=0.3}
  %c = Transpose(%x) {perm=[2, 0, 1]}
  %d = ReduceSum(%x) {axes=[1], keepdims=false}
  %k, %s = Nms(%boxes, %scores) {box_form="yxyx", score_threshold=-inf, iou_threshold=0.5, max_per_group=2, soft_sigma=0.125, clip=true}
})");
  written(data);
  auto back = read_engine(path());
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(everything(*back->graph), everything(*data.graph));
  EXPECT_FALSE(back->preprocess);
}

TEST_F(EngineFile, NoSuchFileOrEmpty) {
  auto none = read_engine(path("none.fov"));
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.status().message(), HasSubstr("none.fov"));
  for (const std::string& bytes : {std::string(), std::string("\x89"), std::string(63, 'x'), std::string(5000, '\0')}) {
    auto r = reading(bytes);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
    EXPECT_FALSE(engine_sections(path("changed.fov")).ok());
  }
}

TEST_F(EngineFile, EveryBitOfTheHeaderCounts) {
  const std::string file = written(example());
  for (size_t at = 0; at < sizeof(EngineHeader); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      auto r = reading(changed);
      ASSERT_FALSE(r.ok()) << at;
      EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel) << at;
      EXPECT_THAT(r.status().message(), HasSubstr("changed.fov"));
    }
}

TEST_F(EngineFile, ABitAnywhereCounts) {
  const std::string file = written(example());
  std::mt19937 rng(11);
  for (int i = 0; i < 300; ++i) {
    std::string changed = file;
    const size_t at = rng() % file.size();
    changed[at] = static_cast<char>(changed[at] ^ (1 << rng() % 8));
    auto r = reading(changed);
    ASSERT_FALSE(r.ok()) << at;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel) << at;
  }
}

TEST_F(EngineFile, TruncatedOrLonger) {
  const std::string file = written(example());
  for (size_t size = 0; size < file.size(); size += 97) {
    auto r = reading(file.substr(0, size));
    ASSERT_FALSE(r.ok()) << size;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel) << size;
  }
  EXPECT_FALSE(reading(file.substr(0, file.size() - 1)).ok());
  EXPECT_FALSE(reading(file + '\0').ok());
}

TEST_F(EngineFile, SectionsThatPointElsewhere) {
  const std::string file = written(example());
  EngineHeader h;
  std::memcpy(&h, file.data(), sizeof h);
  const uint64_t values[] = {0,
                             1,
                             63,
                             64,
                             h.structure_size,
                             h.weights_offset,
                             file.size(),
                             file.size() + 64,
                             UINT64_MAX,
                             UINT64_MAX - 63,
                             uint64_t{1} << 63};
  uint64_t EngineHeader::*fields[] = {&EngineHeader::structure_size, &EngineHeader::weights_offset,
                                      &EngineHeader::weights_size};
  for (auto field : fields)
    for (uint64_t value : values) {
      EngineHeader changed = h;
      if (changed.*field == value) continue;
      changed.*field = value;
      auto r = reading(with_header(file, changed));
      ASSERT_FALSE(r.ok()) << value;
      EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
    }
}

TEST_F(EngineFile, ANewerFormatSaysWhatToDo) {
  const std::string file = written(example());
  EngineHeader h;
  std::memcpy(&h, file.data(), sizeof h);
  h.format = kEngineFormat + 1;
  h.header_size = 128;
  auto r = reading(with_header(file, h));
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
  EXPECT_THAT(r.status().message(),
              HasSubstr(fmt::format("engine format {}, this fovea reads up to {}: use a newer fovea", kEngineFormat + 1,
                                    kEngineFormat)));
}

// Structure bytes changed at random with every checksum made right: an error or another valid engine, never a crash.
TEST_F(EngineFile, HostileStructures) {
  const std::string file = written(example());
  EngineHeader h;
  std::memcpy(&h, file.data(), sizeof h);
  std::mt19937 rng(20240608);
  int loaded = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = file;
    for (uint32_t k = 0; k <= rng() % 4; ++k) {
      const size_t at = sizeof h + rng() % h.structure_size;
      const uint32_t how = rng() % 4;
      changed[at] = static_cast<char>(how == 0   ? changed[at] ^ (1 << rng() % 8)
                                      : how == 1 ? 0
                                      : how == 2 ? 0xff
                                                 : changed[at] + 1);
    }
    SCOPED_TRACE(fmt::format("change {}", i));
    auto r = reading(resealed(changed));
    ++(r.ok() ? loaded : refused);
    if (!r.ok()) EXPECT_NE(r.status().kind(), ErrorKind::kInternal) << r.status().message();
    if (r.ok()) EXPECT_FALSE(everything(*r->graph).empty());
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 100);
}

TEST_F(EngineFile, StringsAreRefused) {
  EngineData data;
  data.graph = std::make_unique<Graph>();
  data.graph->outputs = {data.graph->add_constant(Tensor::strings({1}, {"a"}), "names")};
  data.graph->output_names = {"names"};
  Status s = write_engine(path(), data);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.kind(), ErrorKind::kUnsupported);
  EXPECT_EQ(files(), 0u);
}

TEST_F(EngineFile, AHalfWrittenFileNeverAppears) {
  const EngineData data = example();
  const std::string file = written(data);
  ASSERT_EQ(files(), 1u);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit less = before;
  less.rlim_cur = file.size() / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &less), 0);
  const Status fresh = write_engine(path("fresh.fov"), data), over = write_engine(path(), data);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old);
  for (const Status& s : {fresh, over}) {
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.kind(), ErrorKind::kSystem);
  }
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(*read_file(path()), file);  // the old one is whole
  EXPECT_FALSE(write_engine(path("no/such/folder/x.fov"), data).ok());
}

}  // namespace
}  // namespace fovea::core
